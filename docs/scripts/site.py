"""Lay out the documents as mkdocs wants them: `python docs/scripts/site.py`, which `make site` calls.

Every Markdown document and what it links to is copied to where it lies in the repository, below build/site-source. A
link to a folder, which a site has no page for, becomes plain text.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "site-source"
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")


def main() -> None:
    """Make build/site-source anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for document in documents():
        text = document.read_text()
        for linked in targets(document, text):
            if linked.is_file() and linked.suffix != ".md":
                place(linked).write_bytes(linked.read_bytes())
        place(document).write_text(without_folders(document, text))


def documents() -> list[Path]:
    """Return the Markdown files that git lists."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def targets(document: Path, text: str) -> Iterator[Path]:
    """Yield what a document links to in the repository."""
    for match in LINK.finditer(text):
        path = target(document, match[2])
        if path is not None:
            yield path


def target(document: Path, link: str) -> Path | None:
    """Return the file or folder of a link; None where it leads elsewhere or into its own page."""
    name = unquote(link.partition("#")[0])
    if not name or "://" in name or name.startswith("mailto:"):
        return None
    path = (document.parent / name).resolve()
    return path if path.exists() and path.is_relative_to(ROOT) else None


def without_folders(document: Path, text: str) -> str:
    """Return a document whose links to folders are their words alone."""

    def kept(match: re.Match[str]) -> str:
        path = target(document, match[2])
        return match[1] if path is not None and path.is_dir() else match[0]

    return LINK.sub(kept, text)


def place(path: Path) -> Path:
    """Return where a file of the repository is copied to."""
    there = SOURCE / path.relative_to(ROOT)
    there.parent.mkdir(parents=True, exist_ok=True)
    return there


if __name__ == "__main__":
    main()
