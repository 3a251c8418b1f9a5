"""A folder with a small text, and a cache of the tests' own."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_ray.data.text import catalogue
from tests.tasks.text.chained import chain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chain")
    (place / "train.txt").write_text(chain(120, 0))
    (place / "valid.txt.gz").write_bytes(gzip.compress(chain(20, 1).encode()))
    (place / "test.txt").write_text(chain(25, 2))
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path_factory.getbasetemp() / "text-cache"
    monkeypatch.setattr(catalogue, "cache_dir", lambda: place)
    catalogue._found.cache_clear()
    yield place
    catalogue._found.cache_clear()
