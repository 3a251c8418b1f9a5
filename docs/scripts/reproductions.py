"""Runs the studies of docs/reproductions.md, and writes what they found into the page.

`make reproductions STORAGE=DIR DATA_ROOT=DIR` trains what is left of them in DIR, which takes some 20 hours of one core
in all and goes on where it was interrupted; `--drawn` trains nothing and writes what is finished so far. Each study's
folder, docs/reproductions/NAME/, gets the figures and every ticket and branch as Parquet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import click
from gallery import declared, put, small_png
from PIL import Image

from lth_ray import Barrier, Launch, RandomMask, Results, Stability, Study, run, steps
from lth_ray.config import set_fields
from lth_ray.lottery import make_plan
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.record import Report, in_markdown, paper_listings, report
from lth_ray.record.paper.words import paper_listing
from lth_ray.record.report.environments import environments, spent, versions
from lth_ray.store import Store, study_path

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "reproductions.md"
TABLES = ("tickets.parquet", "branches.parquet")


@dataclass(frozen=True)
class Repeated:
    """A study that was run with the paper's length and hyperparameters.

    script, study: which study of which script.
    figures: those that the page shows, with their descriptions.
    changes: {field: value} of what is less than in the script.
    arms: those that were run; by default all.
    """

    script: str
    study: str
    figures: Mapping[str, str]
    changes: Mapping[str, Any] = field(default_factory=dict)
    arms: Sequence[str] = ()

    def declared(self) -> Study:
        """Return the study, which keeps its name where nothing is left out."""
        study = next(study for study in declared(self.script) if study.name == self.study)
        if not self.changes:
            return study
        arms = {arm: study.arms[arm] for arm in self.arms or study.arms}
        return set_fields(study, {"name": f"{study.name}-fewer", "arms": arms, **self.changes})


REPEATED = {
    "lenet_mnist": Repeated(
        "lenet_mnist",
        "lenet-mnist",
        {
            "accuracy": "test accuracy and early-stop step against remaining weights, with the paper's values as stars",
            "curves": "test accuracy in the course of training",
        },
    ),
    "lenet_prune_rates": Repeated(
        "lenet_ablations",
        "lenet-ablations-prune-rates",
        {"accuracy": "test accuracy and early-stop step for four pruning rates"},
        {"seeds": [0, 1, 2]},
        ("prune_0.2", "prune_0.4", "prune_0.6", "prune_0.8"),
    ),
    "stability_lenet": Repeated(
        "stability",
        "stability-lenet",
        {"stability": "distances between copies of tickets and of random masks"},
        {
            "rewind": [steps(0)],
            "prune.rounds": 10,
            "branches": [Stability(4, rounds=[10]), RandomMask(rounds=[10], branches=[Stability(4)])],
        },
    ),
    "lmc_lenet": Repeated(
        "linear_mode_connectivity",
        "lmc-lenet",
        {"instability": "instability of dense networks, tickets and random masks"},
        {
            "rewind": [steps(0), steps(1000)],
            "branches": [
                Barrier(3, points=30, rounds=[0, 7, 15]),
                RandomMask(rounds=[7, 15], branches=[Barrier(3, points=30)]),
            ],
        },
    ),
}


def repeated(name: str, launch: Launch, *, drawn: bool) -> str:
    """Train what is left of a study, or with `drawn` nothing; fill its folder, and return its part of the page."""
    one, store = REPEATED[name], Store.open(launch.storage)
    study = one.declared()
    plan = make_plan(study, launch.data_root, store)
    results = Results(plan, store) if drawn or not plan.jobs else run(study, launch)
    made = report(results.plan, store)
    folder = DOCS / "reproductions" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in TABLES:
        (folder / file).write_bytes(store.get(study_path(study.name, file)))
    for figure in one.figures:
        image = Image.open(BytesIO(store.get(study_path(study.name, f"{figure}.png"))))
        (folder / f"{figure}.png").write_bytes(small_png(image))
    return "\n".join(part(name, one, results, made))


def part(name: str, one: Repeated, results: Results, made: Report) -> Iterator[str]:
    """Yield the lines of a study's part of the page: figures, what was run, what was found, tables."""
    plan, store = results.plan, results.store
    tickets, branches = results.tickets(), results.branches()
    for figure, described in one.figures.items():
        yield f"![{plan.study.name}: {described}](reproductions/{name}/{figure}.png)\n"
    whole = sum(len(lineage.rounds) for lineage in plan.lineages)
    frames = [frame for frame in (tickets, branches) if len(frame)]
    keys = {str(key) for frame in frames for key in frame["key"]}
    records = [record for key, record in whole_records(store, plan.keys).items() if key in keys]
    trained = sum(int(frame.drop_duplicates("key")["train_steps"].gt(0).sum()) for frame in frames)
    seeds = [f"n = {tickets['seed'].nunique()} seeds of tickets"]
    if len(branches):
        seeds.append(f"{branches['seed'].nunique()} of branches")
    cost = "; ".join(f"{what}: {number}" for what, number in spent(records).items())
    places = environments(store, keys)
    devices = ", ".join(sorted({place.device for place in places}))
    finished = f"{len(tickets)} of {whole} tickets, {len(branches)} of {len(plan.branches)} branch results"
    yield f"*{', '.join(seeds)}; {finished};"
    yield f"{trained:,} trainings; {cost}; {devices}, {versions(places)}.*\n"
    yield from made.found
    yield ""
    listings = [*paper_listings(made.summary), paper_listing(made.against)]
    for listing in filter(None, listings):
        yield f"{in_markdown(listing)}"
    links = ", ".join(f"[{file}](reproductions/{name}/{file})" for file in TABLES)
    yield f"Every ticket and branch: {links}."


@click.command(help=__doc__)
@click.argument("storage")
@click.argument("names", nargs=-1)
@click.option("--data-root", help="Where MNIST is, or is downloaded to.")
@click.option("--cpus", type=int, help="Cores to run on; by default all.")
@click.option("--drawn", is_flag=True, help="Train nothing: write what is finished.")
@click.option("--trained", is_flag=True, help="Write nothing: train what is left.")
def main(
    storage: str, names: tuple[str, ...], data_root: str | None, cpus: int | None, drawn: bool, trained: bool
) -> None:
    launch = Launch(storage, data_root=data_root, cpus=cpus)
    for name in names or REPEATED:
        if trained:
            run(REPEATED[name].declared(), launch)
        else:
            PAGE.write_text(put(PAGE.read_text(), f"run {name}", repeated(name, launch, drawn=drawn)))


if __name__ == "__main__":
    main()
