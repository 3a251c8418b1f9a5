"""Densities of layers by hand, and their whole numbers."""

import pytest

from lth_ray.config import ConfigError
from lth_ray.pruning.densities import LINEAR_KEEPS, kept_counts, layer_densities_of

CONV = {"one": (4, 3, 3, 3), "two": (8, 4, 3, 3), "three": (16, 8, 3, 3), "out": (10, 16)}
SIZES = {"one": 108, "two": 288, "three": 1152, "out": 160}  # 1,708


def share(densities: dict[str, float]) -> float:
    return sum(densities[name] * SIZES[name] for name in SIZES) / sum(SIZES.values())


@pytest.mark.parametrize("rule", ["uniform", "erk", {"*": 1.0}, {"o*": 1.0, "t*": 5.0}])
@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9, 1.0])
def test_layers_have_the_density_together(rule, density):
    found = layer_densities_of(rule, CONV, density)
    assert share(found) == pytest.approx(density, rel=1e-12)
    assert all(0 < each <= 1 for each in found.values())


def test_uniform_is_the_same_in_each():
    assert layer_densities_of("uniform", CONV, 0.3) == dict.fromkeys(CONV, 0.3)


def test_erdos_renyi_kernel_by_hand():
    """eps x (sum of sizes / number): 13 / 108, 18 / 288, 30 / 1152, 26 / 160. These times the numbers are the sums."""
    eps = 0.02 * 1708 / (13 + 18 + 30 + 26)
    found = layer_densities_of("erk", CONV, 0.02)
    by_hand = {"one": eps * 13 / 108, "two": eps * 18 / 288, "three": eps * 30 / 1152, "out": eps * 26 / 160}
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_erdos_renyi_kernel_makes_what_is_above_1_dense_and_scales_the_others_again():
    """All scaled alike, `out` would have 1.28; with that dense, `one` has more than 1, too."""
    found = layer_densities_of("erk", CONV, 0.4)
    eps = (0.4 * 1708 - 108 - 160) / (18 + 30)
    assert found == pytest.approx({"one": 1, "two": eps * 18 / 288, "three": eps * 30 / 1152, "out": 1}, rel=1e-12)


def test_given_densities_are_relative_and_taken_as_they_are_where_they_fit():
    given = {"one": 0.5, "t*": 0.25, "out": 0.125}
    density = share({"one": 0.5, "two": 0.25, "three": 0.25, "out": 0.125})
    assert layer_densities_of(given, CONV, density) == pytest.approx(
        {"one": 0.5, "two": 0.25, "three": 0.25, "out": 0.125}, rel=1e-12
    )


def test_smart_ratio_by_hand():
    """Convolutions 20 : 12 : 6 (4, 3 and 2 layers from the output on), the linear layer .3."""
    scale = (0.1 * 1708 - 0.3 * 160) / (20 * 108 + 12 * 288 + 6 * 1152)
    found = layer_densities_of("smart_ratio", CONV, 0.1)
    by_hand = {"one": 20 * scale, "two": 12 * scale, "three": 6 * scale, "out": 0.3}
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_smart_ratio_hands_on_what_a_layer_cannot_hold():
    found = layer_densities_of("smart_ratio", CONV, 0.7)
    scale = (0.7 * 1708 - 0.3 * 160) / (20 * 108 + 12 * 288 + 6 * 1152)
    surplus = (20 * scale - 1) * 108 + (12 * scale - 1) * 288
    assert found["one"] == found["two"] == 1
    assert found["three"] == pytest.approx(6 * scale + surplus / 1152, rel=1e-12)
    assert found["out"] == LINEAR_KEEPS


def test_smart_ratio_of_vgg_falls_by_the_square_of_the_place():
    found = layer_densities_of("smart_ratio_vgg", CONV, 0.1)
    assert found["one"] / found["three"] == pytest.approx(20 / (6 / 9), rel=1e-12)


@pytest.mark.parametrize(("density", "wrong"), [(0.02, "between 0.0281"), (0.95, "0.934")])
def test_smart_ratio_says_what_it_reaches(density, wrong):
    with pytest.raises(ConfigError, match=wrong):
        layer_densities_of("smart_ratio", CONV, density)


@pytest.mark.parametrize("rule", ["uniform", "erk", "smart_ratio"])
@pytest.mark.parametrize("density", [0.05, 0.123, 1 / 3, 0.9])
def test_counts_are_exact_together_and_within_one_weight_each(rule, density):
    counts, exact = kept_counts(rule, CONV, density), layer_densities_of(rule, CONV, density)
    assert sum(counts.values()) == round(density * 1708)
    assert all(abs(counts[name] - exact[name] * SIZES[name]) < 1 for name in CONV)


@pytest.mark.parametrize("rule", ["smart_ratio", "smart_ratio_vgg"])
def test_a_smart_ratio_out_of_reach_names_its_own_rule(rule):
    with pytest.raises(ConfigError, match=rf"Prune.densities = '{rule}': with 0.3 of linear layers"):
        layer_densities_of(rule, {"conv": (4, 3, 3, 3), "linear": (100, 100)}, 0.1)


def test_less_than_one_weight_in_a_layer_is_refused():
    with pytest.raises(ConfigError, match=r"'uniform' at density 0.0025 would leave 0.27 of the 108 weights of 'one'"):
        kept_counts("uniform", CONV, 0.0025)


@pytest.mark.parametrize(
    ("rule", "density", "wrong"),
    [
        ("erd", 0.5, "did you mean erk"),
        ("erk", 0.0, "in \\(0, 1\\]"),
        ({"one": 1.0}, 0.5, "'two' matches none"),
        ({"*": 1.0, "o*": 1.0}, 0.5, "let exactly one glob"),
    ],
)
def test_errors_name_the_remedy(rule, density, wrong):
    with pytest.raises(ConfigError, match=wrong):
        layer_densities_of(rule, CONV, density)
