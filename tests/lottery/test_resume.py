"""Interrupted anywhere and run again: the same results, and no step further back than the last checkpoint twice."""

import importlib
from typing import Any

import pytest

from lth_ray.config import RandomMask, steps
from lth_ray.store import Store

SHORT = {"train.length": steps(20), "train.evaluate_every": steps(5), "prune.rounds": 1}
STUDY = {"rewind": [steps(0), steps(5)], "branches": [RandomMask(rounds=[1])]}
TOTAL = 20 + 2 * (20 + 15)


@pytest.mark.parametrize("at", [1, 5, 19, 20, 21, 37, 66, TOTAL])
def test_a_run_killed_at_any_step_goes_on_from_its_checkpoint(lab: Any, at: int) -> None:
    study = lab.study({**SHORT, "data.augment": "crop_flip", "data.augment_padding": 1}, **STUDY)
    before = lab.interrupted(study, at, every_s=0)
    ran = lab.run(study, every_s=0)
    assert before == at
    assert before + ran.steps == TOTAL + 1  # a checkpoint at every step: the one that it was killed in
    assert not ran.failures
    assert ran.contents == lab.whole(study).contents
    assert not list(ran.store.list("checkpoints"))


def test_without_a_checkpoint_only_the_segment_at_hand_is_trained_again(lab: Any) -> None:
    study = lab.study(SHORT, **STUDY)
    assert lab.interrupted(study, 37) == 37
    ran = lab.run(study)
    assert ran.steps == TOTAL - 20
    assert ran.contents == lab.whole(study).contents


def test_killed_again_and_again(lab: Any) -> None:
    study, trained = lab.study(SHORT, **STUDY), 0
    for _ in range(4):
        trained += lab.interrupted(study, 17, every_s=0)
    ran = lab.run(study, every_s=0)
    assert trained + ran.steps == TOTAL + 4
    assert ran.contents == lab.whole(study).contents


WRITES = ["publish_segment", "save_state", "save_mask", "drop_checkpoints", "save_checkpoint"]


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("passing", [1, 2])
@pytest.mark.parametrize("before", [True, False])
def test_a_run_killed_around_a_write(
    lab: Any, monkeypatch: pytest.MonkeyPatch, method: str, passing: int, before: bool
) -> None:
    study, original, passed = lab.study({**SHORT, "prune.rounds": 2}, keep="rewind"), getattr(Store, method), []

    def killed(self: Store, *args: Any) -> Any:
        passed.append(method)
        if len(passed) == passing and before:
            raise KeyboardInterrupt
        result = original(self, *args)
        if len(passed) == passing:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patched:
        patched.setattr(Store, method, killed)
        with pytest.raises(KeyboardInterrupt):
            lab.run(study, every_s=0)
    trained = lab.loop.take()
    lab.log.write_text("")
    ran = lab.run(study, every_s=0)
    # a step since the last checkpoint, and one that was trained while the interrupted one was being written
    assert 3 * 20 <= trained + ran.steps <= 3 * 20 + 2
    assert not ran.failures
    whole = lab.whole(study)
    assert ran.contents == whole.contents
    assert whole.store.list("states").keys() <= ran.store.list("states").keys()


def test_journals_do_not_show_where_training_was_interrupted(lab: Any) -> None:
    study = lab.study()
    lab.interrupted(study, 27, every_s=0)
    ran, whole = lab.run(study, every_s=0), lab.whole(study)
    for number in range(3):
        a, b = (one.store.segment(one.key(number)) for one in (ran, whole))
        assert a["journal"] == b["journal"]
        assert a["train_steps"] == b["train_steps"] == 40
        assert a["contents"] == b["contents"]


def test_going_on_in_another_environment_is_recorded(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = lab.study()
    with monkeypatch.context() as patched:
        module = importlib.import_module("lth_ray.lottery.execution.execute")
        patched.setattr(module, "environment", lambda device, world_size: {"device": "elsewhere"})
        lab.interrupted(study, 27, every_s=0)
    ran = lab.run(study)
    dense, first = (ran.store.segment(ran.key(number)) for number in (0, 1))
    assert dense["earlier_environments"] == [{"device": "elsewhere"}]
    assert dense["environment"]["device"] != "elsewhere"
    assert first["earlier_environments"] == []


def test_whoever_loses_a_race_to_publish_goes_on_from_the_published_bytes(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process trains the dense run otherwise (another machine, say) and publishes it first."""
    study = lab.study()
    other = lab.run(lab.study({"subseeds.order": 5}), "other")
    its_dense = other.plan.lineages[0].dense
    original, raced = Store.publish_segment, []

    def publish(self: Store, key: str, record: Any) -> bool:
        if not raced:
            raced.append(key)
            state = other.store.load_state(its_dense.trajectory, 40)
            digest = self.save_state(record["trajectory"], 40, state.model)
            first = {**record, "contents": {**record["contents"], "40": digest}, "content": "theirs"}
            assert original(self, key, first)
        return original(self, key, record)

    monkeypatch.setattr(Store, "publish_segment", publish)
    ran = lab.run(study)
    dense = ran.plan.lineages[0].dense
    assert ran.tickets[0]["content"] == "theirs"
    assert len([path for path in ran.store.list(f"states/{dense.trajectory}") if "/000000000040-" in path]) == 1
    theirs = other.store.load_state(its_dense.trajectory, 40)
    assert ran.store.load_state(dense.trajectory, 40).content == theirs.content
    assert not ran.failures
