"""The places where a path of a study is looked for."""

from pathlib import Path

import pytest

from lth_ray.config.places import places


def test_the_data_root_comes_before_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert places("a/b", "/data") == [Path("/data/a/b"), tmp_path / "a/b"]
    assert places("a/b", "~/data") == [Path("/home/me/data/a/b"), tmp_path / "a/b"]
    assert places("a/b", None) == [tmp_path / "a/b"]
    assert places("/a/b", "/data") == [Path("/a/b")]  # said once
    assert places("~/b", "/data") == [Path("/home/me/b")]
