"""Gradient criteria: by hand on six weights, against autograd, and what they leave alone."""

from math import log

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError

# One image (1, 2) of class 1 and three classes whose probabilities are 1/8, 2/8 and 5/8, by logits 1, 1 + ln 2 and
# 1 + ln 5. The gradient of class k's row is (p_k - y_k) times the image.
WEIGHT = torch.tensor([[2.0, -0.5], [0.3, (0.7 + log(2)) / 2], [-1.0, (2 + log(5)) / 2]])
GRADIENT = torch.tensor([[0.125, 0.25], [-0.75, -1.5], [0.625, 1.25]])
BATCH = (torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
FULL = {"weight": torch.ones(3, 2, dtype=torch.bool)}


def network(weight=WEIGHT):
    model = nn.Linear(2, 3, bias=False)
    model.weight.data = weight.clone()
    return model


def goes(scores):
    """The flat places of the three that are pruned."""
    return (~pruning.prune({"weight": scores}, FULL, 0.5)["weight"]).flatten().nonzero().flatten().tolist()


def test_grad_by_hand():
    scores = pruning.score("grad", network(), FULL, batch=BATCH)["weight"]
    torch.testing.assert_close(scores, torch.tensor([[0.125, 0.25], [0.75, 1.5], [0.625, 1.25]]))
    assert goes(scores) == [0, 1, 4]


def test_snip_by_hand():
    scores = pruning.score("snip", network(), FULL, batch=BATCH)["weight"]
    expected = [[0.25, 0.125], [0.225, 0.75 * (0.7 + log(2))], [0.625, 0.625 * (2 + log(5))]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    assert goes(scores) == [0, 1, 2]


@pytest.mark.parametrize(
    ("criterion", "wrong"),
    [
        ("grad", GRADIENT),
        ("grad", -GRADIENT.abs()),
        ("grad", (GRADIENT * WEIGHT).abs()),
        ("grad", WEIGHT.abs()),
        ("snip", GRADIENT * WEIGHT),
        ("snip", -(GRADIENT * WEIGHT).abs()),
        ("snip", GRADIENT.abs()),
        ("snip", WEIGHT.abs()),
        ("snip", (GRADIENT / WEIGHT).abs()),
    ],
)
def test_a_wrong_criterion_would_prune_other_weights(criterion, wrong):
    assert goes(wrong) != goes(pruning.score(criterion, network(), FULL, batch=BATCH)["weight"])


@pytest.mark.parametrize("criterion", ["grad", "snip"])
def test_the_loss_is_a_mean_and_is_taken_at_the_initial_weights(criterion):
    one = pruning.score(criterion, network(), FULL, batch=BATCH)["weight"]
    thrice = (BATCH[0].repeat(3, 1), BATCH[1].repeat(3))
    torch.testing.assert_close(pruning.score(criterion, network(), FULL, batch=thrice)["weight"], one)
    trained = network(torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))
    initial = network().state_dict()
    assert torch.equal(pruning.score(criterion, trained, FULL, initial=initial, batch=BATCH)["weight"], one)
    assert not torch.equal(pruning.score(criterion, trained, FULL, batch=BATCH)["weight"], one)


def test_pruned_weights_are_zero_in_the_forward_pass():
    mask = {"weight": torch.tensor([[False, True], [True, True], [True, False]])}
    masked = network(WEIGHT * mask["weight"])
    masked.weight.data[0, 0] = 0.0
    for criterion in ("grad", "snip"):
        scores = pruning.score(criterion, network(), mask, batch=BATCH)["weight"]
        assert torch.equal(scores, pruning.score(criterion, masked, mask, batch=BATCH)["weight"])
    F.cross_entropy(masked(BATCH[0]), BATCH[1]).backward()
    torch.testing.assert_close(scores, (masked.weight.grad * masked.weight).abs().detach())
    nan = network(WEIGHT.masked_fill(~mask["weight"], torch.nan))
    assert torch.equal(pruning.score("snip", nan, mask, batch=BATCH)["weight"], scores)


@pytest.fixture
def normed():
    """A network with batch norm, dropout and running statistics that no batch has."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 4)
    )
    model[1].running_mean.fill_(3.0)
    return model


IMAGES = (torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 3, 0]))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_uses_the_batchs_statistics_and_nothing_is_left_changed(normed, training):
    normed.train(training)
    normed[4].training = True
    modes = [module.training for module in normed.modules()]
    before = {name: value.clone() for name, value in normed.state_dict().items()}
    mask = pruning.dense_mask(normed)
    with torch.no_grad():
        scores = pruning.score("grad", normed, mask, batch=IMAGES)
    assert [module.training for module in normed.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in normed.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in normed.parameters())
    expected = F.cross_entropy(normed.train()[5](normed[:4](IMAGES[0])), IMAGES[1])
    gradients = torch.autograd.grad(expected, [normed[0].weight, normed[5].weight])
    for score, gradient in zip(scores.values(), gradients, strict=True):
        torch.testing.assert_close(score, gradient.abs())


def test_scores_do_not_depend_on_the_models_mode_or_on_a_random_state(normed):
    mask = pruning.dense_mask(normed)
    found = []
    for training in (True, False):
        torch.manual_seed(int(training))
        found.append(pruning.score("snip", normed.train(training), mask, batch=IMAGES))
    assert all(torch.equal(found[0][name], found[1][name]) for name in mask)


def test_a_broken_forward_pass_leaves_the_modes_alone(normed):
    normed.train()
    with pytest.raises(RuntimeError):
        pruning.score("grad", normed, pruning.dense_mask(normed), batch=(torch.zeros(2, 9, 4, 4), IMAGES[1][:2]))
    assert all(module.training for module in normed.modules())


def test_layers_by_the_chain_rule_and_a_layer_outside_the_loss():
    model = models.build("cifar_resnet8_4", seed=0)
    model.aside = nn.Linear(2, 2)
    mask = pruning.dense_mask(model)
    batch = (torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 3, 4]))
    scores = pruning.score("snip", model, mask, initial=model.state_dict(), batch=batch)
    assert scores["aside.weight"].count_nonzero() == 0
    F.cross_entropy(model.train()(batch[0]), batch[1]).backward()
    for name in mask.keys() - {"aside.weight"}:
        weight = model.get_parameter(name)
        torch.testing.assert_close(scores[name], (weight.grad * weight).abs().detach())


def test_a_batch_is_needed():
    with pytest.raises(ConfigError, match="'snip': batch"):
        pruning.score("snip", network(), FULL, initial=network().state_dict())
