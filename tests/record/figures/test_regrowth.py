"""The figure of what moving masks exchange, from the records of a study."""

import sys
from typing import Any

import numpy as np
import pytest

from lth_ray.config import ACCURACY
from lth_ray.record.figures import regrowth_figure
from lth_ray.record.report.long_tables import updates
from lth_ray.record.report.tables import framed
from tests.record.figures.setups import legend, overlaps

HISTORY = {
    "step": [0, 0, 5, 5, 10, 10], "layer": ["a", "b"] * 3, "kept": [100, 60, 100, 60, 100, 60],
    "dropped": [30, 18, 15, 9, 0, 0], "returned": [6, 0, 5, 1, 0, 0],
}  # fmt: skip


class Finished:
    """A record, as `finished_segment` returns it."""

    mask_history = HISTORY


def rows(arms: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "lineage": f"{arm}/k0/seed{seed}", "arm": arm, "method": "weights", "seed": seed, "rewind_step": 0,
            "round": number, "remaining_weights": 0.5**number, "key": f"{arm}{seed}{number}",
        }
        for arm in arms for seed in (0, 1) for number in (0, 1)
    ]  # fmt: skip


def test_exchanges_and_what_comes_back_are_summed_over_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[updates.__module__]
    monkeypatch.setattr(module, "finished_segment", lambda _, key: Finished() if key.endswith("1") else None)
    found = updates(framed(rows(("rigl", "set")), ACCURACY), object())  # type: ignore[arg-type]
    assert len(found) == 4 * 3  # the dense rounds have none
    assert list(found["step"][:3]) == [0, 5, 10]
    assert list(found["exchanged"][:3]) == pytest.approx([42 / 160, 18 / 160, 0])
    assert list(found["overlap"][:2]) == pytest.approx([6 / 48, 6 / 24])
    assert found["overlap"][2] != found["overlap"][2]  # nothing was dropped
    figure = regrowth_figure(found, "a study")
    assert figure is not None
    assert legend(figure) == ["rigl, 50 % of weights (n = 2)", "set, 50 % of weights (n = 2)"]
    left, right = figure.axes
    lines = [[line for line in panel.lines if not str(line.get_label()).startswith("_")] for panel in (left, right)]
    assert [np.asarray(line.get_xdata()).tolist() for line in lines[0]] == [[0, 5, 10]] * 2
    assert np.asarray(lines[1][0].get_ydata()).tolist() == pytest.approx([12.5, 25])
    assert not list(overlaps(figure))
    assert regrowth_figure(found[:0]) is None
