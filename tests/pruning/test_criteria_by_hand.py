"""Every criterion on six weights, worked out by hand; each wrong variant of it would prune others there."""

from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lth_ray import pruning

fast = settings(max_examples=25, deadline=None)

#           a     b     c     d     e     f
INITIAL = [-1.2, 1.6, -1.3, -1.5, -1.7, -0.7]
FINAL = [1.4, 0.1, -0.3, 0.9, -1.8, 0.2]  # a, d and f have flipped; a and e have grown

# criterion: its six scores, and the three weights that it prunes
BY_HAND = {
    "magnitude": ([1.4, 0.1, 0.3, 0.9, 1.8, 0.2], "bcf"),
    "large_final": ([1.4, 0.1, 0.3, 0.9, 1.8, 0.2], "bcf"),
    "small_final": ([-1.4, -0.1, -0.3, -0.9, -1.8, -0.2], "ade"),
    "large_init": ([1.2, 1.6, 1.3, 1.5, 1.7, 0.7], "acf"),
    "small_init": ([-1.2, -1.6, -1.3, -1.5, -1.7, -0.7], "bde"),
    # percentiles, in sixths: of |wi| 2 5 3 4 6 1, of |wf| 5 1 3 4 6 2
    "large_init_large_final": ([2 / 6, 1 / 6, 3 / 6, 4 / 6, 6 / 6, 1 / 6], "abf"),
    # of -|wi| 5 2 4 3 1 6, of -|wf| 2 6 4 3 1 5
    "small_init_small_final": ([2 / 6, 2 / 6, 4 / 6, 3 / 6, 1 / 6, 5 / 6], "abe"),
    "magnitude_increase": ([0.2, -1.5, -1.0, -0.6, 0.1, -0.5], "bcd"),
    "movement": ([2.6, 1.5, 1.0, 2.4, 0.1, 0.9], "cef"),
    "large_final_same_sign": ([0, 0.1, 0.3, 0, 1.8, 0], "adf"),
    "large_final_diff_sign": ([1.4, 0, 0, 0.9, 0, 0.2], "bce"),
    "small_final_same_sign": ([-inf, -0.1, -0.3, -inf, -1.8, -inf], "adf"),
    "small_final_diff_sign": ([-1.4, -inf, -inf, -0.9, -inf, -0.2], "bce"),
    "large_init_same_sign": ([0, 1.6, 1.3, 0, 1.7, 0], "adf"),
    "large_init_diff_sign": ([1.2, 0, 0, 1.5, 0, 0.7], "bce"),
    "small_init_same_sign": ([-inf, -1.6, -1.3, -inf, -1.7, -inf], "adf"),
    "small_init_diff_sign": ([-1.2, -inf, -inf, -1.5, -inf, -0.7], "bce"),
    "large_init_large_final_same_sign": ([0, 1 / 6, 3 / 6, 0, 6 / 6, 0], "adf"),
    "large_init_large_final_diff_sign": ([2 / 6, 0, 0, 4 / 6, 0, 1 / 6], "bce"),
    "small_init_small_final_same_sign": ([0, 2 / 6, 4 / 6, 0, 1 / 6, 0], "adf"),
    "small_init_small_final_diff_sign": ([2 / 6, 0, 0, 3 / 6, 0, 5 / 6], "bce"),
    "magnitude_increase_same_sign": ([0, -1.5, -1.0, 0, 0.1, 0], "abc"),  # a by the lowest index of a, d and f
    "magnitude_increase_diff_sign": ([0.2, 0, 0, -0.6, 0, -0.5], "bdf"),
    "movement_same_sign": ([0, 1.5, 1.0, 0, 0.1, 0], "adf"),
    "movement_diff_sign": ([2.6, 0, 0, 2.4, 0, 0.9], "bce"),
}
MASK = {"weight": torch.ones(2, 3, dtype=torch.bool)}


def network(weights):
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = torch.tensor(weights).view(2, 3)
    return model


def scored(criterion, initial=INITIAL, final=FINAL, mask=MASK):
    return pruning.score(criterion, network(final), mask, initial=network(initial).state_dict())["weight"]


def pruned(scores, mask=MASK):
    """The letters of the three that go."""
    after = pruning.prune({"weight": scores.view(2, 3)}, mask, 0.5)
    return "".join(letter for letter, stays in zip("abcdef", after["weight"].flatten(), strict=True) if not stays)


def test_the_table_holds_every_criterion_of_both_ends_of_training():
    assert BY_HAND.keys() == pruning.CRITERIA.keys() - {
        "random",
        "snip",
        "grad",
        "grasp",
        "grasp_abs",
        "synflow",
        "bn_scale",
    }


@pytest.mark.parametrize("criterion", BY_HAND)
def test_six_weights(criterion):
    expected, goes = BY_HAND[criterion]
    scores = scored(criterion)
    torch.testing.assert_close(scores.double(), torch.tensor(expected).double().view(2, 3), atol=1e-6, rtol=0)
    assert pruned(scores) == goes


def ranks(values):
    return (values[:, None] >= values[None]).sum(1).double()


def unless(excluded, scores, value=0.0):
    return scores.masked_fill(excluded, value)


def flipped(i, f):
    return i.sign() != f.sign()


LARGE = {
    "no absolute value": lambda i, f: f, "the smallest": lambda i, f: -f.abs(), "the other end": lambda i, f: i.abs(),
}  # fmt: skip
BOTH_LARGE = {
    "magnitudes instead of percentiles": lambda i, f: torch.minimum(i.abs(), f.abs()),
    "either instead of both": lambda i, f: torch.maximum(ranks(i.abs()), ranks(f.abs())),
    "their mean": lambda i, f: ranks(i.abs()) + ranks(f.abs()),
    "the smallest": lambda i, f: torch.minimum(ranks(-i.abs()), ranks(-f.abs())),
    "no absolute values": lambda i, f: torch.minimum(ranks(i), ranks(f)),
    "initial alone": lambda i, f: i.abs(), "final alone": lambda i, f: f.abs(),
}  # fmt: skip
INCREASE = {
    "no absolute values": lambda i, f: f - i, "ends swapped": lambda i, f: i.abs() - f.abs(),
    "movement": lambda i, f: (f - i).abs(), "its absolute value": lambda i, f: (f.abs() - i.abs()).abs(),
    "the ratio": lambda i, f: f.abs() / i.abs(), "final alone": lambda i, f: f.abs(),
}  # fmt: skip
MOVEMENT = {
    "no absolute value": lambda i, f: f - i, "the least moved": lambda i, f: -(f - i).abs(),
    "the increase": lambda i, f: f.abs() - i.abs(), "of magnitudes": lambda i, f: (f.abs() - i.abs()).abs(),
    "the sum": lambda i, f: f.abs() + i.abs(), "final alone": lambda i, f: f.abs(),
}  # fmt: skip
SIGNED = {
    "the converse": lambda i, f: unless(~flipped(i, f), f.abs()), "no exclusion": lambda i, f: f.abs(),
    "excluded ones first": lambda i, f: unless(flipped(i, f), f.abs(), inf),
    "final sign alone": lambda i, f: unless(f < 0, f.abs()), "initial sign alone": lambda i, f: unless(i < 0, f.abs()),
}  # fmt: skip
WRONG = {
    "large_final": LARGE,
    "small_final": {name: lambda i, f, wrong=wrong: -wrong(i, f) for name, wrong in LARGE.items()},
    "large_init": {name: lambda i, f, wrong=wrong: wrong(f, i) for name, wrong in LARGE.items()},
    "small_init": {name: lambda i, f, wrong=wrong: -wrong(f, i) for name, wrong in LARGE.items()},
    "large_init_large_final": BOTH_LARGE,
    "small_init_small_final": {
        "magnitudes instead of percentiles": lambda i, f: -torch.maximum(i.abs(), f.abs()),
        "either instead of both": lambda i, f: torch.maximum(ranks(-i.abs()), ranks(-f.abs())),
        "the converse of both large": lambda i, f: -torch.minimum(ranks(i.abs()), ranks(f.abs())),
        "the largest": lambda i, f: torch.minimum(ranks(i.abs()), ranks(f.abs())),
        "initial alone": lambda i, f: -i.abs(), "final alone": lambda i, f: -f.abs(),
    },
    "magnitude_increase": INCREASE,
    "movement": MOVEMENT,
    "large_final_same_sign": SIGNED,
    "large_final_diff_sign": {
        "the converse": lambda i, f: unless(flipped(i, f), f.abs()), "no exclusion": lambda i, f: f.abs(),
        "final sign alone": lambda i, f: unless(f > 0, f.abs()),
    },
    "magnitude_increase_same_sign": {
        "excluded ones below all": lambda i, f: unless(flipped(i, f), f.abs() - i.abs(), -inf),
        "no exclusion": lambda i, f: f.abs() - i.abs(),
        "the converse": lambda i, f: unless(~flipped(i, f), f.abs() - i.abs()),
    },
    "magnitude_increase_diff_sign": {
        "excluded ones below all": lambda i, f: unless(~flipped(i, f), f.abs() - i.abs(), -inf),
        "no exclusion": lambda i, f: f.abs() - i.abs(),
        "the converse": lambda i, f: unless(flipped(i, f), f.abs() - i.abs()),
    },
    "small_final_same_sign": {
        "excluded ones at 0": lambda i, f: unless(flipped(i, f), -f.abs()), "no exclusion": lambda i, f: -f.abs(),
    },
    "small_init_diff_sign": {
        "excluded ones at 0": lambda i, f: unless(~flipped(i, f), -i.abs()), "no exclusion": lambda i, f: -i.abs(),
    },
    "movement_same_sign": {
        "the converse": lambda i, f: unless(~flipped(i, f), (f - i).abs()), "no exclusion": lambda i, f: (f - i).abs(),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("criterion", "mutation"), [(name, mutation) for name, wrong in WRONG.items() for mutation in wrong]
)
def test_a_wrong_criterion_would_prune_other_weights(criterion, mutation):
    scores = WRONG[criterion][mutation](torch.tensor(INITIAL), torch.tensor(FINAL))
    assert pruned(scores) != BY_HAND[criterion][1]


def test_one_weight_too_many_would_be_seen():
    scores = scored("large_final").flatten()
    threshold = scores.sort().values[3]
    too_many = "".join(letter for letter, goes in zip("abcdef", scores <= threshold, strict=True) if goes)
    assert too_many == "bcdf" != BY_HAND["large_final"][1]


def test_percentiles_are_taken_among_the_remaining_weights():
    """Without e, which is the largest of all, the percentiles of the others rise to fifths."""
    mask = {"weight": torch.tensor([[True, True, True], [True, False, True]])}
    scores = scored("large_init_large_final", mask=mask).flatten()
    assert scores[[0, 1, 2, 3, 5]].tolist() == pytest.approx([2 / 5, 1 / 5, 3 / 5, 4 / 5, 1 / 5])


def test_equal_magnitudes_share_their_highest_percentile():
    scores = scored("large_init_large_final", [1.0, -1.0, 1.0, 2.0, 2.0, 3.0], [3.0, 3.0, -3.0, 3.0, 3.0, 3.0])
    assert (scores.flatten() * 6).tolist() == pytest.approx([3, 3, 3, 5, 5, 6])


def test_both_large_keeps_what_lies_above_one_common_percentile():
    """Whatever its score, every kept weight lies above the common percentile, and no pruned one does."""
    generator = torch.Generator().manual_seed(3)
    i, f = torch.randn(2, 400, generator=generator)
    model = nn.Linear(20, 20, bias=False)
    model.weight.data = f.view(20, 20)
    mask = pruning.dense_mask(model)
    scores = pruning.score("large_init_large_final", model, mask, initial={"weight": i.view(20, 20)})
    stays = pruning.prune(scores, mask, 0.6)["weight"].flatten()
    share = min(ranks(i.abs())[stays].min(), ranks(f.abs())[stays].min())
    above = (ranks(i.abs()) >= share) & (ranks(f.abs()) >= share)
    assert int(stays.sum()) == 160
    assert above[stays].all()
    assert int(above.sum()) <= 161  # a weight may tie with the lowest that is kept


def test_a_weight_that_starts_or_ends_at_zero_has_changed_its_sign():
    scores = scored("large_init_same_sign", [0.0, 0.0, 1.0, -1.0, 1.0, -1.0], [0.0, 2.0, 0.0, 0.0, 3.0, 3.0])
    assert scores.flatten().tolist() == [0, 0, 0, 0, 1, 0]
    scores = scored("large_final_diff_sign", [0.0, 0.0, 1.0, -1.0, 1.0, -1.0], [0.0, 2.0, 0.0, 0.0, 3.0, 3.0])
    assert scores.flatten().tolist() == [0, 2, 0, 0, 0, 3]


class TwoLayers(nn.Module):
    def __init__(self, seed):
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 3)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, x):
        return self.b(self.a(x).relu())


BATCH = (torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2]))
CRITERIA = st.sampled_from(sorted(pruning.CRITERIA))
FRACTIONS = st.floats(0, 1)
SCOPES = st.sampled_from(["global", "layer"])


def two(seed, scale=1.0):
    final, initial = TwoLayers(seed), TwoLayers(seed + 1)
    for model in (final, initial):
        for parameter in model.parameters():
            parameter.data *= scale
    return final, initial.state_dict()


def ticket(criterion, seed, fraction, scope="global", mask=None, scale=1.0, before=0.0):
    """A mask of two rounds: by `before` at random, then by the criterion."""
    model, initial = two(seed, scale)
    mask = pruning.dense_mask(model) if mask is None else mask
    mask = pruning.prune(pruning.score("random", model, mask, seed=seed), mask, before, "layer")
    scores = pruning.score(criterion, model, mask, initial=initial, batch=BATCH, seed=seed)
    return mask, pruning.prune(scores, mask, fraction, scope)


@fast
@given(CRITERIA, st.integers(0, 2**32), FRACTIONS, SCOPES, st.sampled_from([0.0, 0.5]))
def test_every_criterion_prunes_exactly_so_many_of_the_remaining(criterion, seed, fraction, scope, before):
    mask, after = ticket(criterion, seed, fraction, scope, before=before)
    assert not any((after[name] & ~mask[name]).any() for name in mask)
    remaining = [int(keeps.sum()) for keeps in mask.values()]
    remaining = [sum(remaining)] if scope == "global" else remaining
    assert pruning.kept(mask) - pruning.kept(after) == sum(round(fraction * n) for n in remaining)


@fast
@given(CRITERIA, st.integers(0, 2**32), FRACTIONS)
def test_scores_of_remaining_weights_ignore_what_pruned_ones_hold(criterion, seed, fraction):
    mask, after = ticket(criterion, seed, fraction, before=0.3)
    model, initial = two(seed)
    pruning.apply_mask(model, mask)
    scores = pruning.score(criterion, model, mask, initial=initial, batch=BATCH, seed=seed)
    assert all(torch.equal(keeps, after[name]) for name, keeps in pruning.prune(scores, mask, fraction).items())


@fast
@given(CRITERIA, st.integers(0, 2**32), FRACTIONS)
def test_pruning_what_is_pruned_by_nothing_more_changes_nothing(criterion, seed, fraction):
    _, once = ticket(criterion, seed, fraction)
    again = ticket(criterion, seed, 0.0, mask=once)[1]
    assert all(torch.equal(again[name], once[name]) for name in once)


@fast
@given(CRITERIA, st.integers(0, 2**32))
def test_scores_do_not_depend_on_the_order_of_the_parameters(criterion, seed):
    model, initial = two(seed)
    mask = pruning.dense_mask(model)
    backwards = dict(reversed(mask.items()))
    one, other = (
        pruning.score(criterion, model, names, initial=initial, batch=BATCH, seed=seed) for names in (mask, backwards)
    )
    assert list(other) == list(backwards)
    assert all(torch.equal(one[name], other[name]) for name in mask)
    ranked = torch.cat([score.flatten() for score in one.values()])
    if len(ranked.unique()) == len(ranked):  # of equal scores the first parameters' go first
        tickets = [pruning.prune(scores, names, 0.4) for scores, names in ((one, mask), (other, backwards))]
        assert all(torch.equal(tickets[0][name], tickets[1][name]) for name in mask)


@fast
@given(st.sampled_from(sorted(BY_HAND)), st.integers(0, 2**32), FRACTIONS, SCOPES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_criteria_of_both_ends_do_not_depend_on_the_scale_of_weights(criterion, seed, fraction, scope, scale):
    """By powers of two, which round nothing."""
    _, one = ticket(criterion, seed, fraction, scope)
    _, scaled = ticket(criterion, seed, fraction, scope, scale=scale)
    assert all(torch.equal(one[name], scaled[name]) for name in one)
