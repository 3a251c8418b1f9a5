"""Every figure that a study's results allow, written beside its tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.lottery import Plan
from lth_ray.record.connectivity_figures import instability_figure, paths_figure
from lth_ray.record.figures import accuracy_figure
from lth_ray.record.page import write_figure
from lth_ray.record.retraining_figure import retraining_figure
from lth_ray.record.stability_figure import stability_figure
from lth_ray.record.subnetworks import measures
from lth_ray.record.targets import Target
from lth_ray.record.weights_figures import densities_figure, movement_figure, overlap_figure, surviving_figure
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A figure on disk. alt: what it shows, in words. paths: of its SVG and PNG in the store."""

    name: str
    alt: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What a study's figures are drawn from. frame: the summary."""

    plan: Plan
    store: Store
    tickets: Sequence[Row]
    branches: Sequence[Row]
    frame: "pandas.DataFrame"
    targets: Sequence[Target]

    def curves(self, key: str) -> dict[str, list[Any]] | None:
        """Columns of a measured table."""
        record = self.store.table(key)
        return record.get("columns") if record else None

    def densities(self, key: str) -> dict[str, float] | None:
        """{layer: density} of a ticket."""
        record = self.store.segment(key)
        return record.get("layer_densities") if record else None

    @property
    def has_own_densities(self) -> bool:
        """Whether layers have densities of their own, that no fraction per layer has set."""
        is_global = any(lineage.prune.scope == "global" for lineage in self.plan.lineages)
        return is_global or any(measures(row, "weights") for row in self.branches)


def write_gallery(found: Found, name: str, caption: str) -> list[Picture]:
    """Draws and writes studies/NAME/FIGURE.svg and .png for whatever was measured."""
    return [
        Picture(figure_name, alt, write_figure(found.store, name, figure_name, figure))
        for figure_name, alt, figure in _figures(found, name, caption) if figure is not None
    ]  # fmt: skip


def _figures(found: Found, name: str, caption: str) -> Iterator[tuple[str, str, "Figure | None"]]:
    """One after another, so that few are held at a time."""
    tickets, branches = found.tickets, found.branches
    accuracy = None if found.frame.empty else accuracy_figure(found.frame, name, caption, found.targets)
    yield "accuracy", "Test accuracy and early-stop step against remaining weights", accuracy
    title = f"{name}: search cost"
    yield "retraining", "Test accuracy against search cost", retraining_figure(tickets, title, caption)
    title = f"{name}: linear mode connectivity"
    yield "instability", "Error barrier against spawn step", instability_figure(branches, title, caption)
    title = f"{name}: the line between copies"
    yield "paths", "Error along the line between copies", paths_figure(branches, found.curves, title, caption)
    title = f"{name}: stability"
    yield "stability", "Distances between trained networks", stability_figure(branches, title, caption)
    title = f"{name}: surviving weights"
    yield "surviving", "Surviving initial weights", surviving_figure(branches, found.curves, title, caption)
    title = f"{name}: movement of weights"
    yield "movement", "Movement of kept and pruned weights", movement_figure(branches, title, caption)
    if found.has_own_densities:
        title = f"{name}: densities of layers"
        yield "densities", "Densities of layers", densities_figure(tickets, found.densities, title, caption)
    title = f"{name}: overlap of masks between seeds"
    yield "overlap", "Overlap of masks between seeds", overlap_figure(branches, title, caption)
