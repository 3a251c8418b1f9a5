"""The figures of measurements, from rows and curves like those of a study; nothing is trained or measured here."""

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from matplotlib.figure import Figure

from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.connectivity_figures import instability_figure, paths_figure
from lth_ray.record.figures import accuracy_figure
from lth_ray.record.gallery import Found, write_gallery
from lth_ray.record.multiples import facets
from lth_ray.record.page import Page
from lth_ray.record.panels import Look, compact, counted, evenly, gather, ramp
from lth_ray.record.retraining_figure import retraining_figure
from lth_ray.record.series import Series
from lth_ray.record.stability_figure import stability_figure
from lth_ray.record.subnetworks import subnetwork
from lth_ray.record.summary import summary
from lth_ray.record.targets import targets_of
from lth_ray.record.weights_figures import densities_figure, movement_figure, overlap_figure, surviving_figure
from lth_ray.store import Store

Row = dict[str, Any]
SEEDS = range(3)


def row(seed: int, number: int, branch: str = "", arm: str = "", step: int = 0, **fields: Any) -> Row:
    lineage = "/".join(part for part in (arm, f"k{step}", f"seed{seed}") if part)
    key = hashlib.sha256(f"{lineage}/{number}/{branch}/{fields}".encode()).hexdigest()
    given = {
        "lineage": lineage, "arm": arm, "method": "weights", "seed": seed, "rewind_step": step, "round": number,
        "remaining_weights": 0.8**number, "key": key,
        "test_accuracy": None, "early_stop_step": None, "test_accuracy_at_early_stop": None, "diverged_at": None,
    }  # fmt: skip
    return {**given, **({"branch": branch, "index": 0} if branch else {}), **fields}


def barriers(rounds: tuple[int, ...] = (0, 4), steps: tuple[int, ...] = (0, 100, 2000), arms: Any = ("",)) -> list[Row]:
    return [
        row(
            seed, number, f"{host}barrier", arm, step, spawn_step=step, pair="0-1", batch_norm="stored",
            lmc_error_barrier=0.6 * math.exp(-step / 300), lmc_train_error_barrier=0.5, share_travelled=0.4,
        )
        for arm in arms for host in ("", "random_mask-0/") for number in rounds for step in steps for seed in SEEDS
        if number or not host
    ]  # fmt: skip


def path(key: str) -> dict[str, list[float]]:
    return {"alpha": [0.0, 0.5, 1.0], "test_error": [0.1, 0.4, 0.1]}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def names(figure: Figure) -> list[str]:
    return [panel.get_title(loc="left") for panel in figure.axes if panel.axison]


def overlaps(figure: Figure) -> Iterator[tuple[str, str]]:
    """Words of the figure that print over each other."""
    figure.draw_without_rendering()
    texts = [*figure.texts]
    for panel in figure.axes:
        if panel.axison:
            texts += [panel.title, panel._left_title, panel.xaxis.label, panel.yaxis.label]  # type: ignore[attr-defined]
            low, high = sorted(panel.get_xlim())
            texts += [tick for tick in panel.get_xticklabels() if low <= tick.get_position()[0] <= high]
    for box in [*figure.legends, *(panel.get_legend() for panel in figure.axes)]:
        texts += box.get_texts() if box else []
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text().strip()]
    for i, (one, box) in enumerate(boxes):
        for other, further in boxes[i + 1 :]:
            if box.padded(-1.5).overlaps(further.padded(-1.5)):
                yield one, other


def test_instability_is_drawn_over_the_step_at_which_copies_part() -> None:
    figure = instability_figure(barriers(), "lmc", "of something")
    assert figure is not None
    barrier, share = figure.axes
    assert [label.get_text() for label in barrier.get_xticklabels()] == ["0", "100", "2k"]
    assert (barrier.get_ylabel(), share.get_ylabel()) == ("error barrier (%)", "distance apart, % of that travelled")
    assert legend(figure) == [
        "dense (n = 3)", "ticket, 41 % (n = 3)", "random mask, 41 % (n = 3)", "test set", "training set",
    ]  # fmt: skip
    assert "stable: under 2 %" in [text.get_text() for text in barrier.texts]
    assert not list(overlaps(figure))


def test_many_densities_are_drawn_in_a_panel_for_each_kind() -> None:
    figure = instability_figure(barriers(rounds=(0, 2, 4, 6, 8)))
    assert figure is not None
    assert names(figure) == ["dense (n = 3)", "ticket (n = 3)", "random mask (n = 3)"]
    assert legend(figure)[-4:-2] == ["16.8 %", "dense"]
    assert not list(overlaps(figure))


def test_copies_that_part_at_one_step_are_drawn_over_remaining_weights() -> None:
    figure = instability_figure(barriers(rounds=(0, 2, 4), steps=(500,)))
    assert figure is not None
    assert figure.axes[0].get_xlabel() == "weights remaining (%)"


def test_dense_copies_that_several_lineages_share_count_once() -> None:
    rows = [row(0, 0, "barrier", step=step, spawn_step=7, lmc_error_barrier=0.1, key="same") for step in (0, 7)]
    assert gather("dense", rows, "spawn_step", "lmc_error_barrier").label == "dense (n = 1)"


def test_paths_are_drawn_for_every_spawn_step() -> None:
    figure = paths_figure(barriers(arms=("low", "high")), path, "lmc")
    assert figure is not None
    assert len(names(figure)) == 6
    assert "dense, low (n = 3)" in names(figure)
    assert legend(figure) == ["copies part at step 0", "copies part at step 100", "copies part at step 2k"]
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 3)
    assert list(line.get_ydata()) == pytest.approx([10, 40, 10])
    assert not list(overlaps(figure))


def test_stability_tells_pruning_from_data_order() -> None:
    rows = [
        row(seed, number, f"{host}stability", compared=compared, spawn_step=0, l2_distance=20.0, angle=30.0)
        for host in ("", "random_mask-0/") for number in (2, 4) for seed in SEEDS for compared in ("pruning", "order")
    ]  # fmt: skip
    figure = stability_figure(rows, "stability")
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
    figure = stability_figure(rows, "stability")
    assert figure is not None
    assert names(figure)[::2] == ["low, k = 0", "low, k = 500", "high, k = 0", "high, k = 500"]
    assert len(legend(figure)) == 4
    assert not list(overlaps(figure))


def weights(arms: tuple[str, ...] = ("",)) -> list[Row]:
    return [
        row(
            seed, number, "weights", arm, kept_weights=80, moved_kept=0.2, moved_pruned=0.1, sign_flipped=0.1,
            moved_from_zero=0.7,
        )
        for arm in arms for number in range(1, 8) for seed in SEEDS
    ]  # fmt: skip


def histogram(key: str) -> dict[str, list[Any]]:
    layers = [name for name in ("fc1.weight", "fc2.weight", "output.weight") for _ in range(4)]
    edges = [-0.2, -0.1, 0.0, 0.1, 0.2]
    return {
        "layer": layers, "low": edges[:-1] * 3, "high": edges[1:] * 3, "all": [1.0, 4.0, 4.0, 1.0] * 3,
        "kept": [4.0, 1.0, 1.0, 4.0] * 3,
    }  # fmt: skip


def test_surviving_weights_have_a_panel_for_each_layer() -> None:
    figure = surviving_figure(weights(), histogram, "weights")
    assert figure is not None
    assert names(figure) == ["fc1.weight (n = 3)", "fc2.weight (n = 3)", "output.weight (n = 3)"]
    assert legend(figure)[0] == "all, at initialisation"
    assert len(legend(figure)) == 6
    assert list(figure.axes[0].lines[0].get_ydata()) == [4, 1, 1, 4]
    assert not list(overlaps(figure))


def test_movement_sets_kept_against_pruned() -> None:
    figure = movement_figure(weights(), "weights")
    assert figure is not None
    assert legend(figure) == ["kept (n = 3)", "pruned (n = 3)", "away from zero (n = 3)", "sign changed (n = 3)"]
    many = movement_figure(weights(tuple("abcdefghij")), "weights", "of something")
    assert many is not None
    assert "6 of 10 variants are shown; the tables have all." in many.texts[-1].get_text()


@pytest.mark.parametrize("count", [3, 20])
def test_layers_are_told_apart(count: int) -> None:
    tickets = [row(seed, number, arm=arm) for arm in ("global", "layer") for number in range(6) for seed in SEEDS]
    figure = densities_figure(tickets, lambda key: {f"conv{i}.weight": 0.5 for i in range(count)}, "layers")
    assert figure is not None
    assert names(figure) == ["global (n = 3)", "layer (n = 3)"]
    assert len(legend(figure)) == count + 1
    assert not list(overlaps(figure))


def test_overlap_counts_pairs_of_seeds() -> None:
    rows = [
        row(seed, number, "mask_overlap", other_seed=other, jaccard=0.5, jaccard_by_chance=0.4)
        for number in (1, 2) for seed in SEEDS for other in range(seed + 1, 3)
    ]  # fmt: skip
    figure = overlap_figure(rows, "overlap")
    assert figure is not None
    assert legend(figure) == ["pairs of seeds (n = 3)", "by chance"]


def test_retraining_methods_are_compared_at_their_cost() -> None:
    tickets = [
        row(seed, number, step=step, method=method, search_epochs=number * 10.0 + step / 100, test_accuracy=0.9)
        for method in ("weights", "fine_tune") for step in (0, 500) for number in range(5) for seed in SEEDS
    ]  # fmt: skip
    figure = retraining_figure(tickets, "retraining")
    assert figure is not None
    assert names(figure) == ["80 % of weights", "51.2 % of weights", "41 % of weights"]
    assert legend(figure) == ["weights (n = 3)", "fine tune (n = 3)"]
    assert retraining_figure([one for one in tickets if one["method"] == "weights"]) is None
    assert not list(overlaps(figure))


def test_what_was_not_measured_is_not_drawn() -> None:
    rows = [row(0, 1, name) for name in ("barrier", "stability", "weights", "mask_overlap")]
    assert instability_figure(rows) is None
    assert paths_figure(barriers(), lambda key: None) is None
    assert stability_figure(rows) is None
    assert surviving_figure(weights(), lambda key: None) is None
    assert movement_figure(rows) is None
    assert densities_figure([row(0, 1)], lambda key: None) is None
    assert overlap_figure(rows) is None


def many_branches() -> Any:
    tickets = [row(seed, number, test_accuracy=0.95 - 0.01 * number) for number in range(5) for seed in SEEDS]
    branches = [
        row(seed, 4, "perturb", test_accuracy=0.8, weights=values, noise=noise)
        for values in ("rewound", "init", "shuffle_layer") for noise in (0.0, 1.0, 2.0, 3.0) for seed in SEEDS
    ]  # fmt: skip
    return summary(tickets, [*branches, *(row(seed, 4, "random_mask", test_accuracy=0.85) for seed in SEEDS)])


def test_many_kinds_of_subnetworks_are_small_multiples() -> None:
    figure = accuracy_figure(many_branches(), "early phase", "of something", targets_of("early-phase"))
    found = names(figure)
    assert found[0] == "ticket"
    assert found[1:] == [
        "perturb, weights rewound", "perturb, weights init", "perturb, weights shuffle_layer", "random mask",
    ]  # fmt: skip
    within = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert within == ["ticket (n = 3)", *(f"noise {noise} (n = 3)" for noise in (0, 1, 2, 3))]
    assert not list(overlaps(figure))


def test_what_no_word_divides_is_cut_into_equal_panels() -> None:
    lines = [Series(f"ticket, arm{i}", ({"branch": "", "runs": 1, "seeds": 1},), Look("")) for i in range(15)]
    assert {name: len(own) for name, own in facets(lines).items()} == {"ticket (1 of 2)": 8, "ticket (2 of 2)": 7}


def test_papers_are_stars_hollow_where_unchecked_and_left_out_where_far() -> None:
    rows = [row(seed, n, arm="high", test_accuracy=0.905 - 0.004 * n) for n in range(5) for seed in SEEDS]
    targets = [*targets_of("resnet20-cifar10"), *targets_of("lmc-resnet20")]
    figure = accuracy_figure(summary(rows, []), "resnet", "", targets)
    assert "Frankle & Carbin 2019 [P]" in legend(figure)
    far = accuracy_figure(summary([{**one, "test_accuracy": 0.5} for one in rows], []), "resnet", "", targets)
    assert any("out of range" in text.get_text() for text in far.axes[0].texts)
    lenet = [{**one, "arm": "", "test_accuracy": 0.98} for one in rows]
    unchecked = accuracy_figure(summary(lenet, []), "lenet", "", targets_of("lmc-lenet"))
    star = next(line for line in unchecked.axes[0].lines if line.get_marker() == "*")
    assert (star.get_label(), star.get_markerfacecolor()) == ("Frankle et al. 2020a [N, R], unchecked", "white")


@pytest.mark.parametrize(
    ("branch", "number", "kind"),
    [
        ("", 0, "dense"), ("", 3, "ticket"), ("barrier", 0, "dense"), ("barrier", 3, "ticket"),
        ("random_mask", 3, "random_mask"), ("random_mask-0/barrier", 3, "random_mask"),
        ("shuffled_mask-layer-1/stability", 3, "shuffled_mask"), ("random_reinit-0/random_mask", 1, "random_mask"),
    ],
)  # fmt: skip
def test_what_a_measurement_is_of(branch: str, number: int, kind: str) -> None:
    assert subnetwork({"branch": branch, "round": number}) == kind


@pytest.mark.parametrize(("steps", "text"), [(0, "0"), (500, "500"), (2000, "2k"), (12_500, "12.5k"), (1e6, "1M")])
def test_steps_are_short(steps: float, text: str) -> None:
    assert compact(steps) == text


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([(3, 3)], "n = 3"), ([(9, 3)], "n = 9 of 3 seeds"), ([(2, 1)], "n = 2 of 1 seed"),
        ([(3, 3), (5, 5)], "n = 3-5"), ([], "n = 0"),
    ],
)  # fmt: skip
def test_n_is_runs_of_seeds(points: list[tuple[int, int]], text: str) -> None:
    assert counted(points) == text


def test_few_of_many_are_even_and_have_both_ends() -> None:
    assert evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert evenly([1, 2], 4) == [1, 2]
    assert len({look.colour for look in ramp(5)}) == 5


def test_a_page_makes_room_for_its_words() -> None:
    few, many = (Page.of(["a label"] * n, "a caption") for n in (1, 40))
    assert many.height > few.height


def test_the_gallery_of_a_study(plan: Plan, store: Store, fill: Callable[..., None]) -> None:
    fill(store, plan)
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    measured = [*branches, *barriers(), *weights()]
    for one in measured:
        if one["branch"].endswith(("barrier", "weights")):
            store.publish_table(one["key"], {"columns": (path if "barrier" in one["branch"] else histogram)("")})
    found = Found(plan, store, tickets, measured, summary(tickets, branches), [])
    pictures = write_gallery(found, "tickets", "of something")
    assert [picture.name for picture in pictures] == [
        "accuracy", "instability", "paths", "surviving", "movement", "densities",
    ]  # fmt: skip
    for picture in pictures:
        assert picture.paths == (f"studies/tickets/{picture.name}.svg", f"studies/tickets/{picture.name}.png")
        assert io.BytesIO(store.get(picture.paths[1])).read(4) == b"\x89PNG"
