"""The table of our own networks: their names, and what each builds."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from lth_ray.config import ConfigError
from lth_ray.models.cifar.densenet import CifarDenseNet
from lth_ray.models.cifar.preresnet import CifarPreResNet
from lth_ray.models.cifar.resnet import CifarResNet
from lth_ray.models.cifar.vgg import CifarVGG
from lth_ray.models.conv import Conv
from lth_ray.models.language.encoder_decoder import Transformer
from lth_ray.models.language.gnmt import GNMT
from lth_ray.models.language.lstm import LSTMLanguageModel
from lth_ray.models.language.transformer import TransformerLanguageModel
from lth_ray.models.lenet import Lenet
from lth_ray.models.policies import AtariPolicy, MlpPolicy

MOST_NUMBERS, DIGITS, SHOWN = 1_000, 6, 60  # of a name


@dataclass(frozen=True)
class Family:
    """Networks whose names have one form.

    names: what to show a reader.
    regex: the names in full.
    parse: from the regex's groups to the fields of `network` that the name states.
    init: the initialisation of the family's paper; None where its networks draw their own.
    sees: what its inputs are: "images" [C, H, W], "words", or "anything".
    """

    names: tuple[str, ...]
    regex: str
    parse: Callable[..., dict[str, Any]]
    network: Callable[..., nn.Module]
    init: str | None
    sees: str = "images"

    def match(self, name: str) -> dict[str, Any] | None:
        """Return the fields that `name` states, None when it is of another family.

        Raise ConfigError for sizes beyond all bounds.
        """
        found = re.fullmatch(self.regex, name)
        if found is None:
            return None
        numbers = re.findall(r"\d+", name)
        if len(numbers) > MOST_NUMBERS or any(len(number) > DIGITS for number in numbers):
            shown = f"{name[:SHOWN]!r}{'...' if len(name) > SHOWN else ''}"
            raise ConfigError(
                f"Model.name = {shown}: no network has such sizes; give at most {MOST_NUMBERS:,} numbers of at most "
                f"{DIGITS} digits"
            )
        return self.parse(*found.groups())

    def check_shape(self, name: str, input_shape: tuple[int, ...] | None) -> None:
        """Raise ConfigError for inputs that are no images, where a network sees these alone."""
        if input_shape is not None and len(input_shape) != 3 and self.sees == "images":
            raise ConfigError(
                f"Model.name = {name!r}: it sees images [C, H, W], and inputs here are of shape {tuple(input_shape)}; "
                "use another network, such as lenet_300_100 or policy_128_128_128"
            )


def _widths(widths: str) -> dict[str, Any]:
    return {"widths": [int(width) for width in widths.strip("_").split("_")]}


def _convolutions(number: str, width: str | None) -> dict[str, Any]:
    return {"convolutions": int(number)} | ({"width": int(width)} if width else {})


def _depth(depth: str, width: str | None) -> dict[str, Any]:
    return {"depth": int(depth)} | ({"width": int(width)} if width else {})


def _layers(layers: str, width: str, heads: str | None = None) -> dict[str, Any]:
    return {"layers": int(layers), "width": int(width)} | ({"heads": int(heads)} if heads else {})


def _width(width: str | None) -> dict[str, Any]:
    return {"width": int(width)} if width else {}


def _translator(layers: str | None, width: str | None) -> dict[str, Any]:
    return {"layers": int(layers), "width": int(width)} if layers and width else {}


def _transformer(size: str) -> dict[str, Any]:
    layers, width = {"base": "6_512", "big": "6_1024"}.get(size, size).split("_")
    return {"layers": int(layers), "width": int(width)}


def _dense(depth: str, growth: str | None) -> dict[str, Any]:
    return {"depth": int(depth)} | ({"growth": int(growth)} if growth else {})


def _sized(stem: str, depths: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{stem}{depth}[_WIDTH]" for depth in depths)


_NUMBER = r"[1-9]\d*"
_SIZES = rf"({_NUMBER})(?:_({_NUMBER}))?"
_RESNETS = _sized("cifar_resnet", (20, 32, 44, 56, 110))
_PRERESNETS = _sized("cifar_preresnet", (29, 56, 101, 164))
_DENSENETS = tuple(f"cifar_densenet{depth}[_GROWTH]" for depth in (40, 100))
_VGGS = _sized("cifar_vgg", (11, 13, 16, 19))
_TRANSFORMERS = ("transformer_base", "transformer_big", "transformer_LAYERS_WIDTH")
FAMILIES = (
    Family(("lenet_300_100", "lenet_A_B[_C...]"), rf"lenet((?:_{_NUMBER})+)", _widths, Lenet, "glorot", "anything"),
    Family(("conv2", "conv4", "conv6", "convN_WIDTH"), rf"conv([246])(?:_({_NUMBER}))?", _convolutions, Conv, "glorot"),
    Family(_RESNETS, f"cifar_resnet{_SIZES}", _depth, CifarResNet, "kaiming"),
    Family(_PRERESNETS, f"cifar_preresnet{_SIZES}", _depth, CifarPreResNet, "kaiming"),
    Family(_DENSENETS, f"cifar_densenet{_SIZES}", _dense, CifarDenseNet, "kaiming"),
    Family(_VGGS, f"cifar_vgg{_SIZES}", _depth, CifarVGG, "kaiming"),
    Family(("lstm_lm_LAYERS_WIDTH",), rf"lstm_lm_({_NUMBER})_({_NUMBER})", _layers, LSTMLanguageModel, None, "words"),
    Family(
        ("transformer_lm_LAYERS_WIDTH[_HEADS]",),
        rf"transformer_lm_({_NUMBER})_{_SIZES}",
        _layers,
        TransformerLanguageModel,
        None,
        "words",
    ),
    Family(
        ("policy_128_128_128", "policy_A[_B...]"), rf"policy((?:_{_NUMBER})+)", _widths, MlpPolicy, "glorot", "anything"
    ),
    Family(("atari_policy[_WIDTH]",), rf"atari_policy(?:_({_NUMBER}))?", _width, AtariPolicy, "glorot"),
    Family(_TRANSFORMERS, rf"transformer_(base|big|{_NUMBER}_{_NUMBER})", _transformer, Transformer, None, "words"),
    Family(("gnmt[_LAYERS_WIDTH]",), rf"gnmt(?:_({_NUMBER})_({_NUMBER}))?", _translator, GNMT, None, "words"),
)
