"""Properties that perturbed weights have of every network, mask and options."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray import pruning
from lth_ray.config.rewind import PRUNED, SIGNS, WEIGHTS
from tests.pruning.test_perturb import SHUFFLES

fast = settings(max_examples=30, deadline=None)
SHAPES = [(3,), (4, 5), (2, 3, 2, 2), (1, 7), (6, 1), ()]
SEEDS = st.integers(0, 2**63 - 1)


@st.composite
def tickets(draw):
    """(state, mask, initial, final) of a network: parameters p0, p1, ... and a bias and a buffer beside them."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    keep = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))

    def state():
        values = {f"p{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}
        return values | {"bias": torch.randn(3, generator=generator), "count": torch.tensor(7)}

    mask = {f"p{i}": torch.rand(shape, generator=generator) < keep for i, shape in enumerate(shapes)}
    return state(), mask, state(), state()


def flat(tensors, mask):
    """The kept values, parameter after parameter."""
    return torch.cat([tensors[name][keeps].flatten() for name, keeps in mask.items()])


def perturb(ticket, **options):
    state, mask, initial, final = ticket
    return pruning.perturb(state, mask, initial=initial, final=final, **options)


OPTIONS = st.fixed_dictionaries(
    {
        "weights": st.sampled_from(WEIGHTS), "signs": st.sampled_from(SIGNS), "pruned": st.sampled_from(PRUNED),
        "noise": st.sampled_from([0.0, 0.5, 3.0]), "seed": SEEDS,
    }
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(tickets(), OPTIONS)
def test_only_what_the_mask_covers_changes_and_inputs_never(ticket, options):
    state, mask, _, _ = ticket
    before = [{name: value.clone() for name, value in tensors.items()} for tensors in ticket]
    new, again = perturb(ticket, **options), perturb(ticket, **options)
    assert list(new) == list(state)
    assert all(torch.equal(new[name], again[name]) for name in new)
    assert all(new[name].dtype is value.dtype and new[name].shape == value.shape for name, value in state.items())
    assert all(torch.equal(new[name], state[name]) for name in ("bias", "count"))
    assert not any(((value == 0) & value.signbit()).any() for name, value in new.items() if name in mask)
    for value in new.values():
        value.zero_()  # a result that shared memory with an input would change it
    assert all(torch.equal(x[n], value) for x, y in zip(ticket, before, strict=True) for n, value in y.items())


@fast
@given(tickets(), OPTIONS)
def test_kept_and_pruned_weights_do_not_look_at_each_others_options(ticket, options):
    mask = ticket[1]
    new = perturb(ticket, **options)
    kept = perturb(ticket, **options | {"pruned": "zero"})
    alike = options["weights"] in ("grown", "shrunk")  # then both are what training set out from
    frozen = perturb(ticket, weights=options["weights"] if alike else "rewound", pruned=options["pruned"])
    for name, keeps in mask.items():
        assert torch.equal(new[name][keeps], kept[name][keeps])
        assert torch.equal(new[name][~keeps], frozen[name][~keeps])
        assert kept[name][~keeps].count_nonzero() == 0


@fast
@given(tickets(), st.sampled_from(["rewound", "init", "redrawn", "constant", *SHUFFLES]), SEEDS)
def test_kept_signs(ticket, weights, seed):
    state, mask, initial, _ = ticket
    for signs, source in (("rewound", state), ("init", initial)):
        new = flat(perturb(ticket, weights=weights, signs=signs, seed=seed), mask)
        assert torch.equal(new.sign(), flat(source, mask).sign() * (new != 0))
        own = flat(perturb(ticket, weights=weights, seed=seed), mask)
        assert torch.equal(new.abs(), own.abs())


@fast
@given(tickets(), st.sampled_from(SHUFFLES), st.sampled_from(SIGNS), SEEDS)
def test_shuffles_keep_the_multiset_of_kept_values(ticket, weights, signs, seed):
    state, mask, _, _ = ticket
    new = perturb(ticket, weights=weights, signs=signs, seed=seed)
    if signs != "own":
        state, new = ({name: tensors[name].abs() for name in mask} for tensors in (state, new))
    assert torch.equal(flat(new, mask).sort().values, flat(state, mask).sort().values)
    for name, keeps in {} if weights == "shuffle_global" else mask.items():
        units = range(len(keeps)) if weights == "shuffle_filter" and keeps.dim() else [...]
        for unit in units:
            after, before = (values[name][unit][keeps[unit]] for values in (new, state))
            assert torch.equal(after.sort().values, before.sort().values)


@fast
@given(tickets(), st.sampled_from(WEIGHTS), st.sampled_from(SIGNS), SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_parameters_does_not_matter_and_each_has_its_own_draws(ticket, weights, signs, seed, random):
    state, mask, initial, final = ticket
    options = {"weights": weights, "signs": signs, "noise": 1.0, "initial": initial, "final": final, "seed": seed}
    new = pruning.perturb(state, mask, **options)
    names = list(mask)
    random.shuffle(names)
    shuffled = pruning.perturb(dict(reversed(state.items())), {name: mask[name] for name in names}, **options)
    assert all(torch.equal(shuffled[name], value) for name, value in new.items())
    if weights != "shuffle_global":
        alone = pruning.perturb(state, {names[0]: mask[names[0]]}, **options)
        assert torch.equal(alone[names[0]], new[names[0]])


@fast
@given(
    tickets(), st.sampled_from(["rewound", "init", "redrawn", "constant", "grown", "shrunk"]), st.sampled_from(SIGNS),
    st.sampled_from(PRUNED), SEEDS,
)  # fmt: skip
def test_without_shuffles_and_noise_once_is_as_good_as_twice(ticket, weights, signs, pruned, seed):
    once = perturb(ticket, weights=weights, signs=signs, pruned=pruned, seed=seed)
    twice = perturb((once, *ticket[1:]), weights=weights, signs=signs, pruned=pruned, seed=seed)
    assert all(torch.equal(once[name], twice[name]) for name in once)


@fast
@given(tickets(), st.sampled_from(["grown", "shrunk"]))
def test_grown_and_shrunk_share_out_the_weights_that_moved(ticket, weights):
    state, mask, _, final = ticket
    parts = [perturb(ticket, weights=w, pruned=w) for w in ("grown", "shrunk")]
    for name in mask:
        start, end = state[name], final[name]
        moved = (start.abs() != end.abs()) & (end != 0)
        assert torch.equal((parts[0][name] + parts[1][name])[moved], start[moved])
        assert (parts[0][name] != 0)[moved].equal((end.abs() > start.abs())[moved] & (start != 0)[moved])
