"""docs/notebook.ipynb: what it holds was made by running it, and it runs."""

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are run by nbclient, which is in the extra `dev`")
pytest.importorskip("nbclient", reason="notebooks are run by nbclient, which is in the extra `dev`")

from tests.docs.blocks import loaded  # noqa: E402


@pytest.fixture(scope="module")
def script() -> Any:
    return loaded("notebook")


def outputs(notebook: Any) -> list[tuple[str, list[str]]]:
    """Of each output what it is, and in which forms it is there; less what is said on the way."""
    found = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    return [(one.output_type, sorted(one.get("data", {}))) for one in found if one.output_type != "display_data"]


def test_it_was_run_and_names_no_machine(script: Any) -> None:
    notebook = nbformat.read(script.PAGE, as_version=4)
    kinds = {kind for _, data in outputs(notebook) for kind in data}
    assert {"text/html", "image/png"} <= kinds
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert "error" not in {kind for kind, _ in outputs(notebook)}
    assert "/tmp/" not in script.PAGE.read_text()
    assert "/home/" not in script.PAGE.read_text()


@pytest.mark.slow
def test_it_runs(script: Any, tmp_path: Path) -> None:
    stored = outputs(nbformat.read(script.PAGE, as_version=4))
    again = script.tidied(script.executed(script.PAGE, str(tmp_path)))
    assert outputs(again) == stored
    pictures = [one.data["text/plain"] for one in again.cells[1].outputs if one.output_type == "display_data"]
    assert any("21/21 trainings  3/3 lineages  6/6 branches" in text for text in pictures)
