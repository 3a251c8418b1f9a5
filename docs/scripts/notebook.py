"""The script that runs docs/notebook.ipynb in an empty folder and keeps what it shows.

`make notebook` runs it, and a slow test runs the notebook anew.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

PAGE = Path(__file__).resolve().parents[1] / "notebook.ipynb"
LONGEST_S = 600


def executed(page: Path, folder: str) -> Any:
    """Return the notebook as it is after all of its cells have run in a folder. Raise CellExecutionError."""
    notebook = nbformat.read(page, as_version=4)
    client = NotebookClient(
        notebook, timeout=LONGEST_S, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    return client.execute()


def tidied(notebook: Any) -> Any:
    """Return it without what no reader needs: times, warnings of the machine, the folder it ran in."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_note(output)]
        for output in cell.outputs:
            output.pop("transient", None)
            if "text" in output:
                output.text = _without_folder(output.text)
            data = output.get("data", {})
            data.update({kind: _without_folder(text) for kind, text in data.items() if kind.startswith("text/")})
    return notebook


def _is_note(output: Any) -> bool:
    """Return whether an output is a warning, or a coloured line that a console has said."""
    return output.get("name") == "stderr" or "\x1b[" in "".join(output.get("data", {}).get("text/plain", ""))


def _without_folder(text: str) -> str:
    return re.sub(r"\S*/(notebook_storage)", r"\1", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        nbformat.write(tidied(executed(PAGE, place)), PAGE)
