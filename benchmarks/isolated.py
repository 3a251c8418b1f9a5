"""A measurement in a process of its own: what it holds is given back, and what breaks it breaks nothing else.

`alone` starts `python -m benchmarks.isolated CALL ARGUMENTS FILE`, which calls a function of a module and writes what
it yields to a file, a line of JSON each, as soon as it is there. What was yielded before a crash, a hang or a kill is
kept.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
POLL_S, SAMPLE_S, GRACE_S = 0.1, 1.0, 5.0
CUT_SHORT, WORDS = "it was ended after {:g} s", 2000
Row = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """The outcome of a measurement.

    rows: what it yielded.
    why: None where it came to its end; else what broke it.
    memory_mb: the most that its processes held at a time, by samples; what they share counts once.
    """

    rows: list[Row]
    why: str | None
    seconds: float
    memory_mb: float


def alone(
    call: str, arguments: Mapping[str, Any], limit_s: float, *,
    environment: Mapping[str, str] | None = None, on_row: Callable[[Row], object] = lambda row: None,
) -> Ended:  # fmt: skip
    """Call `call`, "module:function", with plain data in a process of its own, which is ended after `limit_s` seconds.

    on_row: told of each row as soon as it is there.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="lth_", ignore_cleanup_errors=True) as folder:
        written, said = Path(folder, "rows"), Path(folder, "said")
        written.touch()
        began, most, sampled = time.monotonic(), 0.0, 0.0
        with said.open("w") as errors, written.open() as reader:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.isolated", call, json.dumps(arguments), str(written)],
                cwd=ROOT, env={**os.environ, **(environment or {})}, stderr=errors, start_new_session=True,
            )  # fmt: skip
            try:
                while process.poll() is None and time.monotonic() - began < limit_s:
                    if time.monotonic() - sampled >= min(SAMPLE_S, (time.monotonic() - began) / 2):  # at first often
                        most, sampled = max(most, held_mb(process.pid)), time.monotonic()
                    _read(reader, rows, on_row)
                    time.sleep(POLL_S)
            finally:
                running = process.poll() is None
                if running:
                    _end(process)
                with suppress(ProcessLookupError):  # what one that was killed had started still runs
                    os.killpg(process.pid, signal.SIGKILL)
            _read(reader, rows, on_row)
        why = CUT_SHORT.format(limit_s) if running else _why(process.returncode, rows, said.read_text())
        kept = [row for row in rows if "broken" not in row]
        return Ended(kept, why, time.monotonic() - began, most)


def held_mb(pid: int) -> float:
    """Return the megabytes that a process and its descendants hold now, what they share counted once."""
    own, shared = 0, 0
    with suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.Error):  # it has ended
                held = process.memory_info()
                also = getattr(held, "shared", 0)
                own, shared = own + held.rss - also, max(shared, also)
    return (own + shared) / 1e6


def _read(reader: IO[str], rows: list[Row], on_row: Callable[[Row], object]) -> None:
    place = reader.tell()
    while (line := reader.readline()).endswith("\n"):
        row, place = json.loads(line), reader.tell()
        rows.append(row)
        if "broken" not in row:
            on_row(row)
    reader.seek(place)  # half a line is read again once it is whole, if it ever is


def _why(code: int, rows: list[Row], said: str) -> str | None:
    broken = [str(row["broken"]) for row in rows if "broken" in row]
    if broken or code == 0:
        return broken[-1] if broken else None
    words = said.strip()[-WORDS:]
    return f"its process ended with status {code}" + (f": {words}" if words else "")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its descendants; one that a driver holds is left to the system."""
    with suppress(psutil.Error):
        all_of_them = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in reversed(all_of_them):
            with suppress(psutil.Error):
                one.terminate()
        for one in psutil.wait_procs(all_of_them, timeout=GRACE_S)[1]:
            with suppress(psutil.Error):
                one.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)


def main(call: str, arguments: str, written: str) -> int:
    """Write what a function yields to a file; end with the process that asked for it."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with Path(written).open("a") as target:
        try:
            module, _, function = call.partition(":")
            for found in getattr(importlib.import_module(module), function)(**json.loads(arguments)):
                row = found if isinstance(found, dict) else {"kind": type(found).__name__, **asdict(found)}
                _write(target, row)
        except BaseException as error:
            traceback.print_exc()
            _write(target, {"broken": f"{type(error).__name__}: {error}"[:WORDS]})
            return 1
    return 0


def _write(target: Any, row: Row) -> None:
    target.write(json.dumps(row) + "\n")
    target.flush()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SAMPLE_S)
    if os.getpgrp() == os.getpid():  # with all that it has started
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
