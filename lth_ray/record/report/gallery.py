"""Every figure that a study's results allow: what each is called, and what it is drawn from."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from lth_ray.config import Metric
from lth_ray.lottery import Plan
from lth_ray.lottery.execution.networks import build_without_averages
from lth_ray.record.figures import (
    architectures_figure,
    collapse_figure,
    costs_figure,
    curvature_figure,
    curves_figure,
    densities_figure,
    heat_map_figure,
    instability_figure,
    mask_distances_figure,
    metric_figure,
    movement_figure,
    overlap_figure,
    paths_figure,
    regrowth_figure,
    retraining_figure,
    rounds_figure,
    signs_figure,
    stability_figure,
    surviving_figure,
    transfer_matrix_figure,
)
from lth_ray.record.paper.targets import Target
from lth_ray.record.report.long_tables import curves, densities, paths, updates, weights
from lth_ray.record.report.looks import mask_distances
from lth_ray.record.report.summary import measures
from lth_ray.record.report.tables import Row, framed
from lth_ray.store import Store
from lth_ray.training.batch_norm import statistics_layers

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Found:
    """The findings that a study's figures are drawn from.

    summary: of the rows.
    """

    plan: Plan
    store: Store
    tickets: Sequence[Row]
    branches: Sequence[Row]
    summary: "pandas.DataFrame"
    targets: Sequence[Target]

    @cached_property
    def ticket_frame(self) -> "pandas.DataFrame":
        return framed(self.tickets, self.metric)

    @cached_property
    def branch_frame(self) -> "pandas.DataFrame":
        return framed(self.branches, self.metric)

    @property
    def metric(self) -> Metric:
        return self.plan.study.data.metric

    @property
    def has_own_densities(self) -> bool:
        """True where layers have densities of their own, that no fraction per layer has set."""
        is_global = any(lineage.prune.scope == "global" for lineage in self.plan.lineages)
        return is_global or any(measures(row, "weights") for row in self.branches)

    @cached_property
    def has_statistics(self) -> bool:
        """True where barriers were measured and any network has batch norms with running statistics, or that is not
        known: its function is not at hand.
        """
        if not any(measures(row, "barrier") for row in self.branches):
            return False  # networks are built to find out, and large ones take seconds
        recipes = {id(lineage.recipe): lineage.recipe for lineage in self.plan.lineages}.values()
        try:
            return any(statistics_layers(build_without_averages(recipe)) for recipe in recipes)
        except Exception:  # whatever a function of the user's own raises: a figure's caption must not cost it
            return True

    def digest(self, *words: str) -> str:
        """Return the digest of all that a figure shows.

        That is rows, whose keys and contents stand for what was measured with them, the papers' numbers,
        words, and the code that draws.
        """
        return f"sha256:{hashlib.sha256(json.dumps([self._rows, words, drawing_code()]).encode()).hexdigest()}"

    @cached_property
    def _rows(self) -> str:
        rows = [self.tickets, self.branches, [vars(target) for target in self.targets]]
        return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


@cache
def drawing_code() -> str:
    """Return a digest of the source that reckons and draws: a figure that either would change is drawn again."""
    packages = ("record/figures", "record/report", "record/paper", "analysis")
    sources = [(file.name, file.read_text()) for package in packages for file in _modules(files("lth_ray") / package)]
    return hashlib.sha256(json.dumps(sorted(sources)).encode()).hexdigest()


def _modules(folder: Traversable) -> Iterator[Traversable]:
    """Yield the modules in a folder and in those under it."""
    for found in folder.iterdir():
        if found.is_dir():
            yield from _modules(found)
        elif found.name.endswith(".py"):
            yield found


METRIC = "METRIC"


@dataclass(frozen=True)
class Kind:
    """A figure of the gallery.

    METRIC in its name and in `alt`, what it shows, is what networks are judged by.

    draw: (found, title, caption) -> figure; what has to be read for it is read then.
    """

    name: str
    alt: str
    title: str
    draw: Callable[..., "Figure | None"]


def _of_summary(found: Found, title: str, caption: str) -> "Figure | None":
    return None if found.summary.empty else metric_figure(found.summary, title, caption, found.targets)


def _of_layers(found: Found, title: str, caption: str) -> "Figure | None":
    if not found.has_own_densities:
        return None
    return densities_figure(densities(found.ticket_frame, found.store), title, caption)


def _of_rounds(found: Found, title: str, caption: str) -> "Figure | None":
    results = framed([*found.tickets, *found.branches], found.metric)
    return rounds_figure(results, title, caption, found.plan.study.matching_margin)


KINDS = (
    Kind(
        METRIC,
        f"Test {METRIC} and early-stop step against remaining weights",
        "",
        _of_summary,
    ),
    Kind(
        "curves",
        f"Test {METRIC} over training, by density",
        "training curves",
        lambda found, *words: curves_figure(curves(found.ticket_frame, found.store), *words),
    ),
    Kind(
        "retraining",
        f"Test {METRIC} of retraining methods against compression and search cost",
        "retraining",
        lambda found, *words: retraining_figure(found.ticket_frame, *words),
    ),
    Kind(
        "costs",
        f"Test {METRIC} of ways of finding tickets against all the operations that one takes",
        "what a ticket costs",
        lambda found, *words: costs_figure(found.ticket_frame, *words),
    ),
    Kind(
        "architectures",
        f"Test {METRIC} of tickets, and of architectures trained from scratch, against parameters",
        "architectures",
        lambda found, *words: architectures_figure(framed([*found.tickets, *found.branches], found.metric), *words),
    ),
    Kind(
        "heat_map",
        f"{METRIC} and error barriers over a swept field and the rewind step",
        "rewind points",
        lambda found, *words: heat_map_figure(framed([*found.tickets, *found.branches], found.metric), *words),
    ),
    Kind(
        "transfer_matrix",
        f"Test {METRIC} of tickets by where they were found and what they were then trained on",
        "sources and targets",
        lambda found, *words: transfer_matrix_figure(framed([*found.tickets, *found.branches], found.metric), *words),
    ),
    Kind(
        "instability",
        "Error barrier against the step at which copies part",
        "linear mode connectivity",
        lambda found, *words: instability_figure(found.branch_frame, *words, has_statistics=found.has_statistics),
    ),
    Kind(
        "paths",
        "Error along the line between copies",
        "the line between copies",
        lambda found, *words: paths_figure(paths(found.branch_frame, found.store), *words),
    ),
    Kind(
        "rounds",
        f"Error barrier to the round before, and {METRIC} less that of the dense network, against remaining weights",
        "successive rounds",
        _of_rounds,
    ),
    Kind(
        "curvature",
        "The Hessian's largest eigenvalue and trace against remaining weights",
        "curvature",
        lambda found, *words: curvature_figure(found.branch_frame, *words),
    ),
    Kind(
        "stability",
        "Distances between trained networks",
        "stability",
        lambda found, *words: stability_figure(found.branch_frame, *words),
    ),
    Kind(
        "surviving",
        "Initial weights that survive, by layer",
        "surviving weights",
        lambda found, *words: surviving_figure(weights(found.branch_frame, found.store), *words),
    ),
    Kind(
        "movement",
        "Movement of kept and pruned weights",
        "movement of weights",
        lambda found, *words: movement_figure(found.branch_frame, *words),
    ),
    Kind(
        "signs",
        "Signs of kept weights that training flipped",
        "flipped signs",
        lambda found, *words: signs_figure(found.branch_frame, *words),
    ),
    Kind(
        "densities",
        "Densities of layers",
        "densities of layers",
        _of_layers,
    ),
    Kind(
        "collapse",
        "Density of the sparsest layer against compression",
        "layer collapse",
        lambda found, *words: collapse_figure(found.ticket_frame, *words),
    ),
    Kind(
        "mask_distances",
        "Distances between the masks of all epochs of a dense training",
        "masks of the dense training's epochs",
        lambda found, *words: mask_distances_figure(mask_distances(found.plan, found.store), *words),
    ),
    Kind(
        "regrowth",
        "What each update of a moving mask exchanged, over training",
        "moving masks",
        lambda found, *words: regrowth_figure(updates(found.ticket_frame, found.store), *words),
    ),
    Kind(
        "overlap",
        "Overlap of masks between seeds",
        "overlap of masks between seeds",
        lambda found, *words: overlap_figure(found.branch_frame, *words),
    ),
)
