"""Supermasks: what a mask does, how its scores learn, and that nothing else does."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError, SupermaskRule
from lth_ray.pruning import Mask
from lth_ray.store import Store
from lth_ray.training import Supermask, supermask_state
from tests.training.setups import SmallNet, bits, half_mask

BERNOULLI = SupermaskRule("bernoulli")
EDGE_POPUP = SupermaskRule("edge_popup")
GOLDEN_SCORES = [0.0418866, -0.0902641, -0.1119719]  # moving one moves every edge-popup result
RULES = {"bernoulli": BERNOULLI, "edge-popup": EDGE_POPUP}


class OneLayer(nn.Module):
    """logits = inputs @ weight.T"""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.5]])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(inputs)
        return logits


def wrapped(network: nn.Module, rule: SupermaskRule, mask: Mask | None = None, seed: int = 0) -> Supermask:
    """Built and then given its state, as a study does."""
    mask = mask or pruning.dense_mask(network)
    state = supermask_state(network.state_dict(), mask, rule, seed)
    supermask = Supermask(network, mask, rule)
    supermask.load_state_dict(state)
    return supermask


def small_net() -> nn.Module:
    return models.build(SmallNet, 10, (1, 8, 8), seed=0, dropout=0.0)


def set_scores(supermask: Supermask, value: float) -> None:
    for score in supermask.scores.values():
        nn.init.constant_(score, value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("keep", [None, 1.0])
def test_a_mask_of_all_ones_is_the_network_itself(training: bool, rescale: bool, keep: float | None) -> None:
    inputs = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = small_net().train(training)(inputs)
    rule = SupermaskRule("edge_popup", keep=keep, rescale=rescale) if keep else SupermaskRule("bernoulli")
    supermask = wrapped(small_net(), rule)
    if rule.method == "bernoulli":
        set_scores(supermask, math.inf)
    assert bits(supermask.train(training)(inputs)) == bits(expected)
    assert supermask.density() == 1.0


@pytest.mark.parametrize("method", ["bernoulli", "edge_popup"])
def test_what_the_mask_excludes_is_out_whatever_its_score(method: str) -> None:
    network = small_net()
    mask = half_mask(network)
    supermask = wrapped(network, SupermaskRule(method), mask)
    set_scores(supermask, math.inf)
    inputs = torch.randn(7, 1, 8, 8)
    if method == "bernoulli":
        expected = small_net()
        pruning.apply_mask(expected, mask)
        torch.testing.assert_close(supermask.eval()(inputs), expected.eval()(inputs))
    supermask(inputs).square().sum().backward()
    for name, kept in mask.items():
        gradient = supermask.scores[name.replace(".", "/")].grad
        assert gradient is not None
        assert not gradient[~kept].any()
        assert not (supermask.final_mask()[name] & ~kept).any()


def test_the_gradient_of_a_bernoulli_mask_by_hand() -> None:
    """d loss / d s = (g @ x) w sigmoid(s) (1 - sigmoid(s)), whatever was drawn."""
    supermask = wrapped(OneLayer(), BERNOULLI)
    scores = torch.tensor([[0.0, 1.0], [-1.0, 2.0]])
    supermask.scores["layer/weight"].data = scores.clone()
    inputs, weight = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    seen = set()
    for seed in range(40):
        torch.default_generator.manual_seed(seed)
        supermask.zero_grad()
        logits = supermask(inputs)
        (logits * torch.tensor([[1.0, 10.0]])).sum().backward()
        sigmoid = scores.sigmoid()
        expected = torch.tensor([[2.0, 3.0], [20.0, 30.0]]) * weight * sigmoid * (1 - sigmoid)
        torch.testing.assert_close(supermask.scores["layer/weight"].grad, expected)
        seen.add(tuple(logits.detach().flatten().tolist()))
    possible = {(a, b) for a in (0.0, 2.0, -6.0, -4.0) for b in (0.0, 6.0, 1.5, 7.5)}
    assert seen <= possible
    assert len(seen) > 4


def test_rescaling_by_hand() -> None:
    """Two of four weights in: twice their values. The gradient passes through the factor n / sum(m) as well."""
    supermask = wrapped(OneLayer(), SupermaskRule("bernoulli", rescale=True))
    scores = torch.tensor([[math.inf, -math.inf], [math.inf, -math.inf]])
    supermask.scores["layer/weight"].data = scores
    assert supermask(torch.tensor([[2.0, 3.0]])).tolist() == [[4.0, 12.0]]
    soft = torch.tensor([0.9, 0.2], requires_grad=True)
    half = wrapped(OneLayer(), SupermaskRule("bernoulli", rescale=True))
    half.scores["layer/weight"].data = torch.stack([soft.detach().logit(), torch.full((2,), math.inf)])
    torch.default_generator.manual_seed(1)
    half(torch.tensor([[1.0, 1.0]])).sum().backward()
    torch.default_generator.manual_seed(1)
    drawn = (torch.rand(2, 2) < torch.tensor([[0.9, 0.2], [1.0, 1.0]])).float()[0]
    mask = torch.cat([drawn + soft - soft.detach(), torch.ones(2)])
    (mask * torch.tensor([1.0, -2.0, 3.0, 0.5]) * 4 / mask.sum()).sum().backward()
    assert soft.grad is not None
    expected = soft.grad * soft.detach() * (1 - soft.detach())
    torch.testing.assert_close(half.scores["layer/weight"].grad[0], expected)


def test_the_gradient_of_edge_popup_by_hand() -> None:
    """Half of the weights: those of the highest |s|. d loss / d s = (g @ x) w sign(s), of the others too."""
    supermask = wrapped(OneLayer(), SupermaskRule("edge_popup", keep=0.5))
    supermask.scores["layer/weight"].data = torch.tensor([[0.1, -0.9], [0.5, -0.2]])
    logits = supermask(torch.tensor([[2.0, 3.0]]))
    assert logits.tolist() == [[-6.0, 6.0]]
    logits.sum().backward()
    assert supermask.scores["layer/weight"].grad.tolist() == [[2.0, 6.0], [6.0, -1.5]]
    assert supermask.final_mask()["layer.weight"].tolist() == [[False, True], [True, False]]
    rescaled = wrapped(OneLayer(), SupermaskRule("edge_popup", keep=0.5, rescale=True))
    rescaled.load_state_dict(supermask.state_dict())
    assert rescaled(torch.tensor([[2.0, 3.0]])).tolist() == [[-12.0, 12.0]]


@settings(max_examples=25, deadline=None)
@given(keep=st.floats(0.001, 1.0), seed=st.integers(0, 1000), tied=st.booleans(), partial=st.booleans())
def test_edge_popup_keeps_exactly_its_share_of_each_layer(keep: float, seed: int, tied: bool, partial: bool) -> None:
    network = small_net()
    mask = half_mask(network) if partial else pruning.dense_mask(network)
    supermask = wrapped(network, SupermaskRule("edge_popup", keep=keep), mask, seed)
    if tied:
        set_scores(supermask, 0.0)
    found, total = supermask.final_mask(), 0
    for name, allowed in mask.items():
        expected = round(keep * int(allowed.count_nonzero()))
        assert int(found[name].count_nonzero()) == expected
        total += expected
    assert supermask.density() == total / sum(kept.numel() for kept in mask.values())


def test_a_bernoulli_mask_is_drawn_with_its_probability() -> None:
    network = models.build("lenet_100_50", 10, (1, 8, 8), seed=0)
    supermask = wrapped(network, BERNOULLI)
    assert supermask.density() == 0.5
    set_scores(supermask, math.log(3))
    assert supermask.density() == pytest.approx(0.75)
    assert all(mask.all() for mask in supermask.final_mask().values())
    set_scores(supermask, 0.0)
    assert not any(mask.any() for mask in supermask.final_mask().values())
    with torch.no_grad():
        for name, weight in models.prunable(network).items():
            nn.init.ones_(weight)
            torch.default_generator.manual_seed(3)
            share = float(supermask._masked_weight(name).mean())
            assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(weight.numel())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_scores_alone_are_trainable(rule: SupermaskRule) -> None:
    supermask = wrapped(small_net(), rule)
    trainable = [name for name, parameter in supermask.named_parameters() if parameter.requires_grad]
    assert trainable == [f"scores.{name.replace('.', '/')}" for name in models.prunable(small_net())]


def test_initial_scores_depend_on_seed_and_name_alone() -> None:
    network = models.build("lenet_100_50", 10, (1, 8, 8), seed=0)
    mask = pruning.dense_mask(network)
    first, again, other = (supermask_state(network.state_dict(), mask, EDGE_POPUP, seed) for seed in (1, 1, 2))
    assert bits(first) == bits(again)
    for name, weight in models.prunable(network).items():
        score = first[f"scores.{name.replace('.', '/')}"]
        bound = 1 / math.sqrt(weight.shape[1])
        assert score.abs().max() <= bound
        assert float(score.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not torch.equal(score, other[f"scores.{name.replace('.', '/')}"])
    assert first["scores.output/weight"].flatten()[:3].tolist() == pytest.approx(GOLDEN_SCORES, abs=1e-7)
    alone = supermask_state(network.state_dict(), {"output.weight": mask["output.weight"]}, EDGE_POPUP, 1)
    assert torch.equal(alone["scores.output/weight"], first["scores.output/weight"])


def test_signed_constants_are_in_the_state() -> None:
    network = small_net()
    mask = {"hidden.weight": pruning.dense_mask(network)["hidden.weight"]}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = supermask_state(network.state_dict(), mask, SupermaskRule("bernoulli", values="signed_constant"), 0)
    weight = before["hidden.weight"]
    constants = state["network.hidden.weight"]
    assert torch.equal(constants.sign(), weight.sign())
    assert (
        float(constants.abs().max()) == float(constants.abs().min()) == pytest.approx(float(weight.std(correction=0)))
    )
    assert bits(network.state_dict()) == bits(before)
    assert torch.equal(state["network.conv.weight"], before["conv.weight"])


def test_a_state_is_plain_tensors_that_can_be_stored(tmp_path: Path) -> None:
    supermask = wrapped(small_net(), EDGE_POPUP, half_mask(small_net()))
    state = supermask.state_dict()
    assert set(state) == set(supermask_state(small_net().state_dict(), half_mask(small_net()), EDGE_POPUP, 0))
    store = Store.open(str(tmp_path))
    store.save_state("trajectory", 1, state)
    stored = store.load_state("trajectory", 1).model
    other = Supermask(models.build(SmallNet, 10, (1, 8, 8), seed=9), half_mask(small_net()), EDGE_POPUP)
    other.load_state_dict(stored)
    inputs = torch.randn(3, 1, 8, 8)
    assert bits(other.eval()(inputs)) == bits(supermask.eval()(inputs))


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'fc9.weight'; it has conv.weight"):
        Supermask(small_net(), {"fc9.weight": torch.ones(2, dtype=torch.bool)}, BERNOULLI)


def test_a_share_is_edge_popups_alone() -> None:
    with pytest.raises(ConfigError, match=r"SupermaskRule.keep = 0.3: method='bernoulli' learns"):
        SupermaskRule("bernoulli", keep=0.3)
