"""load_ticket: by key and by path, for every kind of result."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.config import RandomReinit, Rewind, steps
from lth_ray.lottery import load_ticket
from lth_ray.store import StorageError


def test_a_ticket_by_key_and_by_path(lab: Any) -> None:
    ran = lab.run(lab.study(rewind=[steps(10)]))
    storage, key = ran.store.uri, ran.key(2)
    ticket = load_ticket(key, storage)
    for path in (f"{storage}/segments/{key}.json", Path(storage, "segments", f"{key}.json")):
        assert load_ticket(path).provenance == ticket.provenance
    assert ticket.provenance["content"] == ran.tickets[2]["content"]
    dense = ran.store.load_state(ran.plan.lineages[0].dense.trajectory, 10).model
    assert set(ticket.mask) == {"fc1.weight", "fc2.weight", "output.weight"}
    for name, value in ticket.rewind_state.items():
        expected = dense[name] * ticket.mask[name] if name in ticket.mask else dense[name]
        assert torch.equal(value, expected), name
    for name, kept in ticket.mask.items():
        assert kept.dtype == torch.bool
        for state in (ticket.rewind_state, ticket.trained_state):
            pruned = state[name][~kept]
            assert not pruned.any()
            assert not torch.signbit(pruned).any()
        assert not torch.equal(ticket.trained_state[name], ticket.rewind_state[name])


def test_the_dense_network_is_a_ticket_without_a_mask(lab: Any) -> None:
    ran = lab.run(lab.study(rewind=[steps(10)]))
    ticket = load_ticket(ran.key(0), ran.store.uri)
    assert ticket.mask == {}
    assert ticket.rewind_state is not None
    assert ticket.trained_state is not None


def test_what_was_not_kept_is_none(lab: Any) -> None:
    ran = lab.run(lab.study(keep="rewind", branches=[RandomReinit(rounds=[1])]))
    for key in (ran.key(1), ran.plan.branches[0].segment.key):
        ticket = load_ticket(key, ran.store.uri)
        assert ticket.trained_state is None
        assert ticket.rewind_state is not None
        assert ticket.mask


@pytest.mark.parametrize("method", ["learning_rate", "fine_tune"])
def test_final_weights_are_what_these_methods_retrain_from(lab: Any, method: str) -> None:
    ran = lab.run(lab.study(rewind=[Rewind(steps(10), method=method)]))
    first, second = (load_ticket(ran.key(number), ran.store.uri) for number in (1, 2))
    for name, kept in second.mask.items():
        assert torch.equal(second.rewind_state[name], first.trained_state[name].masked_fill(~kept, 0.0))


def test_an_unknown_key_is_named(lab: Any, tmp_path: Path) -> None:
    ran = lab.run(lab.study({"prune.rounds": 0}))
    with pytest.raises(StorageError, match="no ticket 'nonsense'"):
        load_ticket("nonsense", ran.store.uri)
    with pytest.raises(StorageError, match="no ticket"):
        load_ticket(ran.key(0), str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()
