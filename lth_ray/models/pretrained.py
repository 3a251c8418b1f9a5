"""Pretrained weights in a network: every tensor of it, by name and shape."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.models.files import read_weights
from lth_ray.models.tied import retied, tied

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
COUNTED = "num_batches_tracked"  # which older versions of torch did not save, and nothing is computed from
SHOWN = 3


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fill every parameter and buffer of `model` from a file that holds its state dict, see `read_weights`.

    Errors: ConfigError naming the file when it cannot be read, and the tensors that do not fit.
    """
    model.load_state_dict(fitting_weights(model, read_weights(path), f"pretrained weights {path}"), strict=False)


def fitting_weights(
    model: nn.Module, given: Mapping[str, Tensor], where: str, redraw: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return what `model` takes of a state dict, in its own precision: every tensor but those whose names
    `redraw` matches.

    A prefix that all names have and the network's have not is passed over, counts of batches seen may be missing, and a
    tensor that the network has under several names may have any of them. Raises ConfigError, naming the tensors, for
    whatever else is missing, not the network's, of another shape or kind, or not finite.
    """
    own, ties = model.state_dict(), tied(model)
    given = _without_prefix(given, own)
    for glob in redraw:
        if not any(fnmatchcase(name, glob) for name in (*own, *given)):
            last = ", ".join(map(repr, [*own][-SHOWN:]))
            raise ConfigError(f"Model.redraw = {glob!r}: no tensor of this network is called so; its last are {last}")
    left = {name for name in (*own, *given) if any(fnmatchcase(name, glob) for glob in redraw)}
    _check_ties(given, {other: name for other, name in ties.items() if not {other, name} & left}, where)
    given = retied(given, ties)
    wanted = [name for name in own if name not in left]
    missing = [name for name in wanted if name not in given and not name.endswith(COUNTED)]
    unknown = [name for name in given if name not in own and name not in left]
    if missing or unknown:
        faults = [f"lacks {_listed(missing)}"] * bool(missing) + [f"holds the unknown {_listed(unknown)}"] * bool(
            unknown
        )
        raise ConfigError(f"{where} {' and '.join(faults)}: {_remedy(missing, unknown)}")
    found = {name: given[name] for name in wanted if name in given}
    wrong = [name for name, value in found.items() if value.shape != own[name].shape]
    if wrong:
        shapes = "; ".join(
            f"{name!r} has shape {tuple(found[name].shape)}, the network needs {tuple(own[name].shape)}"
            for name in wrong[:SHOWN]
        )
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        raise ConfigError(
            f"{where}: {shapes}{more}; give this network's own, or have them drawn by Model(redraw={_globs(wrong)})"
        )
    for name, value in found.items():
        if value.is_floating_point() != own[name].is_floating_point():
            raise ConfigError(f"{where}: {name!r} is {value.dtype}, the network needs {own[name].dtype}; give its own")
        if value.is_floating_point() and not value.isfinite().all():
            raise ConfigError(f"{where}: {name!r} has values that are NaN or infinite; give weights that are whole")
    return {name: value.to(own[name].dtype) for name, value in found.items()}


def _without_prefix(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = dict(given)
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found) and not any(n.startswith(prefix) for n in own):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _check_ties(given: Mapping[str, Tensor], ties: Mapping[str, str], where: str) -> None:
    for other, name in ties.items():
        if other in given and name in given and not torch.equal(given[other], given[name]):
            raise ConfigError(
                f"{where}: {name!r} and {other!r} differ, and are one tensor in this network; give this network's own"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{'tensors' if len(names) > 1 else 'tensor'} {', '.join(map(repr, names[:SHOWN]))}{more}"


def _remedy(missing: Sequence[str], unknown: Sequence[str]) -> str:
    if any(name.endswith("_orig") for name in unknown):
        return "of a network that torch.nn.utils.prune has pruned `lth-ray import` makes a ticket"
    return f"give this network's own, or leave these to Model(redraw={_globs([*missing, *unknown])})"


def _globs(names: Sequence[str]) -> list[str]:
    """Return one glob for each layer, where there are few."""
    layers = list(dict.fromkeys(f"{name.rpartition('.')[0]}.*" if "." in name else name for name in names))
    return layers[:SHOWN]
