"""A ticket's network as an ONNX file, by PyTorch's exporter, compared with the network before it is handed over."""

import importlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lth_ray.config import ConfigError
from lth_ray.lottery.tickets.exporting import written

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OUTPUT, BATCH = "logits", "batch"
TOLERANCE = 1e-4  # of the largest logit: other kernels add up in another order


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network: float32 images [batch, C, H, W], normalised as in training; or tokens, whole numbers.

    example: what the network is called with for one example.
    tokens: how many different whole numbers there are; None where those of the example are the largest in their places.
    """

    example: torch.Tensor
    tokens: int | None = None

    @property
    def name(self) -> str:
        return "images" if self.example.is_floating_point() else "tokens"

    def made_up(self, number: int = 3) -> torch.Tensor:
        """Return any: three, since exporting takes 0 and 1 for fixed sizes."""
        shape, size = (number, *self.example.shape[1:]), number * self.example[0].numel()
        if self.example.is_floating_point():
            return torch.linspace(-1, 2, size).sin().reshape(shape)
        largest = self.example if self.tokens is None else torch.full_like(self.example, self.tokens - 1)
        return 7 * torch.arange(size, dtype=largest.dtype).reshape(shape) % (largest + 1)


def save_onnx(network: nn.Module, inputs: Inputs, to: str | os.PathLike[str], about: Mapping[str, str]) -> None:
    """Write `network` as it is in evaluation.

    The input is named as `inputs` is, and any number goes in; the output `logits` is float32 [batch, classes], or
    [batch, window, vocabulary]. about: the file's metadata. Pruned weights are zeros in dense tensors.
    Raises ConfigError where a package is missing, the network cannot be exported, or the file computes something else.
    """
    check_packages()
    network.eval()

    def write(path: str) -> None:
        _export(network, inputs, path, about)
        _compare(network, inputs, path)

    with torch.no_grad():
        written(to, write)


def check_packages() -> None:
    """Raise ConfigError, naming the extra, where a package is missing that this takes."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f'--format onnx needs the package {name}: pip install "lth_ray[onnx]"') from error


def _export(network: nn.Module, inputs: Inputs, path: str, about: Mapping[str, str]) -> None:
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                (inputs.made_up(),),
                dynamo=True,
                input_names=[inputs.name],
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


def _compare(network: nn.Module, inputs: Inputs, path: str) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    if session.get_inputs()[0].shape[0] != BATCH:
        raise ConfigError(
            f"--format onnx: the forward pass of {type(network).__name__} fixes the number of {inputs.name}, as len(x) "
            "and int(x.shape[0]) do; write x.shape[0], x.flatten(1) or view(-1, ...)"
        )
    made_up = inputs.made_up()
    for batch in (made_up, made_up[:1]):
        ours = network(batch)
        theirs = torch.from_numpy(session.run([OUTPUT], {inputs.name: batch.numpy()})[0])
        apart = float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-6))
        if not apart <= TOLERANCE:
            raise ConfigError(
                f"--format onnx: the exported network differs from its own by {apart:.2g} of the largest output, "
                "so nothing was written; export it with --format state_dict"
            )
