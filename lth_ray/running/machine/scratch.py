"""A run's folder for what Ray writes and nobody reads: only its owner may look in, and it goes with the run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lth_ray.running.machine import reaper

ENDED_WITHIN_S = 15.0


class Scratch:
    """The folder, made when it is first asked for.

    However the run ends, by SIGKILL too, a process of its own then ends what the run has started on this
    machine and removes the folder.
    """

    def __init__(self) -> None:
        self._folder: str | None = None
        self._reaper: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="lth_")  # of mode 700
            self._reaper = subprocess.Popen(
                [sys.executable, reaper.__file__, self._folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            os.environ[reaper.MARK] = self._folder
        return Path(self._folder)

    def end(self) -> None:
        """End what was started with this folder and remove it; return when that is done."""
        self._folder, ending, self._reaper = None, self._reaper, None
        if ending is None:
            return
        os.environ.pop(reaper.MARK, None)
        assert ending.stdin is not None
        ending.stdin.close()
        try:
            ending.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            ending.kill()  # what it could not end in so long, such as a process that hangs in a file system

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
