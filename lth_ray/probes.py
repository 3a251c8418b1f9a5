"""Places where a test may kill a process, and a trace of the steps that were trained. Off unless asked for.

LTH_RAY_KILL_AT="name:count" sends SIGKILL the count-th time that this process passes `point(name)`: to itself, or to
    the process whose id is in the file LTH_RAY_KILL_PID_FILE. Where LTH_RAY_KILL_ONCE names a file, only the process
    that manages to create it kills, so that what is started again in the victim's place lives. LTH_RAY_KILL_AMONG=TEXT
    spares a process whose command line does not have that text.
LTH_RAY_STEP_LOG=PATH appends a line "key step" for each `step(key, step)`, one atomic write a line, so that several
    processes may share the file.

The environment is read once, at import: unset, a call is one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_NAME, _, _COUNT = os.environ.get("LTH_RAY_KILL_AT", "").partition(":")
_ONCE, _PID_FILE = os.environ.get("LTH_RAY_KILL_ONCE", ""), os.environ.get("LTH_RAY_KILL_PID_FILE", "")
_AMONG = os.environ.get("LTH_RAY_KILL_AMONG", "")
_LOG = os.environ.get("LTH_RAY_STEP_LOG", "")
WATCHING: Final = bool(_NAME or _LOG)  # then steps are taken one at a time
_passings_left = int(_COUNT or 1)
_descriptor = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if _LOG else -1


def point(name: str) -> None:
    """Mark a place where a kill must do no harm."""
    global _passings_left
    if not _NAME or name != _NAME:
        return
    _passings_left -= 1
    if _passings_left == 0:
        _kill()


def step(key: str, step: int, counts: bool = True) -> None:
    """Mark that the segment `key` trains its step `step` now.

    counts: once for all that train it together.
    """
    if _descriptor >= 0 and counts:
        os.write(_descriptor, f"{key} {step}\n".encode())
    if _NAME:
        point("mid-step")


def _kill() -> None:
    if _AMONG:
        with open("/proc/self/cmdline") as file:
            if _AMONG not in file.read():
                return
    if _ONCE:
        try:
            os.close(os.open(_ONCE, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    victim = os.getpid()
    if _PID_FILE:
        with open(_PID_FILE) as file:
            victim = int(file.read())
    os.kill(victim, signal.SIGKILL)
