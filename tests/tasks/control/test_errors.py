"""Faults of an environment are told in one line, as early as they can be known, and nothing is lost."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason='games need gymnasium: pip install "lth_ray[rl]"')

from lth_ray.config import ConfigError, EarlyBird, Environment, Model, Prune, Study, Train, epochs, set_fields, steps
from lth_ray.lottery import carry_out, make_plan, ticket_rows
from lth_ray.models import build
from lth_ray.store import Store
from lth_ray.tasks import Control
from lth_ray.tasks.control import packages, simulators
from lth_ray.tasks.control.games import Games
from lth_ray.tasks.control.rollouts import Rollouts
from lth_ray.training import Clock
from tests.tasks.control import scripted
from tests.tasks.control.scripted import LATE, Constant, Scripted

STUDY = Study(
    "games",
    model=Model("policy_8"),
    data=Environment(scripted.ends_by_itself, envs=2, horizon=4, longest=9, games=2),
    train=Train(steps(12), lr=1e-3, evaluate_every=steps(3)),
    prune=Prune(fraction=0.2, rounds=0),
    rewind=[steps(0)],
    seeds=[0],
    margin=1.0,
)


def declared(name: Any, **changes: Any) -> Environment:
    return Environment(name, **{"envs": 2, "horizon": 4, "games": 2, **changes})


def no_environment() -> Any:
    return 3


def without_a_limit() -> Any:
    return Scripted()


def numbered_observations() -> Any:
    import gymnasium

    return gymnasium.make("FrozenLake-v1")


def breaks() -> Any:
    raise OSError("no display")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (declared("CartPole-v7"), r"Environment.name = 'CartPole-v7'.*did you mean CartPole-v1"),
        (declared("Tetris-v0"), r"Environment.name = 'Tetris-v0'.*lth_ray\[atari\].*or as a function"),
        (declared("ALE/Tetris2-v5"), r"Environment.name = 'ALE/Tetris2-v5'.*knows no such environment"),
        (
            declared("LunarLander-v3", options={"continuous": True}),
            r"Environment.name = 'LunarLander-v3': its actions are Box\(.*numbered actions",
        ),
        (declared("Pendulum-v1"), r"its actions are Box\("),
        (declared(numbered_observations), r"numbered_observations: its observations are Discrete\(16\).*wrap it"),
        (declared("CartPole-v1", options={"gravity": 3}), r"Environment.options = \{'gravity': 3\}: it cannot be made"),
        (declared(no_environment), r"no_environment: it returned a int; return a gymnasium.Env"),
        (declared(breaks), r"breaks: it fails: OSError: no display \(test_errors.py, line \d+, in breaks"),
        (declared(without_a_limit), r"Environment.longest = None: .* never end; give the steps"),
        (declared(scripted.forgets, longest=5), r"forgets: the same seed and the same actions come to other"),
    ],
)
def test_it_is_found_when_the_study_is_planned(config: Environment, message: str) -> None:
    if str(config.name).startswith("ALE/"):
        pytest.importorskip("ale_py", reason='pip install "lth_ray[atari]"')
    with pytest.raises(ConfigError, match=message):
        Control(config).identify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.length": epochs(2)}, r"epochs\(2\): what is learned here has no epochs; .*steps\("),
        ({"rewind": [epochs(1)]}, r"epochs\(1\).*steps\("),
        ({"train.warmup": epochs(1)}, r"epochs\(1\).*steps\("),
        ({"prune": Prune(fraction=0.2, rounds=1, at=EarlyBird())}, r"EarlyBird\(...\): it looks once an epoch"),
        ({"train.average_from": steps(3)}, r"Train.average_from = steps\(3\): Environment carries"),
        ({"train.replicates": 2}, r"Train.replicates = 2: Environment carries"),
        ({"train.loss": lambda model, batch: None}, r"Environment carries"),
        ({"train.label_smoothing": 0.1}, r"Train.label_smoothing = 0.1: games have no labels"),
        ({"train.batch_norm_group": 3}, r"it does not divide Environment.envs = 2"),
        ({"model.name": "atari_policy"}, r"atari_policy.*it sees images"),
        ({"model.name": "conv2"}, r"conv2.*it sees images.*shape \(2,\)"),
    ],
)
def test_a_study_of_games_has_no_use_for_it(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        carried_out(set_fields(STUDY, changes), Store.open(str(tmp_path)))


def test_a_loss_that_diverges_is_a_result(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    study = set_fields(STUDY, {"train.lr": 1e30})
    carried_out(study, store)
    (row,) = ticket_rows(make_plan(study, None, store), store)
    assert row["diverged_at"] is not None


def test_a_name_with_a_package_stays_what_it_is() -> None:
    config = declared("highway_env:highway-v0")
    assert config.found_at("/somewhere/highway-v0").name == "highway_env:highway-v0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation": 1}, "Environment.validation = 1: one game has no spread"),
        ({"games": 1}, "Environment.games = 1"),
        ({"discount": 1.5}, "Environment.discount = 1.5"),
        ({"evaluation": "best"}, "did you mean|valid: greedy, sampled"),
        ({"batch_size": 32}, "Environment has no field 'batch_size'"),
        ({"reward_clip": 0}, "Environment.reward_clip = 0"),
        ({"scores": (1.0, 1.0)}, "Environment.scores = .*two different returns"),
    ],
)
def test_fields(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declared("CartPole-v1", **given)


def test_a_margin_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"Study.margin = None: mean return has no margin of its own"):
        set_fields(STUDY, {"margin": None})


PONG = "ALE/Pong-v5"


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("gymnasium", "CartPole-v1", "rl"),
        ("gymnasium", PONG, "atari"),
        ("ale_py", PONG, "atari"),
        ("cv2", PONG, "atari"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(
    module: str, name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module != "gymnasium":
        pytest.importorskip("ale_py", reason='pip install "lth_ray[atari]"')
    packages.needed.cache_clear()
    written = packages.importlib.import_module

    def lacking(asked: str) -> Any:
        if asked == module:
            raise ImportError(asked)
        return written(asked)

    monkeypatch.setattr(packages.importlib, "import_module", lacking)
    with pytest.raises(ConfigError, match=rf'needs {module}, which is not installed; pip install "lth_ray\[{extra}\]"'):
        simulators.make(declared(name))
    packages.needed.cache_clear()


def carried_out(study: Study, store: Store) -> None:
    for job in make_plan(study, None, store).jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu", Clock(every_steps=2))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            scripted.raises,
            r"raises: step 3 of the game with seed \d+ fails: RuntimeError: the hinge is stuck",
        ),
        (scripted.pays_nan, r"pays_nan: step 3 of the game with seed \d+ gives the reward nan"),
        (scripted.shows_infinity, r"shows_infinity: step 3 of the game with seed \d+ shows what is no finite number"),
    ],
)
def test_an_environment_that_fails_leaves_its_last_checkpoint(made: Any, message: str, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    study = set_fields(STUDY, {"data.name": made, "data.horizon": 1})
    (segment,) = {piece.key for job in make_plan(study, None, store).jobs for piece in job.pieces}
    with pytest.raises(ConfigError, match=message):
        carried_out(study, store)
    there = store.newest_checkpoint(segment)
    assert there is not None, "it went on for some games"
    assert there.step >= 2


def test_what_a_game_begins_with_is_finite_too(monkeypatch: pytest.MonkeyPatch) -> None:
    games = Games(declared("CartPole-v1"), 2)
    games.begin(0, 3)
    monkeypatch.setattr(games.simulators[1], "reset", lambda seed: (np.full(4, np.nan, np.float32), {}))
    with pytest.raises(ConfigError, match=r"CartPole-v1.*: step 0 of the game with seed 7 shows what is no finite"):
        games.begin(1, 7)


def test_what_is_not_deterministic_is_found_by_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first games are alike, so that planning has not found it."""
    monkeypatch.setenv("GAMES", "0")
    store = Store.open(str(tmp_path))
    study = set_fields(STUDY, {"data.name": scripted.forgets_later})
    make_plan(study, None, store)
    assert int(os.environ["GAMES"]) < int(LATE)
    monkeypatch.setenv("GAMES", LATE)
    with pytest.raises(
        ConfigError, match=r"forgets_later: a game, played again by its seed \(\d+\) and its \d+ actions"
    ):
        carried_out(study, store)


def test_a_checkpoint_of_another_environment_is_not_taken_up() -> None:
    config = declared(scripted.never_ends, longest=50)
    stream = Rollouts(config, 1, 2)
    stream.batch(0, Constant())
    carried = dict(stream.carried)
    Rollouts(config, 1, 2).carry_on(carried)
    with pytest.raises(ConfigError, match="comes to another observation than before"):
        Rollouts(config, 1, 2).carry_on({**carried, "mark": carried["mark"] + 1})
    with pytest.raises(ConfigError, match="comes to another observation than before"):
        Rollouts(declared(scripted.ends_by_itself, longest=3), 1, 2).carry_on(carried)


def test_a_network_that_gives_something_else_is_told() -> None:
    stream = Rollouts(declared("CartPole-v1"), 1, 2)
    with pytest.raises(ConfigError, match=re.escape("Model: it gives [2, 2], and [B, 3] is needed")):
        stream.batch(0, build("lenet_8", 2, (4,)))
