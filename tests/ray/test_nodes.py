"""A study on several nodes, which are lost, drained and started again while it runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_ray.running.history import recorded_plan
from lth_ray.store import Store
from tests.ray.conftest import Expected, complete, losses, worlds
from tests.ray.nodes import Node, OnNodes, a_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TWO = "--workers", "2"
OFTEN = "--checkpoint-every-steps", "40", "--checkpoint-every-s", "3600"
RARE = "--checkpoint-every-s", "3600"
LOST_NODE_S = 40.0  # from its loss to the next step
NOTICE_S = 10.0  # from the notice to a checkpoint
CLOSE = 1e-5  # losses of another number of workers


@pytest.fixture
def runner(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OnNodes]:
    """Two nodes beside the head, all of them with what the test adds to the environment."""
    with a_cluster(tmp_path, 2, **getattr(request, "param", {})) as runner:
        yield runner


def dense(runner: OnNodes) -> str:
    """The key of the first training; its steps are the first that are counted."""
    runner.wait_for(lambda: bool(runner.steps), timeout_s=120)
    return next(iter(runner.steps)).split()[0]


def kept(runner: OnNodes, key: str) -> int:
    """The step from which a training would go on now."""
    paths = Store.open(str(runner.storage), writable=False)._checkpoints(key)
    return paths[0][0] if paths else 0


def again(runner: OnNodes, key: str) -> list[int]:
    """Steps of a training that were trained twice."""
    return sorted(int(line.split()[1]) for line, n in runner.steps.items() if n > 1 and line.startswith(key))


def lose(runner: OnNodes, node: Node, key: str) -> float:
    """Cuts its power; seconds until the training goes on."""
    node.cut_power()
    began, step, reached = time.monotonic(), kept(runner, key), runner.steps.total()
    took = runner.until_next_step(began, reached)
    print(f"a lost node: {took:.1f} s to the next step; from step {reached} back to {step}")
    return took


def lost_midway(runner: OnNodes, *flags: str) -> tuple[str, float]:
    """Runs the study to its end; its first training loses the node that leads it. The training's key; seconds lost."""
    process = runner.start(*flags)
    key = dense(runner)
    leading = runner.leading()
    runner.until_step(key, 130)
    took = lose(runner, leading, key)
    assert process.wait(240) == 0, runner.output[-3000:]
    return key, took


def test_two_nodes_train_what_two_processes_train(runner: OnNodes, short_of_two: Expected) -> None:
    process = runner.start(*TWO)
    dense(runner)
    assert [len(node.trainers) for node in runner.nodes.others] == [1, 1]
    assert [bool(node.processes("ray::Notices")) for node in runner.nodes.up] == [True, False, False]
    assert process.wait(240) == 0, runner.output[-3000:]
    complete(runner, short_of_two)
    assert worlds(runner) == {2}
    assert runner.trained_twice == 0


def test_a_lost_node_is_replaced_by_a_spare_one(runner: OnNodes, short_of_two: Expected) -> None:
    runner.nodes.add()
    key, took = lost_midway(runner, *TWO, *OFTEN)
    complete(runner, short_of_two)
    assert worlds(runner) == {2}
    assert again(runner, key)[0] > 80
    assert runner.trained_twice <= 50
    assert took < LOST_NODE_S


def test_a_lost_node_of_a_trial_without_workers(runner: OnNodes, short_of_one: Expected) -> None:
    key, took = lost_midway(runner, *OFTEN)
    complete(runner, short_of_one)
    assert again(runner, key)[0] > 80
    assert runner.trained_twice <= 50
    assert took < LOST_NODE_S


def test_one_worker_goes_on_where_there_is_no_spare_node(runner: OnNodes, short_of_two: Expected) -> None:
    key, took = lost_midway(runner, *TWO, "--min-workers", "1", *OFTEN)
    store = Store.open(str(runner.storage))
    record = store.segment(key)
    assert record is not None
    assert [found["world_size"] for found in (*record["earlier_environments"], record["environment"])] == [2, 1]
    found = losses(recorded_plan(store, "small"), store)
    assert found.keys() == short_of_two.losses.keys()
    for ticket, values in found.items():
        assert values == pytest.approx(short_of_two.losses[ticket], abs=CLOSE)
    assert took < LOST_NODE_S


@pytest.mark.parametrize("runner", [{"LTH_PAUSE_S": "0.06"}], indirect=True, ids=["slow steps"])
def test_a_drained_node_leaves_a_checkpoint_behind(runner: OnNodes, short_of_two: Expected) -> None:
    """As a cloud takes a spot instance back: it says so, and half a minute later ends it."""
    runner.nodes.add()
    process = runner.start(*TWO, *RARE)
    key = dense(runner)
    leading = runner.leading()
    runner.until_step(key, 30)
    assert not kept(runner, key)
    began = time.monotonic()
    runner.nodes.drain(leading, 30)
    runner.wait_for(lambda: kept(runner, key) > 0, timeout_s=60)
    took, step = time.monotonic() - began, kept(runner, key)
    print(f"a drained node: {took:.1f} s from the notice to a checkpoint, at step {step}")
    runner.until_step(key, step + 10)
    lose(runner, leading, key)
    assert process.wait(240) == 0, runner.output[-3000:]
    complete(runner, short_of_two)
    assert worlds(runner) == {2}
    assert again(runner, key)[0] == step + 1
    assert took < NOTICE_S


def test_a_new_cluster_takes_up_what_the_old_one_leaves(
    runner: OnNodes, tmp_path: Path, short_of_two: Expected
) -> None:
    """The driver and the head are lost together; the old nodes may train on for a minute, until they miss the head."""
    process = runner.start(*TWO, *OFTEN)
    key = dense(runner)
    runner.wait_for(lambda: runner.steps.total() >= 300 + 130, timeout_s=120)
    process.kill()
    runner.nodes.head.cut_power()
    process.wait()
    (later,) = {line.split()[0] for line in runner.steps} - {key}
    step = kept(runner, later)
    with a_cluster(tmp_path, 2) as after:
        assert after.run(*TWO, *OFTEN) == 0, after.output[-3000:]
        complete(after, short_of_two)
        assert not [line for line in after.steps if line.startswith(key)], "what was finished was trained again"
        assert step
        assert min((int(line.split()[1]) for line in after.steps if line.startswith(later)), default=step + 1) > step
