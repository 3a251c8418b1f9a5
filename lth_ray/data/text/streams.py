"""Windows of a text's tokens, as a pure function of the step: those to train on, and all of a part, each token once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.data.batches import checked_part, shared_out
from lth_ray.data.order import draws, permutation

RESIDENT = 2**28  # tokens: a longer text is read from its file as it is needed
ROWS = 32  # in which a part is measured, whatever the batch: places at which a network begins without a state
IGNORED = -100  # the target of no token


class Held:
    """The tokens of a part, in memory or mapped from a file.

    end: the token that stands before the first.
    """

    def __init__(self, tokens: NDArray[Any], end: int, device: str | torch.device = "cpu") -> None:
        self._mapped, self.end, self.device = tokens, end, torch.device(device)
        self._resident: Tensor | None = None
        if len(tokens) <= RESIDENT:
            self._resident = torch.from_numpy(tokens.astype(np.int32)).to(self.device)

    def __len__(self) -> int:
        return len(self._mapped)

    def windows(self, starts: Sequence[int], length: int) -> Tensor:
        """Return the tokens int64 [starts, length] from each start on; the text goes on from its end at its beginning.

        A start of -1 stands before the first token, where `end` is.
        """
        places = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(length)
        inside = places % len(self)
        if self._resident is not None:
            found = self._resident[torch.from_numpy(inside).to(self.device)].long()
        else:
            found = torch.from_numpy(self._mapped[inside].astype(np.int64)).to(self.device)
        return found.masked_fill_(torch.from_numpy(places < 0).to(self.device), self.end) if places.min() < 0 else found


class TextBatches:
    """Training batches (tokens [B, window], the next ones [B, window], what is carried on ...) of a text.

    An epoch is floor(floor(n / window) / batch_size) steps. It goes around the text from a token that is drawn anew. In
    contiguous order each place of the batch has a stretch of it; what the network carries from one window to the next
    begins anew with each epoch. Shuffled, the windows are in an order drawn anew.

    part: the places of each global batch that this process takes; None for all.
    """

    def __init__(
        self, text: Held, window: int, batch_size: int, shuffled: bool, order_seed: int, part: range | None = None
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(text), window, batch_size)
        self.carried: Mapping[str, Tensor] = {}
        self._text, self._window, self._shuffled, self._seed = text, window, shuffled, order_seed
        self._size, self._part = batch_size, checked_part(part, batch_size)
        self._epoch = -1

    def batch(self, step: int, model: torch.nn.Module | None = None) -> tuple[Tensor, ...]:
        """Return this process's part of a step's batch.

        model: whose state is carried on; without one nothing is.
        """
        tokens = self._text.windows(self._starts(step), self._window + 1)
        windows = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        if self._shuffled or model is None:
            return windows
        if step % self.steps_per_epoch == 0 or not self.carried:
            self.carried = named(beginning(model, len(tokens)))
        return *windows, *unnamed(self.carried)

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        self.carried = dict(carried)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""

    def _starts(self, step: int) -> list[int]:
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._first = epoch, int(draws(self._seed, epoch, 1)[0] % np.uint64(len(self._text)))
            if self._shuffled:
                self._order = permutation(self._seed, epoch, self.steps_per_epoch * self._size)
        if self._shuffled:
            chosen = self._order[index * self._size :][self._part.start : self._part.stop].tolist()
            return [self._first + int(number) * self._window for number in chosen]
        stretch = self.steps_per_epoch * self._window
        return [self._first + place * stretch + index * self._window for place in self._part]


def steps_per_epoch(tokens: int, window: int, batch_size: int) -> int:
    """Return the steps of an epoch. Raise ConfigError where that is none."""
    found = tokens // window // batch_size
    if not found:
        raise ConfigError(
            f"Text.batch_size = {batch_size}, Text.window = {window}: a step takes {batch_size * window:,} tokens, and "
            f"there are {tokens:,} to train on; give fewer"
        )
    return found


def measured_windows(text: Held, window: int, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (tokens [rows, <= window], the next ones) of a part, so that each of its tokens is foretold once.

    The part is cut into ROWS stretches, or fewer of a short one, of which a process has its share (rank, world), side
    by side; the windows of a row follow each other. Before the very first token there is an end of a line; a target
    that is none is IGNORED.
    """
    length = -(-len(text) // ROWS)
    rows = shared_out(-(-len(text) // length), share)
    for at in range(0, length, window) if rows else ():
        size = min(window, length - at)
        starts = [row * length + at for row in rows]
        targets = text.windows(starts, size)
        beyond = np.asarray(starts)[:, None] + np.arange(size) >= len(text)
        targets.masked_fill_(torch.from_numpy(beyond).to(targets.device), IGNORED)
        yield text.windows([start - 1 for start in starts], size), targets


def beginning(model: Any, rows: int) -> tuple[Tensor, ...]:
    """Return what a network that carries a state begins with, tensors [rows, ...]; nothing for one that has no
    `begin`.
    """
    begin = getattr(getattr(model, "network", model), "begin", None)  # a mask may be learned over the network
    return () if begin is None else tuple(begin(rows))


def named(state: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return a state's tensors by names that sort in their order."""
    return {f"state{number:02}": tensor for number, tensor in enumerate(state)}


def unnamed(carried: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the tensors of a state that is `named`, in their order."""
    return tuple(carried[name] for name in sorted(carried))
