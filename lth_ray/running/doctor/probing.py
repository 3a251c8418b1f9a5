"""A probe on every node, asked with a time limit each time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lth_ray.running import doctor
from lth_ray.running.doctor.finding import Answers, Failure
from lth_ray.running.doctor.network import PairErrors, pairs_of
from lth_ray.running.doctor.node import ALL, Probe

THREADS = 8  # of a probe, so that one hanging file system does not silence it
ROUND_TRIPS = 3
GROUP_S, PAIRS_S, GRACE_S = 10.0, 6.0, 3.0


@dataclass(frozen=True)
class Node:
    """An alive node as Ray knows it.

    resources: those it was started with.
    """

    name: str
    id: str
    address: str
    resources: Mapping[str, float]


def alive_nodes(described: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Return the nodes of ray.nodes(), named by address, and by a piece of the id too where several share
    one.
    """
    alive = [node for node in described if node["Alive"]]
    addresses = [node["NodeManagerAddress"] for node in alive]
    return sorted(
        (
            Node(
                address if addresses.count(address) == 1 else f"{address}/{node['NodeID'][:6]}",
                node["NodeID"],
                address,
                node["Resources"],
            )
            for node, address in zip(alive, addresses, strict=True)
        ),
        key=lambda node: node.name,
    )


@contextmanager
def probes(nodes: Sequence[Node]) -> Iterator[dict[str, Any]]:
    """Give {name of a node: its probe}; they hold no CPU, and end with the block.

    The code of this package travels with them, so that a node without lth_ray can say so.
    """
    cloudpickle.register_pickle_by_value(doctor)
    try:
        actor = ray.remote(num_cpus=0, max_concurrency=THREADS, max_restarts=0)(Probe)
        handles = {
            node.name: actor.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote()
            for node in nodes
        }
    finally:
        cloudpickle.unregister_pickle_by_value(doctor)
    try:
        yield handles
    finally:
        for handle in handles.values():
            ray.kill(handle)


def answers(asked: Mapping[str, Any], timeout_s: float) -> Answers:
    """Return what was answered to {node: reference} within so many seconds, and a Failure for each that was
    not.
    """
    began = time.monotonic()
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=max(0.0, timeout_s)) if asked else None
    spent = time.monotonic() - began
    return {node: _answer(reference, spent) for node, reference in asked.items()}


def _answer(reference: Any, spent_s: float) -> Any:
    done, _ = ray.wait([reference], timeout=0)
    if not done:
        return Failure(f"no answer in {spent_s:.0f} s")
    try:
        return ray.get(reference, timeout=1)
    except RayTaskError as error:
        return Failure(f"{type(error.cause).__name__}: {error.cause}" if error.cause else _first_line(error))
    except RayActorError as error:
        return Failure(_first_line(error))


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def skews(handles: Mapping[str, Any], timeout_s: float) -> dict[str, float]:
    """Return seconds by which each node's clock is ahead, less what the way there leaves uncertain; silent
    ones are left out.

    A node's time is compared with the middle of the question's round trip, of which the quickest counts.
    """
    found: dict[str, float] = {}
    for node, handle in handles.items():
        trips = []
        for _ in range(ROUND_TRIPS):
            began, start = time.time(), time.monotonic()
            clock = answers({node: handle.clock.remote()}, timeout_s)[node]
            trip_s = time.monotonic() - start
            if isinstance(clock, Failure):
                break
            trips.append((trip_s, clock - began - trip_s / 2))
        if trips:
            trip_s, ahead = min(trips)
            found[node] = 0.0 if abs(ahead) < trip_s / 2 else ahead
    return found


def talk(backend: str, nodes: Sequence[Node], handles: Mapping[str, Any]) -> tuple[Answers, PairErrors]:
    """Return (what each node says of one process group over all, what each pair says where that failed)."""
    names = [node.name for node in nodes]
    servers = _rendezvous(nodes[:1], handles)
    server = servers[names[0]]
    if isinstance(server, Failure):
        return {names[0]: server}, {}
    joined = {
        name: handles[name].join.remote(backend, server, f"{ALL}{backend}", rank, len(names), GROUP_S)
        for rank, name in enumerate(names)
    }
    whole = answers(joined, 2 * GROUP_S + GRACE_S)
    if backend != "gloo" or len(names) < 2 or not any(isinstance(a, Failure) or a for a in whole.values()):
        return whole, {}
    return whole, _pairwise(nodes, handles)


def speed(backend: str, handles: Mapping[str, Any]) -> float | None:
    """Return the 10**9 bytes a second at which the slowest node of a process group over all summed 100 MB."""
    asked = {name: handle.speed.remote(f"{ALL}{backend}") for name, handle in handles.items()}
    found = [answer for answer in answers(asked, GRACE_S).values() if isinstance(answer, float)]
    return min(found, default=None)


def _rendezvous(nodes: Sequence[Node], handles: Mapping[str, Any]) -> dict[str, tuple[str, int] | Failure]:
    """Return where process groups that begin at each node find each other."""
    ports = answers({node.name: handles[node.name].open_rendezvous.remote() for node in nodes}, GRACE_S)
    return {
        node.name: port if isinstance(port := ports[node.name], Failure) else (node.address, port) for node in nodes
    }


def _pairwise(nodes: Sequence[Node], handles: Mapping[str, Any]) -> PairErrors:
    """Let each pair meet at its first node, so that one that cannot be reached spoils only its own."""
    names = [node.name for node in nodes]
    servers = _rendezvous(nodes, handles)
    pairs = pairs_of(names)
    groups: dict[str, list[tuple[str, tuple[str, int], int]]] = {name: [] for name in names}
    for a, b in pairs:
        server = servers[a]
        if not isinstance(server, Failure):
            groups[a].append((f"{a}-{b}", server, 0))
            groups[b].append((f"{a}-{b}", server, 1))
    sides = answers({name: handles[name].pairs.remote(groups[name], PAIRS_S) for name in names}, PAIRS_S + 2 * GRACE_S)

    def side(node: str, pair: str) -> str:
        answer = sides[node]
        return answer.why if isinstance(answer, Failure) else str(answer.get(pair, "no server for it could be started"))

    return {(a, b): _plainest(side(a, f"{a}-{b}"), side(b, f"{a}-{b}")) for a, b in pairs}


def _plainest(one: str, other: str) -> str:
    """Return of two sides' errors the one that says more than that time ran out."""
    given = [why for why in (one, other) if why]
    return next((why for why in given if "time" not in why.lower()), given[0] if given else "")
