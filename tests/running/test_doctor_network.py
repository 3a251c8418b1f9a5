"""The network as the doctor sees it: real process groups on this machine, and conclusions from broken ones."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import pytest

from lth_ray.running.doctor import network, node
from lth_ray.running.doctor.finding import NOTE, OK, Failure
from lth_ray.running.doctor.node import Probe
from tests.running.test_doctor import SOUND

NODES = ("a", "b", "c", "d")
FACTS = dict.fromkeys(NODES, SOUND)
FAILED = dict.fromkeys(NODES, "time ran out")


def pairs(*broken: str) -> dict[tuple[str, str], str]:
    """{pair: ""}, with an error for those given, such as "ab"; all of a single letter's."""
    return {
        pair: "connection refused" if any(set(one) <= set(pair) for one in broken) else ""
        for pair in combinations(NODES, 2)
    }


def test_all_together() -> None:
    (finding,) = network.group("gloo", dict.fromkeys(NODES, ""), {}, FACTS, 4)
    assert (finding.result, finding.nodes) == ("ok", NODES)


BROKEN = {
    "one node": (pairs("c"), [("c",)], "cannot talk to any other node: connection refused"),
    "two nodes": (pairs("c", "d"), [("c",), ("d",)], "cannot talk to any other node"),
    "one pair": (pairs("bd"), [("b", "d")], "cannot talk to each other: connection refused"),
    "all": (pairs(*NODES), [(node,) for node in NODES], "cannot talk to any other node"),
    "only together": (pairs(), [()], "each two can talk, all 4 together could not"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_who_cannot_talk(case: str) -> None:
    told, nodes, found = BROKEN[case]
    findings = network.group("gloo", FAILED, told, FACTS, 4)
    assert [finding.nodes for finding in findings] == nodes
    for finding in findings:
        assert finding.result == "problem"
        assert found in finding.found
        assert "GLOO_SOCKET_IFNAME" in finding.remedy
        assert "firewall" in finding.remedy


def test_two_nodes() -> None:
    (finding,) = network.group("gloo", {"a": "x", "b": "y"}, {("a", "b"): "x"}, FACTS, 2)
    assert finding.nodes == ("a", "b")


def test_a_rank_that_advertises_loopback() -> None:
    facts = FACTS | {"c": replace(SOUND, gloo_address="127.0.0.1")}
    (finding,) = network.group("gloo", FAILED, pairs("c"), facts, 4)
    assert (finding.result, finding.nodes) == ("problem", ("c",))
    assert "tells others to connect to 127.0.0.1" in finding.found
    assert "GLOO_SOCKET_IFNAME" in finding.remedy
    assert "/etc/hosts" in finding.remedy
    one_host = network.group("gloo", FAILED, pairs("c"), facts, 1)
    assert "cannot talk" in one_host[0].found


def test_an_interface_that_is_not_there() -> None:
    facts = FACTS | {"b": replace(SOUND, gloo_interface="eth7", gloo_address="")}
    (finding,) = network.group("gloo", FAILED, pairs("b"), facts, 4)
    assert "no interface 'eth7'" in finding.found
    assert finding.nodes == ("b",)


def test_nccl_names_its_own_variable() -> None:
    (finding,) = network.group("nccl", {"a": "unhandled system error", "b": ""}, {}, FACTS, 2)
    assert (finding.check, finding.nodes) == ("nccl", ("a",))
    assert "NCCL_SOCKET_IFNAME" in finding.remedy


def test_silence_is_an_error() -> None:
    assert network.errors_of({"a": "", "b": Failure("no answer in 13 s")}) == {"a": "", "b": "no answer in 13 s"}


def test_of_many_nodes_not_every_pair_is_tried() -> None:
    assert len(network.pairs_of([str(n) for n in range(16)])) == 120
    assert len(network.pairs_of([str(n) for n in range(100)])) == 99


def join(rank: int, port: int, size: int) -> str:
    return Probe().join("gloo", ("127.0.0.1", port), "g", rank, size, 3.0)


@pytest.mark.slow
def test_a_real_group_of_two_processes() -> None:
    probe = Probe()
    port = probe.open_rendezvous()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(join, (0, 1), (port, port), (2, 2))) == ["", ""]


def test_real_groups_in_one_process() -> None:
    """A group of one, pairs at once, a partner that never comes, and a server that is not there."""
    a, b = Probe(), Probe()
    server = "127.0.0.1", a.open_rendezvous()
    assert a.join("gloo", server, "alone", 0, 1, 3.0) == ""
    with ThreadPoolExecutor(2) as threads:
        told = list(
            threads.map(lambda one: one[0].pairs([("x", server, one[1]), ("y", server, one[1])], 5.0), ((a, 0), (b, 1)))
        )
    assert told == [{"x": "", "y": ""}] * 2
    assert "time" in a.join("gloo", server, "waiting", 0, 2, 1.0)
    assert "no connection to 127.0.0.1" in a.join("gloo", ("127.0.0.1", 9), "g", 0, 1, 1.0)


def test_a_group_over_all_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "LARGE", 1000)
    a, b = Probe(), Probe()
    server = "127.0.0.1", a.open_rendezvous()
    with ThreadPoolExecutor(2) as threads:
        members = [
            threads.submit(one.join, "gloo", server, "all-gloo", rank, 2, 5.0) for rank, one in enumerate((a, b))
        ]
        assert [member.result() for member in members] == ["", ""]
    for one in (a, b):
        assert (one.speed("all-gloo") or 0) > 0
        assert one.speed("all-nccl") is None


@pytest.mark.parametrize(
    ("backend", "speed", "result"), [("nccl", 0.5, NOTE), ("nccl", 90.0, OK), ("gloo", 0.5, OK), ("nccl", None, OK)]
)
def test_what_gpus_exchange_too_slowly_is_told(backend: str, speed: float | None, result: str) -> None:
    (finding,) = network.group(backend, dict.fromkeys(NODES, ""), {}, FACTS, 4, speed)
    assert finding.result == result
    assert (f"{speed:.2g} GB/s" in finding.found) if speed else "GB/s" not in finding.found
    assert ("NCCL_SOCKET_IFNAME" in (finding.remedy or "")) is (result == NOTE)
