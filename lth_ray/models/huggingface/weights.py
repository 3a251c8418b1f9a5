"""A folder's tensors by the names of a network: heads differ, and prefixes and older names do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.models.huggingface.library import quiet, transformers

SHOWN = 3


@dataclass(frozen=True)
class Named:
    """The part of a folder that a network takes.

    tensors: by the network's own names.
    lacking: names of the network's tensors that the folder does not have, all of them of its head.
    """

    tensors: Mapping[str, Tensor]
    lacking: tuple[str, ...] = ()


def in_own_names(network: nn.Module, given: Mapping[str, Tensor], where: str, redraw: Sequence[str] = ()) -> Named:
    """Return a folder's tensors by the names of `network`, as transformers' from_pretrained finds them.

    Another head's tensors, such as those that a pretraining left, are passed over. Tensors of a network that is none of
    transformers' keep their names.
    redraw: globs over names that are not to be taken. Raises ConfigError, naming tensors, where the network beneath the
    head lacks some or is another.
    """
    if not hasattr(network, "base_model_prefix"):
        return Named(given)
    library, kind = transformers(where), type(network)
    with quiet(library), torch.random.fork_rng(devices=[]):
        loaded, found = kind.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=network.config,
            state_dict=dict(given),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
        )
    left = {name for name in network.state_dict() if any(fnmatchcase(name, glob) for glob in redraw)}
    missing = sorted(set(found["missing_keys"]) - left)
    _check(network, missing, sorted(found["unexpected_keys"]), where)
    for name, then, now in sorted(one for one in found["mismatched_keys"] if one[0] not in left):
        raise ConfigError(
            f"{where}: {name!r} has shape {tuple(then)}, the network needs {tuple(now)}; have it drawn by "
            f"Model(redraw=['{name.rpartition('.')[0]}.*'])"
        )
    state = loaded.state_dict()
    return Named({name: value for name, value in state.items() if name not in {*missing, *left}}, tuple(missing))


def _check(network: Any, missing: Sequence[str], unknown: Sequence[str], where: str) -> None:
    prefix = f"{network.base_model_prefix}."
    beneath = [name for name in missing if name.startswith(prefix)]
    parts = {name for name, _ in network.base_model.named_children()}
    others = [name for name in unknown if name.removeprefix(prefix).partition(".")[0] in parts]
    for what, names in (("lacks", beneath), ("holds the unknown", others)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            globs = list(dict.fromkeys(f"{name.rpartition('.')[0]}.*" for name in names))[:SHOWN]
            remedy = f", or have these drawn by Model(redraw={globs})" if what == "lacks" else ""
            raise ConfigError(
                f"{where} {what} {', '.join(map(repr, names[:SHOWN]))}{more}, so that it does not fit its config.json; "
                f"give the folder of this network{remedy}"
            )
