"""Games: CartPole beside stable-baselines3's A2C, and Atari with its games played by other processes (--loaders).

On CartPole (32 games side by side, 4 steps of each in a batch, one thread) both train the same network (three layers of
128 units that the policy and the value share) by RMSprop on the same environments, and take turns. stable-baselines3 is
none of our requirements: without it ours is timed alone. How much of our time the simulator itself takes is measured by
stepping as many games with actions that are drawn beforehand. On Breakout (16 games of 5 steps, the network of Mnih et
al. 2015) our own step is timed with games that it plays itself and with those that one, two and more processes play.
"""

import importlib.util
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Entry, Line, Skipped, Work, in_turn, lacks, share, speed_up
from benchmarks.timing import Paired as Pair
from lth_ray.config import Environment, Model, Train, steps
from lth_ray.lottery.execution.networks import build
from lth_ray.tasks import task_of
from lth_ray.tasks.control.games import Games
from lth_ray.training import Recipe, Run, train

GAMES, HORIZON, LONGEST, WIDTH = 32, 4, 200, 128
RATE, ENTROPY, VALUE, NORM, SMOOTHING, EPSILON = 1e-4, 0.01, 0.5, 0.5, 0.99, 1e-5
STEPS = 25  # a turn
MOST = 100.0  # per cent: the simulator's share is shown, and has no target
CONFIG = Environment("CartPole-v1", envs=GAMES, horizon=HORIZON, longest=LONGEST, games=2)
ATARI = Environment("ALE/Breakout-v5", envs=16, horizon=5, games=2, reward_clip=1.0, life_ends=True)
LOADERS, ATARI_STEPS = (1, 2, 4), 3
PEER = "A2C step on CartPole, against stable-baselines3"
ANY = 0.0  # times as fast: shown, and has no target


def entries(pairs: int = 200) -> list[Line]:
    """Time training steps of 128 steps of CartPole's games, and of 80 of Breakout's where its emulator is there."""
    torch.set_num_threads(1)
    if importlib.util.find_spec("gymnasium") is None:
        return [Skipped("steps on CartPole and Breakout", lacks("gymnasium", '"lth_ray[rl]"'))]
    has_atari = importlib.util.find_spec("ale_py") is not None
    without = Skipped("steps on Breakout", lacks("ale-py", '"lth_ray[atari]"'))
    return [*cartpole(pairs), *(atari(pairs) if has_atari else [without])]


def cartpole(pairs: int) -> list[Line]:
    """Time our step beside the other library's, and the games alone."""
    works: dict[str, Work] = {"ours": ours(), "simulator": simulator()}
    has_peer = importlib.util.find_spec("stable_baselines3") is not None
    if has_peer:
        works["theirs"] = theirs()
    rounds = max(2, pairs // 8)
    times = in_turn(works, rounds=rounds, units=dict.fromkeys(works, STEPS))
    games = share("CartPole: the simulator's share of our step", Pair(times["simulator"], times["ours"]), target=MOST)
    if not has_peer:
        return [games, Skipped(PEER, lacks("stable-baselines3", "stable-baselines3"))]
    return [games, speed_up(PEER, Pair(times["ours"], times["theirs"]), target=1)]


def atari(pairs: int) -> list[Entry]:
    """Time our step on Breakout with its games played by other processes against by itself, and the games alone."""
    network, turn = "atari_policy", ATARI_STEPS
    works = {f"{n}": ours(ATARI, network, turn, loaders=n) for n in (0, *LOADERS)}
    times = in_turn(
        works | {"simulator": simulator(ATARI, turn)},
        rounds=max(2, pairs // 40),
        units=dict.fromkeys([*works, "simulator"], turn),
    )
    shown = [share("Breakout: the simulator's share of our step", Pair(times["simulator"], times["0"]), target=MOST)]
    for n in LOADERS:
        shown.append(
            speed_up(f"Breakout with --loaders {n}, against none", Pair(times[f"{n}"], times["0"]), target=ANY)
        )
    return shown


def ours(
    config: Environment = CONFIG, network: str = f"policy_{WIDTH}_{WIDTH}_{WIDTH}", turn: int = STEPS, loaders: int = 0
) -> Work:
    """Return training as a study does it, so many steps a turn."""
    task = task_of(config)
    made = Train(
        steps(10**9), optimizer="rmsprop", lr=RATE, alpha=SMOOTHING, eps=EPSILON, clip_norm=NORM,
        evaluate_every=steps(10**9),
    )  # fmt: skip
    recipe = Recipe(Model(network), config, made, task.identify())
    model = build(recipe, seed=0)
    run = Run("benchmark", recipe, model, task.stream(task.load(loaders=loaders), 0, 0), 0, None, 0)
    return lambda: train(run, run.step + turn)


def simulator(config: Environment = CONFIG, turn: int = STEPS) -> Work:
    """Return what steps the games alone."""
    games = Games(config, config.envs)
    for place in range(config.envs):
        games.begin(place, place)
    drawn = np.random.default_rng(0).integers(0, games.number_of_actions, (turn * config.horizon, config.envs))
    actions, begun = drawn.tolist(), config.envs

    def take() -> None:
        nonlocal begun
        for chosen in actions:
            for place in games.step(chosen).over.nonzero()[0]:
                begun += 1
                games.begin(int(place), begun)

    return take


def theirs() -> Work:
    """Return the other library's training, its progress not shown."""
    from gymnasium.wrappers import TimeLimit
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Trunk(BaseFeaturesExtractor):
        """The layers that the two heads share."""

        def __init__(self, space: Any) -> None:
            super().__init__(space, features_dim=WIDTH)
            sizes = [space.shape[0], WIDTH, WIDTH, WIDTH]
            layers = [torch.nn.Linear(*pair) for pair in pairwise(sizes)]
            self.layers = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.ReLU())))

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layers(observations)
            return found

    made = make_vec_env(
        "CartPole-v1", GAMES, seed=0, wrapper_class=TimeLimit, wrapper_kwargs={"max_episode_steps": LONGEST}
    )
    agent = A2C(
        "MlpPolicy", made, learning_rate=RATE, n_steps=HORIZON, gamma=CONFIG.discount, ent_coef=ENTROPY, vf_coef=VALUE,
        max_grad_norm=NORM, rms_prop_eps=EPSILON, device="cpu", seed=0,
        policy_kwargs={"features_extractor_class": Trunk, "net_arch": []},
    )  # fmt: skip

    def take() -> None:
        agent.learn(STEPS * GAMES * HORIZON, reset_num_timesteps=False, log_interval=None)

    return take
