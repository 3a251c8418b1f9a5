"""Selection of the weights to prune: exact counts, ties, scopes and errors, by example and by property."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray import pruning
from lth_ray.config import ConfigError

SHAPES = [(3,), (4, 5), (2, 3, 2, 2), (1, 7), (6, 1)]
fast = settings(max_examples=60, deadline=None)


@st.composite
def scored_masks(draw, tied=False):
    """Scores of one to four parameters, and a mask that keeps some of their weights."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    keep = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    scores, mask = {}, {}
    for i, shape in enumerate(shapes):
        values = torch.rand(shape, generator=generator)
        scores[f"p{i}"] = (values * 3).floor() if tied else values
        mask[f"p{i}"] = torch.rand(shape, generator=generator) < keep
    return scores, mask


FRACTIONS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0]))
SCOPES = st.sampled_from(["global", "layer"])
TIE_SEEDS = st.one_of(st.none(), st.integers(0, 2**63 - 1))


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


@fast
@given(st.booleans().flatmap(lambda tied: scored_masks(tied)), FRACTIONS, SCOPES, TIE_SEEDS)
def test_exactly_the_rounded_count_is_pruned_and_masks_are_nested(case, fraction, scope, tie_seed):
    scores, mask = case
    after = pruning.prune(scores, mask, fraction, scope, tie_seed)
    assert list(after) == list(mask)
    assert all(after[name].dtype is torch.bool and after[name].shape == mask[name].shape for name in mask)
    assert not (flat(after) & ~flat(mask)).any()
    groups = [list(mask)] if scope == "global" else [[name] for name in mask]
    for group in groups:
        remaining = sum(int(mask[name].sum()) for name in group)
        pruned = remaining - sum(int(after[name].sum()) for name in group)
        assert pruned == round(fraction * remaining)


@fast
@given(st.booleans().flatmap(lambda tied: scored_masks(tied)), FRACTIONS, SCOPES, TIE_SEEDS)
def test_no_pruned_weight_scores_higher_than_a_kept_one(case, fraction, scope, tie_seed):
    scores, mask = case
    after = pruning.prune(scores, mask, fraction, scope, tie_seed)
    groups = [mask] if scope == "global" else [{name: mask[name]} for name in mask]
    for group in groups:
        values, stays = flat({n: scores[n] for n in group}), flat({n: after[n] for n in group})
        goes = flat(group) & ~stays
        if goes.any() and stays.any():
            assert values[goes].max() <= values[stays].min()


@fast
@given(scored_masks(tied=True), FRACTIONS)
def test_selection_is_the_stable_sort_of_the_flat_scores(case, fraction):
    scores, mask = case
    places = flat(mask).nonzero().flatten()
    order = flat(scores)[places].sort(stable=True).indices
    expected = flat(mask)
    expected[places[order[: round(fraction * len(places))]]] = False
    assert torch.equal(flat(pruning.prune(scores, mask, fraction)), expected)


@fast
@given(scored_masks(), FRACTIONS, SCOPES, st.randoms(use_true_random=False))
def test_without_ties_the_order_of_parameters_does_not_matter(case, fraction, scope, random):
    scores, mask = case
    shuffled = list(mask)
    random.shuffle(shuffled)
    one = pruning.prune(scores, mask, fraction, scope)
    two = pruning.prune({n: scores[n] for n in shuffled}, {n: mask[n] for n in shuffled}, fraction, scope)
    assert all(torch.equal(one[name], two[name]) for name in mask)


@fast
@given(scored_masks(tied=True), FRACTIONS, SCOPES, TIE_SEEDS)
def test_pruning_is_a_pure_function(case, fraction, scope, tie_seed):
    scores, mask = case
    kept_scores, kept_mask = ({n: t.clone() for n, t in tensors.items()} for tensors in case)
    first = pruning.prune(scores, mask, fraction, scope, tie_seed)
    again = pruning.prune(scores, mask, fraction, scope, tie_seed)
    assert torch.equal(flat(first), flat(again))
    assert torch.equal(flat(scores), flat(kept_scores))
    assert torch.equal(flat(mask), flat(kept_mask))
    for tensor in first.values():
        tensor.fill_(False)  # a result that shared memory with the mask would change it
    assert torch.equal(flat(mask), flat(kept_mask))


@fast
@given(scored_masks(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_prunes_a_superset(case, one, two):
    scores, mask = case
    less, more = (flat(pruning.prune(scores, mask, fraction)) for fraction in sorted((one, two)))
    assert not (more & ~less).any()


@fast
@given(scored_masks(tied=True), FRACTIONS, SCOPES, st.integers(1, 6))
def test_one_shot_prunes_what_that_many_rounds_prune(case, fraction, scope, rounds):
    scores, mask = case
    iterated = mask
    for _ in range(rounds):
        iterated = pruning.prune(scores, iterated, fraction, scope)
    counts = pruning.one_shot_counts(mask, fraction, scope, rounds)
    assert torch.equal(flat(pruning.prune_counts(scores, mask, counts, scope)), flat(iterated))


TIES = {f"p{i}": torch.zeros(shape) for i, shape in enumerate([(2, 3), (4,)])}
FULL = {name: torch.ones_like(score, dtype=torch.bool) for name, score in TIES.items()}


def test_ties_prune_the_lowest_flat_index_over_parameters_in_order():
    assert flat(pruning.prune(TIES, FULL, 0.7)).tolist() == [False] * 7 + [True] * 3
    assert flat(pruning.prune(TIES, FULL, 0.5, "layer")).tolist() == [False] * 3 + [True] * 3 + [False] * 2 + [True] * 2


def test_a_tie_seed_prunes_each_tied_weight_equally_often():
    counts = sum((~flat(pruning.prune(TIES, FULL, 0.3, tie_seed=seed))).int() for seed in range(2000))
    assert counts.sum() == 6000
    assert ((counts - 600).abs() < 5 * (2000 * 0.3 * 0.7) ** 0.5).all()


def test_a_tie_seed_leaves_untied_weights_alone():
    scores = {"p": torch.tensor([5.0, 1, 2, 2, 2, 0])}
    mask = {"p": torch.ones(6, dtype=torch.bool)}
    results = {tuple(pruning.prune(scores, mask, 0.5, tie_seed=seed)["p"].tolist()) for seed in range(50)}
    assert len(results) == 3
    assert all(result[0] and not result[1] and not result[5] for result in results)


def test_negative_zero_ties_with_zero_and_infinities_are_ordered():
    scores = {"p": torch.tensor([0.0, -0.0, float("inf"), -float("inf")])}
    mask = {"p": torch.ones(4, dtype=torch.bool)}
    assert pruning.prune(scores, mask, 0.5)["p"].tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("fraction", "remaining", "pruned"), [(0.5, 5, 2), (0.5, 7, 4), (0.2, 266_200, 53_240), (0.3, 3, 1)]
)
def test_counts_follow_pythons_round(fraction, remaining, pruned):
    assert pruning.prune_count(fraction, remaining) == pruned


def test_a_fraction_for_each_glob():
    scores = {"conv1.weight": torch.arange(10.0), "fc1.weight": torch.arange(10.0), "output.weight": torch.arange(10.0)}
    mask = {name: torch.ones(10, dtype=torch.bool) for name in scores}
    after = pruning.prune(scores, mask, {"conv*": 0.1, "fc*": 0.2, "output.weight": 0.3}, "layer")
    assert [int(after[name].sum()) for name in mask] == [9, 8, 7]


BAD_FRACTIONS = [
    ({"p0": 0.2, "*": 0.1}, "layer", "p0"), ({"p0": 0.2}, "layer", "p1"), ({"*": 0.2, "q*": 0.1}, "layer", r"q\*"),
    ({"*": 0.2}, "global", "layer"), (1.5, "global", "1.5"), (-0.1, "layer", "-0.1"), (float("nan"), "global", "nan"),
    (0.2, "everywhere", "everywhere"), ({"*": 2.0}, "layer", "2.0"),
]  # fmt: skip


@pytest.mark.parametrize(("fraction", "scope", "named"), BAD_FRACTIONS)
def test_a_fraction_or_scope_that_does_not_fit(fraction, scope, named):
    with pytest.raises(ConfigError, match=named):
        pruning.prune(TIES, FULL, fraction, scope)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_nan_scores_raise_and_name_the_parameter(scope):
    scores = TIES | {"p1": torch.tensor([1.0, float("nan"), 2.0, 3.0])}
    with pytest.raises(pruning.ScoreError, match="p1"):
        pruning.prune(scores, FULL, 0.0, scope)


def test_scores_that_do_not_fit_the_mask():
    with pytest.raises(ConfigError, match=r"p1.*\(4,\).*none"):
        pruning.prune({"p0": TIES["p0"]}, FULL, 0.1)
    with pytest.raises(ConfigError, match=r"p1.*\(4,\).*\(5,\)"):
        pruning.prune(TIES | {"p1": torch.zeros(5)}, FULL, 0.1)


@pytest.mark.parametrize(
    ("counts", "scope"),
    [(11, "global"), (-1, "global"), (2, "layer"), ({"p0": 1}, "layer"), ({"p0": 1, "p1": 1}, "global")],
)
def test_counts_that_do_not_fit(counts, scope):
    with pytest.raises(ConfigError):
        pruning.prune_counts(TIES, FULL, counts, scope)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_scores_of_any_floating_type(dtype):
    after = pruning.prune({"p": torch.arange(10, dtype=dtype)}, {"p": torch.ones(10, dtype=torch.bool)}, 0.4)
    assert after["p"].tolist() == [False] * 4 + [True] * 6


@pytest.mark.gpu
def test_a_gpu_prunes_the_same_weights_under_deterministic_algorithms():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    generator = torch.Generator().manual_seed(0)
    scores = {"p": (torch.rand(100, 100, generator=generator) * 50).floor()}
    mask = {"p": torch.rand(100, 100, generator=generator) < 0.8}
    torch.use_deterministic_algorithms(True)
    try:
        after = pruning.prune({"p": scores["p"].cuda()}, {"p": mask["p"].cuda()}, 0.2, tie_seed=1)
    finally:
        torch.use_deterministic_algorithms(False)
    assert after["p"].is_cuda
    assert torch.equal(after["p"].cpu(), pruning.prune(scores, mask, 0.2, tie_seed=1)["p"])
