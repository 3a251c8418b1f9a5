"""slurm.sbatch is valid, and does what it says, with a Slurm and a Ray that are only pretended."""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster_files.files import CLUSTER

SCRIPT = CLUSTER / "slurm.sbatch"
Start = Callable[..., subprocess.Popen[str]]
OPTIONS = {  # of sbatch, as far as they are of use here: what a value must look like; None for a flag without one
    "account": r"\S+", "constraint": r"\S+", "cpus-per-task": r"\d+", "exclusive": None, "gpus-per-node": r"(\w+:)?\d+",
    "job-name": r"[\w.-]+", "mem": r"\d+[KMGT]?", "nodes": r"\d+(-\d+)?", "ntasks-per-node": r"\d+",
    "open-mode": r"append|truncate", "output": r"\S+", "partition": r"\S+", "qos": r"\S+", "requeue": None,
    "signal": r"B:[A-Z0-9]+@\d+", "time": r"(\d+-)?\d+(:\d\d){0,2}",
}  # fmt: skip


def check(script: str) -> None:
    """Bash can read it, and Slurm can read its options, all of which stand before the first command."""
    parsed = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert not parsed.stderr, parsed.stderr  # a here-document without an end is only a warning
    lines = script.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    first_command = next(i for i, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    for i, line in enumerate(lines):
        if not re.match(r"#\s*SBATCH", line):
            continue
        assert i < first_command, f"line {i + 1}: Slurm reads no option after the first command"
        found = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
        assert found, f"line {i + 1}: {line!r}"
        name, value = found.groups()
        assert name in OPTIONS, f"line {i + 1}: --{name}"
        pattern = OPTIONS[name]
        assert (value is None) if pattern is None else re.fullmatch(pattern, value or ""), f"line {i + 1}: {line!r}"


FAULTS = [
    ("#SBATCH --nodes=2", "#SBATCH --node=2"),
    ("#SBATCH --nodes=2", "#SBATCH --nodes two"),
    ("#SBATCH --nodes=2", "# SBATCH --nodes=2"),
    ("#SBATCH --signal=B:TERM@120", "#SBATCH --signal=TERM"),
    ("#SBATCH --requeue", "#SBATCH --requeue=yes"),
    ("#SBATCH --time=24:00:00", "#SBATCH --time=24h"),
    ("#SBATCH --open-mode=append", "#SBATCH --open-mode=add"),
    ("set -euo pipefail", "set -euo pipefail\n#SBATCH --mem=4G"),
    ("#!/usr/bin/env bash\n", ""),
    ("PYTHON\n\n# The driver", "PYTHON_\n\n# The driver"),
    ("trap finish EXIT", "trap finish EXIT; if true"),
    ("if ((stopped)); then", "if ((stopped)); do"),
    ("export RAY_AUTH_MODE=token RAY", 'export "RAY_AUTH_MODE=token RAY'),
]


def test_the_script_is_valid() -> None:
    check(SCRIPT.read_text())


@pytest.mark.parametrize(("part", "replacement"), FAULTS)
def test_a_faulty_copy_is_refused(part: str, replacement: str) -> None:
    script = SCRIPT.read_text()
    assert part in script
    with pytest.raises(AssertionError):
        check(script.replace(part, replacement, 1))


def test_it_is_queued_again_and_told_two_minutes_before_the_end() -> None:
    lines = SCRIPT.read_text().splitlines()
    assert {"#SBATCH --requeue", "#SBATCH --open-mode=append", "#SBATCH --signal=B:TERM@120"} <= set(lines)


PRETENDED = {
    "scontrol": 'if [ "$1" = show ]; then printf "node1\\nnode2\\n"; else echo "$@" >> "$SEEN/scontrol"; fi',
    "squeue": 'echo "${STATE:-RUNNING}"',
    # drops its own options and runs the rest here
    "srun": 'echo "srun $*" >> "$SEEN/srun"; while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.10 172.17.0.1",
    "ray": """
        if [ "$1" = health-check ]; then  # once the head is up
            until [ -s "$SEEN/auth" ]; do sleep 0.05; done
            exit
        fi
        echo "$@" >> "$SEEN/ray"
        stat -c %a "$RAY_AUTH_TOKEN_PATH" >> "$SEEN/mode"
        wc -c < "$RAY_AUTH_TOKEN_PATH" >> "$SEEN/size"
        echo "$RAY_AUTH_MODE" >> "$SEEN/auth"
        exec sleep 60
    """,
    "python": """
        if [ "$1" = - ]; then  # waits for the nodes
            until [ "$(cat "$SEEN/auth" 2> /dev/null | wc -l)" = "$SLURM_JOB_NUM_NODES" ]; do sleep 0.05; done
            exit
        fi
        printf '%s\\n' "$*" "$GLOO_SOCKET_IFNAME" > "$SEEN/driver"
        [ -z "$FAST" ] || exit "$FAST"
        trap 'kill $!; touch "$SEEN/checkpoint"; exit 143' TERM
        sleep 60 &
        touch "$SEEN/up"
        wait
    """,
}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Start]:
    """Starts the script under the pretended commands, each of which leaves a trace in tmp_path/seen."""
    for folder in ("bin", "home", "seen"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "activate").write_text("")
    for name, body in PRETENDED.items():
        command = tmp_path / "bin" / name
        command.write_text(f"#!/bin/bash\n{body}\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"),
            "LTH_VENV": str(tmp_path), "SEEN": str(tmp_path / "seen"), "FAST": "", "GLOO_SOCKET_IFNAME": "",
            "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "32", **settings,
        }  # fmt: skip
        started.append(
            subprocess.Popen(
                ["bash", SCRIPT, *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing of it is left
        process.communicate()


def until(path: Path, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name} after {timeout_s} s"
        time.sleep(0.05)


@pytest.mark.parametrize("code", [0, 3])
def test_a_study_runs_on_all_nodes_and_its_exit_code_is_the_job_s(job: Start, tmp_path: Path, code: int) -> None:
    run = job("studies/mine.py", "--workers", "8", FAST=str(code))
    output, _ = run.communicate(timeout=60)
    assert run.returncode == code, output
    seen = tmp_path / "seen"
    assert (seen / "driver").read_text().splitlines()[0] == "studies/mine.py --workers 8 --address 10.0.0.10:6379"
    head, worker = (seen / "ray").read_text().splitlines()
    assert "--node-ip-address=10.0.0.10" in head
    assert "--dashboard-host=10.0.0.10" in head
    assert "--address=10.0.0.10:6379" in worker
    placed = (seen / "srun").read_text().splitlines()
    assert "--nodelist=node1" in placed[0]
    assert "--exclude=node1" in placed[1]
    assert "--nodes=1 --ntasks=1" in placed[1]
    assert not (seen / "scontrol").exists()


def test_the_token_is_readable_by_its_user_only_and_gone_at_the_end(job: Start, tmp_path: Path) -> None:
    output, _ = job("studies/mine.py", FAST="0").communicate(timeout=60)
    seen = tmp_path / "seen"
    assert (seen / "mode").read_text().split() == ["600", "600"], output
    assert (seen / "size").read_text().split() == ["64", "64"]
    assert (seen / "auth").read_text().split() == ["token", "token"]
    assert list((tmp_path / "home" / ".ray").iterdir()) == []


@pytest.mark.parametrize(("state", "requeued"), [("RUNNING", True), ("CANCELLED", False)])
def test_sigterm_lets_the_study_put_down_its_checkpoint(job: Start, tmp_path: Path, state: str, requeued: bool) -> None:
    run = job("studies/mine.py", STATE=state)
    seen = tmp_path / "seen"
    until(seen / "up")
    os.kill(run.pid, signal.SIGTERM)  # --signal=B: and so to the script alone
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 143, output
    assert (seen / "checkpoint").exists()
    assert (seen / "scontrol").exists() == requeued
    assert not requeued or (seen / "scontrol").read_text() == "requeue 7\n"
    assert list((tmp_path / "home" / ".ray").iterdir()) == []


def test_one_node_starts_no_worker(job: Start, tmp_path: Path) -> None:
    run = job("studies/mine.py", FAST="0", SLURM_JOB_NUM_NODES="1")
    run.communicate(timeout=60)
    assert len((tmp_path / "seen" / "srun").read_text().splitlines()) == 1


def test_an_interface_decides_address_and_collectives(job: Start, tmp_path: Path) -> None:
    if not shutil.which("ip"):
        pytest.skip("no `ip` command")
    run = job("studies/mine.py", FAST="0", LTH_INTERFACE="lo")
    run.communicate(timeout=60)
    driver = (tmp_path / "seen" / "driver").read_text().splitlines()
    assert driver == ["studies/mine.py --address 127.0.0.1:6379", "lo"]


def test_without_a_study_it_says_how(job: Start) -> None:
    run = job()
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "sbatch cluster/slurm.sbatch studies/NAME.py" in output
