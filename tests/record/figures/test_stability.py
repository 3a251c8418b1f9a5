"""Distances between trained networks."""

from lth_ray.record.figures import stability_figure
from tests.record.figures.setups import SEEDS, frame, legend, names, overlaps, row


def test_stability_tells_pruning_from_data_order() -> None:
    rows = [
        row(seed, number, f"{host}stability", compared=compared, spawn_step=0, l2_distance=20.0, angle=30.0)
        for host in ("", "random_mask-0/") for number in (2, 4) for seed in SEEDS for compared in ("pruning", "order")
    ]  # fmt: skip
    figure = stability_figure(frame(rows), "stability")
    assert figure is not None
    assert legend(figure)[:2] == ["ticket, to pruning (n = 3)", "ticket, to data order (n = 3)"]
    assert [panel.get_ylabel() for panel in figure.axes] == ["L2 distance", "angle (degrees)"]
    assert not list(overlaps(figure))


def test_stability_of_many_variants_has_a_row_of_panels_for_each() -> None:
    rows = [
        row(seed, number, f"{host}stability", arm, step, compared=compared, spawn_step=step, l2_distance=2.0, angle=3.0)
        for host in ("", "random_mask-0/") for arm in ("low", "high") for step in (0, 500) for number in (2, 4)
        for seed in SEEDS for compared in ("pruning", "order")
    ]  # fmt: skip
    figure = stability_figure(frame(rows), "stability")
    assert figure is not None
    assert names(figure)[::2] == ["low, k = 0", "low, k = 500", "high, k = 0", "high, k = 500"]
    assert len(legend(figure)) == 4
    assert not list(overlaps(figure))
