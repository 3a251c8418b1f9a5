"""Rows of numbers and a number to predict for each: least squares, R² or root mean square error."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lth_ray.config import ConfigError, Table, Train, nearest
from lth_ray.data import Identity, permutation
from lth_ray.data.batches import CarriesNothing, checked_part, shared_out, steps_per_epoch
from lth_ray.data.order import SPLIT
from lth_ray.tasks.base import Batch, Evaluation, Step, Stream, Task

NAMES = ("diabetes", "csv:PATH", "parquet:PATH")
ROWS_AT_A_TIME = 10_000  # of an evaluation


@dataclass(frozen=True)
class Part:
    """Standardised features, float32 [n, k], and targets, float32 [n], of some rows."""

    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, n: int) -> "Part":
        """The first n rows, or all where there are fewer."""
        return Part(self.features[:n], self.targets[:n])

    def to(self, device: str | torch.device) -> "Part":
        return Part(self.features.to(device), self.targets.to(device))


@dataclass(frozen=True)
class LoadedTable:
    """A table's parts, standardised by the training rows."""

    train: Part
    validation: Part | None
    test: Part


class Rows(Task[Table]):
    """Regression on the rows of a table (config.Table). A batch is (features float32 [B, k], targets float32 [B])."""

    def identify(self, data_root: str | Path | None = None) -> Identity:
        features, targets = self._read(data_root)
        bytes_of = features.tobytes() + targets.tobytes()
        digest = hashlib.sha256(f"{features.shape} ".encode() + bytes_of).hexdigest()
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
    ) -> LoadedTable:
        features, targets = self._read(data_root)
        order = permutation(self.config.split_seed, 0, len(targets), SPLIT)
        ends = np.cumsum([self.config.test, self.config.validation])
        test, validation, train = (np.sort(rows) for rows in np.split(order, ends))
        columns = np.column_stack([features, targets])
        mean, deviation = columns[train].mean(0), columns[train].std(0)
        if deviation[-1] == 0:
            raise ConfigError(
                f"{_called(self.config)}: all training targets are equal, so that nothing is to be learned"
            )
        standard = torch.from_numpy((columns - mean) / np.where(deviation == 0, 1.0, deviation)).float()

        def part(rows: np.ndarray) -> Part:
            chosen = standard[torch.from_numpy(rows)]
            return Part(chosen[:, :-1].contiguous(), chosen[:, -1].contiguous()).to(device)

        return LoadedTable(part(train), part(validation) if len(validation) else None, part(test))

    def stream(self, loaded: LoadedTable, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        return RowBatches(loaded.train, self.config.batch_size, order_seed, part)

    def splits(self, loaded: LoadedTable) -> Mapping[str, Part]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: part for name, part in found.items() if part is not None}

    def examples(self, loaded: LoadedTable, split: Part, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        own = shared_out(len(split), share)
        for start in range(own.start, own.stop, ROWS_AT_A_TIME):
            stop = min(start + ROWS_AT_A_TIME, own.stop)
            yield split.features[start:stop], split.targets[start:stop]

    def evidence(self, loaded: LoadedTable, order: int) -> Batch:
        """A batch: the first rows of the training order."""
        return RowBatches(loaded.train, self.config.batch_size, order).batch(0)

    def loss(self, train: Train) -> Step:
        def squared_error(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
            features, targets = batch
            return F.mse_loss(_predictions(model(features), targets), targets), {}

        return squared_error

    def sums(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[sum of squared errors, sum of targets, sum of their squares, rows], of standardised targets."""
        _, targets = batch
        wanted = targets.double()
        squares = (_predictions(outputs, targets).double() - wanted).square().sum()
        return torch.stack([squares, wanted.sum(), wanted.square().sum(), torch.full_like(squares, len(targets))])

    def evaluation(self, sums: Tensor) -> Evaluation:
        squares, total, total_squares, n = sums.tolist()
        if self.config.score == "rmse":
            return Evaluation(squares / n, (squares / n) ** 0.5, int(n))
        spread = total_squares - total**2 / n
        return Evaluation(squares / n, 1 - squares / spread if spread > 0 else 0.0, int(n))

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape),)

    def chance(self, identity: Identity) -> float:
        """That of the mean of the training targets, for every row: R² is about 0, the error one standard deviation."""
        return 0.0 if self.config.score == "r2" else 1.0

    def _read(self, data_root: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
        return _arrays(self.config.name, self.config.target, None if data_root is None else str(data_root))


class RowBatches(CarriesNothing):
    """Training batches of `rows`, in an order given by (seed, epoch, position); what is left of an epoch is dropped."""

    def __init__(self, rows: Part, batch_size: int, order_seed: int, part: range | None = None) -> None:
        self.steps_per_epoch = steps_per_epoch(len(rows), batch_size)
        self._rows, self._size, self._seed = rows, batch_size, order_seed
        self._part = checked_part(part, batch_size)

    def batch(self, step: int, model: torch.nn.Module | None = None) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        order = _order(self._seed, epoch, len(self._rows))
        start = index * self._size + self._part.start
        chosen = order[start : start + len(self._part)].to(self._rows.targets.device)
        return self._rows.features.index_select(0, chosen), self._rows.targets.index_select(0, chosen)

    def close(self) -> None:
        """Nothing to end."""


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, n: int) -> Tensor:
    return torch.from_numpy(permutation(seed, epoch, n))


def _predictions(outputs: Tensor, targets: Tensor) -> Tensor:
    """One number a row. ConfigError for a network that gives more."""
    if outputs.numel() != targets.numel():
        raise ConfigError(
            f"Model: it gives {tuple(outputs.shape)} for {len(targets)} rows, and a Table needs one number a row; "
            "end it in one output (num_classes is 1)"
        )
    return outputs.reshape(targets.shape)


def _called(config: Table) -> str:
    return f"Table.name = {config.called!r}"


@lru_cache(maxsize=8)
def _arrays(name: Any, target: str | None, data_root: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Features, float64 [n, k], and targets, float64 [n]. ConfigError, naming the column, for what is no number."""
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
