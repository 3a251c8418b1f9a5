"""Environments of gymnasium: made as a config asks for them, and checked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lth_ray.config import ConfigError, Environment, nearest, short_name
from lth_ray.config.blame import in_one_line
from lth_ray.config.functions import called
from lth_ray.tasks.control import atari
from lth_ray.tasks.control.packages import needed

Simulator = Any  # a gymnasium.Env whose actions are numbered and whose observations are arrays of one shape


def named(config: Environment) -> str:
    """Return the field and the environment that an error is about."""
    return f"Environment.name = {config.name!r}" if isinstance(config.name, str) else function_of(config)


def function_of(config: Environment) -> str:
    return f"Environment.name = {short_name(config.name)}"


def make(config: Environment) -> Simulator:
    """Return a new environment. Raise ConfigError for one that there is not, or of which a policy has no use."""
    is_atari = isinstance(config.name, str) and config.name.startswith("ALE/")
    gymnasium = needed("gymnasium", "atari" if is_atari else "rl")
    made = _by_function(config) if callable(config.name) else _by_name(config, gymnasium, is_atari)
    _check_spaces(config, made, gymnasium.spaces)
    if config.longest is not None:
        made = gymnasium.wrappers.TimeLimit(made, config.longest)
    elif not (is_atari or _has_limit(made, gymnasium.wrappers.TimeLimit)):
        raise ConfigError(
            "Environment.longest = None: the environment sets no limit to a game's length, so that one might never "
            "end; give the steps after which it is cut off"
        )
    return made


def _by_function(config: Environment) -> Simulator:
    try:
        made = called(config.name)()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{function_of(config)}: it fails: {in_one_line(error)}") from error
    if not all(hasattr(made, name) for name in ("reset", "step", "action_space", "observation_space")):
        raise ConfigError(f"{function_of(config)}: it returned a {type(made).__name__}; return a gymnasium.Env")
    return made


def _by_name(config: Environment, gymnasium: Any, is_atari: bool) -> Simulator:
    name, options = str(config.name), dict(config.options)
    make_one: Callable[..., Simulator] = atari.make if is_atari else gymnasium.make
    if not is_atari:
        options["disable_env_checker"] = True
    try:
        return make_one(name, **options)
    except ConfigError:
        raise
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(
            f'{named(config)}: {error}; pip install "lth_ray[rl]" brings classic control and Box2D'
        ) from error
    except gymnasium.error.UnregisteredEnv as error:
        known = nearest(name, gymnasium.registry)
        known = known if known.startswith("did you mean") else "`gymnasium.pprint_registry()` lists those there are"
        raise ConfigError(
            f"{named(config)}: gymnasium knows no such environment; {known}. Atari's games are called ALE/GAME-v5 (pip "
            'install "lth_ray[atari]"); one that another package registers is given as PACKAGE:NAME, or as a function '
            "that makes it"
        ) from error
    except Exception as error:
        given = f", Environment.options = {dict(config.options)!r}" if config.options else ""
        raise ConfigError(f"{named(config)}{given}: it cannot be made: {in_one_line(error)}") from error


def _check_spaces(config: Environment, made: Simulator, spaces: Any) -> None:
    actions, seen = made.action_space, made.observation_space
    if not isinstance(actions, spaces.Discrete):
        raise ConfigError(
            f"{named(config)}: its actions are {actions}, and a network here chooses one of numbered actions "
            "(Discrete); give an environment whose actions are numbered, or wrap it in one"
        )
    if not isinstance(seen, spaces.Box):
        raise ConfigError(
            f"{named(config)}: its observations are {seen}, and a network here is given an array (Box); wrap it, for "
            "example in gymnasium.wrappers.FlattenObservation"
        )


def _has_limit(made: Simulator, limit: type) -> bool:
    while made is not None:
        if isinstance(made, limit) or getattr(getattr(made, "spec", None), "max_episode_steps", None):
            return True
        made = getattr(made, "env", None)
    return False


def shape_of(simulator: Simulator) -> tuple[int, ...]:
    return tuple(int(size) for size in simulator.observation_space.shape)


def stored_as(simulator: Simulator) -> np.dtype[Any]:
    """Return what its observations are kept as: uint8 ones as they are, others as float32."""
    return np.dtype(np.uint8 if simulator.observation_space.dtype == np.uint8 else np.float32)
