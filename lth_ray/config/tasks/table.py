"""Rows of numbers, declared: the small task of regression."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import ConfigError, a, maybe, one_of, option, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import R2, RMSE, Metric

METRICS = {"r2": R2, "rmse": RMSE}


def _rows(value: Any) -> Any:
    if isinstance(value, str) or callable(value):
        return value
    raise ValueError("give diabetes, csv:PATH, parquet:PATH, or a function that returns a data frame")


@dataclass(frozen=True)
class Table(TaskConfig):
    """Rows of numbers, and a number to predict for each: regression by least squares.

    The network is given `input_shape` = (k,) and `num_classes` = 1. Features and targets are standardised by
    the mean and standard deviation of the training rows. What is in the table, and not its place, is part of
    the key.

    name: "diabetes" (scikit-learn's 442 patients, nothing to download), csv:PATH, parquet:PATH, or a function
        without parameters that returns a pandas DataFrame or arrays (features [n, k], targets [n]).
    target: the column to predict; None for the last.
    test: rows held out to test on.
    split_seed: draws them and those of `validation`, for all lineages.
    score: "r2", the share of the variance that is explained, or "rmse", the root mean square error, in
        standard deviations of the training targets.
    """

    name: str | Callable[..., Any] = option(check=_rows)
    _: KW_ONLY
    target: str | None = option(None, check=maybe(a(str, "give a column's name")))
    test: int = option(check=whole(2))
    score: str = option("r2", check=one_of(*METRICS))
    split_seed: int = option(0, check=whole(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation == 1:
            raise ConfigError("Table.validation = 1: one row has no variance to explain; hold out more, or none")

    @property
    def metric(self) -> Metric:
        return METRICS[self.score]

    @property
    def called(self) -> str:
        return self.name if isinstance(self.name, str) else getattr(self.name, "__qualname__", "table")
