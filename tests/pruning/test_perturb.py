"""Perturbed weights by example: which values change, what of them is kept, and what is refused."""

import inspect
from itertools import product

import pytest
import torch

from lth_ray import pruning
from lth_ray.config import ConfigError
from lth_ray.config.rewind import PRUNED, SIGNS, WEIGHTS, Perturbation
from lth_ray.pruning.perturb import VALUES

SHUFFLES = ["shuffle_global", "shuffle_layer", "shuffle_filter"]


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
