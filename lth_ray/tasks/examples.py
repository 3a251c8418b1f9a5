"""Examples of one's own (config.Examples): a data set's items, read once and kept in memory as tensors."""

import hashlib
import os
import pickle
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth_ray.config import ConfigError, Examples, OwnFunction, short_name
from lth_ray.config.blame import in_one_line
from lth_ray.config.functions import own
from lth_ray.config.tasks.images import WHAT, Given, is_dataset
from lth_ray.data import Identity
from lth_ray.tasks.base import Batch
from lth_ray.tasks.images import IMAGES_A_CLASS
from lth_ray.tasks.items import Items, stacked
from lth_ray.tasks.objectives import CrossEntropy, LeastSquares, Objective
from lth_ray.tasks.resident import Held, InMemory, Resident, ResidentBatches, held_out

MOST_BYTES = 16 * 2**20  # of a data set that travels with each job


class Own(Resident[Examples]):
    """Classification or regression of examples of one's own. A batch is (inputs [B, ...], targets [B] or [B, k])."""

    def identify(self, data_root: str | Path | None = None) -> Identity:
        config, (train, test) = self.config, self._read(data_root)
        n_test = len(test or ()) or config.test or 0
        left = len(train) - config.validation - (0 if test else n_test)
        if left < 1:
            raise ConfigError(
                f"Examples.validation = {config.validation}, Examples.test = {config.test}: there are {len(train)} "
                "examples to take them from; hold out fewer"
            )
        inputs = train.inputs
        dtype = "int64" if inputs.dtype == torch.int64 else "float32"
        shape, digest = tuple(inputs.shape[1:]), self._digest(train, test)
        return Identity(digest, left, config.validation, n_test, shape, self._outputs(train, test), dtype)

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> InMemory:
        config, (everything, test) = self.config, self._read(data_root)
        split = held_out(len(everything), 0 if test else config.test or 0, config.validation, config.split_seed)
        train, validation, drawn = (everything.take(rows).to(device) for rows in split)
        digest = self._digest(everything, test)
        return InMemory(train, validation if len(validation) else None, test.to(device) if test else drawn, digest)

    def evidence(self, loaded: InMemory, order: int, number: int = 0) -> Batch:
        """Return examples in the training order: a batch, or ten a class where that is more."""
        train, classes = loaded.train, 0
        if self.config.score == "accuracy":
            classes = self.config.classes or int(train.targets.max()) + 1
        size = max(self.config.batch_size, IMAGES_A_CLASS * classes)
        return ResidentBatches(train, min(size, len(train)), order).batch(number)

    def classes(self, identity: Identity) -> int | None:
        return identity.num_classes if self.config.score == "accuracy" else None

    @property
    def objective(self) -> Objective:
        return CrossEntropy() if self.config.score == "accuracy" else LeastSquares(self.config.score)

    def chance(self, identity: Identity) -> float | None:
        """Return the metric of predicting the mean target for every example: R² is about 0; of the error
        nothing is known.
        """
        return 0.0 if self.config.score == "r2" else self.objective.chance(identity.num_classes)

    def _read(self, data_root: str | Path | None) -> tuple[Held, Held | None]:
        config = self.config
        source, root = own(config.source), None if data_root is None else str(data_root)
        known = source.call if source.source is None else (source.name, source.source)
        return _read(_Asked(known, config.score, config.test, root, tuple(config.mean), tuple(config.std), source))

    def _digest(self, train: Held, test: Held | None) -> str:
        """Return the digest of the stated version, or of all inputs and targets; both with what is to train
        and what to test on.
        """
        version = self.config.version
        if version is not None:
            return hashlib.sha256(f"{own(self.config.source).name} version {version}".encode()).hexdigest()
        found = hashlib.sha256()
        for part in (train, test):
            for tensor in () if part is None else (part.inputs, part.targets):
                found.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
                found.update(np.ascontiguousarray(tensor.numpy()).data)
        return found.hexdigest()

    def _outputs(self, train: Held, test: Held | None) -> int:
        """Return the number of classes that there are, or of numbers that a target has."""
        if self.config.score != "accuracy":
            return train.targets[0].numel()
        seen = int(max(part.targets.max() for part in (train, test) if part is not None)) + 1
        if self.config.classes is not None and self.config.classes < seen:
            raise ConfigError(
                f"Examples.classes = {self.config.classes}: the highest target is {seen - 1}; give at least {seen}"
            )
        return self.config.classes or seen


@dataclass(frozen=True)
class _Asked:
    """The part of a declaration that a process reads once.

    known: tells the source from others.
    """

    known: Any
    score: str
    test: int | None
    data_root: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: OwnFunction = field(compare=False)


@lru_cache(maxsize=2)
def _read(asked: _Asked) -> tuple[Held, Held | None]:
    """Return the examples: all, from which those to test on are drawn, and None; or those to train and to
    test on.
    """
    what = f"Examples.source = {short_name(asked.source)}"
    pair = _data_sets(asked, what)
    names = ("train", "test") if len(pair) == 2 else ("",)
    items = [Items(one, f"{what}{f' ({name})' if name else ''}") for one, name in zip(pair, names, strict=True)]
    _check_room(items, what)
    parts = [_part(asked, one) for one in items]
    if len(parts) == 2 and parts[0].inputs.shape[1:] != parts[1].inputs.shape[1:]:
        shapes = " and ".join(str(tuple(part.inputs.shape[1:])) for part in parts)
        raise ConfigError(f"{what}: inputs to train and to test on have the shapes {shapes}; bring them to one shape")
    if len(parts) == 2 and parts[0].inputs.dtype != parts[1].inputs.dtype:
        kinds = " and ".join(str(part.inputs.dtype) for part in parts)
        raise ConfigError(f"{what}: inputs to train and to test on are {kinds}; convert them to one kind")
    if len(parts) == 2 and parts[0].targets.shape[1:] != parts[1].targets.shape[1:]:
        raise ConfigError(f"{what}: targets to train and to test on differ in how many numbers they have; mend one")
    _check_weight(asked.source, sum(_bytes(part) for part in parts), what)
    return parts[0], parts[1] if len(parts) == 2 else None


def _data_sets(asked: _Asked, what: str) -> tuple[Any, ...]:
    """Return (all,) or (train, test)."""
    try:
        wants_root = asked.source.call is not None and "data_root" in signature(asked.source).parameters
        found = asked.source(data_root=asked.data_root) if wants_root else asked.source()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{what} failed: {in_one_line(error)}") from error
    if not is_dataset(found):
        raise ConfigError(f"{what} returned a {type(found).__name__}; let it return {WHAT.rpartition(',')[0]}")
    pair = isinstance(found, tuple)
    if pair and asked.test is not None:
        raise ConfigError(f"Examples.test = {asked.test}: the source has examples to test on; leave it out")
    if not pair and asked.test is None:
        raise ConfigError(f"Examples.test = None: {short_name(asked.source)} is one data set; say how many to test on")
    return found if pair else (found,)


def _part(asked: _Asked, items: Items) -> Held:
    inputs, targets = stacked(items, classes=asked.score == "accuracy")
    given = len(asked.mean), (asked.mean, asked.std) != ((0.0,), (1.0,))
    channels = inputs.shape[1] if inputs.dim() == 4 else 1
    if given[1] and inputs.dtype != torch.uint8:
        raise ConfigError(
            f"Examples.mean, Examples.std: they are for uint8 inputs, and these are {inputs.dtype}; leave them out, or "
            "normalise in the data set"
        )
    if given[0] not in (1, channels):
        raise ConfigError(
            f"Examples.mean has {given[0]} numbers, and inputs of shape {tuple(inputs.shape[1:])} have {channels} "
            f"channel{'s' * (channels > 1)}; give one for each, or one for all"
        )
    return Held(inputs, targets, (asked.mean, asked.std) if inputs.dtype == torch.uint8 else None)


def _check_room(items: list[Items], what: str) -> None:
    """Raise ConfigError where the examples, as the first shows them, are more than this machine's memory."""
    needed = sum(one.bytes for one in items)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ConfigError(
            f"{what}: its inputs take {needed / 1e9:.3g} GB, and are kept in memory, of which this machine has "
            f"{there / 1e9:.3g}; give fewer or smaller ones, or pack images (`lth-ray data pack`)"
        )


def _bytes(part: Held) -> int:
    return part.inputs.nbytes + part.targets.nbytes


class _Counter:
    """A file that counts what is written."""

    bytes = 0

    def write(self, data: Any) -> int:
        self.bytes += memoryview(data).nbytes
        return memoryview(data).nbytes


def _check_weight(source: OwnFunction, as_tensors: int, what: str) -> None:
    """Raise ConfigError for a data set, not made by a function, that is too large to be sent with every job."""
    if not isinstance(source.call, Given):
        return
    counter = _Counter()
    try:
        pickle.Pickler(counter, 5).dump(source.call.source)
        size = counter.bytes
    except Exception:  # classes of the script's own are pickled otherwise when it is sent
        size = as_tensors
    if size > MOST_BYTES:
        raise ConfigError(
            f"{what}: the data set takes {size / 1e6:,.0f} MB and would be sent with each job (at most "
            f"{MOST_BYTES / 1e6:.0f}); give a function that returns it"
        )
