"""Pretrained weights, as a study declares them: a file, which counts by what is in it."""

import os
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import TEXT, Config, maybe, option, text

PATH = text("give the path of a safetensors, .pt or .pth file")


@dataclass(frozen=True)
class WeightsFile(Config):
    """A file of weights. Nothing is read when it is declared.

    path: where it lies, which is no part of a key.
    content: a digest of its tensors' names, shapes and bytes, which is; None until a plan has read the file.
    """

    path: str = option(check=PATH, means=False)
    _: KW_ONLY
    content: str | None = option(None, check=maybe(TEXT))

    def __str__(self) -> str:
        return os.path.basename(self.path)


def weights_file(value: Any) -> WeightsFile:
    """Return a path, or what one has become, as a file of weights: a check."""
    if isinstance(value, WeightsFile):
        return value
    return WeightsFile(PATH(os.fspath(value) if isinstance(value, os.PathLike) else value))
