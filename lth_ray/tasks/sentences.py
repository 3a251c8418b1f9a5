"""Labelled sentences as tokens: classes by cross entropy and accuracy, numbers by least squares."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Sentences
from lth_ray.data import Identity
from lth_ray.data.sets.labelled_sentences import Labelled, read_sentences
from lth_ray.models.huggingface.folder import found_folder
from lth_ray.models.huggingface.tokens import FIRST, load_tokenizer, tokenised
from lth_ray.tasks.base import Batch
from lth_ray.tasks.objectives import CrossEntropy, LeastSquares, Objective
from lth_ray.tasks.resident import Held, InMemory, Resident, held_out

TOKENS_AT_A_TIME = 2**13  # of an evaluation: an encoder holds some thousand numbers for each


@dataclass(frozen=True)
class _Read:
    """All examples, or those to train on, and those to test on where they are apart.

    outputs: classes, or 1.
    digest: of tokens and targets, and of how many tokens there are.
    """

    train: Held
    test: Held | None
    outputs: int
    vocabulary: int
    digest: str


class LabelledSentences(Resident[Sentences]):
    """Classification or regression of sentences. A batch is (int32 [B, 2, length], targets [B])."""

    def identify(self, data_root: str | Path | None = None) -> Identity:
        config, read = self.config, self._read(data_root)
        n_test = (config.test or 0) if read.test is None else len(read.test)
        left = len(read.train) - config.validation - (n_test if read.test is None else 0)
        if left < 1:
            raise ConfigError(
                f"Sentences.validation = {config.validation}, Sentences.test = {config.test}: there are "
                f"{len(read.train)} sentences to take them from; hold out fewer"
            )
        shape, outputs = (2, config.length), read.outputs
        return Identity(read.digest, left, config.validation, n_test, shape, outputs, "int32", read.vocabulary)

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> InMemory:
        config, read = self.config, self._read(data_root)
        test = 0 if read.test is not None else config.test or 0
        split = held_out(len(read.train), test, config.validation, config.split_seed)
        train, validation, drawn = (read.train.take(rows).to(device) for rows in split)
        tested = drawn if read.test is None else read.test.to(device)
        return InMemory(train, validation if len(validation) else None, tested, read.digest)

    def examples(self, loaded: InMemory, split: Held, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for inputs, targets in super().examples(loaded, split, share):
            rows = max(1, TOKENS_AT_A_TIME // self.config.length)
            yield from zip(inputs.split(rows), targets.split(rows), strict=True)

    def example(self, identity: Identity) -> tuple[Tensor]:
        """Return one sentence of the tokenizer's last token, which a network must know."""
        (made,) = super().example(identity)
        made[:, 0], made[:, 1] = (identity.vocabulary or 1) - 1, FIRST
        return (made,)

    def classes(self, identity: Identity) -> int | None:
        return identity.num_classes if self.config.score == "accuracy" else None

    @property
    def objective(self) -> Objective:
        return CrossEntropy() if self.config.score == "accuracy" else LeastSquares(self.config.score)

    def chance(self, identity: Identity) -> float | None:
        """Return the metric of predicting one class, or the mean target, throughout."""
        return 0.0 if self.config.score == "r2" else self.objective.chance(identity.num_classes)

    def _read(self, data_root: str | Path | None) -> _Read:
        # whatever is held out of them, the sentences are tokenised once
        asked = replace(self.config, batch_size=1, validation=0, split_seed=0, test=2 if self.config.test else None)
        read = _read(asked, None if data_root is None else str(data_root))
        if (read.test is None) == (self.config.test is None):
            raise ConfigError(
                f"Sentences.test = {self.config.test}: {self.config.name!r} is "
                + ("one file; say how many sentences to hold out" if read.test is None else "a folder; leave it out")
            )
        return read


@lru_cache(maxsize=4)
def _read(config: Sentences, data_root: str | None) -> _Read:
    train, test = read_sentences(config.name, config.columns, config.target, config.tested_on, data_root)
    field = "Sentences.tokenizer"
    tokenizer = load_tokenizer(found_folder(config.tokenizer, data_root, field), field)
    parts = [train] if test is None else [train, test]
    known = _classes(parts) if config.score == "accuracy" else []
    held, vocabulary = [], 0
    for part in parts:
        found = tokenised(tokenizer, part.sentences, config.length, field)
        held.append(Held(torch.from_numpy(found.ids), _classed(part, known) if known else _numbers(part, config.score)))
        vocabulary = found.vocabulary
    digest = hashlib.sha256(f"{vocabulary} {len(known)} ".encode())
    for one in held:
        digest.update(f"{tuple(one.inputs.shape)} ".encode())
        digest.update(one.inputs.numpy().data)
        digest.update(one.targets.numpy().data)
    return _Read(held[0], held[1] if len(held) > 1 else None, len(known) or 1, vocabulary, digest.hexdigest())


def _classes(parts: Sequence[Labelled]) -> list[Any]:
    """Return the values of all targets in rising order, as numbers where all are."""
    found = {one for part in parts for one in map(_label, part.targets)}
    if all(isinstance(one, int) for one in found):
        if min(found) < 0:
            raise ConfigError(
                f"{parts[-1].where}: a label is {min(found)}, as where labels are not public; test on another part "
                "(Sentences.tested_on), or drop these rows"
            )
        return sorted(found)
    return sorted(found, key=str)


def _label(value: Any) -> Any:
    """Return a whole number as one, whatever it is written as; all else as words."""
    number = _number(value)
    return int(number) if number.is_integer() else str(value)


def _classed(part: Labelled, known: Sequence[Any]) -> Tensor:
    numbers = {value: i for i, value in enumerate(known)}
    return torch.tensor([numbers[_label(one)] for one in part.targets])


def _numbers(part: Labelled, score: str) -> Tensor:
    for row, value in enumerate(part.targets):
        if not isfinite(_number(value)):
            raise ConfigError(
                f"{part.where}: the target of row {row} is {value!r}, and score = {score!r} judges numbers; mend it, "
                "or give score='accuracy' for classes"
            )
    return torch.tensor([_number(value) for value in part.targets])


def _number(value: Any) -> float:
    """Return a target as a number, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan
