"""The actor-critic: what a network's outputs say, how actions are chosen, and the loss (Mnih et al. 2016)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from lth_ray.config import ConfigError, Environment
from lth_ray.tasks.base import Batch, Step


def parts_of(outputs: Any, actions: int) -> tuple[Tensor, Tensor]:
    """Return (preferences float32 [B, actions], values float32 [B]) of what a network gives.

    Raise ConfigError for a network that gives something else.
    """
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] != actions + 1:
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ConfigError(
            f"Model: it gives {found}, and [B, {actions + 1}] is needed: the preferences of {actions} actions and, "
            f"last, the value of the observation; end it in {actions + 1} outputs (num_classes is {actions + 1})"
        )
    whole = outputs.float()
    return whole[:, :-1], whole[:, -1]


def drawn(preferences: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return actions int64 [B], drawn by their probabilities.

    preferences: [B, actions]. uniform: float64 [B] in [0, 1), one for each.
    """
    wide = preferences.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of a network that has diverged, whose loss will say so
        up_to = np.exp(wide - wide.max(1, keepdims=True)).cumsum(1)
        found: np.ndarray = (up_to <= (uniform * up_to[:, -1])[:, None]).sum(1)
    return np.asarray(np.minimum(found, preferences.shape[1] - 1))


def as_learnt(rewards: np.ndarray, config: Environment) -> np.ndarray:
    """Return an environment's rewards as training has them: scaled, then cut."""
    scaled, most = rewards * config.reward_scale, config.reward_clip
    return scaled if most is None else scaled.clip(-most, most)


def discounted(rewards: np.ndarray, after: np.ndarray, goes_on: np.ndarray, last: np.ndarray, discount: float) -> Any:
    """Return the return of each step, float64 [T, n]: its reward and, discounted, what comes then.

    rewards: [T, n]. goes_on: bool [T, n], whether the next step's return comes then; elsewhere it is `after` [T, n],
    the value of where a game was cut off, 0 where it ended. last: [n], the value of what comes behind the last step.
    """
    returns, then = np.empty_like(rewards), last
    for step in range(len(rewards) - 1, -1, -1):
        then = rewards[step] + discount * np.where(goes_on[step], then, after[step])
        returns[step] = then
    return returns


def losses(preferences: Tensor, values: Tensor, actions: Tensor, returns: Tensor, config: Environment) -> Any:
    """Return (the mean loss, the mean entropy) of steps: tensors [B, actions], [B], [B], [B]."""
    logs = preferences.log_softmax(1)
    entropy = -(logs.exp() * logs).sum(1).mean()
    advantages = returns - values
    chosen = logs.gather(1, actions[:, None]).squeeze(1)
    policy = -(chosen * advantages.detach()).mean()
    return policy + config.value_weight * advantages.square().mean() - config.entropy_weight * entropy, entropy


def actor_critic(config: Environment) -> Step:
    """Return the loss of a batch: observations [B, T, ...], actions int64 [B, T] and returns [B, T]."""

    def loss(model: Callable[..., Any], batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        observations, actions, returns = (tensor.flatten(0, 1) for tensor in batch[:3])
        outputs = model(observations)
        preferences, values = parts_of(outputs, outputs.shape[1] - 1)
        total, entropy = losses(preferences, values, actions, returns, config)
        return total, {"entropy": entropy.detach()}

    return loss
