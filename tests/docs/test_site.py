"""The site: every document is on it, and none of its links is broken."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.docs.blocks import ROOT, loaded

site: Any = loaded("site")
NAV = re.findall(r"[\w.]+(?:/[\w.]+)*\.md", (ROOT / "docs/mkdocs.yml").read_text().partition("\nnav:")[2])


def test_every_document_has_its_place() -> None:
    assert sorted(NAV) == sorted(str(path.relative_to(ROOT)) for path in site.documents())


def test_links_to_folders_are_words() -> None:
    text = "see [the studies](../studies) and [these](concepts.md#numbers), [there](https://example.org)"
    expected = "see the studies and [these](concepts.md#numbers), [there](https://example.org)"
    assert site.without_folders(ROOT / "docs/tutorial.md", text) == expected


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link() -> None:
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    site.main()
    config = str(ROOT / "docs" / "mkdocs.yml")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ROOT / "build/site/search/search_index.json").is_file()
