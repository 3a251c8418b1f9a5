"""Retraining methods: from which weights, at which rates and data positions, for how many steps."""

from typing import Any

import pytest
import torch

from lth_ray import models
from lth_ray.config import Rewind, steps
from lth_ray.data import Batches
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.store import Store
from lth_ray.training import segment as training_segment

SGD = {"train.optimizer": "sgd", "train.lr": 0.1, "train.momentum": 0.9}
DECAYING = {**SGD, "train.milestones": [steps(20), steps(30)], "train.warmup": steps(5)}


@pytest.fixture
def positions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The data positions that training asks for."""
    asked: list[int] = []
    original = Batches.batch

    def batch(self: Any, step: int, model: object = None) -> Any:
        asked.append(step)
        return original(self, step)

    original_positions = Batches.positions

    def positions(self: Any, step: int, number: int) -> Any:
        found = original_positions(self, step, number)
        asked.extend(range(step, step + len(found)))
        return found

    monkeypatch.setattr(Batches, "batch", batch)
    monkeypatch.setattr(Batches, "positions", positions)
    return asked


SPANS = {"weights": (10, 40), "learning_rate": (10, 40), "fine_tune": (40, 70)}


@pytest.mark.parametrize(("method", "span"), SPANS.items())
def test_steps_rates_and_data_positions(lab: Any, positions: list[int], method: str, span: tuple[int, int]) -> None:
    ran = lab.run(lab.study(DECAYING, rewind=[Rewind(steps(10), method=method)]))
    assert positions == [*range(40), *range(*span), *range(*span)]
    for number in (1, 2):
        record = ran.store.segment(ran.key(number))
        assert (record["first"], record["last"]) == span
        rates = dict(zip(record["journal"]["step"], record["journal"]["lr"], strict=True))
        expected = {20: 0.1, 30: 0.01, 40: 0.001} if method != "fine_tune" else dict.fromkeys((50, 60, 70), 0.001)
        assert rates == pytest.approx(expected)
    assert ran.tickets[2]["train_steps"] == 30


def test_learning_rate_and_fine_tune_go_on_from_final_weights(lab: Any) -> None:
    points = [Rewind(steps(10), method=method) for method in ("learning_rate", "fine_tune")]
    plan = make_plan(lab.study(rewind=points))
    for lineage in plan.lineages:
        for before, after in zip(lineage.rounds, lineage.rounds[1:], strict=False):
            start = after.segment.start
            assert (start.trajectory, start.step) == (before.segment.trajectory, before.segment.last)
            assert after.segment.mask.of == before.segment.key


def test_continue_prunes_without_rewinding_and_retrains_each_ticket_from_the_point(lab: Any) -> None:
    points = [Rewind(steps(10), method=method) for method in ("learning_rate", "continue", "weights")]
    ran = lab.run(lab.study({"prune.rounds": 3}, rewind=points))
    searching, continuing, rewinding = ran.plan.lineages
    # searches of rounds 1 and 2 are learning_rate's tickets, the ticket of round 1 is the rewound one
    assert ran.steps == ran.plan.unique_steps == 40 + 30 * (3 + 3 + 2)
    assert [r.search.key for r in continuing.rounds[1:3]] == [r.segment.key for r in searching.rounds[1:3]]
    assert continuing.rounds[3].search is None
    assert continuing.rounds[1].segment.key == rewinding.rounds[1].segment.key
    for number in (1, 2, 3):
        searched = load_ticket(searching.rounds[number].segment.key, ran.store.uri)
        ticket = load_ticket(continuing.rounds[number].segment.key, ran.store.uri)
        assert all(torch.equal(ticket.mask[name], searched.mask[name]) for name in ticket.mask)
        rewound = load_ticket(rewinding.rounds[number].segment.key, ran.store.uri)
        for name, kept in ticket.mask.items():
            both = kept & rewound.mask[name]
            assert torch.equal(ticket.rewind_state[name][both], rewound.rewind_state[name][both])


def test_a_lineage_alone_trains_no_search_that_nothing_is_pruned_from(lab: Any) -> None:
    ran = lab.run(lab.study(rewind=[Rewind(steps(10), method="continue")]))
    assert ran.steps == ran.plan.unique_steps == 40 + 30 * (2 + 1)
    one_shot = lab.run(lab.study({"prune.one_shot": True}, rewind=[Rewind(steps(10), method="continue")]), "one_shot")
    assert one_shot.steps == 40 + 30 * 2


def test_a_restored_optimizer_starts_from_step_k_with_no_momentum_of_pruned_weights(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    original = training_segment.begin

    def begin(*args: Any) -> Any:
        run = original(*args)
        state = {name: run.optimizer.state[p].get("momentum_buffer") for name, p in run.model.named_parameters()
                 if p in run.optimizer.state}  # fmt: skip
        begun.append({name: None if value is None else value.clone() for name, value in state.items()})
        return run

    monkeypatch.setattr(training_segment, "begin", begin)
    points = [Rewind(steps(k), optimizer=optimizer) for k in (0, 20, 40) for optimizer in ("fresh", "restored")]
    ran = lab.run(lab.study({**SGD, "prune.rounds": 1}, rewind=points))
    assert not ran.failures
    by_id = {lineage.id: lineage for lineage in ran.plan.lineages}
    # at the ends of training there is no optimizer state: restored is fresh
    assert by_id["restored/k0/seed0"].rounds[1].segment.key == by_id["k0/seed0"].rounds[1].segment.key
    assert by_id["restored/k40/seed0"].rounds[1].segment.key == by_id["k40/seed0"].rounds[1].segment.key
    restored = by_id["restored/k20/seed0"].rounds[1].segment
    assert restored.key != by_id["k20/seed0"].rounds[1].segment.key
    momenta = [state for state in begun if any(value is not None for value in state.values())]
    assert len(momenta) == 1
    mask = load_ticket(restored.key, ran.store.uri).mask
    dense = lab.store().load_state(restored.start.trajectory, 20, with_optimizer=True)
    names = [name for name, _ in momenta[0].items()]
    for index, name in enumerate(names):
        kept = mask.get(name, torch.ones(()).bool())
        stored = dense.optimizer["state"][index]["momentum_buffer"]
        assert torch.equal(momenta[0][name], stored * kept)
        assert (momenta[0][name] != 0).any()


@pytest.mark.parametrize("method", ["learning_rate", "fine_tune", "continue"])
def test_final_weights_come_with_their_own_optimizer(lab: Any, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Momentum at the start of a round is that at the end of the one before, 0 for pruned weights."""
    ended: dict[str, Any] = {}
    begun: list[Any] = []
    original = training_segment.begin

    def begin(*args: Any) -> Any:
        run = original(*args)
        begun.append([v["momentum_buffer"].clone() for v in run.optimizer.state.values() if "momentum_buffer" in v])
        return run

    monkeypatch.setattr(training_segment, "begin", begin)
    study = lab.study(
        {**SGD, "prune.rounds": 2}, rewind=[Rewind(steps(20), method=method, optimizer="restored")], keep="rewind"
    )
    dense = make_plan(study).lineages[0].dense
    saved = Store.save_state

    def save_state(store: Any, trajectory: str, step: int, model: Any, optimizer: Any = None) -> str:
        if optimizer is not None:
            ended[trajectory, step] = optimizer["state"]
        return saved(store, trajectory, step, model, optimizer)

    monkeypatch.setattr(Store, "save_state", save_state)
    ran = lab.run(study)
    assert not ran.failures
    last = ended[dense.trajectory, 40]
    start = ran.plan.lineages[0].rounds[1]
    mask = load_ticket(start.segment.key, ran.store.uri).mask
    names = [name for name, _ in models.build("lenet_20_10", 10, (1, 8, 8)).named_parameters()]
    expected = [last[i]["momentum_buffer"] * mask.get(name, torch.ones(()).bool()) for i, name in enumerate(names)]
    assert any(len(found) == len(expected) and all(map(torch.equal, found, expected)) for found in begun)
    assert lab.run(study).steps == 0
    fresh = lab.run(lab.study({**SGD, "prune.rounds": 2}, rewind=[Rewind(steps(20), method=method)]), "fresh")
    assert fresh.tickets[0]["content"] == ran.tickets[0]["content"]
    assert fresh.tickets[2]["content"] != ran.tickets[2]["content"]


def test_later_restored_points_are_made_with_their_optimizer(lab: Any) -> None:
    lab.run(lab.study(SGD, rewind=[steps(10)]))
    study = lab.study(SGD, rewind=[steps(10), Rewind(steps(25), optimizer="restored")])
    ran = lab.run(study)
    assert ran.steps == ran.plan.remaining_steps == 15 + 2 * 15
    assert ran.contents == lab.whole(study).contents


def test_masks_may_come_from_averaged_weights(lab: Any) -> None:
    averaged = {"train.ema_decay": 0.9, "prune.rounds": 1}
    ran = lab.run(lab.study(averaged, rewind=[steps(0)]))
    by_average = lab.run(lab.study({**averaged, "train.ema_for": "evaluation_and_pruning"}, rewind=[steps(0)]))
    assert not ran.failures
    assert not by_average.failures
    first, second = (load_ticket(one.key(1), one.store.uri).mask for one in (ran, by_average))
    assert any((first[name] != second[name]).any() for name in first)
    dense = by_average.store.load_state(by_average.plan.lineages[0].dense.trajectory, 40).model
    for name, kept in second.items():
        average = dense["averages." + name.replace(".", "/")].abs()
        assert average[kept].min() >= average[~kept].max()
