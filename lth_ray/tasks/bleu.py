"""BLEU of a corpus (Papineni et al. 2002) by sacrebleu (Post 2018), from counts that add up over batches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import ConfigError


def counts(translations: Sequence[str], references: Sequence[str]) -> Tensor:
    """Return float64 [10]: n-grams of translations that are in their references, n-grams of translations, for n from 1
    to 4 each, and the tokens of translations and of references.
    """
    found = _sacrebleu().BLEU().corpus_score(list(translations), [list(references)])
    return torch.tensor([*found.counts, *found.totals, found.sys_len, found.ref_len], dtype=torch.float64)


def score(counted: Tensor) -> float:
    """Return the BLEU, from 0 to 100, of summed `counts`."""
    numbers = [round(number) for number in counted.tolist()]
    settings = _sacrebleu().BLEU()
    found = settings.compute_bleu(
        numbers[:4], numbers[4:8], *numbers[8:], smooth_method=settings.smooth_method, max_ngram_order=4
    )
    return float(found.score)


def check_installed() -> None:
    """Raise ConfigError where sacrebleu is not installed."""
    _sacrebleu()


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise ConfigError('BLEU needs the library sacrebleu: pip install "lth_ray[text]"') from None
    return metrics
