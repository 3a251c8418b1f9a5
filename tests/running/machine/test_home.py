"""A home that cannot be written: Ray keeps its token there, and we what was decoded."""

from pathlib import Path

import pytest

from lth_ray import Launch
from lth_ray.config import ConfigError
from lth_ray.running.doctor.examine import Asked, Examination
from lth_ray.running.doctor.finding import NOTE, PROBLEM
from lth_ray.running.machine import home
from tests.conftest import Call
from tests.running.conftest import declared

ENVIRONMENT = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_ID", "RAY_ADDRESS")


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root may write everywhere but into what is no folder."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "me"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    return tmp_path


def test_it_is_said_by_plan_and_by_a_run_before_anything_is_made(
    no_home: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags in (["--plan"], []):
        code, printed = call(declared(), "--storage", no_home / "new", *flags)
        assert code == 2
        assert f"HOME = '{no_home}/file/me': a Ray of its own keeps its token in" in printed.replace("\n", " ")
        assert "set HOME to a folder that can be written, or RAY_AUTH_TOKEN" in printed.replace("\n", " ")


def test_doctor_says_it(no_home: Path) -> None:
    examination = Examination(Asked(str(no_home)))
    examination._home()
    found = [(finding.result, finding.remedy) for finding in examination.findings]
    assert found == [
        (PROBLEM, "set HOME to a folder that can be written, or RAY_AUTH_TOKEN to a long random text"),
        (NOTE, "set XDG_CACHE_HOME to a folder that can be written"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_TOKEN", "secret"), ("RAY_AUTH_TOKEN_PATH", "/token"), ("RAY_AUTH_MODE", "disabled"), ("HOME", "/tmp")],
)
def test_what_makes_it_right(no_home: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="HOME = "):
        home.check_home(Launch())
    home.check_home(Launch(address="10.0.0.1:6379"))
    monkeypatch.setenv(name, value)
    home.check_home(Launch())
