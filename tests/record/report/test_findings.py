"""The findings of a study: they claim no more than its verdicts show."""

from typing import Any

from lth_ray.record.report.comparisons import comparisons
from lth_ray.record.report.findings import findings, reading
from lth_ray.record.report.summary import summary
from tests.record.report.test_comparisons import row

DENSE = [0.970, 0.975, 0.972, 0.974]


def rows(number: int, change: float, stops: int | None = None, branch: str = "", **fields: Any) -> list[dict[str, Any]]:
    wobble = [0.001, -0.001, 0.0005, -0.0005]
    stop = {} if stops is None else {"early_stop_at_end": False}
    return [
        row(seed, number, dense + change + wobble[seed], branch, **stop, **fields)
        | ({} if stops is None else {"early_stop_step": stops + 10 * seed * (number + 1)})
        for seed, dense in enumerate(DENSE)
    ]


def test_what_is_shown_is_said_with_its_densities() -> None:
    tickets = [*rows(0, 0, 500), *rows(1, 0.001, 300), *rows(2, 0.001, 300), *rows(3, -0.01, 700)]
    branches = [*rows(2, -0.02, 600, "random_reinit"), *rows(2, 0.002, 200, "random_mask")]
    first, second = findings(comparisons(tickets, branches, margin=0.005))
    assert first == (
        "Tickets match their dense network, less than 0.50 pp worse, down to 64 % of the weights (n = 4 seeds), and "
        "learn faster than it with 80\N{EN DASH}64 %."
    )
    assert second == (
        "They are more accurate than random reinit with 64 % of the weights, which is not shown of random mask; they "
        "learn faster than random reinit with 64 % of the weights, which is not shown of random mask."
    )


def test_what_is_not_shown_is_said_too() -> None:
    tickets = [*rows(0, 0, 500), *rows(1, -0.01, 700)]
    first, second = findings(comparisons(tickets, rows(1, 0.0, 600, "random_mask")))
    assert first == (
        "That tickets match their dense network, less than 0.20 pp worse, is not shown at any density (n = 4 seeds)."
    )
    assert second == (
        "They are not shown to be more accurate than random mask; they are not shown to learn faster than random mask."
    )
    assert findings(comparisons([*rows(0, 0), *rows(1, 0.001)], [], margin=0.005)) == [
        "Tickets match their dense network, less than 0.50 pp worse, with 80 % of the weights (n = 4 seeds)."
    ]


def test_the_kind_that_matches_with_the_fewest_weights_is_named() -> None:
    def of(arm: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "lineage": f"{arm}/{one['lineage']}", "arm": arm} for one in given]

    tickets = [
        *of("one", [*rows(0, 0), *rows(1, 0.001), *rows(2, -0.01)]),
        *of("other", [*rows(0, 0), *rows(1, 0.001), *rows(2, 0.001)]),
        *of("third", [*rows(0, 0), *rows(1, -0.01), *rows(2, -0.01)]),
    ]
    assert findings(comparisons(tickets, [], margin=0.005)) == [
        "Of 3 kinds of tickets 2 match their dense network; tickets (other) do so with the fewest weights, less than "
        "0.50 pp worse, down to 64 % of the weights (n = 4 seeds)."
    ]


def test_a_kind_of_tickets_is_spoken_of_in_the_plural_throughout() -> None:
    def of(arm: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "lineage": f"{arm}/{one['lineage']}", "arm": arm} for one in given]

    tickets = [
        *of("one_shot", [*rows(0, 0, 500), *rows(1, -0.02, 700)]),
        *of("iterative", [*rows(0, 0, 500), *rows(1, 0.001, 300), *rows(2, -0.01, 700), *rows(3, 0.001, 300)]),
    ]
    names = ("random_reinit", "random_mask", "shuffled_mask")
    branches = of("iterative", [one for name in names for one in rows(1, -0.02, 600, name)])
    told = reading(summary(tickets, branches), comparisons(tickets, branches, margin=0.005))
    assert told[0] == (
        "Of 2 kinds of tickets 1 matches its dense network; tickets (iterative) do so, less than 0.50 pp worse, with "
        "80 and 51.2 % of the weights (n = 4 seeds), and learn faster than it with 80 and 51.2 %."
    )
    assert told[1].startswith("With 51.2 % of the weights, tickets (iterative) reach 97.38 ± 0.21 % test accuracy, ")
    assert told[2] == (
        "They are more accurate than random reinit, random mask and shuffled mask with 80 % of the weights; they learn "
        "faster than random reinit, random mask and shuffled mask with 80 % of the weights."
    )


def test_the_numbers_stand_behind_what_is_found() -> None:
    tickets = [*rows(0, 0, 500), *rows(1, 0.001, 300), *rows(2, 0.001, 300), *rows(3, -0.01, 700)]
    branches = [*rows(2, -0.02, 600, "random_reinit"), *rows(2, 0.002, 200, "random_mask")]
    frame, compared = summary(tickets, branches), comparisons(tickets, branches, margin=0.005)
    claim, numbers, beside = reading(frame, compared)
    assert [claim, beside] == findings(compared)
    assert numbers == (
        "With 64 % of the weights, tickets reach 97.38 ± 0.21 % test accuracy, the dense network 97.28 ± 0.21 %, "
        "random reinit 95.28 ± 0.21 % and random mask 97.47 ± 0.21 %."
    )
    lost = [*rows(0, 0), *rows(1, -0.01), *rows(2, -0.02)]
    assert reading(summary(lost, []), comparisons(lost, []))[1].startswith(
        "With 64 % of the weights, tickets reach 95."
    )
    assert reading(summary(lost[:4], []), comparisons(lost[:4], [])) == []


def test_densities_between_which_tickets_do_not_match_are_told_apart() -> None:
    tickets = [*rows(0, 0), *rows(1, -0.01), *rows(2, 0.001), *rows(3, 0.001)]
    assert findings(comparisons(tickets, [], margin=0.005)) == [
        "Tickets match their dense network, less than 0.50 pp worse, with 64\N{EN DASH}51.2 % of the weights "
        "(n = 4 seeds)."
    ]


def test_two_seeds_conclude_nothing() -> None:
    two = [r for r in [*rows(0, 0), *rows(1, 0.001)] if r["seed"] < 2]
    assert findings(comparisons(two, [])) == ["Nothing is concluded: a verdict takes 3 seeds, and there are 2."]
    assert findings(comparisons([], [])) == []
