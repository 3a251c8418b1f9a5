"""Several nodes of a Ray cluster on this machine, each started by `ray start` as a lab does it, with an environment of
its own; and a study that is run on them.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.ray.conftest import SHORT
from tests.running.conftest import Runner, orphans

COMMANDS = Path(sys.executable).parent
UP = "will now block"  # what `ray start --block` says when the node is up
TRAINERS = "ray::ImplicitFunc", "ray::RayTrainWorker"  # as Ray names the processes of trials and of a team's members
# A node that is gone is found in 3 s. Ray takes its word for it that two nodes share a machine, and its memory.
NOTICED_SOON = {
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000", "RAY_health_check_failure_threshold": "3",
}  # fmt: skip

# Steps of a larger network, that something may happen in the middle of a round; they change nothing else.
SLOWLY = """
import os
import time

import torch.nn.functional as F


def slowly(model, batch):
    inputs, labels = batch
    time.sleep(float(os.environ.get("LTH_PAUSE_S", "0.02")))
    return F.cross_entropy(model(inputs), labels), {}


study = Study("""
SLOW_SCRIPT = SHORT.replace("\nstudy = Study(", SLOWLY).replace("group=15", "group=15, step=slowly")


@dataclass(frozen=True)
class Node:
    """process: `ray start --block`; all others of the node descend from it. steps: where it counts those it trains."""

    process: "subprocess.Popen[bytes]"
    steps: Path

    def processes(self, *names: str) -> list[psutil.Process]:
        """Those of the node whose names begin like one of `names`; without names, all."""
        found = []
        with suppress(psutil.Error):
            first = psutil.Process(self.process.pid)
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.Error):
                    if not names or "".join(process.cmdline()[:1]).startswith(names):
                        found.append(process)
        return found

    @property
    def trainers(self) -> list[psutil.Process]:
        """Processes that train, or are about to."""
        return self.processes(*TRAINERS)

    def cut_power(self) -> None:
        """Ends all of it at once, so that nothing is put down in order."""
        lost = self.processes()
        for act in (psutil.Process.suspend, psutil.Process.kill):  # none may react to the others' ends
            for process in lost:
                with suppress(psutil.Error):
                    act(process)
        self.process.wait(20)


@dataclass
class Nodes:
    """A cluster that grows and shrinks. address: of its GCS. environment: of every node and client.

    Nodes share a session's folder and so must start one after another.
    """

    folder: Path
    address: str
    environment: dict[str, str]
    started: list[Node] = field(default_factory=list)

    def start(self, *options: str, within: Sequence[str] = (), **environment: str) -> Node:
        name = f"node-{len(self.started)}"
        log, steps = self.folder / f"{name}.log", self.folder / f"{name}.steps"
        command = [
            *within, str(COMMANDS / "ray"), "start", "--block", "--num-gpus=0", "--object-store-memory=100000000",
            "--disable-usage-stats", *options,
        ]  # fmt: skip
        own = {"LTH_RAY_STEP_LOG": str(steps)} | environment
        with open(log, "wb") as output:
            process = subprocess.Popen(command, env=self.environment | own, stdout=output, stderr=output)
        self.started.append(Node(process, steps))
        ends = time.monotonic() + 90
        while UP not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < ends, log.read_text()[-2000:]
            time.sleep(0.2)
        return self.started[-1]

    def add(self, within: Sequence[str] = (), **environment: str) -> Node:
        """A node of one core. within: a command that starts the rest of its line somewhere else."""
        return self.start(f"--address={self.address}", "--num-cpus=1", within=within, **environment)

    def drain(self, node: Node, deadline_s: int) -> None:
        """Gives notice that `node` will end; that it does end is left to the caller."""
        (raylet,) = (process for process in node.processes() if process.name() == "raylet")
        options = dict(word.lstrip("-").split("=", 1) for word in raylet.cmdline() if "=" in word)
        subprocess.run(
            [
                str(COMMANDS / "ray"), "drain-node", "--address", self.address, "--node-id", options["node_id"],
                "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "taken back",
                "--deadline-remaining-seconds", str(deadline_s),
            ],
            env=self.environment, check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    @property
    def head(self) -> Node:
        return self.started[0]

    @property
    def up(self) -> list[Node]:
        return [node for node in self.started if node.process.poll() is None]

    @property
    def others(self) -> list[Node]:
        """The nodes beside the head that are up."""
        return [node for node in self.up if node is not self.head]

    def stop(self) -> None:
        for node in reversed(self.up):
            node.cut_power()


@contextmanager
def a_head(cpus: int = 1, **environment: str) -> Iterator[Nodes]:
    """A head whose dashboard listens on all addresses, and nodes that are added; all of them end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="lth", dir="/tmp"))  # a socket's path must be short
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO_", "LTH_"))}
    own = {"RAY_TMPDIR": str(folder), "HOME": str(folder)}
    nodes = Nodes(folder, f"127.0.0.1:{port}", inherited | own | environment)
    try:
        nodes.start("--head", f"--num-cpus={cpus}", f"--port={port}", "--dashboard-host=0.0.0.0", "--dashboard-port=0")
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class OnNodes(Runner):
    """Runs the study on a cluster."""

    nodes: Nodes = field(kw_only=True)

    def start(self, *flags: str, **env: str) -> "subprocess.Popen[str]":
        return super().start("--address", self.nodes.address, *flags, **self.nodes.environment, **env)

    @property
    def steps(self) -> Counter[str]:
        """Return how often each step of each segment was trained, on whatever node."""
        return Counter(line for node in self.nodes.started for line in _lines(node))

    def leading(self) -> Node:
        """The node that counts the steps now."""
        before = {id(node): len(_lines(node)) for node in self.nodes.others}
        ahead: list[Node] = []
        while not ahead:
            self.wait_for(lambda: self.steps.total() > sum(before.values()))
            ahead = [node for node in self.nodes.others if len(_lines(node)) > before.get(id(node), 0)]
        return ahead[0]

    def until_step(self, key: str, step: int) -> None:
        self.wait_for(lambda: f"{key} {step}" in self.steps, timeout_s=120)

    def until_next_step(self, began: float, before: int) -> float:
        """Seconds from `began` to a step that is counted after `before` of them; a survivor may count one more."""
        self.wait_for(lambda: self.steps.total() > before + 1, timeout_s=120)
        return time.monotonic() - began


def _lines(node: Node) -> list[str]:
    return node.steps.read_text().splitlines() if node.steps.exists() else []


@contextmanager
def a_cluster(folder: Path, others: int, **environment: str) -> Iterator[OnNodes]:
    """A head without cores, and nodes of one core each."""
    with a_head(0, RAY_AUTH_MODE="disabled", **NOTICED_SOON, **environment) as nodes:
        for _ in range(others):
            nodes.add()
        runner = OnNodes(folder, source=SLOW_SCRIPT, nodes=nodes)
        yield runner
        for pid in orphans(runner.storage):
            psutil.Process(pid).kill()
