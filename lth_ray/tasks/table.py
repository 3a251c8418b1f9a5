"""Rows of numbers and a number to predict for each: least squares, R² or root mean square error."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth_ray.config import ConfigError, Table, nearest
from lth_ray.data import Identity
from lth_ray.tasks.objectives import LeastSquares
from lth_ray.tasks.resident import Held, InMemory, Resident, held_out

NAMES = ("diabetes", "csv:PATH", "parquet:PATH")


class Rows(Resident[Table]):
    """Regression on the rows of a table (config.Table). A batch is (features float32 [B, k], targets float32 [B])."""

    def identify(self, data_root: str | Path | None = None) -> Identity:
        features, targets = self._read(data_root)
        digest = _digest(features, targets)
        held_out = self.config.validation + self.config.test
        if held_out >= len(targets):
            raise ConfigError(
                f"Table.validation = {self.config.validation}, Table.test = {self.config.test}: there are "
                f"{len(targets)} rows in all; hold out fewer"
            )
        n_train = len(targets) - held_out
        return Identity(digest, n_train, self.config.validation, self.config.test, (features.shape[1],), 1)

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> InMemory:
        features, targets = self._read(data_root)
        train, validation, test = held_out(
            len(targets), self.config.test, self.config.validation, self.config.split_seed
        )
        columns = np.column_stack([features, targets])
        mean, deviation = columns[train].mean(0), columns[train].std(0)
        if deviation[-1] == 0:
            raise ConfigError(
                f"{_called(self.config)}: all training targets are equal, so that nothing is to be learned"
            )
        standard = torch.from_numpy((columns - mean) / np.where(deviation == 0, 1.0, deviation)).float()

        def part(rows: np.ndarray) -> Held:
            chosen = standard[torch.from_numpy(rows)]
            return Held(chosen[:, :-1].contiguous(), chosen[:, -1].contiguous()).to(device)

        digest = _digest(features, targets)
        return InMemory(part(train), part(validation) if len(validation) else None, part(test), digest)

    @property
    def objective(self) -> LeastSquares:
        return LeastSquares(self.config.score)

    def chance(self, identity: Identity) -> float:
        """Return the metric of predicting the mean training target for every row: R² is about 0, the error
        one standard deviation.
        """
        return 0.0 if self.config.score == "r2" else 1.0

    def _read(self, data_root: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
        return _arrays(self.config.name, self.config.target, None if data_root is None else str(data_root))


def _digest(features: np.ndarray, targets: np.ndarray) -> str:
    return hashlib.sha256(f"{features.shape} ".encode() + features.tobytes() + targets.tobytes()).hexdigest()


def _called(config: Table) -> str:
    return f"Table.name = {config.called!r}"


@lru_cache(maxsize=8)
def _arrays(name: Any, target: str | None, data_root: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return features, float64 [n, k], and targets, float64 [n].

    Raise ConfigError, naming the column, for what is no number.
    """
    found = name() if callable(name) else _named(name, data_root)
    if isinstance(found, tuple):
        features, targets = (np.asarray(part) for part in found)
        if features.ndim != 2 or targets.ndim != 1 or len(features) != len(targets):
            raise ConfigError(
                f"Table.name: the function returned arrays of shapes {features.shape} and {targets.shape}; return "
                "features [n, k] and targets [n]"
            )
        columns = [*(str(i) for i in range(features.shape[1])), "the targets"]
        arrays = [*features.T, targets]
    else:
        columns = [str(column) for column in found.columns]
        wanted = columns[-1] if target is None else target
        if wanted not in columns:
            raise ConfigError(f"Table.target = {target!r}: no such column; {nearest(wanted, columns)}")
        columns = [*(column for column in columns if column != wanted), wanted]
        arrays = [found[column].to_numpy() for column in columns]
    checked = [_numbers(column, values) for column, values in zip(columns, arrays, strict=True)]
    if len(checked) < 2 or not len(checked[-1]):
        raise ConfigError("Table.name: give at least one row, and one column beside the one to predict")
    return np.ascontiguousarray(np.stack(checked[:-1], axis=1)), checked[-1]


def _numbers(column: str, values: np.ndarray) -> np.ndarray:
    try:
        numbers = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(
            f"Table: column {column!r} holds {values.dtype}, not numbers; encode it or leave it out"
        ) from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ConfigError(
            f"Table: column {column!r} has {len(bad)} values that are missing or infinite, the first in row {bad[0]}; "
            "fill them or drop these rows"
        )
    return numbers


def _named(name: str, data_root: str | None) -> Any:
    import pandas

    kind, _, path = name.partition(":")
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        return load_diabetes(as_frame=True).frame
    if kind not in ("csv", "parquet") or not path:
        raise ConfigError(f"Table.name = {name!r}: no such table; valid: {', '.join(NAMES)}")
    place = Path(data_root or "") / Path(path).expanduser()
    if not place.is_file():
        raise ConfigError(f"Table.name = {name!r}: there is no file {place}; give its path, or --data-root")
    return pandas.read_csv(place) if kind == "csv" else pandas.read_parquet(place)
