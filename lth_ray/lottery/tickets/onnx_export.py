"""A ticket's network as an ONNX file, by PyTorch's exporter, compared with the network before it is handed over."""

import importlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lth_ray.config import ConfigError
from lth_ray.lottery.tickets.exporting import written

NEEDED = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT, BATCH = "images", "logits", "batch"
TOLERANCE = 1e-4  # of the largest logit: other kernels add up in another order


def save_onnx(
    network: nn.Module, input_shape: tuple[int, ...], to: str | os.PathLike[str], about: Mapping[str, str]
) -> None:
    """Write `network` as it is in evaluation.

    The input `images` is float32 [batch, C, H, W], input_shape = (C, H, W), normalised as in training; the output
    `logits` is float32 [batch, classes]; any number of images goes in. about: the file's metadata. Pruned weights are
    zeros in dense tensors.
    Raises ConfigError where a package is missing, the network cannot be exported, or the file computes something else.
    """
    check_packages()
    network.eval()
    images = _images(input_shape)

    def write(path: str) -> None:
        _export(network, images, path, about)
        _compare(network, images, path)

    with torch.no_grad():
        written(to, write)


def check_packages() -> None:
    """Raise ConfigError, naming the extra, where a package is missing that this takes."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"--format onnx needs the package {name}: pip install 'lth_ray[onnx]'") from error


def _images(input_shape: tuple[int, ...], number: int = 3) -> torch.Tensor:
    """Return any images: three, since exporting takes 0 and 1 for fixed sizes."""
    return torch.linspace(-1, 2, number * torch.Size(input_shape).numel()).sin().reshape(number, *input_shape)


def _export(network: nn.Module, images: torch.Tensor, path: str, about: Mapping[str, str]) -> None:
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                (images,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--format onnx: PyTorch cannot export this {type(network).__name__}: {reason}") from error
    model = program.model_proto
    onnx.helper.set_model_props(model, dict(about))
    onnx.save(model, path)


def _compare(network: nn.Module, images: torch.Tensor, path: str) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    if session.get_inputs()[0].shape[0] != BATCH:
        raise ConfigError(
            f"--format onnx: the forward pass of {type(network).__name__} fixes the number of images, as len(x) and "
            "int(x.shape[0]) do; write x.shape[0], x.flatten(1) or view(-1, ...)"
        )
    for batch in (images, images[:1]):
        ours = network(batch)
        theirs = torch.from_numpy(session.run([OUTPUT], {INPUT: batch.numpy()})[0])
        apart = float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-6))
        if not apart <= TOLERANCE:
            raise ConfigError(
                f"--format onnx: the exported network differs from its own by {apart:.2g} of the largest output, "
                "so nothing was written; export it with --format state_dict"
            )
