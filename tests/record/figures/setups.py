"""Rows like those of a study, and what a figure says; nothing is trained or measured here."""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import pandas
from matplotlib.figure import Figure

Row = dict[str, Any]
SEEDS = range(3)


def row(seed: int, number: int, branch: str = "", arm: str = "", step: int = 0, **fields: Any) -> Row:
    lineage = "/".join(part for part in (arm, f"k{step}", f"seed{seed}") if part)
    key = hashlib.sha256(f"{lineage}/{number}/{branch}/{fields}".encode()).hexdigest()
    given = {
        "lineage": lineage, "arm": arm, "method": "weights", "seed": seed, "rewind_step": step, "round": number,
        "remaining_weights": 0.8**number, "key": key,
        "test_accuracy": None, "early_stop_step": None, "test_accuracy_at_early_stop": None, "diverged_at": None,
    }  # fmt: skip
    return {**given, **({"branch": branch, "index": 0} if branch else {}), **fields}


def frame(rows: list[Row]) -> pandas.DataFrame:
    return pandas.DataFrame(rows)


def barriers(rounds: tuple[int, ...] = (0, 4), steps: tuple[int, ...] = (0, 100, 2000), arms: Any = ("",)) -> list[Row]:
    return [
        row(
            seed, number, f"{host}barrier", arm, step, spawn_step=step, pair="0-1", batch_norm="stored",
            lmc_error_barrier=0.6 * math.exp(-step / 300), lmc_train_error_barrier=0.5, share_travelled=0.4,
        )
        for arm in arms for host in ("", "random_mask-0/") for number in rounds for step in steps for seed in SEEDS
        if number or not host
    ]  # fmt: skip


def weights(arms: tuple[str, ...] = ("",)) -> list[Row]:
    return [
        row(
            seed, number, "weights", arm, kept_weights=80, moved_kept=0.2, moved_pruned=0.1, sign_flipped=0.1,
            moved_from_zero=0.7,
        )
        for arm in arms for number in range(1, 8) for seed in SEEDS
    ]  # fmt: skip


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def names(figure: Figure) -> list[str]:
    return [panel.get_title(loc="left") for panel in figure.axes if panel.axison]


def overlaps(figure: Figure) -> Iterator[tuple[str, str]]:
    """Words of the figure that print over each other."""
    figure.draw_without_rendering()
    texts = [*figure.texts]
    for panel in figure.axes:
        if panel.axison:
            texts += [panel.title, panel._left_title, panel.xaxis.label, panel.yaxis.label]  # type: ignore[attr-defined]
            low, high = sorted(panel.get_xlim())
            texts += [tick for tick in panel.get_xticklabels() if low <= tick.get_position()[0] <= high]
    for box in [*figure.legends, *(panel.get_legend() for panel in figure.axes)]:
        texts += box.get_texts() if box else []
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text().strip()]
    for i, (one, box) in enumerate(boxes):
        for other, further in boxes[i + 1 :]:
            if box.padded(-1.5).overlaps(further.padded(-1.5)):
                yield one, other
