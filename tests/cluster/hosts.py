"""Hosts with their own addresses on one machine, each of them a set of Linux namespaces.

A host has a network, a host name, process ids, /tmp and /dev/shm of its own; what it shares with the others are the
folders that it is told to. The switch between them is such a set too. Nothing of it is entered anywhere in the machine:
when the first process of a host ends, the kernel ends all others and takes its addresses, mounts and links away, and
that first process ends with the one that started it, however that ends.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KINDS = "--net", "--mount", "--uts", "--ipc", "--pid"
TOOLS = "ip", "unshare", "nsenter", "setpriv"
NETWORK = "10.77.0"
UP = "up"

# The first process of a host. It adopts what others leave behind, and by ignoring their ends lets them go.
FIRST = f"import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print('{UP}', flush=True); signal.pause()"

# $1 is a folder that becomes the host's /tmp, $2 its name, $3 its /etc/hosts, $4 its Python; the rest are folders that
# it shares. Those that lie below /tmp are to be found there still.
MOUNTS = """
set -eu
own=$1 name=$2 hosts=$3 python=$4; shift 4
mount -t tmpfs none "$own"
chmod 1777 "$own"
for folder; do case $folder in /tmp/*)
    mkdir -p "$own/${folder#/tmp/}"
    mount --bind "$folder" "$own/${folder#/tmp/}";;
esac; done
mount --bind "$hosts" /etc/hosts
mount --move "$own" /tmp
mount -t tmpfs -o size=512m none /dev/shm
hostname "$name"
cd /
exec "$python" -S -c "$FIRST"
"""


def why_not() -> str | None:
    """Return why there can be no hosts here; None where there can."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"no {', '.join(missing)} here (Debian: apt-get install iproute2 util-linux)"
    if os.geteuid() != 0:
        return "only root may make network namespaces, and this is not root"
    links = "ip link add bridge0 type bridge && ip link add v0 type veth peer name v1 && mount -t tmpfs none /dev/shm"
    tried = subprocess.run(
        ["unshare", "--fork", "--mount-proc", *KINDS, "sh", "-c", links], capture_output=True, text=True, check=False
    )
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else None


@dataclass
class Host:
    """pid: of its first process, as this machine counts them."""

    name: str
    address: str
    pid: int
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str, log: Path, folder: Path | None = None, **more: str) -> "subprocess.Popen[bytes]":
        """A command within the host; it ends with the host at the latest."""
        with open(log, "ab") as output:
            return subprocess.Popen(
                [*self._enter(folder), *command], env=self.environment | more, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(
        self, *command: str, folder: Path | None = None, timeout_s: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """stdout holds stderr as well."""
        return subprocess.run(
            [*self._enter(folder), *command], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def processes(self, named: str = "") -> list[psutil.Process]:
        """Those of its processes whose command line holds `named`, but for the first."""
        own, found = _namespace(self.pid), []
        for process in psutil.process_iter():
            try:
                ours = process.pid != self.pid and _namespace(process.pid) == own
                if ours and named in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def end_processes(self) -> None:
        """As a power cut does; the host itself stays, and its /tmp."""
        while found := self.processes():
            for process in found:
                process.kill()
            psutil.wait_procs(found, timeout=5)

    def _enter(self, folder: Path | None) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *KINDS, "--", "env", f"--chdir={folder or '/tmp'}"]


@dataclass
class Network:
    """Hosts on one switch. folder: where each host has what is its own. shared: folders that all of them see."""

    folder: Path
    shared: Sequence[Path]
    environment: Mapping[str, str]
    switch: int
    stack: ExitStack
    names: Sequence[str]

    def add(self, name: str, **environment: str) -> Host:
        address = f"{NETWORK}.{10 + self.names.index(name)}"
        own = self.folder / name
        own.mkdir()
        folders = [str(folder) for folder in (*self.shared, Path(sys.prefix))]
        pid = self.stack.enter_context(
            _first("sh", "-c", MOUNTS, "sh", str(own), name, str(self._hosts_file()), sys.executable, *folders)
        )
        _in_net(self.switch, f"ip link add {name} type veth peer name eth0 netns {pid}")
        _in_net(self.switch, f"ip link set {name} master bridge0 up")
        _in_net(pid, f"ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip link set lo up")
        return Host(name, address, pid, {**self.environment, **environment})

    def cut(self, host: Host) -> None:
        """Nothing comes from it or gets to it any more."""
        _in_net(self.switch, f"ip link set {host.name} down")

    def heal(self, host: Host) -> None:
        _in_net(self.switch, f"ip link set {host.name} up")

    def _hosts_file(self) -> Path:
        path = self.folder / "hosts"
        lines = ["127.0.0.1 localhost", *(f"{NETWORK}.{10 + i} {name}" for i, name in enumerate(self.names))]
        path.write_text("\n".join(lines) + "\n")
        return path


@contextmanager
def a_network(
    folder: Path, names: Sequence[str], shared: Sequence[Path], environment: Mapping[str, str]
) -> Iterator[Network]:
    """A switch for hosts of these names; it and all hosts end with the block."""
    with ExitStack() as stack:
        switch = stack.enter_context(_first(sys.executable, "-S", "-c", FIRST))
        _in_net(switch, "ip link add bridge0 type bridge && ip link set bridge0 up")
        yield Network(folder, shared, environment, switch, stack, names)


@contextmanager
def _first(*command: str) -> Iterator[int]:
    """Runs the first process of new namespaces while the block lasts; its id."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child=KILL", "--mount-proc", *KINDS, *command],
        env={**os.environ, "FIRST": FIRST}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        if process.stdout.readline().strip() != UP:
            raise RuntimeError(f"no namespaces: {process.stderr.read().strip()}")
        (child,) = psutil.Process(process.pid).children()
        yield child.pid
        child.kill()  # and the kernel all others of its namespaces, before `unshare` ends
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def _in_net(pid: int, command: str) -> None:
    subprocess.run(["nsenter", f"--target={pid}", "--net", "sh", "-c", command], check=True, timeout=30)
