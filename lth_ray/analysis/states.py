"""State dicts and masks as the measurements read them: checked against each other, and in small pieces."""

from collections.abc import Iterable, Iterator, Mapping

import torch

from lth_ray.config import ConfigError

Tensors = Mapping[str, torch.Tensor]
OVERALL = "*"  # the layer of a row over all layers; no parameter has this name
PIECE = 1 << 17  # elements converted to float64 at a time: 1 MiB, however large a parameter is


def require_same(first: Tensors, second: Tensors, labels: tuple[str, str] = ("state_a", "state_b")) -> None:
    """Raise ConfigError that names the first tensor which one of the two lacks or has in another shape."""
    for name in {**first, **second}:
        found = [f"shape {tuple(tensors[name].shape)}" if name in tensors else "none" for tensors in (first, second)]
        if found[0] != found[1]:
            raise ConfigError(
                f"{name!r}: {labels[0]} has {found[0]}, {labels[1]} has {found[1]}: use two of one architecture"
            )


def selected(tensors: Tensors, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Return those of the given names. Raise ConfigError for a name that is not there."""
    names = list(names)
    for name in names:
        if name not in tensors:
            raise ConfigError(f"names: {name!r} is not in the state; it has {', '.join(tensors)}")
    return {name: tensors[name] for name in names}


def pieces(*tensors: torch.Tensor, keeps: torch.Tensor | None = None) -> Iterator[list[torch.Tensor]]:
    """Yield tensors of one shape side by side, flat: on the CPU, in float64, at most PIECE elements of each
    at a time.

    keeps: bool, of their shape; only elements where it is True.
    """
    columns = [torch.split(tensor.detach().reshape(-1), PIECE) for tensor in tensors]
    chosen = [None] * len(columns[0]) if keeps is None else torch.split(keeps.reshape(-1).bool(), PIECE)
    for among, *parts in zip(chosen, *columns, strict=True):
        yield [(part.cpu() if among is None else part.cpu()[among.cpu()]).double() for part in parts]
