"""Pairs of sentences: cross entropy of the target's tokens, and BLEU of what beam search finds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.config import ConfigError, Train, Translation
from lth_ray.config.tasks.translation import BEGIN, END, PAD
from lth_ray.data import Identity
from lth_ray.data.batches import CarriesNothing, checked_part, shared_out
from lth_ray.data.text.buckets import Buckets, rounded_up
from lth_ray.data.text.parallel import Pairs, Side, read_corpus
from lth_ray.data.text.spelling import spelled, spelling
from lth_ray.models.language.translating import translated
from lth_ray.tasks.base import Batch, Evaluation, Step, Stream, Task
from lth_ray.tasks.bleu import check_installed, counts, score


@dataclass(frozen=True)
class Held:
    """Pairs of sentences on a device.

    spelling: lth_ray.data.text.spelling of the encoding.
    """

    pairs: Pairs
    spelling: Tensor
    device: str

    def __len__(self) -> int:
        return len(self.pairs)

    def first(self, n: int) -> "Held":
        """Return the first n pairs, or all where there are fewer."""
        return Held(self.pairs.first(n), self.spelling, self.device)

    def filled_up(self, rows: NDArray[np.int64], length: int) -> tuple[Tensor, Tensor]:
        """Return what a network is called with, int64 [..., 2, length], and what it is to say, int64 [..., length].

        rows: the pairs' places; a negative one stands for a pair of nothing: END alone, and nothing to say.
        """
        chosen = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        source, target = self._sides[0].rows(chosen, length), self._sides[1].rows(chosen, length)
        nothing = (chosen < 0)[..., None] & (torch.arange(length, device=self.device) == 0)  # its first places
        source = source.masked_fill(nothing, END)
        begun = F.pad(target[..., :-1], (1, 0), value=BEGIN).masked_fill(target == PAD, PAD)
        return torch.stack([source, begun.masked_fill(nothing, BEGIN)], -2), target

    @cached_property
    def _sides(self) -> "tuple[_OnDevice, _OnDevice]":
        return _on_device(self.pairs.source, self.device), _on_device(self.pairs.target, self.device)


@dataclass(frozen=True)
class _OnDevice:
    """A side on a device: tokens, with a PAD behind the last; where each sentence begins, and how long it is."""

    tokens: Tensor
    starts: Tensor
    lengths: Tensor

    def rows(self, chosen: Tensor, length: int) -> Tensor:
        """Return sentences filled up by PAD, int64 [..., length]; of a negative row PAD alone."""
        places = torch.arange(length, device=chosen.device)
        row = chosen.clamp(min=0)
        there = (places < self.lengths[row][..., None]) & (chosen >= 0)[..., None]
        at = torch.where(there, self.starts[row][..., None] + places, len(self.tokens) - 1)
        return self.tokens[at].long()


def _on_device(side: Side, device: str) -> _OnDevice:
    tokens = torch.from_numpy(np.append(side.tokens, np.int32(PAD)))
    found = (tokens, torch.from_numpy(side.starts[:-1].copy()), torch.from_numpy(side.lengths))
    return _OnDevice(*(one.to(device) for one in found))


@dataclass(frozen=True)
class Parallel:
    """A parallel text ready to train on.

    lengths: that the pairs to train on are filled up to.
    """

    train: Held
    validation: Held | None
    test: Held
    lengths: NDArray[np.int64]
    digest: str


class SentencePairs(Task[Translation]):
    """Translation (config.Translation).

    A batch is (pairs int64 [..., 2, L], targets int64 [..., L], tokens float32 [first axis]), filled up by PAD. Of
    training the first axis are blocks, the second their pairs; `tokens` are the targets' of the whole global batch, an
    equal share for each block, so that the mean over a part of the blocks is its part of the mean over all. Of
    evaluation and evidence the first axis are pairs, and `tokens` those of each.
    """

    searches = True

    def identify(self, data_root: str | Path | None = None) -> Identity:
        check_installed()
        found, tokens = self.load(data_root), self.config.tokens
        longest = int(found.lengths.max())
        if tokens < longest:
            raise ConfigError(
                f"Translation.tokens = {tokens}: a block holds no sentence of {longest} tokens; give at least as many, "
                "or leave longer ones out by max_length"
            )
        validation = len(found.validation) if found.validation is not None else 0
        sizes = len(found.train), validation, len(found.test)
        steps = Buckets(found.lengths, tokens, self.config.batch_size).steps
        tokens_in_all = len(found.test.spelling)
        return Identity(
            found.digest,
            *sizes,
            (2, longest),
            tokens_in_all,
            input_dtype="int64",
            vocabulary=tokens_in_all,
            steps_per_epoch=steps,
        )

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> Parallel:
        c = self.config
        parts = c.name, c.source, c.target, c.vocabulary, c.max_length, c.bucket, c.validation
        return _load(*parts, None if data_root is None else str(data_root), str(device))

    def stream(self, loaded: Parallel, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        return Blocks(loaded, self.config, order_seed, part)

    def splits(self, loaded: Parallel) -> Mapping[str, Held]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: self.measured(split) for name, split in found.items() if split is not None}

    def measured(self, split: Held) -> Held:
        """Return the pairs of a split that evaluations measure."""
        n = self.config.evaluation_pairs
        return split if n is None else split.first(n)

    def examples(self, loaded: Parallel, split: Held, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yield pairs of like length together, in batches of which each process takes whole ones: the same whatever
        their number, but where there are so few that they are made smaller, for each to have one. A batch ends with
        `spelling`, by which it can be told what sentences say.
        """
        lengths = rounded_up(split.pairs.lengths, self.config.bucket)
        order = np.argsort(lengths, kind="stable")
        batches, start = [], 0
        while start < len(order):
            # no more than a block has, the longest filled up included; and every process is to have some
            most = max(1, self.config.tokens // int(lengths[order[start]]))
            most = min(len(order) - start, -(-len(order) // share[1]), most)
            filled = lengths[order[start : start + most]] * np.arange(1, most + 1)
            size = max(1, int(np.searchsorted(filled, self.config.tokens, side="right")))
            batches.append(order[start : start + size])
            start += size
        own = shared_out(len(batches), share)
        for rows in batches[own.start : own.stop]:
            pairs, targets = split.filled_up(rows, int(lengths[rows[-1]]))
            yield pairs, targets, _number(targets), split.spelling

    def evidence(self, loaded: Parallel, order: int, number: int = 0) -> Batch:
        """Return the pairs of a training batch, not in blocks."""
        pairs, targets, _ = Blocks(loaded, self.config, order).batch(number)
        return pairs.flatten(0, 1), targets.flatten(0, 1), _number(targets.flatten(0, 1))

    def loss(self, train: Train) -> Step:
        """Return the mean cross entropy over the target's tokens, with label smoothing where the recipe has it."""

        def cross_entropy(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
            pairs, targets, tokens, *_ = batch
            logits = model(pairs.flatten(0, -3))
            return _summed(logits, targets, train.label_smoothing) / tokens.sum(), {}

        return cross_entropy

    def caller(self, model: Callable[..., Any]) -> Callable[[Batch], Any]:
        config = self.config

        def call(batch: Batch) -> tuple[Tensor, Tensor]:
            """Return logits, and what beam search finds."""
            assert isinstance(model, torch.nn.Module)
            penalties = {"length_penalty": config.length_penalty, "coverage_penalty": config.coverage_penalty}
            return model(batch[0]), translated(model, batch[0][:, 0], beam=config.beam, **penalties)

        return call

    def sums(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        """Return [sum of cross entropies, the counts of BLEU, the targets' tokens]."""
        (logits, found), (_, targets, tokens, table) = outputs, batch
        counted = counts(spelled(found, table), spelled(targets, table)).to(logits.device)
        return torch.cat([_summed(logits, targets).double()[None], counted, tokens.double().sum()[None]])

    def evaluation(self, sums: Tensor) -> Evaluation:
        n = int(sums[-1])
        return Evaluation(float(sums[0]) / n, score(sums[1:-1]), n)

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.full((1, *identity.input_shape), END),)

    def examples_a_step(self, identity: Identity) -> int:
        return self.config.batch_size * max(1, self.config.tokens // identity.input_shape[1])

    def chance(self, identity: Identity) -> float:
        """Return the BLEU of one who says nothing."""
        return 0.0


class Blocks(CarriesNothing):
    """Training batches, the blocks `part` of each; see SentencePairs and Buckets."""

    def __init__(self, loaded: Parallel, config: Translation, order_seed: int, part: range | None = None) -> None:
        self._held, self._seed, self._part = loaded.train, order_seed, checked_part(part, config.batch_size)
        self._buckets = Buckets(loaded.lengths, config.tokens, config.batch_size)
        self._lengths = loaded.train.pairs.target.lengths
        self._epoch: tuple[int, list[tuple[int, NDArray[np.int64]]]] = -1, []
        self.steps_per_epoch = self._buckets.steps

    def batch(self, step: int, model: torch.nn.Module | None = None) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._buckets.epoch(self._seed, epoch)
        length, rows = self._epoch[1][index]
        tokens = int(self._lengths[rows[rows >= 0]].sum()) / len(rows)
        pairs, targets = self._held.filled_up(rows[self._part.start : self._part.stop], length)
        return pairs, targets, torch.full((len(self._part),), tokens, device=targets.device)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


def _summed(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the sum over targets of cross entropies."""
    flat = logits.flatten(0, -2)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    return F.cross_entropy(flat, targets.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=smoothing)


def _number(targets: Tensor) -> Tensor:
    """Return the tokens of each target [n, L], float32 [n]."""
    return (targets != PAD).sum(1).float()


@lru_cache(maxsize=4)
def _load(
    name: str,
    source: str,
    target: str,
    vocabulary: int,
    max_length: int | None,
    bucket: int,
    validation: int,
    data_root: str | None,
    device: str,
) -> Parallel:
    corpus = read_corpus(name, (source, target), vocabulary, validation > 0, data_root)
    everything = corpus.parts["train"]
    fits = everything.lengths <= (max_length or int(everything.lengths.max()))
    if not fits.any():
        raise ConfigError(
            f"Translation.max_length = {max_length}: the shortest pair has {int(everything.lengths.min())} tokens; "
            "give more"
        )
    if validation and len(corpus.parts["validation"]) < validation:
        raise ConfigError(
            f"Translation.validation = {validation}: the validation part has {len(corpus.parts['validation'])} pairs; "
            "give fewer"
        )
    train, table = everything.take(fits), spelling(corpus.encoding).to(device)
    return Parallel(
        Held(train, table, device),
        Held(corpus.parts["validation"].first(validation), table, device) if validation else None,
        Held(corpus.parts["test"], table, device),
        rounded_up(train.lengths, bucket),
        corpus.digest,
    )
