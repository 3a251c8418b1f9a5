"""Structured tickets trained side by side: each is what it is alone."""

from typing import Any

import pytest

from lth_ray.config import ConfigError, RandomReinit
from lth_ray.lottery import load_ticket, make_plan
from tests.lottery.test_structured import SHORT, channels, counts

PAIR = {**SHORT, "prune": channels(rounds=1), "train.replicates": 2}


def test_replicates_of_structured_tickets_are_masked_and_each_is_its_single_run(lab: Any) -> None:
    """The rule: what is trained together is of one shape, so that no smaller network takes the masked one's place."""
    fields = {"seeds": [0, 1], "branches": [RandomReinit()]}
    together = lab.run(lab.study(PAIR, **fields))
    alone = lab.run(lab.study({**PAIR, "train.replicates": 1, "train.backend": "eager"}, **fields))
    assert not together.failures
    assert together.contents == alone.contents
    rows = [*together.tickets, *together.branches]
    assert {row["backend"] for row in rows} == {"replicated-fp32"}
    assert len(rows) == 2 * 2 + 2
    for lineage in (0, 1):
        ticket = load_ticket(together.key(1, lineage), together.store.uri)
        assert sum(counts(ticket).values()) == 10
    with pytest.raises(ConfigError, match=r"Train.backend = 'shrunk' with Train.replicates = 2"):
        make_plan(lab.study({**PAIR, "train.backend": "shrunk"}))
