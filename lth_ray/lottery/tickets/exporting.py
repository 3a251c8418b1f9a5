"""Tickets for elsewhere: a plain state dict, the naming of torch.nn.utils.prune, or ONNX."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from lth_ray.config import ConfigError
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.tickets.loading import Ticket
from lth_ray.lottery.tickets.prune_naming import Tensors, to_prune_naming
from lth_ray.models import retied
from lth_ray.training import averages

FORMATS, STATES = ("state_dict", "prune", "onnx"), ("trained", "rewind")


def weights_of_ticket(ticket: Ticket, state: str) -> Tensors:
    """Return its trained or rewind weights under the network's own names, pruned ones at zero.

    Trained weights are those that its accuracies were measured by: the moving averages of Train(ema_decay=...), where
    it has them. Rewind weights are those that training set out from. ConfigError with the remedy where they were not
    kept.
    """
    key = ticket.record.key
    if state not in STATES:
        raise ConfigError(f"--state {state}: give one of {', '.join(STATES)}")
    found = ticket.trained_state if state == "trained" else ticket.rewind_state
    if found is not None:
        shown = averages.measured(found) if state == "trained" else averages.own(found)
        return retied(shown, ticket.tied)
    other = STATES[state == "trained"]
    if state == "trained" and ticket.record.diverged_at is not None:
        why = f"its training diverged by step {ticket.record.diverged_at}"
    else:
        why = "the study did not keep them (Study.keep)"
    there = ticket.rewind_state if state == "trained" else ticket.trained_state
    instead = f"give --state {other}, or " if there is not None else ""
    raise ConfigError(
        f"ticket {key} has no {state} weights: {why}; {instead}run its study again with keep='tickets', "
        "which makes what is missing"
    )


def save_state_dict(ticket: Ticket, to: str | os.PathLike[str], state: str, about: Mapping[str, str]) -> None:
    """Write a safetensors file of the ticket's weights under the network's own names, pruned ones at zero."""
    _save(weights_of_ticket(ticket, state), to, about)


def save_prune_naming(ticket: Ticket, to: str | os.PathLike[str], state: str, about: Mapping[str, str]) -> None:
    """Write a safetensors file that fits a network pruned by torch.nn.utils.prune in the mask's parameters."""
    key, made_from = ticket.record.key, ticket.record.meaning
    if not ticket.mask:
        raise ConfigError(f"ticket {key} is a dense network and has no mask: export it with --format state_dict")
    if made_from.get("frozen"):
        raise ConfigError(
            f"ticket {key}: its pruned weights are frozen at other values than zero, and torch.nn.utils.prune would "
            "multiply them by zero; export it with --format state_dict"
        )
    check_not_learned(ticket, "prune")
    _save(to_prune_naming(weights_of_ticket(ticket, state), retied(ticket.mask, ticket.tied)), to, about)


def check_not_learned(ticket: Ticket, format_: str) -> None:
    """Raise ConfigError where the mask was trained: what is stored is then its scores."""
    if ticket.record.meaning.get("learned"):
        raise ConfigError(
            f"ticket {ticket.record.key}: its mask was learned, and its state holds scores beside weights, "
            f"which --format {format_} cannot say; export it with --format state_dict"
        )


def kind_of_weights(record: SegmentRecord, state: str) -> str:
    """Return what an exported file holds, in words: its metadata and the screen say so."""
    train = record.meaning.get("recipe", {}).get("train", {})
    decay, begins = train.get("ema_decay"), train.get("average_from")
    if state == "rewind" or (decay is None and begins is None):
        return f"{state} weights"
    if decay is None:
        return f"the mean of the weights over epochs from step {begins} on, by which it was measured"
    return f"moving averages of the weights (ema_decay = {decay}), by which it was measured"


def written(to: str | os.PathLike[str], write: Callable[[str], Any]) -> None:
    """Let `write` make a file beside `to` and put it there once it is complete.

    Raise ConfigError where that fails.
    """
    target = Path(to)
    if not target.parent.is_dir():
        raise ConfigError(f"--to {target}: there is no folder {target.parent}; make it first")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            made, usual = os.path.join(folder, target.name), Path(folder, "usual")
            write(made)
            usual.touch()
            os.chmod(made, usual.stat().st_mode)  # whoever writes it: some make what only its owner may read
            os.replace(made, target)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"--to {target}: cannot be written ({error})") from error


def _save(tensors: Tensors, to: str | os.PathLike[str], about: Mapping[str, str]) -> None:
    whole = {name: value.contiguous() for name, value in tensors.items()}
    written(to, lambda path: save_file(whole, path, metadata={"format": "pt", **about}))
