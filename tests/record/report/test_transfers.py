"""Trainings on other data, against a fresh start on them."""

from typing import Any

import pytest

from lth_ray.record.report.listing import in_markdown
from lth_ray.record.report.transfers import transfers, transfers_listing


def written(frame: Any) -> str:
    listing = transfers_listing(frame)
    assert listing is not None
    return in_markdown(listing)


def row(seed: int, branch: str, number: int, start: str, accuracy: float | None, **fields: Any) -> dict[str, Any]:
    given = {
        "lineage": f"k0/seed{seed}", "arm": "", "method": "weights", "seed": seed, "rewind_step": 0, "round": number,
        "remaining_weights": 0.5**number, "test_accuracy": accuracy, "branch": branch, "index": 0, "start": start,
        "changes": {"train_images": None},
    }  # fmt: skip
    return {**given, **fields}


ROWS = [
    *(row(seed, "transfer", 0, "rewound", 0.6 + 0.01 * seed) for seed in (0, 1)),
    *(row(seed, "transfer", 0, "trained", 0.55 - 0.01 * seed) for seed in (0, 1)),
    *(row(seed, "transfer", 1, "rewound", 0.62) for seed in (0, 1)),
    row(0, "random_mask-0/transfer", 1, "trained", 0.5),
    row(0, "random_mask-1/transfer", 1, "trained", 0.52),  # of the same seed: averaged with the other
    row(1, "random_mask-0/transfer", 1, "trained", None, diverged_at=7),
    row(0, "random_mask", 1, "", 0.9),  # no transfer
]


def test_the_gap_is_paired_by_seed_with_the_dense_network_s_fresh_start() -> None:
    frame = transfers(ROWS)
    found = {(line["subnetwork"], line["start"]): line for line in frame.to_dict("records")}
    assert list(found) == [
        ("dense", "rewound"), ("dense", "trained"), ("ticket", "rewound"), ("random_mask", "trained"),
    ]  # fmt: skip
    assert found["dense", "rewound"]["gap"] == found["dense", "rewound"]["gap_half_width"] == 0
    warm = found["dense", "trained"]
    assert (warm["gap"], warm["gap_min"], warm["gap_max"], warm["n"]) == pytest.approx((-0.06, -0.07, -0.05, 2))
    assert found["ticket", "rewound"]["gap"] == pytest.approx(0.015)
    control = found["random_mask", "trained"]
    assert (control["test_accuracy"], control["gap"], control["n"]) == pytest.approx((0.51, -0.09, 1))
    assert control["gap_half_width"] is None or control["gap_half_width"] != control["gap_half_width"]


def test_its_words() -> None:
    text = written(transfers(ROWS))
    assert "| dense | trained | 0 | 100.00 % | 54.50 % | -6.00 pp ± 12.71 | 2 |" in text
    assert "| random mask | trained | 1 | 50.00 % | 51.00 % | -9.00 pp | 1 |" in text
    assert transfers_listing(transfers([])) is None


def test_series_and_data_are_told_where_they_differ_and_compared_apart() -> None:
    other = [{**line, "lineage": line["lineage"].replace("k0", "k500")} for line in ROWS if line["round"]]
    frame = transfers([*ROWS, *other])
    assert frame[frame["series"] == "k500"]["gap"].isna().all()  # nothing fresh was trained there
    assert "| ticket, k500 | rewound | 1 | 50.00 % | 62.00 % |  | 2 |" in written(frame)


def test_changes_of_the_data_are_told_in_words() -> None:
    others = [{**one, "changes": {"name": "fashion_mnist", "validation": 0}} for one in ROWS]
    text = written(transfers([*ROWS, *others]))
    assert "| dense, train images none | trained |" in text
    assert "| dense, name fashion mnist, validation 0 | trained |" in text
