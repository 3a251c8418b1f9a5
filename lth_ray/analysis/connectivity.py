"""Linear mode connectivity: loss and error on the line between two trained copies (Frankle et al. 2020a).

A line is walked with one scratch network: beside it and the two states nothing of their size is held in memory.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from lth_ray.analysis.batches import passes
from lth_ray.analysis.states import Tensors, require_same
from lth_ray.config import ConfigError, Data, Train, nearest, steps
from lth_ray.data import Batch
from lth_ray.tasks import Images
from lth_ray.training import evaluate
from lth_ray.training.batch_norm import reestimate

# Of a recipe, evaluation reads the precision and the loss alone: fp32 and the cross entropy.
_PLAIN = Train(steps(1), lr=1.0)
_CLASSIFICATION = Images(Data("given", batch_size=1, validation=0))


def linear_path(
    model: nn.Module,
    state_a: Tensors,
    state_b: Tensors,
    inputs: torch.Tensor | Iterable[Batch] | Callable[[], Iterable[Batch]],
    labels: torch.Tensor | None = None,
    points: int = 30,
    batch_norm: str = "stored",
    statistics_from: Iterable[Batch] | Callable[[], Iterable[Batch]] | None = None,
) -> pd.DataFrame:
    """Return mean cross entropy and error at alpha x state_a + (1 - alpha) x state_b, for `points` even
    alphas in [0, 1].

    The columns are alpha, loss, error; error is a share in [0, 1].

    model: scratch, see `walk`.
    inputs: a tensor [N, ...] with labels [N] (int64); or (inputs, labels) batches, an iterable that may be
        passed over again or a function that returns one. All are on the model's device.
    batch_norm: "stored" interpolates the running statistics like weights, so that the ends of the line are
        the copies themselves, bit for bit; "reestimate" measures them anew at each point, the ends included.
    statistics_from: what "reestimate" measures on: training batches of one size, as for `inputs`.

    Errors: ConfigError for states of different networks and for data that is missing or cannot be used.
    """
    data = passes("inputs", inputs, labels)
    recalibrate = _recalibration(batch_norm, statistics_from)

    def measure(model: nn.Module) -> dict[str, float]:
        measured = evaluate(model, data(), _CLASSIFICATION, _PLAIN)
        return {"loss": measured.loss, "error": 1 - measured.value}

    return walk(model, state_a, state_b, measure, points, recalibrate)


def walk(
    model: nn.Module,
    state_a: Tensors,
    state_b: Tensors,
    measure: Callable[[nn.Module], dict[str, float]],
    points: int = 30,
    recalibrate: Callable[[nn.Module], None] | None = None,
) -> pd.DataFrame:
    """Measure at `points` even steps from state_b to state_a: a row each, its columns behind `alpha`.

    model: scratch, of the states' architecture; its own weights are lost, and it is left with state_a's.
    state_a, state_b: they may lie on another device. Integer tensors (num_batches_tracked) are state_a's up
        to alpha = 0, where all is state_b's.
    measure: gives the columns of the network at a point.
    recalibrate: is called at each point before `measure`, to re-estimate batch-norm statistics in place.

    Errors: ConfigError for different networks, fewer than 2 points, and a state that is the model's own
    memory.
    """
    if points < 2:
        raise ConfigError(f"points = {points}: a line has two ends; give 2 or more")
    held = model.state_dict()
    require_same(state_a, state_b)
    require_same(held, state_a, ("the model", "the states"))
    for label, state in (("state_a", state_a), ("state_b", state_b)):
        _require_apart(held, state, label)
    rows = []
    try:
        for alpha in np.linspace(0, 1, points).tolist():
            _place(held, state_a, state_b, alpha)
            if recalibrate is not None:
                recalibrate(model)
            rows.append({"alpha": alpha, **measure(model)})
    finally:
        _place(held, state_a, state_b, 1.0)
    return pd.DataFrame(rows)


def barrier(path: pd.DataFrame, column: str) -> float:
    """Return the largest value of `column` on the line minus the mean of its two ends; at least 0, NaN where
    one is NaN.
    """
    if column not in path:
        raise ConfigError(f"column = {column!r}: {nearest(column, path.columns)}")
    values = path.sort_values("alpha")[column].to_numpy()
    return float(values.max() - (values[0] + values[-1]) / 2)


def error_barrier(path: pd.DataFrame) -> float:
    """Return the instability of Frankle et al. 2020a, section 2, as a share: copies below 0.02 are called
    stable.
    """
    return barrier(path, "error")


def _recalibration(batch_norm: str, statistics_from: Any) -> Callable[[nn.Module], None] | None:
    if batch_norm not in ("stored", "reestimate"):
        raise ConfigError(f"batch_norm = {batch_norm!r}: {nearest(batch_norm, ('stored', 'reestimate'))}")
    if batch_norm == "stored":
        if statistics_from is not None:
            raise ConfigError("statistics_from: not used by batch_norm='stored'; leave it out, or say 'reestimate'")
        return None
    if statistics_from is None:
        raise ConfigError("statistics_from: batch_norm='reestimate' needs training batches to take statistics from")
    training = passes("statistics_from", statistics_from)
    return lambda model: reestimate(model, training())


def _require_apart(held: Tensors, state: Tensors, label: str) -> None:
    """Raise where a state is the model's own tensors, which walking overwrites."""
    for name, tensor in state.items():
        if tensor.numel() and tensor.untyped_storage().data_ptr() == held[name].untyped_storage().data_ptr():
            raise ConfigError(f"{label}[{name!r}] is the model's own memory, which is overwritten: give a copy of it")


@torch.no_grad()
def _place(held: Tensors, state_a: Tensors, state_b: Tensors, alpha: float) -> None:
    """Write alpha x a + (1 - alpha) x b into the model's tensors; exact at both ends and where a equals b."""
    for name, target in held.items():
        if alpha == 0:
            target.copy_(state_b[name])
        elif alpha == 1 or not target.is_floating_point():
            target.copy_(state_a[name])
        else:  # b + alpha (a - b), so that no rounding parts the points between equal states
            target.copy_(state_b[name]).lerp_(state_a[name].to(target), alpha)
