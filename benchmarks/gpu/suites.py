"""The tests of tests/gpu, a file in a process of its own, as facts."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.report import Fact, Found
from benchmarks.isolated import ROOT


def tests(fake: bool, file: str) -> Iterator[Found]:
    """Run one of their files; a fact on each that failed, and one on all."""
    if importlib.util.find_spec("pytest") is None:
        yield Fact(file, "not run: pytest is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", "-p", "no:cacheprovider"]
        said = subprocess.run(
            [*command, f"tests/gpu/{file}"],
            cwd=ROOT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # what else is installed may break it
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        ).stdout  # fmt: skip
        if not report.exists():
            yield Fact(file, f"not run: {' '.join(said.split())[-500:]}", False)
            return
        yield from told(file, report.read_text())


def told(file: str, report: str) -> Iterator[Found]:
    """Yield what a report of JUnit's form says of a file."""
    suite = next(ElementTree.fromstring(report).iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    for case in suite.iter("testcase"):
        for broken in (*case.iter("failure"), *case.iter("error")):
            yield Fact(f"{file}: {case.get('name')}", str(broken.get("message"))[:300].replace("\n", " "), False)
    bad = counts["failures"] + counts["errors"]
    words = f"{counts['tests'] - bad - counts['skipped']} passed, {bad} failed, {counts['skipped']} skipped"
    yield Fact(file, words, None if counts["skipped"] == counts["tests"] else not bad)
