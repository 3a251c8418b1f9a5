"""Two live runs of one study write to one MLflow."""

from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.record import destination, tracking
from lth_ray.record.tracking import Tracking
from lth_ray.store import Store


def test_two_live_runs_of_a_study_make_no_run_twice(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read MLflow before anything was in it; one of them dies between its claim and what it claimed."""
    fill(recorded_store, plan)
    monkeypatch.setattr(tracking, "live_runs", lambda *_: ["one", "another"])
    where = destination(recorded_store.uri, None)
    first, second = (Tracking(plan, recorded_store, where) for _ in range(2))
    lineage = plan.lineages[0]
    assert [first.ticket(lineage, 0), second.ticket(lineage, 0)] == [True, False]
    assert [second.ticket(lineage, 1), first.ticket(lineage, 1)] == [True, False]
    assert [len(database.runs(kind)) for kind in ("lineage", "ticket")] == [1, 2]
    monkeypatch.setattr(tracking, "CLAIM_S", 0.2)
    with monkeypatch.context() as dying:
        dying.setattr(first, "_create", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            first.ticket(lineage, 2)
    assert second.ticket(lineage, 2)
    assert len(database.runs("ticket")) == 3
