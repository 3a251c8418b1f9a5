"""The studies that come with lth_ray: what each asks, after which paper, what it costs, and where its script is.

They lie in `studies/` of a checkout, and in the package `lth_ray.studies` of what was installed from a wheel.
"""

import ast
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lth_ray import printing
from lth_ray.config import ConfigError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
COSTS = "costs.csv"
COST_HEADINGS = ("trainings", "PFLOP", "core-hours", "A100-hours")
AUTHOR = r"[A-Z][\w'-]+"
PAPER = re.compile(rf"({AUTHOR}(?:,\s{AUTHOR})*(?:\s&\s{AUTHOR}|\set\sal\.))\s+\(?((?:19|20)\d\d)")


@dataclass(frozen=True)
class Published:
    """A study of a script that comes with lth_ray.

    papers: as "Frankle & Carbin 2019", in the order in which the script names them.
    costs: a row of the table of costs, see docs/sizing.md; None where that lacks the study.
    """

    name: str
    script: Path
    question: str
    papers: tuple[str, ...]
    costs: Mapping[str, str] | None = None


def folder() -> Path:
    """Return the folder of the scripts."""
    installed = PACKAGE / "studies"
    return installed if installed.is_dir() else PACKAGE.parent / "studies"


@cache
def published() -> tuple[Published, ...]:
    """Return every study, by its script and in the order in which that declares them; none of them is executed."""
    rows = table_of_costs()
    found = []
    for script in sorted(folder().glob("*.py")):
        question, papers = asked_in(script)
        own = [Published(row["study"], script, question, papers, row) for row in rows.get(script.stem, [])]
        found += own or [Published(script.stem, script, question, papers)]
    return tuple(found)


def table_of_costs() -> dict[str, list[dict[str, str]]]:
    """Return the rows of the table of costs by script."""
    rows: dict[str, list[dict[str, str]]] = {}
    with (folder() / COSTS).open(newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["script"], []).append(row)
    return rows


def asked_in(script: Path) -> tuple[str, tuple[str, ...]]:
    """Return (the question, the papers) of a script, by its docstring."""
    text = ast.get_docstring(ast.parse(script.read_text())) or ""
    papers = [f"{' '.join(names.split())} {year}" for names, year in PAPER.findall(text)]
    return text.partition("\n")[0], tuple(dict.fromkeys(papers))


def script_of(name: str) -> tuple[Path, str | None]:
    """Return (a script, the one of its studies that is meant; None for all) of a script's or a study's name.

    Raise ConfigError for a name that is neither.
    """
    scripts = {one.script.stem: one.script for one in published()}
    if name in scripts:
        return scripts[name], None
    for one in published():
        if one.name == name:
            return one.script, name
    known = {*scripts, *(one.name for one in published())}
    raise ConfigError(f"there is no script and no study {name!r}: {nearest(name, known)}; `lth-ray studies` lists them")


def print_published(console: Console) -> None:
    """Print of each script its question, papers and costs, those of several studies together."""
    table = printing.table("NAME", "question, paper and cost", title="studies that come with lth_ray")
    for script, studies in groupby(published(), key=lambda one: one.script):
        together = list(studies)
        rows = [one.costs for one in together if one.costs is not None]
        trainings, _, cores, gpus = _costs(rows)
        cost = f"{trainings} trainings; {cores} core-hours or {gpus} A100-hours"
        asked = Text(together[0].question)
        asked.append(f"\n{'; '.join(together[0].papers)}\n{cost}", style="dim")
        table.add_row(script.stem, asked)
    console.print(table)
    console.print(
        "`lth-ray run NAME` runs one, `lth-ray run NAME --smoke` minutes of it, `lth-ray studies NAME` says more. "
        "Hours are of one core, or of one A100, at assumed rates.",
        highlight=False,
        markup=False,
    )


def print_one(name: str, console: Console) -> None:
    """Print what a script says of its study, and the costs of each."""
    script, chosen = script_of(name)
    console.print(ast.get_docstring(ast.parse(script.read_text())), highlight=False, markup=False, soft_wrap=True)
    table = printing.table("NAME", *COST_HEADINGS, "GPU memory, GB", "storage, GB", right=COST_HEADINGS)
    for one in published():
        if one.script == script and one.costs is not None and chosen in (None, one.name):
            table.add_row(one.name, *_costs([one.costs]), one.costs["gpu_gb"] or "not estimated", one.costs["gb"])
    console.print(table)
    console.print(str(script), highlight=False, markup=False, soft_wrap=True)


def _costs(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the cells under COST_HEADINGS, added up."""
    if not rows:
        return ["?"] * len(COST_HEADINGS)
    totals = [sum(float(row[name]) for row in rows) for name in ("trainings", "pflop", "core_hours", "a100_hours")]
    return [f"{total:,.0f}" if total >= 10 else f"{total:.2g}" for total in totals]
