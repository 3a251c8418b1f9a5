"""The documents, cut into the blocks that a reader would type or copy."""

import re
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from tests.repository import ROOT, files

GENERATED = "docs/reference.md"  # its blocks are signatures: test_reference.py compares the whole page
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "docs", "cluster", "benchmarks", "examples")
    for path in files(folder, "*.md")
)
FENCED = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the number-th of a document."""

    document: str
    number: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """By its first line the table knows it."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")

    @property
    def lines(self) -> list[str]:
        """Of a shell block, each with what continues it; comments left out."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def read(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(document: str) -> list[Block]:
    """A document's fenced blocks in their order."""
    found = FENCED.findall(read(document))
    return [
        Block(document, number, language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for number, (indent, language, text) in enumerate(found)
    ]


def inline(document: str) -> list[str]:
    """Return what stands between backticks in its text."""
    return re.findall(r"`([^`]+)`", FENCED.sub("", read(document)).replace("\n", " "))


def loaded(name: str) -> Any:
    """The module of docs/scripts/NAME.py, which may import its neighbours."""
    scripts = ROOT / "docs" / "scripts"
    if str(scripts) not in sys.path:
        sys.path.append(str(scripts))
    spec = spec_from_file_location(name, scripts / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
