"""Weights given by path: safetensors only, since nothing is unpickled."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lth_ray.config import ConfigError


def read_weights(path: str | Path, what: str = "pretrained weights") -> dict[str, Tensor]:
    """The tensors of a safetensors file. ConfigError, naming it as `what`, when it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"{what} {path}: not a readable safetensors file ({error}); "
            "write one by safetensors.torch.save_file(model.state_dict(), path)"
        ) from error


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fills every parameter and buffer of `model` from a safetensors file that holds its state dict.

    Errors: ConfigError naming the file when it cannot be read, and the tensor when a name or shape differs.
    """
    given = read_weights(path)
    own = model.state_dict()
    for name in [*own, *given]:
        if name not in given or name not in own:
            fault = "lacks the" if name not in given else "holds the unknown"
            raise ConfigError(f"pretrained weights {path} {fault} tensor {name!r}: give this network's own")
        if own[name].shape != given[name].shape:
            raise ConfigError(
                f"pretrained weights {path}: {name!r} has shape {tuple(given[name].shape)}, "
                f"the network needs {tuple(own[name].shape)}: give this network's own"
            )
    model.load_state_dict(given)
