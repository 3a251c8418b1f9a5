"""Tickets whose mask cuts the network in two: they are trained, recorded and shown."""

from typing import Any

import pytest

from lth_ray.config import Data, Model, Prune, Scoring, steps
from lth_ray.record.report.making import report


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train.backend": "eager"},
        {"train.replicates": 2},
        {"model": Model("lenet_300_100"), "prune.remaining": [0.5, 0.0002]},
    ],
    ids=["compiled", "eager", "replicated", "sparse"],
)
def test_a_ticket_that_is_cut_is_a_result(lab: Any, changes: dict[str, Any]) -> None:
    """Inverted magnitudes by single weights: paths are soon broken."""
    rule = Prune("magnitude", at=steps(0), scope="global", remaining=[0.5, 0.002], scoring=Scoring(invert=True))
    ran = lab.run(lab.study({"prune": rule, "train.length": steps(20), **changes}))
    assert not ran.failures
    dense, half, cut = ran.tickets
    assert dense["cut"] is dense["empty_layers"] is None
    assert (half["cut"], half["empty_layers"]) == (False, 0)
    assert cut["cut"] is True
    assert cut["train_steps"] == 20
    assert cut["diverged_at"] is None
    assert 0 < cut["test_accuracy"] < 0.2
    assert cut["max_compression"] == pytest.approx((64 * 20 + 200 + 100) / 3 if "model" not in changes else 50200 / 3)


def test_reports_say_so(lab: Any) -> None:
    rule = Prune("snip", at=steps(0), remaining=[0.5, 0.1, 0.01, 0.002], whole_dense=True)
    arms = {"snip": {}, "synflow": {"prune.criterion": "synflow", "prune.iterations": 50}}
    ran = lab.run(lab.study({"prune": rule, "train.length": steps(5)}, arms=arms, seeds=[0, 1]))
    collapsed = [row for row in ran.tickets if row["empty_layers"]]
    assert {row["arm"] for row in collapsed} == {"snip"}
    made = report(ran.plan, ran.store)
    assert f"Tickets with a layer that keeps no weight: {len(collapsed)}; cut in two" in made.markdown
    assert "## Layer collapse" in made.markdown
    assert any(path.endswith("collapse.svg") for path in made.figures)


def test_convolutions_too(lab: Any) -> None:
    """In channels_last with batch norm, whose compiled steps see a channel without variance."""
    rule = Prune("magnitude", at=steps(0), scope="global", remaining=[0.003], scoring=Scoring(invert=True))
    changes = {"prune": rule, "train.length": steps(2), "train.channels_last": True, "train.evaluate_every": steps(2)}
    ran = lab.run(
        lab.study({**changes, "model": Model("cifar_resnet8_4"), "data": Data("digits", batch_size=60, validation=200)})
    )
    (_, cut) = ran.tickets
    assert cut["diverged_at"] is None
    assert cut["empty_layers"] > 0
