"""Layer collapse: the sparsest layer against the whole network."""

from typing import TYPE_CHECKING

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.line_styles import GREY, looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_variant, few
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, compression_axis, grid
from lth_ray.record.report.tables import rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 12
EMPTY, MOST, ALIKE = "a layer is empty", "maximal compression", "all layers alike"


@styled
def collapse_figure(tickets: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the density of the sparsest layer against the compression of the network, on log scales.

    After Tanaka et al. 2020, section 3. Lines are the mean over the seeds without an empty layer; where some seed has
    one, a cross stands at the bottom. The dotted line is all layers alike, the dashed one maximal compression: one
    weight a layer. Returns None where no ticket has an empty layer.

    tickets: as of Results.tickets().
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    found = [row for row in rows_of(tickets) if row["round"] > 0 and is_there(row.get("lowest_layer_density"))]
    rows = [{**row, "compression": 1 / row["remaining_weights"]} for row in found if row["remaining_weights"]]
    if not any(row["empty_layers"] for row in rows):
        return None
    variants, caption = few(by_variant(rows), MOST_VARIANTS, caption)
    lines, crosses = [], []
    for look, (variant, own) in zip(looks(len(variants)), variants.items(), strict=True):
        whole = [row for row in own if not row["empty_layers"]]
        lines.append((gather(variant or "tickets", whole, "compression", "lowest_layer_density", scale=100.0), look))
        crosses.append(sorted({row["compression"] for row in own if row["empty_layers"]}))
    page = Page.of([*(line.label for line, _ in lines), EMPTY, MOST, ALIKE], caption)
    figure, (panel,) = page.begin()
    panel.set_yscale("log")
    compressions = [row["compression"] for row in rows]
    lowest = min((100 * row["lowest_layer_density"] for row in rows if row["lowest_layer_density"]), default=100.0)
    for i, ((line, look), at) in enumerate(zip(lines, crosses, strict=True)):
        draw(panel, line, look, has_spread=False, order=9 - i / 100)
        keep(panel, f"{line.label.partition(' (n = ')[0]}: {EMPTY}", [{"x": x} for x in at])
        floor = lowest / 4 / 1.5**i  # one under the other, so that none hides the others
        panel.plot(at, [floor] * len(at), linestyle="", marker="x", color=look.colour, markersize=5, label="_")
    panel.plot([], [], linestyle="", marker="x", color=GREY, label=EMPTY)
    ends = [min(compressions), max(compressions)]
    panel.plot(ends, [100 / end for end in ends], color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), label=ALIKE)
    most = max(row["max_compression"] for row in rows)
    if most <= 3 * ends[1]:
        panel.axvline(most, color=GREY, linewidth=0.9, linestyle="--", label=MOST)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    compression_axis(panel, compressions)
    panel.set_ylabel("remaining in the sparsest layer (%)")
    grid(panel)
    return page.finish(figure, title, by_label([panel]))
