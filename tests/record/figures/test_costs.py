"""Ways of finding tickets against the training that one takes."""

from typing import Any

import pytest

from lth_ray.record.figures import costs_figure
from tests.record.figures.setups import SEEDS, Row, frame, legend, names, overlaps, row

DENSE = {"train_steps": 100, "train_bits": 32, "inference_flops": 5.0}


def of(arm: str, costs: Any, **fields: Any) -> list[Row]:
    """A way: what its tickets cost by round, in dense trainings of 1,000 operations."""
    found = []
    for number, cost in enumerate(costs):
        own = {"search_bits": 32, **fields} if number else {}
        for seed in SEEDS:
            key, spent = f"{arm if number else 'dense'}/{seed}/{number}", 1000.0 * cost + seed * (number > 0)
            told = DENSE | own | {"key": key, "ticket_flops": spent, "test_accuracy": 0.9 - 0.01 * number}
            found.append(row(seed, number, arm=arm, **told))
    return found


WAYS = [
    *of("iterative", [1, 2, 2.8, 3.4, 3.9]),
    *of("one_shot", [1, 1.8, 1.6, 1.5, 1.4]),
    *of("low", [1, 2, 2.8, 3.4, 3.9], search_bits=8),
]


def test_ways_stand_at_what_their_tickets_cost() -> None:
    early = of("snip", [0, 0.8, 0.6, 0.5, 0.4])
    early = [one | ({"key": f"none{one['seed']}", "train_steps": 0} if one["round"] == 0 else {}) for one in early]
    figure = costs_figure(frame([*WAYS, *early]), "costs")
    assert figure is not None
    assert names(figure) == ["80 % of weights", "51.2 % of weights", "41 % of weights"]
    ways = ["iterative", "one shot", "low, 8 bit search", "snip"]
    assert legend(figure) == ["dense, 95 % t-interval", *(f"{way} (n = 3)" for way in ways)]
    points = {str(line.get_label()): line.get_xydata()[0] for line in figure.axes[-1].lines}
    for way, cost in zip(ways, (3.9, 1.4, 3.9, 0.4), strict=True):
        x, y = points[f"{way} (n = 3)"]
        assert x == pytest.approx(cost + 0.001)  # the mean over seeds
        assert y == pytest.approx(86)
    [dense] = [line for line in figure.axes[0].lines if line.get_label() == "dense, 95 % t-interval"]
    assert dense.get_ydata() == pytest.approx([90, 90])
    assert not list(overlaps(figure))


@pytest.mark.parametrize(
    "rows",
    [
        WAYS[:15],  # one way
        [*WAYS[:15], *of("same", [1, 2, 2.8, 3.4, 3.9])],  # at one cost
        [one | ({"inference_flops": 6.0} if one["arm"] == "low" else {}) for one in WAYS],  # another network
        [one | ({"key": one["arm"] + one["key"]} if one["round"] == 0 else {}) for one in WAYS],  # other dense networks
        [{**one, "ticket_flops": None} for one in WAYS],
    ],
    ids=["one way", "one cost", "other networks", "other dense networks", "no costs"],
)
def test_there_is_none_where_costs_do_not_compare(rows: list[Row]) -> None:
    assert costs_figure(frame(rows)) is None


def test_one_seed_has_no_interval_to_tell_of() -> None:
    figure = costs_figure(frame([one for one in WAYS if one["seed"] == SEEDS[0]]))
    assert figure is not None
    assert legend(figure)[0] == "dense"
