"""Text, of which each token is foretold from those before it: cross entropy, perplexity."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lth_ray.config import ConfigError, Text, Train
from lth_ray.config.blame import in_one_line
from lth_ray.data import Identity
from lth_ray.data.text.catalogue import find_text
from lth_ray.data.text.given import Given
from lth_ray.data.text.packed import PackedText
from lth_ray.data.text.streams import (
    IGNORED,
    Held,
    TextBatches,
    beginning,
    measured_windows,
    named,
    steps_per_epoch,
)
from lth_ray.models.huggingface.folder import found_folder
from lth_ray.models.huggingface.tokens import load_tokenizer
from lth_ray.tasks.base import Batch, Evaluation, Step, Task


@dataclass(frozen=True)
class Parts:
    """A text ready to train on.

    digest: as in Identity.
    """

    train: Held
    validation: Held | None
    test: Held
    digest: str


class LanguageModelling(Task[Text]):
    """Language modelling (config.Text). A batch is (tokens int64 [B, window], the next ones, what is carried ...).

    A network that carries a state from one window to the next has a method `begin(rows)`, which gives its first tensors
    [rows, ...]; called as network(tokens, *state) it gives (logits, state), and network(tokens) logits alone, from
    that beginning.
    """

    def __init__(self, config: Text) -> None:
        super().__init__(config)
        self.carries = config.order == "contiguous"

    def identify(self, data_root: str | Path | None = None) -> Identity:
        config, found = self.config, self._found(data_root)
        n = {name: part.tokens for name, part in found.parts.items()}
        steps_per_epoch(n["train"], config.window, config.batch_size)
        validation = n.get("validation", 0)
        if config.validation and not validation:
            raise ConfigError(
                f"Text.validation = {config.validation}: {config.name} has no validation part; give one, or 0"
            )
        return Identity(
            found.digest,
            n["train"] // config.window,
            _at_most(validation, config.validation),
            _at_most(n["test"], config.test),
            (config.window,),
            found.size,
            "int64",
        )

    def load(self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0) -> Parts:
        config, found = self.config, self._found(data_root)

        def part(name: str, most: int | None) -> Held:
            return Held(found.tokens(name)[:most], found.end, device)

        validation = None
        if "validation" in found.parts and config.validation != 0:
            validation = part("validation", config.validation)
        return Parts(part("train", None), validation, part("test", config.test), found.digest)

    def _found(self, data_root: str | Path | None) -> PackedText:
        config = self.config
        if config.tokenizer is None:
            return find_text(config, data_root)
        return find_text(config, data_root, _given(config.tokenizer, None if data_root is None else str(data_root)))

    def stream(
        self, loaded: Parts, order_seed: int, augmentation_seed: int, part: range | None = None
    ) -> TextBatches:  # fmt: skip
        config = self.config
        return TextBatches(loaded.train, config.window, config.batch_size, not self.carries, order_seed, part)

    def splits(self, loaded: Parts) -> Mapping[str, Held]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: part for name, part in found.items() if part is not None}

    def examples(self, loaded: Parts, split: Held, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        return measured_windows(split, self.config.window, share)

    def evidence(self, loaded: Parts, order: int, number: int = 0) -> Batch:
        """Return a batch in the training order, before which nothing has been read."""
        return self.stream(loaded, order, 0).batch(number)

    def loss(self, train: Train) -> Step:
        def cross_entropy(model: Any, batch: Batch) -> tuple[Any, ...]:
            tokens, targets, *state = batch
            logits, *carried = model(tokens, *state) if state else (model(tokens),)
            loss = F.cross_entropy(_flat(logits, targets), targets.flatten(), label_smoothing=train.label_smoothing)
            return loss, {}, *map(named, carried)

        return cross_entropy

    def caller(self, model: Callable[..., Any]) -> Callable[[Batch], Any]:
        state: tuple[Tensor, ...] = ()

        def call(batch: Batch) -> Any:
            nonlocal state
            state = state or (beginning(model, len(batch[0])) if self.carries else ())
            if not state:
                return model(batch[0])
            logits, state = model(batch[0], *state)
            return logits

        return call

    def sums(self, outputs: Any, batch: Batch) -> Tensor:
        """Return [sum of the tokens' cross entropies, tokens]."""
        targets = batch[1]
        logits = _flat(outputs, targets).float()
        loss = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum").double()
        return torch.stack([loss, (targets != IGNORED).sum().double()])

    def evaluation(self, sums: Tensor) -> Evaluation:
        loss, n = sums.tolist()
        mean = loss / n
        return Evaluation(mean, math.exp(mean) if mean < MOST else math.inf, int(n))

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape, dtype=torch.int64),)

    def chance(self, identity: Identity) -> float:
        """Return the perplexity of foretelling each token of the vocabulary alike."""
        return float(identity.num_classes)


@lru_cache(maxsize=2)
def _given(path: str, data_root: str | None) -> Given:
    """Return the vocabulary of a folder's tokenizer."""
    field = "Text.tokenizer"
    folder = found_folder(path, data_root, field)
    tokenizer = load_tokenizer(folder, field)
    ends = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if not tokenizer.is_fast or ends is None:
        what = "it is none of the library tokenizers" if not tokenizer.is_fast else "no token of it ends a text"
        raise ConfigError(
            f"{field} = {path!r}: {what}; give a folder with tokenizer.json, and an eos_token in tokenizer_config.json"
        )
    return Given(tokenizer.backend_tokenizer.to_str(), ends)


def try_reader(network: torch.nn.Module, identity: Identity, what: str) -> None:
    """Raise ConfigError, naming `what` the network is, where it makes no logits of tokens."""
    tokens = torch.zeros(2, *identity.input_shape, dtype=torch.int64)
    try:
        with torch.no_grad():
            found = network.eval()(tokens)
    except Exception as error:
        raise ConfigError(
            f"{what}: its forward pass fails on tokens int64 {list(tokens.shape)}: {in_one_line(error)}; {REMEDY}"
        ) from error
    finally:
        network.train()
    needed = [*tokens.shape, identity.num_classes]
    if not isinstance(found, Tensor) or list(found.shape) != needed:
        kind = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ConfigError(
            f"{what}: it makes {kind} of tokens {list(tokens.shape)}, and logits {needed} are needed; {REMEDY}"
        )


REMEDY = "give a language model, such as 'lstm_lm_2_200' or 'transformer_lm_4_256'"
MOST = 700.0  # of a log-perplexity: the exponential of more is no float64


def _at_most(n: int, most: int | None) -> int:
    return n if most is None else min(n, most)


def _flat(logits: Tensor, targets: Tensor) -> Tensor:
    """Return logits [tokens, vocabulary]."""
    return logits.flatten(0, targets.dim() - 1)
