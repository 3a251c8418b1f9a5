"""Perturbed weights: which values change, what of them is kept, by example and by property."""

import inspect
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray import pruning
from lth_ray.config import ConfigError
from lth_ray.config.rewind import PRUNED, SIGNS, WEIGHTS, Perturbation
from lth_ray.pruning.perturb import VALUES

fast = settings(max_examples=30, deadline=None)
SHAPES = [(3,), (4, 5), (2, 3, 2, 2), (1, 7), (6, 1), ()]
SHUFFLES = ["shuffle_global", "shuffle_layer", "shuffle_filter"]
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


def test_a_study_can_name_every_option_and_they_start_at_its_defaults():
    assert VALUES.keys() == {*WEIGHTS, *PRUNED}
    assert {*SIGNS} - {"own"} <= VALUES.keys()
    defaults = {name: p.default for name, p in inspect.signature(pruning.perturb).parameters.items()}
    chosen = Perturbation()
    options = ("weights", "signs", "flipped", "noise", "pruned")
    assert all(defaults[name] == getattr(chosen, name) for name in options)


# Six weights in two units of three. b, d and e are pruned.
#                              a     b    c          d     e     f
STATE = {"w": torch.tensor([[1.0, -2.0, 3.0], [4.0, -5.0, -6.0]]), "bias": torch.tensor([7.0])}
INITIAL = {"w": torch.tensor([[-0.5, 0.5, 1.5], [-1.5, 2.5, -2.5]])}
FINAL = {"w": torch.tensor([[0.4, -0.6, 2.0], [1.0, 2.6, 2.5]])}  # b, c and e have moved away from zero
MASK = {"w": torch.tensor([[True, False, True], [False, False, True]])}
S = (17.5 / 6) ** 0.5  # the initial weights' mean is 0 and their squares' sum 17.5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, 0, 3.0, 0, 0, -6.0]),
        ({"weights": "init"}, [-0.5, 0, 1.5, 0, 0, -2.5]),
        ({"weights": "init", "signs": "rewound"}, [0.5, 0, 1.5, 0, 0, -2.5]),
        ({"signs": "init"}, [-1.0, 0, 3.0, 0, 0, -6.0]),
        ({"weights": "constant", "signs": "rewound"}, [S, 0, S, 0, 0, -S]),
        ({"weights": "constant", "signs": "init"}, [-S, 0, S, 0, 0, -S]),
        ({"weights": "final"}, [0.4, 0, 2.0, 0, 0, 2.5]),
        ({"weights": "init", "signs": "final"}, [0.5, 0, 1.5, 0, 0, 2.5]),
        ({"weights": "constant", "signs": "final"}, [S, 0, S, 0, 0, S]),
        ({"flipped": 1.0}, [-1.0, 0, -3.0, 0, 0, 6.0]),
        ({"weights": "init", "signs": "rewound", "flipped": 1.0}, [-0.5, 0, -1.5, 0, 0, 2.5]),
        ({"weights": "grown"}, [0.0, 0, 0, 0, 0, 0]),
        ({"weights": "shrunk"}, [1.0, 0, 3.0, 0, 0, -6.0]),
        ({"weights": "shrunk", "signs": "init"}, [-1.0, 0, 3.0, 0, 0, -6.0]),
        ({"pruned": "init"}, [1.0, 0.5, 3.0, -1.5, 2.5, -6.0]),
        ({"pruned": "grown"}, [1.0, 0.5, 3.0, 0, 2.5, -6.0]),
        ({"pruned": "shrunk"}, [1.0, 0, 3.0, -1.5, 0, -6.0]),
        ({"weights": "shrunk", "pruned": "shrunk"}, [1.0, -2.0, 3.0, 4.0, -5.0, -6.0]),
        ({"weights": "init", "pruned": "shrunk"}, [-0.5, 0, 1.5, -1.5, 0, -2.5]),
    ],
)
def test_six_weights(options, expected):
    new = pruning.perturb(STATE, MASK, initial=INITIAL, final=FINAL, **options)
    torch.testing.assert_close(new["w"].flatten(), torch.tensor(expected))
    assert new["bias"].tolist() == [7.0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.25, 0.5, 1.0])
def test_exactly_a_share_of_the_kept_weights_of_each_layer_is_flipped(share):
    generator = torch.Generator().manual_seed(1)
    state = {"a": torch.randn(40, 5, generator=generator), "b": torch.randn(30, generator=generator)}
    mask = {name: torch.rand(value.shape, generator=generator) < 0.6 for name, value in state.items()}
    new = pruning.perturb(state, mask, flipped=share, seed=3)
    for name, keeps in mask.items():
        assert torch.equal(new[name].abs(), state[name].abs() * keeps)
        flipped = new[name].sign() != (state[name] * keeps).sign()
        assert int(flipped.sum()) == round(share * int(keeps.sum()))
    other = pruning.perturb(state, mask, flipped=share, seed=4)
    assert all(torch.equal(new[name], other[name]) for name in mask) == (share in (0.0, 1.0))


@pytest.mark.parametrize(("value", "shape"), [(1.0, (6,)), (0.1, (7, 3)), (0.0, (4,))])
def test_what_no_initialisation_drew_is_drawn_as_that_value_again(value, shape):
    """The scales of batch norms begin at 1: as normal numbers of standard deviation 0 they would cut the network."""
    state, initial = {"scale": torch.full(shape, 3.0)}, {"scale": torch.full(shape, value)}
    mask = {"scale": torch.ones(shape, dtype=torch.bool)}
    mask["scale"].view(-1)[0] = False
    for weights in ("redrawn", "constant"):
        new = pruning.perturb(state, mask, weights=weights, noise=2.0, initial=initial)["scale"]
        assert torch.equal(new, torch.full(shape, value) * mask["scale"])
        flipped = pruning.perturb(state, mask, weights=weights, signs="rewound", flipped=1.0, initial=initial)["scale"]
        assert torch.equal(flipped, -torch.full(shape, value) * mask["scale"])


@pytest.mark.parametrize("weights", SHUFFLES)
def test_every_shuffle_of_six_weights(weights):
    state = {"w": torch.arange(1.0, 7).view(2, 3)}
    mask = {"w": torch.tensor([[True, True, False], [True, True, True]])}
    draws = [pruning.perturb(state, mask, weights=weights, seed=seed)["w"].flatten() for seed in range(400)]
    arrangements = {tuple(draw.tolist()) for draw in draws}
    units = {(tuple(sorted(draw[:2].tolist())), tuple(sorted(draw[3:].tolist()))) for draw in draws}
    assert all(draw[2] == 0 for draw in draws)
    if weights == "shuffle_filter":
        assert len(arrangements) == 2 * 6
        assert units == {((1, 2), (4, 5, 6))}
    else:
        assert len(arrangements) > 110  # of 120
        assert len(units) == 10


def test_a_global_shuffle_crosses_parameters_and_one_by_layer_does_not():
    state = {name: torch.full((200,), value) for name, value in (("a", 1.0), ("b", 2.0))}
    mask = {name: torch.ones(200, dtype=torch.bool) for name in state}
    crossed = pruning.perturb(state, mask, weights="shuffle_global")
    assert 60 < int((crossed["a"] == 2).sum()) < 140
    assert all(torch.equal(pruning.perturb(state, mask, weights="shuffle_layer")[name], state[name]) for name in state)


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


@pytest.mark.parametrize("rule", ["grown", "shrunk"])
def test_what_zhou_et_al_do_with_all_weights_revives_none(rule):
    """Their rule written out: after each round what a weight began with is set to 0 where it moved the wrong way."""
    random = torch.Generator().manual_seed(3)
    initial = torch.randn(400, generator=random)
    ours, theirs, mask = initial, initial.clone(), torch.ones(400, dtype=torch.bool)
    for _ in range(3):
        ended = theirs + 0.5 * torch.randn(400, generator=random) * (torch.rand(400, generator=random) < 0.8) * mask
        smaller, larger = theirs.abs() > ended.abs(), theirs.abs() < ended.abs()
        mask = mask & (torch.rand(400, generator=random) < 0.8)
        zero = theirs == 0
        theirs = theirs.masked_fill(smaller if rule == "grown" else larger, 0.0)
        options = {"weights": rule, "pruned": rule, "initial": {"w": initial}, "final": {"w": ended}}
        ours = pruning.perturb({"w": ours}, {"w": mask}, **options)["w"]
        assert torch.equal(ours, theirs)
        assert not ours[zero].count_nonzero()
    assert 20 < ours.count_nonzero() < 300


@pytest.mark.parametrize("pruned", ["grown", "shrunk"])
def test_a_pruned_weight_stays_where_an_earlier_round_froze_it(pruned):
    """Three weights frozen at zero, at their initial value, and pruned just now."""
    state, mask = {"w": torch.zeros(3)}, {"w": torch.zeros(3, dtype=torch.bool)}
    initial = {"w": torch.tensor([-1.0, 2.0, 3.0])}
    final = {"w": torch.tensor([0.0, 2.0, 3.5 if pruned == "grown" else 2.5])}
    new = pruning.perturb(state, mask, pruned=pruned, initial=initial, final=final)
    assert new["w"].tolist() == [0.0, 2.0, 3.0]


def test_negative_zeros_become_positive_and_count_as_such():
    state, mask = {"w": torch.tensor([-0.0, 0.0, -1.0])}, {"w": torch.tensor([True, True, False])}
    assert not pruning.perturb(state, mask)["w"].signbit().any()
    initial = {"w": torch.tensor([-1.0, -2.0, -3.0])}
    new = pruning.perturb(state, mask, weights="init", signs="rewound", initial=initial)
    assert new["w"].tolist() == [1.0, 2.0, 0.0]


def test_nan_in_a_pruned_weight_goes():
    state = {"w": torch.tensor([1.0, torch.nan])}
    assert pruning.perturb(state, {"w": torch.tensor([True, False])})["w"].tolist() == [1.0, 0.0]


def test_weights_keep_their_type():
    state = {"w": STATE["w"].bfloat16()}
    new = pruning.perturb(state, MASK, weights="redrawn", noise=1.0, initial=INITIAL, seed=0)
    assert new["w"].dtype is torch.bfloat16


@pytest.mark.parametrize(("weights", "signs", "pruned"), list(product(WEIGHTS, SIGNS, PRUNED)))
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_is_needed_is_asked_for_and_is_enough(weights, signs, pruned, noise):
    options = {"weights": weights, "signs": signs, "pruned": pruned, "noise": noise}
    needed = pruning.needs_of(Perturbation(**options))
    states = {"initial": INITIAL, "final": FINAL}
    pruning.perturb(STATE, MASK, **options, **{name: states[name] for name in needed})
    for missing in needed:
        with pytest.raises(ConfigError, match=f"{missing} = None"):
            pruning.perturb(STATE, MASK, **options, **{name: states[name] for name in needed - {missing}})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weights": "init"}, "weights = 'init': initial"), ({"signs": "init"}, "signs = 'init': initial"),
        ({"noise": 2.0}, "noise = 2.0: initial"), ({"pruned": "init"}, "pruned = 'init': initial"),
        ({"weights": "gron"}, "weights = 'gron': did you mean grown"), ({"signs": "final"}, "signs = 'final'"),
        ({"pruned": "rewound"}, "pruned = 'rewound'"), ({"noise": -1.0}, r"noise = -1\.0"),
        ({"noise": float("nan")}, "noise = nan"),
    ],
)  # fmt: skip
def test_bad_options_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        pruning.perturb(STATE, MASK, **options)


def test_states_and_masks_of_another_network():
    with pytest.raises(ConfigError, match=r"state\['v'\] is missing"):
        pruning.perturb(STATE, {"v": MASK["w"]})
    with pytest.raises(ConfigError, match=r"initial\['w'\] has shape \(6,\), \(2, 3\) is needed"):
        pruning.perturb(STATE, MASK, weights="init", initial={"w": INITIAL["w"].flatten()})
    with pytest.raises(ConfigError, match=r"final\['w'\] is missing"):
        pruning.perturb(STATE, MASK, weights="grown", initial=INITIAL, final={})
