"""Perturbed weights that are drawn: their distribution, independence and pinned values."""

import pytest
import torch

from lth_ray import pruning
from lth_ray.data.order import normal

SHUFFLES = ["shuffle_global", "shuffle_layer", "shuffle_filter"]
LARGE = {f"p{i}": torch.randn(400, 500, generator=torch.Generator().manual_seed(i)) * (i + 1) for i in range(2)}
HALF = {name: torch.rand(400, 500, generator=torch.Generator().manual_seed(9)) < 0.5 for name in LARGE}
ZEROS = {name: torch.zeros_like(value) for name, value in LARGE.items()}


def assert_normal(values, std):
    """Mean, standard deviation, kurtosis and share above 0, within five standard errors."""
    n = len(values)
    z = values.double() / std
    assert abs(z.mean()) < 5 * n**-0.5
    assert abs(z.std() - 1) < 5 * (2 * n) ** -0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert abs((z > 0).double().mean() - 0.5) < 2.5 * n**-0.5


def test_redrawn_weights_are_normal_with_the_layers_initial_standard_deviation():
    new = pruning.perturb(ZEROS, HALF, weights="redrawn", initial=LARGE, seed=3)
    for name, keeps in HALF.items():
        assert_normal(new[name][keeps], LARGE[name].std(correction=0))
    draws = [new[name] / LARGE[name].std() for name in LARGE]
    assert abs(torch.corrcoef(torch.stack([draw[HALF["p0"]] for draw in draws]))[0, 1]) < 5 / 300


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_noise_is_normal_in_units_of_the_layers_initial_standard_deviation(noise):
    new = pruning.perturb(LARGE, HALF, noise=noise, initial=LARGE, seed=3)
    for name, keeps in HALF.items():
        added = (new[name] - LARGE[name])[keeps]
        assert_normal(added, noise * LARGE[name].std(correction=0))
        assert abs(torch.corrcoef(torch.stack([added, LARGE[name][keeps]]))[0, 1]) < 5 / 300


def test_noise_scales_and_differs_from_redrawn_weights_with_one_seed():
    one, two = (pruning.perturb(ZEROS, HALF, noise=noise, initial=LARGE, seed=3)["p0"] for noise in (1.0, 2.0))
    torch.testing.assert_close(2 * one, two)
    redrawn = pruning.perturb(ZEROS, HALF, weights="redrawn", initial=LARGE, seed=3)["p0"]
    assert abs(torch.corrcoef(torch.stack([one[HALF["p0"]], redrawn[HALF["p0"]]]))[0, 1]) < 5 / 300


def test_a_constant_has_the_standard_deviation_and_random_signs():
    new = pruning.perturb(LARGE, HALF, weights="constant", initial=LARGE, seed=3)
    for name, keeps in HALF.items():
        values = new[name][keeps]
        assert values.abs().unique().tolist() == [LARGE[name].double().std(correction=0).float().item()]
        assert abs((values > 0).double().mean() - 0.5) < 2.5 * len(values) ** -0.5


@pytest.mark.parametrize("options", [{"weights": w} for w in ("redrawn", "constant", *SHUFFLES)] + [{"noise": 1.0}])
def test_seeds_give_other_draws(options):
    one, two = (pruning.perturb(LARGE, HALF, initial=LARGE, seed=seed, **options) for seed in (1, 2))
    assert not torch.equal(one["p0"], two["p0"])


def test_draws_are_pinned():
    assert normal(0, "noise/p", 3).tolist() == pytest.approx(
        [0.7587519844981927, -1.4002423540420672, -0.509190913300387]
    )
    state, mask = {"p": torch.arange(8.0)}, {"p": torch.arange(8) % 4 != 3}
    drawn = [pruning.perturb(state, mask, weights=weights, seed=1)["p"].tolist() for weights in SHUFFLES[:2]]
    assert drawn == [[5, 1, 4, 0, 0, 6, 2, 0], [5, 4, 1, 0, 0, 2, 6, 0]]


def test_normal_numbers_are_finite_at_the_ends_of_the_uniform_ones(monkeypatch):
    monkeypatch.setattr("lth_ray.data.order.uniform", lambda *_: torch.tensor([0, 1 - 2.0**-53], dtype=torch.float64))
    assert normal(0, "", 2).isfinite().all()
