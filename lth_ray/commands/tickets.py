"""Tickets by name: finding the one that is meant and where it comes from, and sending it elsewhere."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lth_ray import __version__
from lth_ray.config import ConfigError, Data, Folder, called, nearest, short_name
from lth_ray.data import load
from lth_ray.data.packed.reading import PackedSplit
from lth_ray.lottery import Lineage, Plan, Ticket, load_ticket
from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.tickets import exporting as formats
from lth_ray.lottery.tickets import small
from lth_ray.running import history
from lth_ray.store import Store
from lth_ray.training import Recipe

SHOWN = 6  # keys in an error message


@dataclass(frozen=True)
class Place:
    """A place where a study has a ticket.

    entry: of the study's history, the first that asks for it.
    branch: the result on that round which trains it, None for the round's own ticket.
    """

    plan: Plan
    entry: dict[str, Any]
    lineage: Lineage
    round: int
    segment: Segment
    branch: BranchResult | None = None

    @property
    def study(self) -> str:
        return self.plan.study.name

    @property
    def recipe(self) -> Recipe:
        return self.segment.recipe


def with_study(store: Store, text: str, name: str | None = None) -> tuple[str, str | None]:
    """Return (ticket, study) of NAME/LINEAGE/rROUND; as it is where it names no study that there is, or `name` does."""
    first, _, rest = text.partition("/")
    return (rest, first) if name is None and rest and first in history.studies(store) else (text, name)


def find_ticket(store: Store, text: str, name: str | None = None) -> str:
    """Return the key of the ticket that `text` means: a key, the beginning of one key, or LINEAGE/rROUND of
    study `name`, which may stand before it: NAME/LINEAGE/rROUND.

    Raises ConfigError, naming what there is, where it means none or several.
    """
    text, name = with_study(store, text, name)
    asked = re.fullmatch(r"(.+)/r(\d+)", text)
    if asked:
        return _of_lineage(store, asked[1], int(asked[2]), name)
    keys = store.segments()
    matching = sorted(key for key in keys if key.startswith(text))
    if text in keys or len(matching) == 1:
        return text if text in keys else matching[0]
    if matching:
        shown = ", ".join(matching[:SHOWN]) + (", ..." if len(matching) > SHOWN else "")
        raise ConfigError(f"{len(matching)} tickets begin with {text!r}: {shown}; give more of it")
    if any(key.startswith(text) for key in store.tables()):
        raise ConfigError(f"{text!r} is a table of measurements, and no ticket: give the key of what it measured")
    raise ConfigError(
        f"no ticket {text!r} in {store.uri}, which holds {len(keys)}: give a `key` of Results.tickets(), or "
        "NAME/LINEAGE/rROUND, such as digits/k0/seed0/r3"
    )


def places(store: Store, key: str, name: str | None = None) -> list[Place]:
    """Return where the studies of a storage (or `name` alone) have a ticket: lineages that share a run each
    have it.
    """
    found = []
    for study in history.studies(store) if name is None else [name]:
        entries = history.entries_of(store, study)
        if not entries:
            history.recorded_plan(store, study)  # says which studies there are
        entry = next((entry for entry in entries if key in entry["keys"]), None)
        if entry is not None:
            found += list(_places(history.recorded_plan(store, study), entry, key))
    return found


def export_ticket(
    ticket: str,
    to: str | os.PathLike[str],
    *,
    format: str = "state_dict",
    state: str = "trained",
    storage: str = "./lth_storage",
    name: str | None = None,
    model: nn.Module | None = None,
    input_shape: tuple[int, ...] | None = None,
    data_root: str | None = None,
    shrink: bool = False,
) -> str:
    """Write a ticket's network to the file `to`; return the ticket's key.

    ticket, name: as in `find_ticket`.
    format: "state_dict" or "prune", a safetensors file of the masked weights under their own names or under
        those of torch.nn.utils.prune; or "onnx".
    state: "trained" or "rewind" weights.
    model, input_shape: for ONNX or `shrink` of a network that a study's own function made, which no record can: the
        network (it takes the ticket's weights), and (C, H, W) where no study has the ticket.
    data_root: where the images are, whose normalisation is then noted in an ONNX file.
    shrink: write the smaller network, without the channels, heads and neurons that the ticket's mask removes whole:
        weights with a JSON history beside them, which `load_small` takes, or ONNX; after a comparison with the masked
        network.

    Raises ConfigError, with the remedy, for what there is not or cannot be written so.
    """
    if format not in formats.FORMATS:
        raise ConfigError(f"--format {format}: {nearest(format, formats.FORMATS)}")
    store = Store.open(storage, writable=False)
    ticket, name = with_study(store, ticket, name)
    key = find_ticket(store, ticket, name)
    loaded, where = load_ticket(key, storage), places(store, key, name)
    about = _about(loaded, state, where)
    if format == "onnx" or shrink:
        _export_network(loaded, where, to, about, (format, state, shrink), (model, input_shape), data_root)
    else:
        save = formats.save_prune_naming if format == "prune" else formats.save_state_dict
        save(loaded, to, state, about)
    return key


def _export_network(
    ticket: Ticket,
    where: list[Place],
    to: str | os.PathLike[str],
    about: dict[str, str],
    what: tuple[str, str, bool],
    given: tuple[nn.Module | None, tuple[int, ...] | None],
    data_root: str | None,
) -> None:
    """Write what the network itself is needed for: ONNX, or the smaller network.

    what: (format, state, shrink). given: the network and its input's shape, where they are.
    """
    from lth_ray.lottery.tickets.onnx_export import Inputs, check_packages, save_onnx

    format_, state, shrink = what
    if format_ == "onnx":
        check_packages()
    if shrink and format_ == "prune":
        raise ConfigError("--shrink --format prune: what is pruned away has no mask; give state_dict or onnx")
    formats.check_not_learned(ticket, format_)
    network, example = _network(ticket, where, *given)
    _fill(network, ticket, state)
    if shrink:
        whole, (network, how) = network, small.smaller(network, ticket.mask, (example,))
        if format_ != "onnx":
            history = small.history_of(whole, network, how, (example,), _made_by(where))
            small.save_small(network, history, to, about)
            return
    identity = where[0].recipe.identity if where else None
    tokens = identity.num_classes if identity is not None and identity.vocabulary is None else None
    save_onnx(network, Inputs(example, tokens), to, about | _normalisation(where, data_root))


def _made_by(where: list[Place]) -> dict[str, Any]:
    """Return what makes the whole network: arguments of models.build, or the function's name."""
    if not where:
        return {"function": "that made the network"}
    recipe = where[0].recipe
    if isinstance(recipe.model.name, Folder):
        return {"function": f"that reads {recipe.model.name}"}
    if not isinstance(recipe.model.name, str):
        return {"function": short_name(recipe.model.name)}
    shape = list(recipe.identity.input_shape)
    about = {"name": recipe.model.name, "num_classes": recipe.identity.num_classes, "input_shape": shape}
    return {**about, "options": dict(called(recipe.model.options))}


def _of_lineage(store: Store, lineage: str, number: int, name: str | None) -> str:
    studies = history.studies(store)
    if name is None and len(studies) != 1:
        there = ", ".join(studies) or "none"
        raise ConfigError(
            f"{lineage}/r{number}: of which study? give NAME/{lineage}/r{number}; in {store.uri} are {there}"
        )
    plan = history.recorded_plan(store, name or studies[0])
    lineages = {one.id: one for one in plan.lineages}
    if lineage not in lineages:
        raise ConfigError(f"no lineage {lineage!r} in study {plan.study.name!r}: {nearest(lineage, lineages)}")
    rounds = lineages[lineage].rounds
    if number >= len(rounds):
        raise ConfigError(f"{lineage} has rounds 0 to {len(rounds) - 1}, and no round {number}")
    key = rounds[number].segment.key
    if store.segment(key) is None:
        raise ConfigError(f"round {number} of {lineage} is not trained yet: run study {plan.study.name!r} to its end")
    return key


def _places(plan: Plan, entry: dict[str, Any], key: str) -> Iterator[Place]:
    for lineage in plan.lineages:
        for r in lineage.rounds:
            for segment in (r.segment, r.search):
                if segment is not None and segment.key == key:
                    yield Place(plan, entry, lineage, r.number, segment)
    for result in plan.branches:
        for _, segment in result.trainings:
            if segment.key == key:
                yield Place(plan, entry, result.lineage, result.round, segment, result)


def _about(ticket: Ticket, state: str, where: list[Place]) -> dict[str, str]:
    """Return the metadata of an exported file."""
    record = ticket.record
    about = {
        "lth_ray": __version__,
        "ticket": record.key,
        "content": record.content,
        "state": state,
        "weights": formats.kind_of_weights(record, state),
        "remaining_weights": repr(record.remaining_weights),
    }
    if where:
        about |= {"study": where[0].study, "lineage": where[0].lineage.id, "round": str(where[0].round)}
    return about


def _network(
    ticket: Ticket, where: list[Place], model: nn.Module | None, input_shape: tuple[int, ...] | None
) -> tuple[nn.Module, torch.Tensor]:
    """Return a ticket's network, and what it is called with for one example."""
    key = ticket.record.key
    if input_shape:
        example = torch.zeros(1, *input_shape)
    elif where:
        example = _example(where[0].recipe, key)
    else:
        raise ConfigError(f"ticket {key}: no study here says what its images are; use export_ticket(..., input_shape=)")
    if model is not None:
        return model, example
    if not where:
        raise ConfigError(f"ticket {key}: no study here says what network it is; use export_ticket(..., model=)")
    recipe = where[0].recipe
    if not isinstance(recipe.model.name, (str, Folder)):
        raise ConfigError(
            f"ticket {key} is of the function {short_name(recipe.model.name)}, which lives in the study's script: "
            "call lth_ray.export_ticket(..., model=YOUR_NETWORK), with format='onnx' or shrink=True, there"
        )
    plain = replace(recipe.train, ema_decay=None, average_from=None, ema_for="evaluation")
    return build(replace(recipe, train=plain)), example


def _example(recipe: Recipe, key: str) -> torch.Tensor:
    inputs = recipe.task.example(recipe.identity)
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        raise ConfigError(
            f"ticket {key}: ONNX and smaller networks of {type(recipe.data).__name__} are not written, as they take "
            "more than one tensor; export it with --format state_dict"
        )
    return inputs[0]


def _fill(network: nn.Module, ticket: Ticket, state: str) -> None:
    try:
        network.load_state_dict(formats.weights_of_ticket(ticket, state))
    except RuntimeError as error:
        raise ConfigError(f"ticket {ticket.record.key} does not fit this network: {error}") from error


def _normalisation(where: list[Place], data_root: str | None) -> dict[str, str]:
    """Return how images become inputs, where they are at hand: (pixel / white - mean) / std for each channel."""
    if not where:
        return {}
    recipe = where[0].recipe
    if not isinstance(recipe.data, Data):
        return {}
    try:
        dataset = load(recipe.data, data_root)
    except ConfigError:  # they are elsewhere, or not what they were
        return {}
    if dataset.digest != recipe.identity.digest:
        return {}
    white = 255 if isinstance(dataset.test, PackedSplit) else dataset.test.white
    return {"normalisation": json.dumps({"white": white, "mean": dataset.mean, "std": dataset.std})}
