"""Makes studies/costs.csv and the table of docs/sizing.md again: what every study takes, by its plan.

`python docs/scripts/sizing.py --data-root DIR [SCRIPT ...]` plans each study of the scripts, by default of all, for one
seed, and multiplies by their number, as seeds share nothing unless they are crossed. Nothing is trained or timed; it
takes some minutes. A study whose network is not at hand keeps the row it has.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click

from lth_ray import Study
from lth_ray.config import ConfigError
from lth_ray.lottery import make_plan
from lth_ray.lottery.branch_tree import other_data
from lth_ray.running.assumed import KNOWN, apart
from lth_ray.running.sizing import Size, size_of

ROOT = Path(__file__).resolve().parents[2]
STUDIES, PAGE = ROOT / "studies", ROOT / "docs" / "sizing.md"
COSTS = STUDIES / "costs.csv"
BEGIN, END = "<!-- sizes -->\n", "<!-- / -->"
LAPTOP_HOURS, WORTH_A_GPU = 24, 8  # core-hours; so many cores are had for the price of a GPU
CLUSTERS = (  # A100-hours up to which each takes about four days at most
    (100, "one GPU"),
    (800, "a host of 8 GPUs"),
    (3200, "4 hosts of 8 GPUs"),
    (float("inf"), "more, or fewer arms and seeds"),
)
COLUMNS = ("script", "study", "trainings", "steps", "pflop", "core_hours", "a100_hours", "h100_hours", "gpu_gb", "gb")
HEAD = ("study", "PFLOP", "core-hours", "A100-hours", "H100-hours", "GPU memory, GB", "storage, GB", "suits")


def figures(value: float) -> str:
    """Return two figures of a number."""
    exact = float(f"{value:.2g}")
    return f"{exact:.0f}" if exact >= 10 else f"{exact:g}"


def declared(script: str) -> list[Study]:
    """Return the studies of a script."""
    spec = spec_from_file_location(script, STUDIES / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.study] if hasattr(module, "study") else list(module.studies)


def row(script: str, study: Study, data_root: str | None) -> dict[str, str]:
    """Return the row of a study: what it would cost whole."""
    sets = (study.data, *other_data(study.branches, study.data))
    known = {one: KNOWN[one.called] for one in sets if one.called in KNOWN} or None
    seeds, times = apart(study)
    size = size_of(make_plan(replace(study, seeds=seeds), data_root, None, known))
    told: dict[str, str] = {"script": script, "study": study.name}
    told |= {"trainings": str(times * size.trainings), "steps": str(times * size.steps)}
    return told | costs(size, times)


def costs(size: Size, seeds: int) -> dict[str, str]:
    hours = {name: figures(seeds * seconds / 3600) for name, seconds in size.seconds.items()}
    return {
        "pflop": figures(seeds * size.flops / 1e15),
        "core_hours": hours["core"],
        "a100_hours": hours["A100"],
        "h100_hours": hours["H100"],
        "gpu_gb": figures(size.memory.total / 1e9) if size.memory else "",
        "gb": figures(seeds * size.state_bytes / 1e9),
    }


def table(rows: list[dict[str, str]]) -> Iterator[str]:
    """Yield the lines of the page's table."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{' --- |' * len(HEAD)}"
    for one in rows:
        names = ("pflop", "core_hours", "a100_hours", "h100_hours")
        large = [f"{float(one[name]):,.0f}" if float(one[name]) >= 1000 else one[name] for name in names]
        memory = one["gpu_gb"] or "not estimated"
        yield f"| `{one['study']}` | {' | '.join([*large, memory, one['gb'], suits(one)])} |"


def suits(one: dict[str, str]) -> str:
    """Return the least that a study takes some days on; many cores for what a GPU would only launch."""
    cores, gpu = float(one["core_hours"]), float(one["a100_hours"])
    if cores <= LAPTOP_HOURS:
        return "a laptop"
    if cores <= WORTH_A_GPU * gpu:
        return "a host of CPUs"
    return next(name for hours, name in CLUSTERS if gpu <= hours)


def recorded() -> list[dict[str, str]]:
    """Return the rows that there are."""
    if not COSTS.exists():
        return []
    with COSTS.open(newline="") as file:
        return list(csv.DictReader(file))


def written(rows: list[dict[str, str]]) -> None:
    """Write the table of costs and the page's."""
    with COSTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n".join(table(rows)) + "\n" + END + rest.partition(END)[2])


@click.command(help=__doc__)
@click.argument("scripts", nargs=-1)
@click.option("--data-root", help="Where MNIST and CIFAR-10 are, or are downloaded to.")
def main(scripts: tuple[str, ...], data_root: str | None) -> None:
    earlier = recorded()
    there = sorted(path.stem for path in STUDIES.glob("*.py"))
    found: dict[str, list[dict[str, str]]] = {}
    for script in there:
        kept = [one for one in earlier if one["script"] == script]
        if scripts and script not in scripts:
            found[script] = kept
            continue
        for study in declared(script):
            try:
                found.setdefault(script, []).append(row(script, study, data_root))
            except ConfigError as error:
                print(f"{study.name} is left as it is: {error}", file=sys.stderr)
                found.setdefault(script, []).extend(one for one in kept if one["study"] == study.name)
    written([one for script in there for one in found.get(script, [])])


if __name__ == "__main__":
    main()
