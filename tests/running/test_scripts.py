"""`lth-ray plan SCRIPT` and `lth-ray run SCRIPT`."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """'Does a script run?'
from beside import LENGTH
from lth_ray import Data, Model, Prune, Study, Train, main, steps
main(Study("scripted", model=Model("lenet_8_8"), data=Data("digits", batch_size={batch}, validation=0),
           train=Train(steps(LENGTH), lr=0.1), prune=Prune(fraction=0.2, rounds=2), rewind=[steps(0)], seeds=[0]))
"""


@pytest.mark.parametrize(
    ("batch", "command", "code", "said"),
    [
        (60, ("plan", "script.py", "--set", "seeds=[0, 1]"), 0, "steps left to train  42"),
        (60, ("run", "script.py", "--help"), 0, "Does a script run?"),
        (-1, ("plan", "script.py"), 2, "error: Data.batch_size = -1: give a whole number of at least 1"),
        (60, ("plan", "other.py"), 2, "'other.py' does not exist"),
    ],
    ids=["a plan", "its flags", "a mistake", "no script"],
)
def test_a_script_can_be_planned_and_run(
    tmp_path: Path, batch: int, command: tuple[str, ...], code: int, said: str
) -> None:
    """Also from another folder than its own, and what it declares wrongly is one message."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "beside.py").write_text("LENGTH = 7")
    (tmp_path / "studies" / "script.py").write_text(SCRIPT.format(batch=batch))
    name, script, *flags = command
    given = [name, f"studies/{script}", *flags]
    done = subprocess.run(
        [sys.executable, "-m", "lth_ray", *given], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert said.replace("'other", "'studies/other") in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
