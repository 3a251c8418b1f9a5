"""The halt of a run, and the words about what waits for room."""

import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.core.generated.gcs_pb2 import PlacementGroupTableData as Group

from lth_ray.lottery import make_plan
from lth_ray.running.machine import guard as guard_module
from lth_ray.running.machine import rooms
from lth_ray.running.machine.guard import Guard, Stall
from lth_ray.running.machine.rooms import Wait
from lth_ray.store import LiveRun
from lth_ray.watching.live_lines import where
from lth_ray.watching.progress import Board
from lth_ray.watching.snapshot import from_record, to_record
from tests.running.conftest import declared

LOOKS: list[tuple[int, dict[str, int | None], bool, float, float | None]] = [
    # pieces done, steps, measuring, at, what is found
    (0, {}, False, 50, None),
    (0, {"a": None}, False, 99, None),  # a process that has begun nothing is no step
    (0, {"a": None}, False, 100, 100),
    (0, {"a": 3}, False, 110, None),
    (0, {"a": 3, "b": 9}, False, 200, None),
    (0, {}, False, 250, None),
    (0, {"a": 3}, False, 300, 100),  # it was lost, and goes on from where it was known to be
    (0, {"a": 2}, False, 310, None),
    (1, {}, False, 400, None),
    (1, {}, True, 500, None),
    (1, {}, False, 599, None),
    (1, {}, False, 600, 100),
]


def test_a_run_stalls_when_nothing_has_moved_for_so_long() -> None:
    stall = Stall(100, now=0)
    assert [stall.look(count, steps, measuring, at) for count, steps, measuring, at, _ in LOOKS] == [
        found for *_, found in LOOKS
    ]


def test_without_a_limit_it_never_stalls() -> None:
    assert Stall(0, now=0).look(0, {}, False, 1e9) is None


def group(state: int, actor: bytes, dead: bool, job: bytes = b"\x01\0\0\0", since_ms: int = 0) -> Any:
    """A placement group as Ray's table has it."""
    made = Group(state=state, creator_actor_id=actor, creator_actor_dead=dead, creator_job_id=job,
                 placement_group_id=b"\x07" * 18, placement_group_creation_timestamp_ms=since_ms)  # fmt: skip
    for _ in range(2):
        made.bundles.add().unit_resources.update({"GPU": 1.0, "CPU": 4.0})
    return made


def test_only_what_a_lost_process_holds_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[Any] = []
    monkeypatch.setattr(rooms, "remove_placement_group", removed.append)
    actor, nobody = b"\x05" * 16, b"\xff" * 16
    kept = [group(Group.CREATED, actor, False), group(Group.CREATED, nobody, True), group(Group.PENDING, b"", True)]
    assert rooms.release(kept) == 0
    assert rooms.release([*kept, group(Group.CREATED, actor, True), group(Group.PENDING, actor, True)]) == 2
    assert [one.id.hex() for one in removed] == ["07" * 18] * 2


def test_what_waits_for_room_is_described() -> None:
    waiting = group(Group.PENDING, b"\x05" * 16, False, since_ms=1_000_000)
    found = [waiting, group(Group.CREATED, b"\x05" * 16, False)]
    assert rooms.waits(found, now=1_003.0) == []  # Ray takes a moment to give what is there
    assert rooms.waits(found, now=1_060.0) == [Wait("2 x {CPU: 4, GPU: 1}", 1_000.0)]


@pytest.fixture
def board() -> Board:
    return Board(make_plan(declared()), LiveRun("small", "id", "host", 1, 0.0, 0.0))


class NoSignals:
    """Notes what would be raised in the main thread."""

    halted = None

    def halt(self, halted: Any) -> None:
        self.halted = halted


def test_a_trial_that_waits_for_room_says_what_for_and_since_when(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "lost", lambda: None)
    monkeypatch.setattr(guard_module, "answers", lambda: True)
    monkeypatch.setattr(rooms, "groups", lambda: [group(Group.PENDING, b"\x05" * 16, False)])
    monkeypatch.setattr(rooms, "free", lambda: "1 of 2 GPU")
    guard = Guard(board, NoSignals(), 600)  # type: ignore[arg-type]
    guard.needs = lambda: {"k0/seed0": Wait("2 x {CPU: 4, GPU: 1}", 0.0)}
    assert guard._look() is None
    snapshot = from_record(to_record(board.snapshot()))
    assert snapshot is not None
    (told,) = snapshot.room
    assert told.startswith("k0/seed0: 2 x {CPU: 4, GPU: 1} since ")
    assert f"waits for room: {told}" in where(snapshot)
    guard.stall.moved -= 700
    monkeypatch.setattr(guard_module.ray, "nodes", lambda: [{"Alive": True}, {"Alive": False}])
    halted = guard._look()
    assert halted is not None
    assert not halted.lost
    first, *rest = halted.reason.splitlines()
    assert first.startswith("no training has taken a step for 11 min 40 s (--stall-after-min)")
    assert rest == [f"  waits for room: {told}", "  free on 1 nodes: 1 of 2 GPU"]


def test_a_trial_that_is_staged_for_a_process_that_falls_free_waits_for_no_room(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "lost", lambda: None)
    monkeypatch.setattr(guard_module, "answers", lambda: True)
    monkeypatch.setattr(rooms, "remove_placement_group", lambda _: None)
    guard = Guard(board, NoSignals(), 600)  # type: ignore[arg-type]
    staged, workers = group(Group.PENDING, b"", True), group(Group.PENDING, b"\x05" * 16, False)
    told = []
    for found, needs in (
        ([staged], {}),
        ([staged], {"k0/seed0": Wait("1 x {CPU: 1}", time.time())}),  # it has just got its slot
        ([staged], {"k0/seed0": Wait("1 x {CPU: 1}", 0.0)}),
        ([staged, workers], {}),
    ):
        monkeypatch.setattr(rooms, "groups", lambda found=found: found)
        guard.needs = lambda needs=needs: needs  # type: ignore[misc]
        assert guard._look() is None
        told.append([text.partition(" since")[0] for text in board.snapshot().room])
    assert told == [[], [], ["k0/seed0: 1 x {CPU: 1}"], ["2 x {CPU: 4, GPU: 1}"]]


def test_ray_is_asked_nothing_once_the_guard_rests(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends the process of a thread that asks it something after it was shut down."""
    monkeypatch.setattr(guard_module, "LOOK_S", 0.01)
    monkeypatch.setattr(guard_module, "answers", lambda: True)
    monkeypatch.setattr(guard_module, "lost", lambda: None)
    asking, is_shut_down, asked_late = threading.Event(), threading.Event(), list[bool]()

    def groups() -> list[Any]:
        asking.set()
        time.sleep(0.2)  # a busy head
        asked_late.append(is_shut_down.is_set())
        return []

    monkeypatch.setattr(rooms, "groups", groups)
    with Guard(board, NoSignals(), 600) as guard:  # type: ignore[arg-type]
        guard.start(dict)
        assert asking.wait(10)
        guard.rest()
        is_shut_down.set()
        looks = len(asked_late)
        assert looks >= 1
        guard._thread.join(10)
    assert asked_late == [False] * looks


def lost_node(tmp_path: Path, code: int | None) -> Any:
    process = SimpleNamespace(process=SimpleNamespace(poll=lambda: code))
    socket = tmp_path / "session" / "sockets" / "raylet"
    return SimpleNamespace(raylet_socket_name=str(socket), all_processes={"raylet": [process]}, node_id="own")


ALIVE = {"NodeID": "own", "Alive": True}
NODES: list[tuple[bool, int | None, list[dict[str, Any]], str | None]] = [
    (True, None, [ALIVE], None),
    (False, None, [ALIVE], "its folder was removed"),
    (True, -9, [ALIVE], "its raylet has ended with -9 (the kernel kills it where memory runs out)"),
    (True, None, [{**ALIVE, "Alive": False}], "no node of the cluster is alive"),
    (True, None, [{**ALIVE, "Alive": False}, {"NodeID": "x", "Alive": True}], "the node of this driver is dead"),
]


@pytest.mark.parametrize(("there", "code", "nodes", "told"), NODES)
def test_a_ray_that_is_lost_is_known_by(
    there: bool, code: int | None, nodes: list[Any], told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = lost_node(tmp_path, code)
    if there:
        Path(node.raylet_socket_name).parent.mkdir(parents=True)
        Path(node.raylet_socket_name).touch()
    monkeypatch.setattr(guard_module, "own_node", lambda: node)
    monkeypatch.setattr(guard_module.ray, "nodes", lambda: nodes)
    found = guard_module.lost()
    assert found == told if told is None else told in str(found)


def test_a_head_that_takes_no_connections_is_lost_after_a_while(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        head.listen()
        node = SimpleNamespace(gcs_address=f"127.0.0.1:{head.getsockname()[1]}")
        monkeypatch.setattr(guard_module, "own_node", lambda: node)
        assert guard_module.answers()
    assert not guard_module.answers()
    guard = Guard(board, NoSignals(), 0)  # type: ignore[arg-type]
    assert guard._look() is None
    guard._heard -= guard_module.SILENT_S
    halted = guard._look()
    assert halted is not None
    assert halted.lost
    assert halted.reason == "Ray was lost: the head of the cluster has not answered for 20 s"
