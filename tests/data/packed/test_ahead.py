"""Batches copied ahead to a GPU, with a stand-in for its streams: order, waits, and what is no batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from lth_ray.data.errors import DamagedDataset
from lth_ray.data.packed.ahead import ahead

GPU = torch.device("cuda", 0)


class Part(torch.Tensor):
    """A tensor that notes what becomes of it."""

    events: list[str]

    def to(self, device: torch.device, non_blocking: bool) -> "Part":  # type: ignore[override]
        assert device == GPU
        assert non_blocking
        self.events.append(f"copy {int(self)}")
        return self

    def record_stream(self, stream: Any) -> None:
        assert stream.name == "present"
        self.events.append(f"keep {int(self)}")


class Stream:
    def __init__(self, name: str, events: list[str]) -> None:
        self.name, self.events = name, events

    def record_event(self) -> str:
        return self.events[-1]

    def wait_event(self, event: str) -> None:
        self.events.append(f"{self.name} waits for {event}")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    @contextmanager
    def stream(one: Stream) -> Iterator[None]:
        assert one.name == "side"
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream("side", seen))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream("present", seen))
    return seen


def part(number: int, events: list[str]) -> Part:
    made = torch.tensor(number).as_subclass(Part)
    made.events = events
    return made


def test_the_next_copy_is_under_way_when_a_batch_is_given(events: list[str]) -> None:
    found = ahead(iter([(part(0, events),), (part(1, events),)]), GPU)
    assert [int(one) for one in next(found)] == [0]
    assert events == ["copy 0", "copy 1", "present waits for copy 0", "keep 0"]
    assert [int(one) for one in next(found)] == [1]
    assert events[4:] == ["present waits for copy 1", "keep 1"]
    assert next(found, None) is None


def test_an_error_is_passed_on_in_its_place(events: list[str]) -> None:
    error = DamagedDataset("a shard", "an image is damaged")
    found = list(ahead(iter([(part(0, events),), error, (part(2, events),)]), GPU))
    assert found[1] is error
    assert int(found[0][0]) == 0
    assert int(found[2][0]) == 2
    assert list(ahead(iter([]), GPU)) == []
