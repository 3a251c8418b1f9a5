"""Capturing a step, with a stand-in for CUDA: one stream, no garbage collection within, memory given back."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from lth_ray.training.compiled import captured as capturing
from lth_ray.training.compiled.captured import REHEARSALS, Captured, captured
from tests.training.setups import Setting

GPU = torch.device("cuda", 0)


class Cuda:
    """As much of torch.cuda as capturing asks of it; notes what it is asked for."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        self.events: list[str] = []

    def Stream(self, device: torch.device) -> Any:  # noqa: N802
        self.streams.append(Waiting())
        return self.streams[-1]

    def CUDAGraph(self) -> Any:  # noqa: N802
        return Graph(self.events)

    @contextmanager
    def graph(self, graph: Any, stream: Any, capture_error_mode: str) -> Iterator[None]:
        assert stream is self.streams[-1]
        assert not gc.isenabled()
        assert capture_error_mode == "thread_local"
        self.events.append("capture")
        yield

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        yield

    def current_stream(self) -> Any:
        return Waiting()


class Waiting:
    def wait_stream(self, other: Any) -> None:
        pass


class Graph:
    def __init__(self, events: list[str]) -> None:
        self.events = events

    def replay(self) -> None:
        self.events.append("replay")

    def reset(self) -> None:
        self.events.append("reset")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    made = Cuda()
    monkeypatch.setattr(torch, "cuda", made)
    capturing.side_stream.cache_clear()
    yield made
    capturing.side_stream.cache_clear()


def test_captures_share_a_stream_collect_garbage_before_and_leave_the_state_as_it_was(cuda: Cuda) -> None:
    value = torch.zeros(2)
    replays = [captured(lambda: value.add_(1), [value], GPU) for _ in range(2)]  # type: ignore[arg-type, return-value]
    assert len(cuda.streams) == 1
    assert gc.isenabled()
    assert value.tolist() == [2, 2]  # once in each capture, which a GPU would not carry out
    assert REHEARSALS > 0
    replays[0]()
    replays[0].end()
    assert cuda.events == ["capture", "capture", "replay", "reset"]


def test_garbage_is_collected_before_a_capture(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: cuda.events.append("collect"))
    captured(lambda: None, [], GPU)
    assert cuda.events == ["collect", "capture"]


def test_a_segment_s_end_gives_back_its_graph(setting: Any, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    from lth_ray.training import segment as segments

    graph = Graph(cuda.events)
    monkeypatch.setattr(segments, "fuse", lambda run: None)
    monkeypatch.setattr(segments, "capture", Captured)
    monkeypatch.setattr(capturing, "captured", lambda step, *_: capturing.Replay(step, graph))
    made: Setting = setting("lenet_30_20", momentum=0.9)
    pauses = made.pauses(made.begin(), 4)
    first = next(pauses)
    assert first.run.stepper.replay is not None
    assert cuda.events == []
    pauses.close()  # type: ignore[attr-defined]
    assert cuda.events == ["reset"]
    assert first.run.stepper.replay is None
