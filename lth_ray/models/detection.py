"""Detectors: torchvision's by their names, and Faster R-CNN on the classifiers of other studies. All are untrained."""

import inspect
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError, nearest
from lth_ray.models.cifar.resnet import CifarResNet
from lth_ray.models.zoo import classifiers

BODY = "backbone.body."  # how the names of a classifier's tensors begin in a Faster R-CNN on it
ON = "fasterrcnn_"
RESNETS = re.compile(rf"{ON}((?:wide_)?resnet\d+(?:_2)?)")
OWN = re.compile(rf"{ON}cifar_resnet([1-9]\d*)(?:_([1-9]\d*))?")
PATTERNS = [f"{ON}resnet18", f"{ON}resnet34", f"{ON}resnet50", f"{ON}cifar_resnet20[_WIDTH]"]
BEGINNINGS = ("fasterrcnn", "fcos", "retinanet", "ssd")  # of others torchvision need not be asked, which takes long
OTHER_TARGETS = ("maskrcnn", "keypointrcnn")  # which learn from more than boxes
SMALL: Mapping[str, int] = {  # of images of some tens of pixels a side, which have few places
    "rpn_pre_nms_top_n_train": 500,
    "rpn_pre_nms_top_n_test": 500,
    "rpn_post_nms_top_n_train": 200,
    "rpn_post_nms_top_n_test": 100,
    "box_batch_size_per_image": 64,
}


def detectors() -> list[str]:
    """Return the names of torchvision's detectors that learn from boxes."""
    import torchvision  # slow to import, and not every study needs it

    names: list[str] = torchvision.models.list_models(module=torchvision.models.detection)
    return [name for name in names if not name.startswith(OTHER_TARGETS)]


def is_detector(name: str) -> bool:
    """Return whether a network's name is one of a detector."""
    if found := RESNETS.fullmatch(name):
        return found[1] in classifiers()
    return OWN.fullmatch(name) is not None or (name.startswith(BEGINNINGS) and name in detectors())


def build_detector(
    name: str, num_classes: int, input_shape: tuple[int, ...] | None, options: Mapping[str, Any]
) -> nn.Module:
    """Return a detector for square images of `input_shape`, which it takes as they are.

    num_classes: with the background, which is class 0. options: those of its constructor in torchvision. Raises
    ConfigError for an option that it does not take.

    Of torchvision's own everything but that size is as it is there. `fasterrcnn_CLASSIFIER` is Faster R-CNN (Ren et al.
    2015) with a feature pyramid (Lin et al. 2017) on a classifier's convolutions, whose tensors have the names that
    they have there behind BODY. Its anchors are in proportion to the image: torchvision's on one of 800 pixels.
    """
    side = 800 if input_shape is None else input_shape[-1]
    try:
        if found := OWN.fullmatch(name):
            model = _on_cifar_resnet(int(found[1]), int(found[2] or 16), num_classes, side, options)
        elif found := RESNETS.fullmatch(name):
            model = _on_resnet(found[1], num_classes, side, options)
        else:
            model = _of_torchvision(name, num_classes, side, options)
        _check_options(name, model, options)
        return model
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"Model.options = {dict(options)!r}: {name} of torchvision refuses them: {why}") from error


def _check_options(name: str, model: nn.Module, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that torchvision would pass over."""
    import torchvision

    built_by = [type(model), *([torchvision.models.get_model_builder(name)] if name in detectors() else [])]
    fixed = {"weights", "weights_backbone", "progress", "num_classes", "backbone", "kwargs"}
    valid = {parameter for one in built_by for parameter in inspect.signature(one).parameters} - fixed
    for option in options:
        if option not in valid:
            raise ConfigError(f"Model.options[{option!r}]: {name} has no such option; {nearest(option, valid)}")


def _of_torchvision(name: str, num_classes: int, side: int, options: Mapping[str, Any]) -> nn.Module:
    import torchvision

    model: nn.Module = torchvision.models.get_model(
        name, weights=None, **{**options, "weights_backbone": None, "num_classes": num_classes}
    )
    resizing: Any = model.transform
    if resizing.fixed_size is None and not {"min_size", "max_size"} & options.keys():
        resizing.min_size, resizing.max_size = (side,), side
    return model


def _on_resnet(classifier: str, num_classes: int, side: int, options: Mapping[str, Any]) -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    backbone = resnet_fpn_backbone(
        backbone_name=classifier, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    return _faster_rcnn(backbone, ["0", "1", "2", "3"], num_classes, side, 25, {}, options)


def _on_cifar_resnet(depth: int, width: int, num_classes: int, side: int, options: Mapping[str, Any]) -> nn.Module:
    from torchvision.models.detection.faster_rcnn import TwoMLPHead

    backbone = CifarPyramid(CifarResNet(depth, 1, width=width))
    head = TwoMLPHead(backbone.out_channels * 49, 16 * width)
    given = {**SMALL, "box_head": head, "box_predictor": None}
    return _faster_rcnn(backbone, ["0", "1"], num_classes, side, 16, given, options)


def _faster_rcnn(
    backbone: Any,
    levels: list[str],
    num_classes: int,
    side: int,
    share: int,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
) -> nn.Module:
    """Return Faster R-CNN; the anchors of its first level are side / share pixels, those of each further one double."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    sizes = tuple((side / share * 2**level,) for level in range(len(levels) + 1))
    given = dict(given)
    if "box_head" in given:
        given["box_predictor"] = FastRCNNPredictor(given["box_head"].fc7.out_features, num_classes)
    pooled = MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2)
    fixed = {
        "num_classes": None if "box_predictor" in given else num_classes,
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        "box_roi_pool": pooled,
    }
    detector: nn.Module = FasterRCNN(backbone, **{"min_size": side, "max_size": side, **given, **fixed, **options})
    return detector


class CifarPyramid(nn.Module):
    """The convolutions of a residual network for CIFAR, `body`, and a feature pyramid on its last two stages.

    Images [B, 3, H, W] -> {"0": [B, out_channels, H/2, W/2], "1": [.., H/4, W/4], "pool": [.., H/8, W/8]}.
    """

    def __init__(self, network: CifarResNet) -> None:
        from torchvision.ops import FeaturePyramidNetwork
        from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

        super().__init__()
        self.body = CifarBody(network)
        self.out_channels = network.output.in_features
        widths = [self.out_channels // 2, self.out_channels]
        self.fpn = FeaturePyramidNetwork(widths, self.out_channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        found: OrderedDict[str, Tensor] = self.fpn(self.body(images))
        return found


class CifarBody(nn.Module):
    """The convolutions of a residual network for CIFAR, all that it has before its output layer."""

    def __init__(self, network: CifarResNet) -> None:
        super().__init__()
        self.conv, self.norm, self.blocks = network.conv, network.norm, network.blocks

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Return what its second and third stage give."""
        x = torch.relu(self.norm(self.conv(images)))
        found, stage = OrderedDict(), len(self.blocks) // 3
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in (2 * stage, 3 * stage):
                found[str(number // stage - 2)] = x
        return found


@contextmanager
def straight(model: nn.Module) -> Iterator[None]:
    """Have torchvision's detectors in a network be called, while this lasts, without what looks at numbers.

    Each layer is called as in training and use, but on no chosen places: the heads of regions look at as many copies of
    the whole image as there are regions at most. That is the way of numbers from the image to everything a detector
    gives: what couples units, what a mask may cut, and what the operations are.
    """
    found = [module for module in model.modules() if _is_torchvisions(module)]
    for one in found:
        one.forward = MethodType(_of_regions if hasattr(one, "roi_heads") else _of_all_places, one)
    try:
        yield
    finally:
        for one in found:
            del one.forward


def _is_torchvisions(module: nn.Module) -> bool:
    has = all(hasattr(module, name) for name in ("transform", "backbone"))
    return has and any(kind.__module__.startswith("torchvision.models.detection.") for kind in type(module).__mro__)


def _features(model: Any, images: Any) -> dict[str, Tensor]:
    features = model.backbone(images if isinstance(images, Tensor) else torch.stack(list(images)))
    return {"0": features} if isinstance(features, Tensor) else dict(features)


def _of_all_places(model: Any, images: Any, targets: Any = None) -> Any:
    return model.head(list(_features(model, images).values()))


def _of_regions(model: Any, images: Any, targets: Any = None) -> Any:
    features, heads = _features(model, images), model.roi_heads
    looked_at = [features[str(name)] for name in heads.box_roi_pool.featmap_names if str(name) in features]
    pooled = [nn.functional.adaptive_avg_pool2d(one, heads.box_roi_pool.output_size) for one in looked_at]
    regions = sum(pooled[1:], pooled[0])[:1].expand(model.rpn.post_nms_top_n(), -1, -1, -1)
    return model.rpn.head(list(features.values())), heads.box_predictor(heads.box_head(regions))
