"""A reaper that ends what a run has started, and removes its scratch folder, once the run is gone: killed as
well.

A process of its own, `python reaper.py FOLDER`, that reads its standard input: the kernel closes that with the run.
"""

import os
import shutil
import signal
import sys
import time

import psutil

MARK = "LTH_RAY_SCRATCH"  # in the environment of all that a run starts: its folder
TRIES_S = 10.0


def started_with(folder: str) -> list[psutil.Process]:
    """Return the processes of a run by its folder, which is in their environment or on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == folder or any(folder in word for word in process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def reap(folder: str) -> None:
    """Kill them until there are none, then remove the folder."""
    ends = time.monotonic() + TRIES_S
    while (found := started_with(folder)) and time.monotonic() < ends:
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(found, timeout=1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(sys.argv[1])
