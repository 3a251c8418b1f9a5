"""A run in a terminal: what is seen while branches train, what a Ctrl-C does and says, and that the rest is trained."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS, COLUMNS = 30, 100
CTRL_C = b"\x03"
SCRIPT = '''
"""Is a Ctrl-C understood?"""
from lth_ray import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

study = Study(
    "small",
    model=Model("lenet_64_32"),
    data=Data("digits", batch_size=60, validation=697),
    train=Train(steps(2500), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100), backend="eager"),
    prune=Prune(fraction=0.36, rounds=1),
    rewind=[steps(0)],
    seeds=[0, 1],
    branches=[RandomReinit(), RandomMask()],
)

if __name__ == "__main__":
    main(study)
'''
BRANCH = r"random (reinit|mask) of round 1: (\d+ %|training)"
PATTERN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@dataclass
class Screen:
    """The lines that a terminal shows of the codes of a live view; those that have left it at its top are kept."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def feed(self, text: str) -> None:
        for code, letter, control, words in PATTERN.findall(text):
            if control == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif control == "\r":
                self.column = 0
            elif letter == "A":
                self.row -= int(code or 1)
                assert self.row >= 0, "it would have written over what was there before it"
            elif letter == "K":
                self.lines[self.row] = ""
            elif words:
                line = self.lines[self.row].ljust(self.column)
                self.column += len(words)
                self.lines[self.row] = line[: self.column - len(words)] + words + line[self.column :]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()


class Terminal:
    """A command in a terminal of its own, in whose foreground it is."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.screen, self.seen, self._rest = Screen(), list[str](), b""
        self._end, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "CI")}
        self.process = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, cwd=folder, env={**env, "TERM": "xterm-256color"},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(inside)

    def until(self, pattern: str, timeout_s: float) -> None:
        """Look on until the screen has the pattern."""
        ends = time.monotonic() + timeout_s
        while not re.search(pattern, self.screen.text):
            assert time.monotonic() < ends, self.screen.text
            assert self._read(), f"it has ended:\n{self.screen.text}"

    def ended(self, timeout_s: float) -> int:
        """Look on until it ends; return its exit code."""
        ends = time.monotonic() + timeout_s
        while self._read():
            assert time.monotonic() < ends, self.screen.text
        return self.process.wait(timeout_s)

    def press(self, key: bytes) -> None:
        os.write(self._end, key)

    def _read(self) -> bool:
        if not select.select([self._end], [], [], 0.5)[0]:
            return True
        data = b""
        with suppress(OSError):  # nobody is at the other end any more
            data = os.read(self._end, 65536)
        *whole, self._rest = (self._rest + data).rpartition(b"\r")  # no code or character is cut in two
        self.screen.feed(b"".join(whole).decode() if data else self._rest.decode())
        self.seen.append(self.screen.text)
        return bool(data)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.process.kill()


def test_a_run_is_interrupted_and_finished(tmp_path: Path, terminals: list[Terminal]) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    command = [sys.executable, "study.py", "--cpus", "2", "--checkpoint-every-s", "0"]

    def start() -> Terminal:
        terminals.append(Terminal(command, tmp_path))
        return terminals[-1]

    first = start()
    first.until(BRANCH, 240)
    assert "no room" not in first.screen.text, "what is staged for a process that falls free waits for nothing"
    first.press(CTRL_C)
    first.until("stopping: trainings have 20 s to write their last checkpoints", 10)
    assert first.ended(60) == 130
    assert any("stopping (interrupted): trainings write their last checkpoints" in text for text in first.seen)
    assert not any(" 100 %" in text for text in first.seen)
    told = " ".join(first.screen.text.split())
    assert re.search(r"stopped at \d+ %, with \d of 8 trainings, \d of 2 lineages, \d of 4 branches finished", told)
    assert "the same command goes on from there" in told
    assert "test accuracy, %, by" not in told, "the live view is gone, and nothing was written into it"
    assert "Traceback" not in told

    last = start()
    assert last.ended(300) == 0, last.screen.text
    early = [text for text in last.seen if " 100 %" in text and "8/8 trainings" not in text and "at work" in text]
    assert not early
    told = " ".join(last.screen.text.split())
    found = re.search(
        r"trained ([\d,]+) steps .* the study is 20,000 steps \(([\d,]+) were in the store(?:, ([\d,]+) in checkpoi)?",
        told,
    )
    assert found, told
    assert sum(int(number.replace(",", "")) for number in found.groups() if number) == 20_000
