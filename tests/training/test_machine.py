"""The instructions for bf16 that a machine has, and what is said where it has none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lth_ray.training import machine

INTEL = "processor : 0\nmodel name\t: Some Xeon\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
STATED = {
    INTEL: "amx_bf16",
    INTEL.replace(" amx_bf16", ""): "avx512_bf16",
    "processor: 0\nFeatures\t: fp asimd bf16\n": "bf16",
    "processor: 0\nflags : fpu avx2\n": "none",
    "processor: 0\n": None,
}


@pytest.fixture
def stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the system say something of its processors."""

    def say(text: str) -> None:
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
        machine.environment.cache_clear()
        machine.warn_once.cache_clear()

    return say


@pytest.mark.parametrize("text", STATED)
def test_instructions_for_bf16_are_those_that_the_system_names(stated: Callable[[str], None], text: str) -> None:
    stated(text)
    assert machine.bf16_instructions() == machine.environment("cpu")["bf16"] == STATED[text]
    assert (machine.slow_in("bf16", "cpu") is not None) == (STATED[text] == "none")
    assert machine.slow_in("fp32", "cpu") is machine.slow_in("bf16", "cuda") is None
    machine.environment.cache_clear()


def test_the_processor_has_its_name(stated: Callable[[str], None]) -> None:
    stated(INTEL)
    assert machine.environment("cpu")["device"] == "Some Xeon"
    machine.environment.cache_clear()


@pytest.mark.parametrize(("text", "times"), [("flags : avx2\n", 1), (INTEL, 0)])
def test_training_says_once_that_it_is_slow(
    stated: Callable[[str], None], setting: Any, caplog: pytest.LogCaptureFixture, text: str, times: int
) -> None:
    stated(text)
    made = setting(precision="bf16")
    for _ in range(2):
        made.trained(made.begin(), 1, measured=False)
    assert caplog.text.count("this processor has no instructions for it (avx512_bf16 or amx_bf16)") == times
    machine.environment.cache_clear()
