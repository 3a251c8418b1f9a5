"""Masks on a network, their densities, random masks and globs over names."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError

fast = settings(max_examples=50, deadline=None)


@st.composite
def masks(draw):
    shapes = draw(st.lists(st.sampled_from([(5,), (4, 6), (3, 2, 3, 3), (1, 9), (8, 1)]), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    keep = draw(st.floats(0, 1))
    return {f"p{i}": torch.rand(shape, generator=generator) < keep for i, shape in enumerate(shapes)}


def test_a_dense_mask_covers_the_prunable_weights():
    model = models.build("cifar_resnet8_4")
    mask = pruning.dense_mask(model)
    assert list(mask) == list(models.prunable(model))
    assert all(keeps.dtype is torch.bool and keeps.all() for keeps in mask.values())
    assert pruning.density(mask) == 1.0
    assert [*pruning.dense_mask(model, ["output.bias", "norm.weight"])] == ["output.bias", "norm.weight"]
    with pytest.raises(ConfigError, match=r"output\.bais"):
        pruning.dense_mask(model, ["output.bais"])


def test_what_is_left_of_all_weights_counts_those_that_no_mask_covers():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.cell = nn.Embedding(10, 4), nn.LSTM(4, 3)
            self.conv, self.norm, self.output = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 10)

    model = Small()
    counts = {name: value.numel() for name, value in models.counted(model).items()}
    assert counts == {
        "words.weight": 40, "cell.weight_ih_l0": 48, "cell.weight_hh_l0": 36, "conv.weight": 18, "output.weight": 30,
    }  # fmt: skip
    mask = {"conv.weight": torch.zeros(2, 1, 3, 3), "output.weight": torch.ones(10, 3), "norm.weight": torch.zeros(2)}
    mask = {name: keeps.bool() for name, keeps in mask.items()}
    mask["output.weight"][0] = False
    assert pruning.density_of_all(mask, model) == pytest.approx(1 - (18 + 3) / 172)
    assert pruning.density(mask) == 27 / 50


def test_applied_masks_leave_positive_zeros_whatever_was_there():
    model = nn.Linear(4, 1)
    model.weight.data = torch.tensor([[-1.0, float("nan"), float("-inf"), -2.0]])
    pruning.apply_mask(model, {"weight": torch.tensor([[False, False, False, True]])})
    assert model.weight.tolist() == [[0.0, 0.0, 0.0, -2.0]]
    assert not model.weight[0, :3].signbit().any()


def test_applying_a_mask_twice_is_applying_it_once():
    model = models.build("lenet_20_10", seed=0)
    mask = pruning.prune(pruning.score("magnitude", model, pruning.dense_mask(model)), pruning.dense_mask(model), 0.5)
    pruning.apply_mask(model, mask)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    pruning.apply_mask(model, mask)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in once.items())
    assert all(torch.equal(model.get_parameter(name) != 0, keeps) for name, keeps in mask.items())


@pytest.mark.parametrize("mask", [{"fc3.weight": torch.ones(1, 1).bool()}, {"output.weight": torch.ones(1, 1).bool()}])
def test_a_mask_of_another_network(mask):
    with pytest.raises(ConfigError, match=next(iter(mask))):
        pruning.apply_mask(models.build("lenet_5"), mask)


def test_densities_are_kept_over_eligible():
    mask = {"a": torch.tensor([True, False, False, False]), "b": torch.ones(2, 2, dtype=torch.bool)}
    assert pruning.kept(mask) == 5
    assert pruning.density(mask) == 5 / 8
    assert pruning.layer_densities(mask) == {"a": 0.25, "b": 1.0}
    with pytest.raises(ConfigError, match="no weight"):
        pruning.density({})


@fast
@given(masks(), st.sampled_from(["random", "global", "layer", "filter"]), st.integers(0, 2**63 - 1))
def test_shuffles_keep_the_counts_that_they_promise(mask, scope, seed):
    def shuffled():
        return pruning.random_mask(mask, seed) if scope == "random" else pruning.shuffled_mask(mask, seed, scope)

    after, again = shuffled(), shuffled()
    assert pruning.kept(after) == pruning.kept(mask)
    assert all(torch.equal(after[name], again[name]) for name in mask)
    assert all(after[name].shape == mask[name].shape and after[name].dtype is torch.bool for name in mask)
    if scope != "global":
        assert pruning.layer_densities(after) == pruning.layer_densities(mask)
    if scope == "filter":
        assert all(
            torch.equal(after[n].flatten(1).sum(1), mask[n].flatten(1).sum(1)) for n in mask if mask[n].dim() > 1
        )


@pytest.mark.parametrize("scope", ["global", "layer", "filter"])
def test_shuffles_reach_every_place_equally_often(scope):
    mask = {"p": torch.tensor([[True, False, False, False], [True, False, False, False]])}
    counts = sum(pruning.shuffled_mask(mask, seed, scope)["p"].int() for seed in range(2000))
    assert ((counts - 500).abs() < 5 * (2000 * 0.25 * 0.75) ** 0.5).all()


def test_a_global_shuffle_evens_out_layer_densities():
    mask = {"a": torch.ones(5000, dtype=torch.bool), "b": torch.zeros(5000, dtype=torch.bool)}
    assert pruning.layer_densities(pruning.shuffled_mask(mask, 0))["a"] == pytest.approx(0.5, abs=0.04)


def test_random_masks_are_pinned():
    mask = {"p": torch.arange(16) < 4}
    drawn = [pruning.random_mask(mask, seed)["p"].nonzero().flatten().tolist() for seed in (0, 1)]
    assert drawn == [[4, 6, 10, 12], [6, 8, 13, 14]]


def test_an_unknown_shuffle():
    with pytest.raises(ConfigError, match="rows"):
        pruning.shuffled_mask({"p": torch.ones(3).bool()}, 0, "rows")


NAMES = ["conv1.weight", "conv2.weight", "fc1.weight", "output.weight"]
ALL = ["conv1.weight", "conv2.weight", "conv2.bias", "fc1.weight", "output.weight", "output.bias"]


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), (), NAMES),
        (("conv*",), (), [*NAMES[:2], "conv2.bias", *NAMES[2:]]),
        (("*",), (), ALL),
        ((), ("output.weight",), NAMES[:3]),
        ((), ("conv*", "fc?.weight"), NAMES[3:]),
        (("*.bias",), ("conv[!1]*",), [NAMES[0], *NAMES[2:], "output.bias"]),
    ],
)
def test_globs_select_in_the_parameters_order(include, exclude, chosen):
    assert pruning.select(NAMES, include, exclude, ALL) == chosen


@pytest.mark.parametrize(
    ("include", "exclude", "named"), [(("Conv*",), (), r"Conv\*"), ((), ("head",), "head"), ((), ("*",), "nothing")]
)
def test_globs_that_match_nothing_or_leave_nothing(include, exclude, named):
    with pytest.raises(ConfigError, match=named) as caught:
        pruning.select(NAMES, include, exclude)
    assert "fc1.weight" in str(caught.value)


def test_the_resnet20_of_frankle_and_carbin_leaves_shortcuts_and_output_alone():
    model = models.build("cifar_resnet20")
    chosen = pruning.select(models.prunable(model), exclude=("*.shortcut.*", "output.weight"))
    assert sum(model.get_parameter(name).numel() for name in chosen) == 270_896 - 2560 - 640
