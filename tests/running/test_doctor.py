"""The doctor's conclusions: each check on facts in which the very thing that it looks for is broken."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle
from ray._common.utils import env_bool
from ray.train import constants
from rich.console import Console

from lth_ray.running import doctor
from lth_ray.running.doctor import checks, shared
from lth_ray.running.doctor.command import print_table
from lth_ray.running.doctor.facts import SHARING, Facts, gather, gloo_address
from lth_ray.running.doctor.finding import NOTE, OK, Failure, Finding, exit_code
from lth_ray.running.doctor.node import Probe
from lth_ray.running.doctor.probing import alive_nodes
from lth_ray.training.machine import bf16_instructions

VERSIONS = {"python": "3.12.1", "torch": "2.14.1", "ray": "2.60.0", "numpy": "2.4.6"}
SOUND = Facts(
    host="a", versions=VERSIONS, torch_cuda="13.0", torch_gpus=("H100", "H100"), driver_gpus=("H100", "H100"),
    cuda_visible=None, hides_gpus=False, temp_folder="/tmp/ray", disk_free=500 * 10**9, shm=8 * 2**30,
    compiler="/usr/bin/g++", bf16="avx512_bf16", gloo_interface="", gloo_address="10.0.0.1",
)  # fmt: skip
NO_GPU: dict[str, Any] = {"torch_cuda": None, "torch_gpus": (), "driver_gpus": ()}


def the_worst(findings: list[Finding]) -> Finding:
    return max(findings, key=lambda finding: ("ok", "note", "problem").index(finding.result))


def test_gathered_facts_describe_this_machine() -> None:
    facts = Facts(**gather())
    assert facts.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts.versions["torch"]
    assert facts.versions["lth_ray"]
    assert facts.disk_free > 0
    assert facts.bf16 == bf16_instructions()
    assert json.loads(json.dumps(gather()))["host"] == socket.gethostname()


GPUS: dict[str, tuple[dict[str, Any], float | None, str, str, str]] = {
    "sound": ({}, 2, "ok", "2 x H100", ""),
    "a laptop": (NO_GPU, None, "ok", "no GPUs", ""),
    "Ray counts none": ({}, 0, "problem", "Ray counts 0 GPUs, torch sees 2", "--num-gpus=2"),
    "Ray counts what is not there": (NO_GPU, 4, "problem", "Ray counts 4 GPUs, torch sees 0", "without --num-gpus"),
    "Ray counts too many": ({}, 3, "problem", "Ray counts 3", "--num-gpus=2"),
    "Ray counts fewer": ({}, 1, "note", "Ray counts 1", "--num-gpus=2"),
    "torch is a CPU build": (
        {"torch_cuda": None, "torch_gpus": ()}, 2, "problem", "the driver 2: torch is a CPU build", "a CUDA build",
    ),
    "the driver is too old": ({"torch_gpus": ()}, 2, "problem", "torch sees 0", "too old for CUDA 13.0"),
    "hidden": ({"torch_gpus": (), "cuda_visible": ""}, 2, "problem", "torch sees 0", "CUDA_VISIBLE_DEVICES=''"),
    "unused": ({"torch_gpus": (), "cuda_visible": "-1"}, None, "problem", "torch sees 0", "CUDA_VISIBLE_DEVICES='-1'"),
}  # fmt: skip


@pytest.mark.parametrize("case", GPUS)
def test_gpus(case: str) -> None:
    changed, counted, result, found, remedy = GPUS[case]
    (finding,) = checks.gpus({"a": replace(SOUND, **changed)}, None if counted is None else {"a": counted})
    assert (finding.result, finding.nodes) == (result, ("a",))
    assert found in finding.found
    assert remedy in finding.remedy


def test_different_models_are_a_note() -> None:
    nodes = {"a": SOUND, "b": replace(SOUND, torch_gpus=("A100", "A100"), driver_gpus=("A100", "A100"))}
    finding = checks.gpus(nodes, {"a": 2, "b": 2})[-1]
    assert finding.result == "note"
    assert "2 x A100, 2 x H100" in finding.found
    assert "one type of GPU" in finding.remedy


def test_the_odd_version_is_named() -> None:
    nodes = {"driver": VERSIONS, "a": VERSIONS, "b": VERSIONS | {"torch": "2.13.0"}, "c": VERSIONS | {"numpy": None}}
    torch, numpy = checks.versions_equal(nodes, "driver")
    assert (torch.result, torch.nodes, torch.found) == ("problem", ("b",), "torch 2.14.1, but 2.13.0 on b")
    assert (numpy.nodes, numpy.found) == (("c",), "numpy 2.4.6, but missing on c")
    assert "give every node torch 2.14.1" in torch.remedy
    (fine,) = checks.versions_equal({"driver": VERSIONS, "a": VERSIONS}, "driver")
    assert fine.result == "ok"


def test_a_tie_between_versions_goes_to_the_driver() -> None:
    (finding,) = checks.versions_equal({"a": VERSIONS | {"ray": "2.59.0"}, "driver": VERSIONS}, "driver")
    assert finding.nodes == ("a",)


def test_an_odd_driver_is_named() -> None:
    (finding,) = checks.versions_equal({"a": VERSIONS, "b": VERSIONS, "driver": VERSIONS | {"ray": "2.59.0"}}, "driver")
    assert finding.nodes == ("driver",)


NEEDS = ["torch>=2.11", "ray[default,tune]<2.61,>=2.60", "numpy>=2.0", 'moto>=5; extra == "dev"']
INSTALLED: dict[str, tuple[dict[str, str | None], str]] = {
    "sound": ({}, ""),
    "python": ({"python": "3.13.0"}, "python 3.13.0, needed >=3.11,<3.13"),
    "ray": ({"ray": "2.61.0"}, "ray 2.61.0, needed <2.61,>=2.60"),
    "missing": ({"torch": None}, "torch missing, needed >=2.11"),
    "a build's own suffix": ({"torch": "2.14.1+cu130"}, ""),
}


@pytest.mark.parametrize("case", INSTALLED)
def test_versions_installed(case: str) -> None:
    changed, found = INSTALLED[case]
    (finding,) = checks.versions_required(VERSIONS | changed, ">=3.11,<3.13", NEEDS)
    assert finding.result == ("problem" if found else "ok")
    assert found in finding.found
    assert not found or "constraints.txt" in finding.remedy


MACHINE = {
    "disk": (checks.disks, {"disk_free": 9 * 10**9}, "9.0 GB free in /tmp/ray", "RAY_TMPDIR"),
    "shm": (checks.shared_memory, {"shm": 64 * 2**20}, "only 64 MiB", "--shm-size"),
    "compiler": (checks.compilers, {"compiler": ""}, "no C++ compiler", "install g++"),
}


@pytest.mark.parametrize("case", MACHINE)
def test_what_a_machine_lacks(case: str) -> None:
    check, broken, found, remedy = MACHINE[case]
    lacking, fine = check({"a": SOUND, "b": replace(SOUND, **broken)})  # type: ignore[arg-type]
    assert (lacking.nodes, fine.nodes, fine.result) == (("b",), ("a",), "ok")
    assert lacking.result == ("note" if case == "compiler" else "problem")
    assert found in lacking.found
    assert remedy in lacking.remedy


@pytest.mark.parametrize(("given", "hides"), [(None, False), ("1", False), ("true", False), ("0", True), ("off", True)])
def test_workers_that_see_their_own_gpu_alone_are_found(
    given: str | None, hides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SHARING, raising=False)
    if given is not None:
        monkeypatch.setenv(SHARING, given)
    assert Facts(**gather()).hides_gpus is hides
    assert constants.ENABLE_SHARE_CUDA_VISIBLE_DEVICES_ENV == SHARING
    assert env_bool(SHARING, True) is not hides
    nodes = {"a": SOUND, "b": replace(SOUND, hides_gpus=hides)}
    found = checks.hidden_gpus(nodes, workers=2, gpus_per_worker=1)
    assert [(one.result, one.nodes) for one in found] == ([("problem", ("b",))] if hides else [])
    assert not checks.hidden_gpus(nodes, workers=1, gpus_per_worker=1)
    assert not checks.hidden_gpus(nodes, workers=2, gpus_per_worker=0)


def test_it_says_which_processors_have_instructions_for_bf16() -> None:
    nodes = {"a": SOUND, "b": replace(SOUND, bf16="none"), "c": replace(SOUND, bf16=None)}
    has, lacks = checks.bf16(nodes)
    assert (has.nodes, has.found) == (("a",), "avx512_bf16")
    assert (lacks.nodes, lacks.result) == (("b",), "ok")
    assert "Train(precision='bf16') is slower than 'fp32'" in lacks.found
    assert not checks.bf16({"c": nodes["c"]})


def test_shared_memory_is_not_asked_for_where_there_is_none() -> None:
    assert checks.shared_memory({"a": replace(SOUND, shm=None)})[0].result == "ok"


def test_a_clock_that_is_ahead() -> None:
    ahead, fine = checks.clocks({"a": 0.3, "b": 2.5})
    assert (ahead.result, ahead.nodes, fine.nodes) == ("problem", ("b",), ("a",))
    assert "+2.5 s" in ahead.found
    assert "chrony" in ahead.remedy


CAPACITY = {
    "fits": (4, 1.0, "ok", "room for 4"),
    "too many workers": (5, 1.0, "problem", "--workers 4 or fewer"),
    "no node has so many": (1, 4.0, "problem", "a smaller --gpus-per-worker"),
    "halves": (8, 0.5, "ok", "room for 8"),
}


@pytest.mark.parametrize("case", CAPACITY)
def test_capacity(case: str) -> None:
    workers, each, result, said = CAPACITY[case]
    has = {"head": {"CPU": 8.0}, "a": {"CPU": 8.0, "GPU": 2.0}, "b": {"CPU": 8.0, "GPU": 2.0}}
    (finding,) = checks.capacity(has, workers, each)
    assert finding.result == result
    assert said in finding.found + finding.remedy


def test_storage() -> None:
    """A folder of each node's own, one that cannot be written, and one whose writes the driver does not see."""
    told = {"a": "written", "b": "absent", "c": Failure("read-only"), "d": "written", "e": "other"}
    found = {finding.nodes: finding for finding in shared.storage("/mnt/lth", told, {"a"})}
    assert found["a",].result == "ok"
    for node, said, remedy in (
        ("b", "another folder than the driver's: its note is absent", "shared"),
        ("c", "read-only", "readable and writable"),
        ("d", "cannot be seen", "shared"),
        ("e", "another folder", "s3://"),
    ):
        assert found[node,].result == "problem"
        assert said in found[node,].found
        assert remedy in found[node,].remedy


def test_data() -> None:
    told = {"a": "aaaa", "b": "aaaa", "c": "cccc", "d": Failure("MissingDataset: looked for /data/x")}
    missing, other = shared.data("x", told)
    assert (missing.nodes, other.nodes) == (("d",), ("c",))
    assert "looked for /data/x" in missing.found
    assert "--data-root" in missing.remedy
    assert "copy x anew" in other.remedy
    assert shared.data("x", {"a": "aaaa", "b": "aaaa"})[0].result == "ok"
    assert len(shared.data("x", {"a": "aaaa", "b": "bbbb"})[0].found) > 0
    assert all(finding.result == "problem" for finding in shared.data("x", {"a": "aaaa", "b": "bbbb"}))


def test_a_silent_node() -> None:
    silent, fine = checks.answering({"a": {}, "b": Failure("no answer in 25 s")})
    assert (silent.result, silent.nodes, fine.nodes) == ("problem", ("b",), ("a",))
    assert "ray list nodes" in silent.remedy


def test_nodes_of_one_address_are_told_apart() -> None:
    described = [
        {"NodeID": id_ * 12, "Alive": id_ != "d", "NodeManagerAddress": address, "Resources": {"CPU": 1.0}}
        for id_, address in (("a", "10.0.0.1"), ("b", "10.0.0.1"), ("c", "10.0.0.2"), ("d", "10.0.0.3"))
    ]
    assert [node.name for node in alive_nodes(described)] == ["10.0.0.1/aaaaaa", "10.0.0.1/bbbbbb", "10.0.0.2"]


def test_a_node_without_lth_ray_still_answers(tmp_path: Path) -> None:
    """The probe travels by value: of the rest of the package only its absence is told."""
    cloudpickle.register_pickle_by_value(doctor)
    try:
        (tmp_path / "probe").write_bytes(cloudpickle.dumps(Probe))
    finally:
        cloudpickle.unregister_pickle_by_value(doctor)
    code = (
        "import sys, importlib.metadata; sys.modules['lth_ray'] = None; from ray import cloudpickle\n"
        "known = importlib.metadata.version\n"
        "def version(name):\n"
        "    if name == 'lth_ray': raise importlib.metadata.PackageNotFoundError\n"
        "    return known(name)\n"
        "importlib.metadata.version = version\n"
        "print(cloudpickle.load(open(sys.argv[1], 'rb'))().facts()['versions'])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "probe"], capture_output=True, text=True, check=True)
    assert "'lth_ray': None" in done.stdout
    assert "'torch': '2" in done.stdout


def test_what_gloo_would_tell_others() -> None:
    assert gloo_address("nosuch0") == ""
    assert gloo_address("lo").startswith("127.") or gloo_address("lo0").startswith("127.")


def test_the_table_names_check_node_result_and_remedy() -> None:
    nodes = tuple(f"10.0.0.{number}" for number in range(6))
    findings = [
        Finding("gpus", "ok", "2 x H100", nodes=nodes),
        Finding("disk", "problem", "1.0 GB [free]", "free some space", nodes[:5]),
        Finding("clock", "note", "hm", "look", nodes[:1]),
    ]
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_table(findings, console)
    printed = console.export_text()
    for said in ("all 6", "10.0.0.3", "and 1 more", "[free]", "-> free some space", "1 problem, 1 note"):
        assert said in printed
    assert exit_code(findings) == 1
    assert exit_code(findings[::2]) == 0


def test_a_problem_needs_a_remedy() -> None:
    with pytest.raises(AssertionError, match="without a remedy"):
        Finding("disk", "problem", "full")


def test_the_clock_of_the_storage_is_told() -> None:
    """The clock is told and no verdict hangs on it: a run's life is told by that clock alone."""
    assert checks.storage_clock(1.0).result == OK
    ahead = checks.storage_clock(-180.0)
    assert (ahead.result, ahead.found) == (NOTE, "the storage's is -180.0 s against this machine's")


def test_a_part_of_a_gpu_is_told_what_it_needs() -> None:
    assert checks.fractions(1.0) == checks.fractions(0.0) == []
    (finding,) = checks.fractions(0.25)
    assert finding.result == NOTE
    assert "MPS" in finding.remedy
    assert "train.replicates=8" in finding.remedy
