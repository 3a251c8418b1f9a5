"""Games, declared: environments of gymnasium, and the actor-critic learning of a policy that plays them."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import (
    FLAG,
    TEXT,
    ConfigError,
    derived,
    many,
    mapping,
    maybe,
    number,
    one_of,
    option,
    text,
    whole,
)
from lth_ray.config.functions import short_name
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import RETURN, SCORE, Metric

MOST_ENVIRONMENTS = 65_536


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return text("give an environment's name")(value)
    if callable(value):
        return value
    raise ValueError("give the name of one of gymnasium's environments, or a function that returns an environment")


class Options(dict[str, Any]):
    """Keyword arguments that are not changed, so that a config that has them can be looked up."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


def _scores(value: Any) -> tuple[float, ...]:
    kept: tuple[float, ...] = many(number(), "give two different returns")(value)
    if len(kept) != 2 or kept[0] == kept[1]:
        raise ValueError("give two different returns, those told as 0 and as 1")
    return kept


def _options(value: Any) -> Options:
    return Options(mapping()(value))


@dataclass(frozen=True)
class Environment(TaskConfig):
    """Games, and a policy that learns to play them: advantage actor-critic (A2C; Mnih et al. 2016, section 4.2).

    A batch is `horizon` steps of each of `envs` games side by side, played by the present weights, which draw an
    action by the policy's probabilities. The network is given `input_shape`, that of an observation, and
    `num_classes` = actions + 1: it returns [B, actions + 1], the preference (logit) of each action and, last, the
    value of the observation. Its loss is the mean of -log(probability of the action) x advantage + `value_weight` x
    (return - value)^2 - `entropy_weight` x entropy. Returns are those of the steps up to the horizon and the discounted
    value of what comes then: also where a game is cut off by a limit of its length, but not where it ends by itself.

    Game, draws and their order depend on seeds and the step alone. A checkpoint holds of each game its seed and its
    actions, which are played again: environments must do the same for the same seed and actions, as is tried. There
    are no epochs: lengths are steps(...). Train.batch_norm_group counts games.

    name: of one of gymnasium's environments whose actions are numbered (classic control, Box2D, or another package's as
        "PACKAGE:NAME"), of an Atari game,
        "ALE/Breakout-v5", whose frames are preprocessed as is usual (Mnih et al. 2015: grey, 84 x 84 pixels, four of
        every fourth frame, in [0, 1], up to 30 times doing nothing at first; a game that waits for it is started
        by its button; no sticky actions); or a function without parameters that returns a gymnasium.Env.
    envs: games side by side, a batch's examples.
    horizon: steps of each in a batch.
    longest: the steps after which a game is cut off; None for the environment's own limit.
    options: keyword arguments of the environment.
    discount: of rewards, a step.
    entropy_weight, value_weight: see above.
    reward_scale, reward_clip: in training rewards are multiplied by the first, then cut to +-reward_clip; None
        leaves them. Returns that are reported are of the rewards as they are.
    life_ends: in training the loss of a life ends the return, though not the game.
    scores: the returns that are told as 0 and as 1, such as a random policy's and a person's, by which games are
        compared with each other; they change no training.
    games: games of an evaluation on the test set. They have seeds of their own, and always the same ones.
    validation: games of another set, by which networks are judged; 0 for none.
    evaluation: "greedy" plays the most probable action, "sampled" draws as training does.
    evaluation_seed: of the games of evaluations.
    version: of one's own function, part of the key in its source's place.
    """

    name: str | Callable[..., Any] = option(check=_source)
    _: KW_ONLY
    envs: int = option(check=whole(1, MOST_ENVIRONMENTS))
    horizon: int = option(check=whole(1, 1_000_000))
    longest: int | None = option(None, check=maybe(whole(1)))
    options: Mapping[str, Any] = option(Options(), check=_options)
    discount: float = option(0.99, check=number(0, 1))
    entropy_weight: float = option(0.01, check=number(0))
    value_weight: float = option(0.5, check=number(0))
    reward_scale: float = option(1.0, check=number(0, open_low=True))
    reward_clip: float | None = option(None, check=maybe(number(0, open_low=True)))
    life_ends: bool = option(False, check=FLAG)
    scores: tuple[float, float] = option((0.0, 1.0), check=_scores)
    games: int = option(100, check=whole(2, 1_000_000))
    validation: int = option(0, check=whole(0, 1_000_000))
    evaluation: str = option("greedy", check=one_of("greedy", "sampled"))
    evaluation_seed: int = option(0, check=whole(0))
    version: str | None = option(None, check=maybe(TEXT), means=False)
    batch_size: int = derived()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "batch_size", self.envs)
        if self.validation == 1:
            raise ConfigError("Environment.validation = 1: one game has no spread; give more, or none")

    @property
    def metric(self) -> Metric:
        return RETURN if self.scores == (0.0, 1.0) else SCORE

    def found_at(self, name: str) -> "Environment":
        """Return the same: an environment's name has no path in it, where "package:Name-v0" looks like one."""
        return self

    def told(self, total: Any) -> Any:
        """Return a game's return as it is told."""
        return (total - self.scores[0]) / (self.scores[1] - self.scores[0])

    @property
    def called(self) -> str:
        return self.name if isinstance(self.name, str) else short_name(self.name)
