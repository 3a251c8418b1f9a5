"""The board, the readers and the last checkpoints, with a stand-in for Ray's handles."""

import time
from typing import Any

import pytest

from lth_ray.running import notices
from lth_ray.running.notices import Draining, Notices, Reader, last_checkpoints
from lth_ray.running.settings import Settings


class Handle:
    """As much of an actor's handle as is used: calls happen at once, and `get` gives what they returned."""

    def __init__(self) -> None:
        self.board = Notices.__ray_metadata__.modified_class()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.board, name)
        return type("Method", (), {"remote": staticmethod(method)})


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Handle:
    monkeypatch.setattr(notices.ray, "get", lambda value, timeout=None: value)
    monkeypatch.setattr(notices, "POLL_S", 0.01)
    return Handle()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_training_is_asked_once_and_answers_when_its_checkpoint_is_written(handle: Handle) -> None:
    with Settings(store=None, places={}, notices=handle).clock("segment") as clock:  # type: ignore[arg-type]
        clock.begin(0)
        until(lambda: handle.board.asked)
        assert not clock.due(1)
        clock.written()  # a checkpoint that nobody asked for is no answer
        assert not handle.board.answered
        handle.board.give()
        until(clock.notices)
        assert [clock.due(2), clock.due(3)] == [True, False]
        assert handle.board.awaited() == 1
        clock.written()
        assert handle.board.awaited() == 0


def test_the_board_hears_where_a_training_is(handle: Handle) -> None:
    with Settings(store=None, places={}, notices=handle).clock("segment") as clock:  # type: ignore[arg-type]
        until(lambda: handle.board.at_work() == {"segment": None})  # it has not begun
        clock.begin(500)
        until(lambda: handle.board.at_work() == {"segment": 500})
        clock.due(564)
        until(lambda: handle.board.at_work() == {"segment": 564})
        handle.board.asked["lost"] = time.monotonic() - notices.SILENT_S - 1
        assert "lost" not in handle.board.at_work()
    assert handle.board.at_work() == {}


def test_what_is_trained_together_is_heard_of_and_answers_once(handle: Handle) -> None:
    with Settings(store=None, places={}, notices=handle).clock("one", "two", "three") as clock:  # type: ignore[arg-type]
        clock.begin(7)
        until(lambda: handle.board.at_work() == {"one": 7, "two": 7, "three": 7})
        handle.board.give()
        assert handle.board.awaited() == 1
    assert handle.board.at_work() == {}


def test_a_training_that_ended_is_not_waited_for(handle: Handle) -> None:
    reader = Reader(handle, "gone")
    with reader.reading():
        until(lambda: handle.board.asked)
    handle.board.give()
    assert handle.board.awaited() == 0
    handle.board.read("silent")
    assert handle.board.awaited() == 1
    handle.board.asked["silent"] -= notices.SILENT_S + 1
    assert handle.board.awaited() == 0


def test_the_last_checkpoints_are_waited_for_and_not_for_ever(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    handle.board.read("quick")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            handle.board.answer("quick", 1)

    last_checkpoints(handle, sleep)
    assert len(slept) == 3
    monkeypatch.setattr(notices, "WAIT_S", 0.05)
    began = time.monotonic()
    last_checkpoints(handle, time.sleep)  # nobody answers the second one
    assert 0.05 <= time.monotonic() - began < 1


def test_a_lost_cluster_does_not_keep_a_driver(monkeypatch: pytest.MonkeyPatch, handle: Handle) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(notices.ray, "get", lost)
    last_checkpoints(handle, time.sleep)


def test_each_node_that_is_being_drained_is_news_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: dict[str, int] = {}
    monkeypatch.setattr(notices, "draining_nodes", lambda: set(nodes))
    draining = Draining()
    assert not draining.news()
    nodes["a"] = 0
    assert [draining.news(), draining.news()] == [True, False]
    nodes["b"] = 5
    assert draining.news()
    nodes.clear()
    assert not draining.news()
