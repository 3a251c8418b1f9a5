"""Documents that are worked through: their blocks are run in order in one folder, and print what the text says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.table import TABLE, Kind

SESSIONS = [document for document, rows in TABLE.items() if any(kind.name in ("run", "slow") for _, kind in rows)]

COUNTS = re.compile(r"lineages|jobs left|unique steps|naive steps|steps left|trained \d")  # begins a line of them


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder where a reader works: `python` and `lth-ray` are those of this environment."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in {"python": "", "lth-ray": "-m lth_ray"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    return work


def printed_by(block: Block, folder: Path) -> str:
    """Return what a block prints, on whichever stream."""
    env = {
        **os.environ, "PATH": f"{folder.parent / 'programs'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
    }  # fmt: skip
    if block.language == "python":
        (folder / "block.py").write_text(block.text)
        command = ["python", "block.py"]
    else:
        lines = [line for line in block.lines if not line.startswith("mlflow ui")]  # it would serve for ever
        command = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
    ran = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, f"{block.document}: {block.text}\n{ran.stdout[-3000:]}"
    return ran.stdout


def pattern(line: str) -> str:
    """A line without what differs between machines: times, the room things take, and numbers that are no counts."""
    text = re.sub(r"[─│┌┐└┘┬┴]+|\b[\d.,]+ (?:s|min|h)\b", " ", line).strip()
    return " ".join((text if COUNTS.match(text) else re.sub(r"[\d.,]+", " ", text)).split())


def shown_lines(block: Block, printed: str) -> int:
    """Return how many lines the text shows; each is among those that were printed."""
    lines = [f" {pattern(line)} " for line in printed.splitlines()]
    shown = [pattern(line) for line in block.text.splitlines()]
    for line in filter(None, shown):
        assert any(f" {line} " in one for one in lines), f"{block.document} shows {line!r}, printed was:\n{printed}"
    return len(shown)


def work_through(document: str, folder: Path, tier: tuple[str, ...]) -> int:
    """Runs the blocks of these kinds; returns how many lines were compared with what was printed."""
    rows: list[tuple[Block, Kind]] = [
        (block, kind) for block, (_, kind) in zip(blocks(document), TABLE[document], strict=True)
    ]
    printed, compared = None, 0
    for block, kind in rows:
        if kind.name == "printed":
            compared += shown_lines(block, printed) if printed is not None else 0
            continue
        if kind.file:
            (folder / kind.file).write_text(block.text)
        printed = printed_by(block, folder) if kind.name in tier else None
    return compared


@pytest.mark.parametrize("document", SESSIONS)
def test_the_quick_blocks_run_and_print_what_they_show(document: str, folder: Path) -> None:
    assert work_through(document, folder, ("run",)) >= 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("document", SESSIONS)
def test_all_blocks_run_and_print_what_they_show(document: str, folder: Path) -> None:
    assert work_through(document, folder, ("run", "slow")) > 20


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        (" steps left to train  8,100   ", " steps left to train  8,100 ", True),
        (" steps left to train  8,100   ", " steps left to train  5,400 ", False),
        (" jobs left to do  3 dense, 12 branch", " jobs left to do  3 dense, 2 branch", False),
        (" estimated time  1 s on 2 cores", " estimated time  2 min 03 s on 16 cores", True),
        ("trained 0 steps in 16 s; the study", "trained 0 steps in 1 min 02 s; the study", True),
        ("trained 0 steps in 16 s", "trained 100 steps in 16 s", False),
        ("trained 0 steps in 16 s", "trained 0 trainings in 16 s", False),
        (" ticket  97.75   97.33 ", " ticket  97.50  97.33 ", True),
        ("lineages 5", "lineages 55", False),
    ],
)
def test_what_is_not_printed_is_found(shown: str, printed: str, alike: bool) -> None:
    block = Block("page.md", 0, "text", shown)
    if alike:
        assert shown_lines(block, f"before\n{printed}\nafter") == 1
        return
    with pytest.raises(AssertionError, match=r"page\.md shows"):
        shown_lines(block, f"before\n{printed}\nafter")
