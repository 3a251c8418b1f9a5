"""Detectors by name: what they are made of, what may be pruned, what belongs together, and what they cost."""

import pytest
import torch
from torch import Tensor, nn

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.models.detection import BODY, detectors, straight
from lth_ray.models.flops import uses_of_weights
from lth_ray.pruning import dense_mask, is_connected

SMALL, SHAPE = "fasterrcnn_cifar_resnet8_4", (3, 32, 32)


def small() -> nn.Module:
    return models.build(SMALL, 3, SHAPE, seed=0)


def test_names_are_there() -> None:
    assert {"fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn"} <= {
        *models.names()
    }
    assert not any(name.startswith(("maskrcnn", "keypointrcnn")) for name in detectors())
    with pytest.raises(ConfigError, match=r"Model.name = 'fasterrcnn_resnet7' is unknown"):
        models.build("fasterrcnn_resnet7", 3, SHAPE)
    for name in (SMALL, "ssdlite320_mobilenet_v3_large"):
        with pytest.raises(ConfigError, match=rf"Model.options\['box_nms_tresh'\]: {name} has no such option"):
            models.build(name, 3, SHAPE, box_nms_tresh=0.3)
    with pytest.raises(ConfigError, match=r"Model.options = {'box_roi_pool': 1}: fasterrcnn_cifar_resnet8_4 of"):
        models.build(SMALL, 3, SHAPE, box_roi_pool=1)


@pytest.mark.parametrize(
    ("detector", "classifier", "shape"),
    [(SMALL, "cifar_resnet8_4", (3, 32, 32)), ("fasterrcnn_resnet18", "resnet18", (3, 64, 64))],
)
def test_a_detectors_body_has_its_classifiers_tensors(detector: str, classifier: str, shape: tuple[int, ...]) -> None:
    found, given = models.build(detector, 3, shape).state_dict(), models.build(classifier, 10, shape).state_dict()
    output = "output." if "cifar" in classifier else "fc."
    for name, value in given.items():
        assert name.startswith(output) or found[BODY + name].shape == value.shape
    assert sum(name.startswith(BODY) for name in found) == sum(not name.startswith(output) for name in given)


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn", SMALL])
def test_images_keep_their_size_and_every_class_has_scores(name: str) -> None:
    model = models.build(name, 3, (3, 64, 64), seed=0).eval()
    images, _ = model.transform([torch.zeros(3, 64, 64)])  # type: ignore[operator]
    assert images.tensors.shape == (1, 3, 64, 64)
    predictor = model.get_submodule("roi_heads.box_predictor.cls_score")
    assert isinstance(predictor, nn.Linear)
    assert predictor.out_features == 3


def test_the_same_seed_gives_the_same_detector() -> None:
    ours, again = small().state_dict(), small().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in ours.items())


def test_all_convolutions_and_linear_layers_may_be_pruned() -> None:
    names = models.prunable(small())
    layers = [module for module in small().modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert len(names) == len(layers)
    assert {"roi_heads.box_predictor.cls_score.weight", "rpn.head.cls_logits.weight"} <= names.keys()


def test_units_of_a_body_are_those_of_its_classifier() -> None:
    detector = models.coupled(small(), (torch.zeros(1, *SHAPE),))
    classifier = models.coupled(models.build("cifar_resnet8_4", 10, SHAPE), (torch.zeros(1, *SHAPE),))
    assert set(classifier.sizes) <= {4, 8, 16}
    inner = {name for name in classifier.units if not name.startswith("output")}
    assert {BODY + name for name in inner} <= detector.units.keys()
    hidden = detector.units["roi_heads.box_head.fc6.weight"][0]
    assert (hidden >= 0).all()
    assert (
        detector.units["roi_heads.box_predictor.cls_score.weight"][1]
        == detector.units["roi_heads.box_head.fc7.weight"][0]
    ).all()
    assert (detector.units["roi_heads.box_predictor.cls_score.weight"][0] == -1).all()


def test_exchanging_the_units_of_a_group_leaves_what_is_found() -> None:
    model, other = small().eval(), small().eval()
    coupling = models.coupled(model, (torch.zeros(1, *SHAPE),))
    state = dict(model.state_dict())
    for name in coupling.units:
        for axis, places in enumerate(coupling.places(name)):
            for _, positions in places.items():
                order = torch.arange(state[name].shape[axis])
                order[positions.flatten()] = positions.flip(0).flatten()
                state[name] = state[name].index_select(axis, order)
    other.load_state_dict(state)
    images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        ours, theirs = model(images)[0], other(images)[0]
    assert any(not torch.equal(value, state[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours["boxes"], theirs["boxes"], rtol=1e-3, atol=1e-2)


def test_operations_are_those_of_all_places_and_regions() -> None:
    model = small()
    uses = uses_of_weights(model, (torch.zeros(1, *SHAPE),))
    regions = model.rpn._post_nms_top_n["testing"]  # type: ignore[union-attr, index]
    assert uses["roi_heads.box_head.fc6.weight"] == uses["roi_heads.box_predictor.cls_score.weight"] == regions == 100
    assert uses["backbone.body.conv.weight"] == 32 * 32
    assert uses["rpn.head.cls_logits.weight"] == 16 * 16 + 8 * 8 + 4 * 4
    assert uses == uses_of_weights(models.build(SMALL, 3, SHAPE, seed=1), (torch.zeros(1, *SHAPE),))
    assert uses.keys() == models.prunable(model).keys()


def test_detectors_without_regions_are_followed_too() -> None:
    model = models.build("ssdlite320_mobilenet_v3_large", 3, (3, 64, 64))
    with straight(model), torch.no_grad():
        found = model.eval()(torch.zeros(1, 3, 64, 64))
    assert {"cls_logits", "bbox_regression"} <= found.keys()
    assert "forward" not in vars(model)


def test_a_cut_body_is_a_cut_detector() -> None:
    model = small()
    mask: dict[str, Tensor] = dict(dense_mask(model))
    example = (torch.zeros(1, *SHAPE),)
    assert is_connected(model, mask, example)
    mask["backbone.body.conv.weight"] = torch.zeros_like(mask["backbone.body.conv.weight"])
    assert not is_connected(model, mask, example)
