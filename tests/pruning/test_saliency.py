"""Criteria before training: the laws that synaptic flow obeys, derivatives against autograd by hand in float64, and
pruning in steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError
from lth_ray.pruning.flow import NORMALISATIONS
from lth_ray.pruning.steps import counts_of, prune_in_steps


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class BiasFree(nn.Module):
    """Two convolutions, batch norms without effect, pooling and two linear layers."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.three = nn.Linear(8 * 16, 12, bias=False)
        self.out = nn.Linear(12, 4, bias=False)

    def forward(self, x):
        x = F.relu(self.norm(self.one(x)))
        x = F.avg_pool2d(F.relu(self.two(x)), 2)
        return self.out(F.relu(self.three(x.flatten(1))))


IMAGE = torch.zeros(1, 3, 8, 8)
LAYERS = ("one.weight", "two.weight", "three.weight", "out.weight")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return BiasFree()


def synflow(model, mask):
    return pruning.score("synflow", model, mask, batch=(IMAGE,))


def half_pruned(model):
    mask = pruning.dense_mask(model)
    return pruning.prune(pruning.score("random", model, mask, seed=3), mask, 0.5)


@pytest.mark.parametrize("is_pruned", [False, True])
def test_synaptic_flow_is_conserved(network, is_pruned):
    """Tanaka et al. 2020, theorem 2: each layer's scores sum to R, each hidden unit's in and out are equal."""
    mask = half_pruned(network) if is_pruned else pruning.dense_mask(network)
    scores = synflow(network, mask)
    assert all(score.dtype == torch.float64 for score in scores.values())
    positive = {name: w.double().abs() * mask[name] for name, w in network.named_parameters() if name in mask}
    shrunk = (1 + network.norm.eps) ** -0.5
    x = F.conv2d(torch.ones(1, 3, 8, 8).double(), positive["one.weight"], padding=1) * shrunk
    x = F.avg_pool2d(F.conv2d(x, positive["two.weight"], padding=1), 2).flatten(1)
    total = (x @ positive["three.weight"].T @ positive["out.weight"].T).sum()
    for name in LAYERS:
        assert scores[name].sum().item() == pytest.approx(total.item(), rel=1e-12), name
        assert not scores[name][~mask[name]].any()
    into = {name: scores[name].flatten(1).sum(1) for name in LAYERS}
    torch.testing.assert_close(into["one.weight"], scores["two.weight"].sum((0, 2, 3)), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        into["two.weight"], scores["three.weight"].view(12, 8, 16).sum((0, 2)), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(into["three.weight"], scores["out.weight"].sum(0), rtol=1e-12, atol=0)


def test_synaptic_flow_looks_at_no_sign_no_image_and_no_statistic_of_one(network):
    mask = pruning.dense_mask(network)
    found = synflow(network, mask)
    network.norm.running_mean.fill_(5.0)
    other = pruning.score("synflow", network.train(), mask, batch=(torch.randn(7, 3, 8, 8), torch.zeros(7)))
    assert all(torch.equal(found[name], other[name]) for name in mask)
    with torch.no_grad():
        network.two.weight.neg_()
    assert all(torch.equal(found[name], score) for name, score in synflow(network, mask).items())
    assert network.training
    assert not network.norm._forward_hooks


@pytest.mark.parametrize("name", ["cifar_vgg11_8"])
def test_a_hundred_steps_leave_no_layer_empty_where_one_does(name):
    """Tanaka et al. 2020, section 6: one step of scoring collapses layers; many do not."""
    model = models.build(name, seed=0)
    mask = pruning.dense_mask(model)
    total, layers = pruning.kept(mask), len(mask)
    count = total - 2 * layers
    smallest = {
        n: min(pruning.kept({name: keeps}) for name, keeps in
               prune_in_steps(lambda m: pruning.score("synflow", model, m, batch=(torch.zeros(1, 3, 32, 32),)),
                              mask, count, iterations=n).items())
        for n in (1, 100)
    }  # fmt: skip
    assert smallest[1] == 0
    assert smallest[100] >= 1


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.LayerNorm([4, 5, 5]), nn.InstanceNorm2d(4, affine=True)])
def test_other_normalisations_are_linear_too(norm):
    model = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), norm, nn.Conv2d(4, 1, 1, bias=False))
    with torch.no_grad():
        norm.weight.fill_(3.0)
    scores = pruning.score("synflow", model, pruning.dense_mask(model), batch=(torch.zeros(1, 2, 5, 5),))
    expected = 3 * 25 * (model[2].weight.double().abs().flatten(1) @ model[0].weight.double().abs().flatten(1)).sum()
    for score in scores.values():
        assert score.sum().item() == pytest.approx(expected.item(), rel=1e-12)
    assert isinstance(norm, NORMALISATIONS)


# Derivatives of the loss ------------------------------------------------------------------------------------------

IMAGES = [(torch.randn(6, 3, 8, 8, generator=generator(i)).double(), torch.tensor([0, 1, 2, 3, 0, 1])) for i in (1, 2)]


def by_hand(model, mask, batches, mode, temperature=1.0):
    """(weights, g, Hg), the Hessian row by row."""
    model.load_state_dict({n: v * mask[n] if n in mask else v for n, v in model.state_dict().items()})
    model.train(mode == "train")
    weights = [model.get_parameter(name) for name in mask]
    loss = sum(F.cross_entropy(model(images) / temperature, labels) for images, labels in batches) / len(batches)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    remain = torch.cat([keeps.flatten() for keeps in mask.values()])
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    products = torch.zeros_like(flat)
    for j in remain.nonzero().flatten().tolist():
        row = torch.cat([h.flatten() for h in torch.autograd.grad(flat[j], weights, retain_graph=True)])
        products += flat[j].detach() * row.detach()
    sizes = [weight.numel() for weight in weights]
    split = [part.view_as(w) for part, w in zip(products.split(sizes), weights, strict=True)]
    return [w.detach() for w in weights], [g.detach() for g in gradients], split


@pytest.fixture
def small():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3, stride=3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4)
    ).double()
    model[1].running_mean.fill_(0.1)
    model[1].running_var.fill_(2.0)
    return model


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_snip_and_grasp_are_autograd_by_hand(small, mode, number, is_pruned):
    mask = half_pruned(small) if is_pruned else pruning.dense_mask(small)
    batch = IMAGES[0] if number == 1 else IMAGES
    found = {c: pruning.score(c, small, mask, batch=batch, mode=mode) for c in ("snip", "grad", "grasp", "grasp_abs")}
    weights, gradients, _ = by_hand(small, mask, IMAGES[:number], mode)
    _, _, products = by_hand(small, mask, IMAGES[:number], mode, temperature=200.0)
    for i, name in enumerate(mask):
        torch.testing.assert_close(found["snip"][name], (weights[i] * gradients[i]).abs(), rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(found["grad"][name], gradients[i].abs(), rtol=1e-9, atol=1e-15)
        keeps = mask[name]
        expected = (weights[i] * products[i])[keeps]
        torch.testing.assert_close(found["grasp"][name][keeps], expected, rtol=1e-6, atol=1e-18)
        torch.testing.assert_close(found["grasp_abs"][name][keeps], expected.abs(), rtol=1e-6, atol=1e-18)
    assert sum(products[i].abs().sum() for i in range(len(products))) > 1e-8


def test_grasp_removes_the_highest_of_its_papers_score(small):
    """Wang et al. 2020, algorithm 1: S = -w Hg, and the weights of the highest S go."""
    mask = pruning.dense_mask(small)
    kept = pruning.prune(pruning.score("grasp", small, mask, batch=IMAGES[0]), mask, 0.3)
    weights, _, products = by_hand(small, mask, IMAGES[:1], "train", temperature=200.0)
    score = torch.cat([(-w * h).flatten() for w, h in zip(weights, products, strict=True)])
    gone = ~torch.cat([keeps.flatten() for keeps in kept.values()])
    assert int(gone.sum()) == round(0.3 * len(score))
    assert score[gone].min() > score[~gone].max()


@pytest.mark.parametrize("criterion", ["snip", "grad", "grasp"])
def test_no_path_for_a_gradient(small, criterion):
    def detached(model, batch):
        return F.cross_entropy(model(batch[0]).detach(), batch[1]), {}

    with pytest.raises(ConfigError, match=rf"Prune.criterion = '{criterion}': the loss does not depend on the weights"):
        pruning.score(criterion, small, pruning.dense_mask(small), batch=IMAGES[0], loss=detached)


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 12)
        self.outer = nn.Linear(16, 3)

    def forward(self, x):
        q, k, v = self.inner(x.view(-1, 1, 4, 1).expand(-1, -1, -1, 4)).chunk(3, dim=-1)
        return self.outer(F.scaled_dot_product_attention(q, k, v).flatten(1))


def test_attention_has_a_second_derivative():
    model = Attentive()
    batch = (torch.randn(5, 4, generator=generator()), torch.tensor([0, 1, 2, 0, 1]))
    scores = pruning.score("grasp", model, pruning.dense_mask(model), batch=batch)
    assert all(score.any() for score in scores.values())


def test_a_loss_without_a_second_derivative():
    def spelt(model, batch):
        letters = F.log_softmax(model(batch[0]).view(4, 2, 3), -1)
        return F.ctc_loss(letters, batch[1], (4, 4), (2, 2)), {}

    model, batch = nn.Linear(4, 12), (torch.randn(2, 4), torch.tensor([[1, 2], [2, 1]]))
    mask = pruning.dense_mask(model)
    pruning.score("snip", model, mask, batch=batch, loss=spelt)
    with pytest.raises(ConfigError, match="'grasp': a derivative of the loss cannot be taken"):
        pruning.score("grasp", model, mask, batch=batch, loss=spelt)


def test_synaptic_flow_of_words(small):
    with pytest.raises(ConfigError, match=r"'synflow': it calls the network with ones, and its inputs are torch.int64"):
        pruning.score("synflow", small, pruning.dense_mask(small), batch=(torch.zeros(1, 5, dtype=torch.int64),))


# Steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "counts"), [("global", 990), ("layer", {"a": 600, "b": 300})])
def test_steps_keep_powers_of_the_compression(scope, counts):
    mask = {"a": torch.ones(700, dtype=torch.bool), "b": torch.ones(300, dtype=torch.bool)}
    mask["b"][:0] = False
    counts = counts if isinstance(counts, int) else {"a": 600, "b": 290}
    seen = []

    def scores(left):
        seen.append({name: int(keeps.sum()) for name, keeps in left.items()})
        return {name: torch.arange(keeps.numel()).double() for name, keeps in left.items()}

    left = prune_in_steps(scores, mask, counts, scope, iterations=4)
    if scope == "global":
        assert [sum(one.values()) for one in seen] == [round(1000 * 100 ** (-k / 4)) for k in range(4)]
        assert pruning.kept(left) == 10
    else:
        assert [one["a"] for one in seen] == [round(700 * 7 ** (-k / 4)) for k in range(4)]
        assert [one["b"] for one in seen] == [round(300 * 30 ** (-k / 4)) for k in range(4)]
        assert {name: int(keeps.sum()) for name, keeps in left.items()} == {"a": 100, "b": 10}


def test_scores_that_stay_give_the_mask_of_one_step(network):
    mask = pruning.dense_mask(network)
    many, one = (
        prune_in_steps(lambda left: pruning.score("magnitude", network, left), mask, 1000, iterations=n) for n in (7, 1)
    )
    assert all(torch.equal(many[name], one[name]) for name in mask)


def test_a_density_counts_all_weights_whatever_is_pruned_already(network):
    mask = half_pruned(network)
    total = sum(keeps.numel() for keeps in mask.values())
    rule = {"scope": "global"}
    assert pruning.kept(mask) - counts_of(rule, mask, 1, 0.1) == round(0.1 * total)
    with pytest.raises(ConfigError, match=r"asks for .* weights of all layers, and the ticket that is pruned has"):
        counts_of(rule, mask, 1, 0.6)
    with pytest.raises(ConfigError, match=r"would leave 3 of 2,178 weights for 4 layers, .*; give 0\.00184"):
        counts_of(rule, pruning.dense_mask(network), 1, 3 / total)
    with pytest.raises(ConfigError, match=r"less than one weight of 'out\.weight' of 48"):
        counts_of({"scope": "layer"}, pruning.dense_mask(network), 1, 0.01)
