"""The picture of a snapshot, at several widths and sizes; nothing runs here."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from lth_ray.watching.lineage_rows import ASCII, GLYPHS, figure, fitted
from lth_ray.watching.live_lines import where
from lth_ray.watching.live_view import View, chosen, picture
from lth_ray.watching.snapshot import (
    CUT,
    DONE,
    ENDED,
    NOW,
    REUSED,
    SLOT,
    TO_COME,
    Ended,
    Line,
    Snapshot,
    Work,
)

DENSE = "dense/seed3"


def lineage(name: str, done: int, num_rounds: int = 10, reused: int = 0, **fields: Any) -> Line:
    """A lineage that has `done` tickets, and trains the next one unless told otherwise."""
    letters = (
        REUSED * reused
        + DONE * (done - reused)
        + (NOW if done < num_rounds else "")
        + TO_COME * (num_rounds - done - 1)
    )
    remaining = tuple(0.64**number if number < done else None for number in range(num_rounds))
    accuracies = tuple(0.98 - 0.001 * number if number < done else None for number in range(num_rounds))
    work = Work(name, "lineage", done, 138, 600, 1191.4) if done < num_rounds else None
    return Line(name, **{"rounds": letters, "remaining": remaining, "values": accuracies, "work": work, **fields})


def waiting(name: str, waits_for: str, rounds: int = 10) -> Line:
    return lineage(name, 0, rounds, rounds=TO_COME * rounds, work=None, waits_for=waits_for)


def ended(name: str, reason: str) -> Line:
    return lineage(name, 3, rounds=DONE * 3 + ENDED * 7, work=None, ended=reason)


def snapshot(lines: list[Line], **fields: Any) -> Snapshot:
    dense, branch = (
        Work(DENSE, "dense", None, 210, 600, 1022.0),
        Work("a/seed0/round3/random_mask-0", "branch", None, 0, 9),
    )
    given: dict[str, Any] = {
        "study": "digits", "run": "abc", "host": "here", "pid": 12, "began": 0.0, "at": 200.0, "over": False,
        "unique_steps": 61000, "naive_steps": 66400, "reused_steps": 1200, "steps_left": 24000, "trainings": (52, 115),
        "pieces_left": 89, "branches": (14, 40), "dense_runs": 5, "beside": (dense, branch), "steps_per_s": 1240.4,
        "seconds_left": 42.0, "last": "b/k0/seed0: 13.4% remaining, 96.8% test",
    }  # fmt: skip
    return Snapshot(lines=tuple(lines), **{**given, **fields})


REASON = "its loss became NaN or infinite by step 20"
TEN = [
    lineage("iterative/k0/seed0", 6, reused=2), lineage("iterative/k0/seed1", 10), ended("iterative/k0/seed2", REASON),
    lineage("iterative/k0/seed3", 0, work=Work(DENSE, "dense", None, 210, 600, 1022.0)),
    waiting("iterative/k0/seed4", "dense/seed4"), lineage("one_shot/k0/seed0", 8),
    *(waiting(f"one_shot/k0/seed{seed}", SLOT) for seed in range(1, 5)),
]  # fmt: skip
MANY = [
    lineage(f"warmup=steps(500)/iterative/k2000/seed{seed}", 25, 25) if seed % 3 else
    lineage(f"warmup=steps(500)/iterative/k2000/seed{seed}", 7, 25) if seed < 30 else
    waiting(f"warmup=steps(500)/iterative/k2000/seed{seed}", f"dense/seed{seed}", 25)
    for seed in range(300)
]  # fmt: skip
STUDIES = {
    "ten": snapshot(TEN, ended=(Ended("iterative/k0/seed2", 0, REASON),)),
    "many": snapshot(MANY),
    "long": snapshot([lineage("a" * 70, 3, 60)], study="b" * 90, ended=(Ended("a" * 200, 12, "c" * 300),)),
    "one": snapshot([lineage("k0/seed0", 0, 1)], naive_steps=61000, dense_runs=1, beside=()),
}


def shown(what: Snapshot, width: int, height: int | None = None, ascii_only: bool = False) -> list[str]:
    return [line.plain for line in picture(what, width, height, ascii_only)]


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
@pytest.mark.parametrize("ascii_only", [False, True], ids=["unicode", "ascii"])
def test_no_line_is_wider_than_the_terminal(study: str, width: int, ascii_only: bool) -> None:
    lines = shown(STUDIES[study], width, 24, ascii_only)
    assert max(map(len, lines)) <= width
    assert not ascii_only or "".join(lines).isascii()


@pytest.mark.parametrize("study", ["ten", "many", "one"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 40), (140, 24), (200, 60)])
def test_it_fits_a_screen(study: str, width: int, height: int) -> None:
    assert len(shown(STUDIES[study], width, height)) <= height


HEADING = ["100", "64.0", "41.0", "26.2", "16.8", "10.7", "6.87", "4.40", "2.81", "1.80"]


@pytest.mark.parametrize("width", [80, 140])
def test_five_seeds_of_two_arms_show_every_rounds_accuracy(width: int) -> None:
    lines = shown(STUDIES["ten"], width, 24)
    row = {line.lineage: next(text for text in lines if text.startswith(line.lineage)).split() for line in TEN}
    assert any(
        line.split() == ["100", "64.0", "41.0", "26.2", "16.8", "10.7", "6.87", "4.40", "2.81", "1.80"]
        for line in lines
    )
    assert row["iterative/k0/seed0"][1:11] == ["98.0", "97.9", "97.8", "97.7", "97.6", "97.5", "23%", "·", "·", "·"]
    assert row["iterative/k0/seed1"][1:] == [figure(98 - 0.1 * number) for number in range(10)]
    assert row["iterative/k0/seed2"][4:12] == [GLYPHS[ENDED]] * 7 + [{80: "ended", 140: "ended:"}[width]]
    assert row["iterative/k0/seed3"][1:3] == ["35%", "·"]
    assert row["iterative/k0/seed4"][11:] == {80: ["waits"], 140: ["waits", "for", "dense/seed4"]}[width]


@pytest.mark.parametrize("width", [60, 140])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_ticket_that_is_cut_in_two_shows_a_mark_of_its_own(width: int, ascii_only: bool) -> None:
    lines = shown(snapshot([lineage("snip/k0/seed0", 10, rounds=DONE * 9 + CUT)]), width, 24, ascii_only)
    mark = (ASCII if ascii_only else GLYPHS)[CUT]
    row = next(text for text in lines if text.startswith("snip/k0/seed0"))
    assert row.split()[10 if width == 140 else 1].endswith(mark)
    assert any(f"{mark} trained, cut in two" in text for text in lines)


def test_the_head_and_the_foot_say_how_far_what_is_shared_and_what_waits() -> None:
    text = " ".join(" ".join(shown(STUDIES["ten"], 140)).split())
    for words in (
        "60 %",
        "52/115 trainings 2/10 lineages 14/40 branches 4 at work 1,240 steps/s 3 min 20 s so far about 42 s left",
        "also a/seed0: random mask of round 3 (training) waiting",
        "1 lineage for a dense run, 4 for a free slot, 25 branches for tickets",
        "5 dense runs for 10 lineages, 5,400 steps saved, 1,200 from the store",
        f"ended iterative/k0/seed2: {REASON}",
        "■ trained ▣ from the store ◧ training now · to come",
    ):  # fmt: skip
        assert words in text, text


def test_what_several_lineages_stand_on_is_said_once() -> None:
    dense = Work(DENSE, "dense", None, 210, 600, 1022.0)
    rows = [lineage(f"{arm}/k0/seed3", 0, work=dense) for arm in ("iterative", "one_shot")]
    text = " ".join(" ".join(shown(snapshot(rows, beside=(dense,)), 140)).split())
    assert f"also {DENSE} (35 %, 1,022 steps/s, for 2 lineages) " in text


def test_hundreds_of_lineages_show_the_active_ones_and_count_the_others() -> None:
    lines = shown(STUDIES["many"], 80, 24)
    rows = [line for line in lines if line.startswith("seed")]  # less what all of them are called
    assert rows[0].split() == ["seed0", "■" * 7 + "◧" + "·" * 17, "6.87", "%", "97.4", "%", "round", "7,", "1,191/s"]
    assert sum("◧" in row for row in rows) == 10
    more = 300 - len(rows)
    folded = next(line.split() for line in lines if " more " in line)
    assert folded == [f"{more}", "more", "■" * 25, figure(100 * 0.64**24), "%", "95.6", "%",
                      "200", "finished,", f"{more - 200}", "waiting"]  # fmt: skip
    assert len(shown(STUDIES["many"], 80)) > 300  # without a screen all of them


def test_seeds_that_are_folded_have_a_row_of_means_for_each_series() -> None:
    arms = [
        lineage(f"{arm}/k0/seed{seed}", 10, values=(0.9 + 0.0002 * seed + up,) * 10) if seed < 60
        else waiting(f"{arm}/k0/seed{seed}", SLOT)
        for arm, up in (("a", 0.0), ("b", 0.01)) for seed in range(100)
    ]  # fmt: skip
    lines = shown(snapshot(arms, beside=()), 140, 24)
    a, b = ([text.split() for text in lines if text.startswith(f"{arm}/k0/")] for arm in "ab")
    assert len(lines) <= 24
    assert [row[:2] for row in (a[-1], b[-1])] == [[f"a/k0/{101 - len(a)}", "more"], [f"b/k0/{101 - len(b)}", "more"]]
    assert (a[-1][2:12], b[-1][2]) == (["90.6"] * 10, "91.6")
    assert a[-1][12:] == ["60", "finished,", str(41 - len(a)), "waiting"]
    many = [waiting(f"{number}/k0/seed0", SLOT) for number in range(50)]  # of too many series
    assert any(line.startswith("and ") and line.endswith(" waiting") for line in shown(snapshot(many), 140, 24))


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (Work("k0/seed0/round3/random_mask-0", "branch", None, 0, 90), "random mask of round 3: training"),
        (Work("k0/seed0/round3/random_mask-0", "branch", None, 45, 90), "random mask of round 3: 50 %"),
        (Work("k0/seed0/round0/a_b-1/barrier-0", "table", None, 0, 0), "a b, then barrier of round 0: measuring"),
    ],
)  # fmt: skip
def test_a_lineage_whose_rounds_are_done_shows_the_branch_at_work(work: Work, expected: str) -> None:
    done = lineage("k0/seed0", 10, work=work)
    wide, narrow = shown(snapshot([done], beside=(work,)), 140), shown(snapshot([done], beside=(work,)), 80)
    assert next(text for text in wide if text.startswith("k0")).endswith(f"  {expected}")
    assert next(text for text in narrow if text.startswith("k0")).endswith(expected.rpartition(": ")[2])
    assert not any(text.startswith("also") for text in wide)  # once is enough
    assert "1 at work" in " ".join(wide)


def test_nothing_is_all_done_while_something_is_measured() -> None:
    measured = snapshot([lineage("k0/seed0", 10)], steps_left=0, pieces_left=1)
    assert shown(measured, 80)[0].endswith(" 99 %")
    assert where(measured).startswith("99 %")
    assert shown(replace(measured, pieces_left=0), 80)[0].endswith(" 100 %")


def test_a_run_that_is_being_stopped_says_so() -> None:
    stopped = replace(STUDIES["ten"], stopping="interrupted", seconds_left=None)
    text = " ".join(shown(stopped, 140))
    assert "stopping (interrupted): trainings write their last checkpoints" in text
    assert "stopping (interrupted)" in where(stopped)
    assert "waiting" not in text
    assert "stopped: interrupted" in " ".join(shown(replace(stopped, over=True), 140))


def test_those_at_work_come_first_and_stay_in_order() -> None:
    shown_lines, folded = chosen(TEN, 5)
    assert [line.lineage for line in shown_lines] == [
        "iterative/k0/seed0", "iterative/k0/seed2", "iterative/k0/seed3", "one_shot/k0/seed0"
    ]  # fmt: skip
    assert {*shown_lines, *folded} == {*TEN}
    assert chosen(TEN, 10) == (TEN, [])


def test_rounds_of_different_densities_are_named_by_number() -> None:
    slow = lineage("slow/k0/seed0", 6, remaining=tuple(0.9**number for number in range(10)))
    lines = shown(snapshot([TEN[0], slow]), 100)
    assert any(line.split() == [f"r{number}" for number in range(10)] for line in lines)


def test_a_smoke_run_of_the_pipeline_shows_no_accuracy() -> None:
    text = "\n".join(shown(snapshot(TEN, hides_metric=True), 140))
    assert "accuracy" not in text
    assert "10.7 %" in text
    assert "97." not in text


def test_a_run_that_has_begun_nothing_is_starting() -> None:
    new = snapshot([waiting("k0/seed0", SLOT)], beside=(), steps_per_s=None, seconds_left=None, last="")
    assert "starting" in " ".join(shown(new, 80))
    assert "at work" not in " ".join(shown(new, 80))


def test_a_training_of_which_nothing_was_heard_shows_no_share() -> None:
    quick = lineage("k0/seed0", 1, 3, work=Work("k0/seed0", "lineage", 1, 0, 600, None))
    [row] = [line for line in shown(snapshot([quick], beside=()), 80) if line.startswith("k0")]
    assert row.split() == ["k0/seed0", "98.0", "◧", "·", "round", "1"]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("k0/seed0", 10, "k0/seed0  "), ("iterative/k0/seed0", 10, "iter..eed0"), ("abc", 3, "abc")],
)  # fmt: skip
def test_a_name_that_is_too_long_keeps_its_ends(text: str, width: int, expected: str) -> None:
    assert fitted(text, width) == expected


def test_figures_have_at_most_four_characters() -> None:
    assert [figure(value) for value in (100, 99.96, 99.94, 12.345, 9.996, 1.7976, 0.0421)] == [
        "100", "100", "99.9", "12.3", "10.0", "1.80", "0.04"
    ]  # fmt: skip


def test_a_console_of_another_encoding_gets_ascii(tmp_path: Any) -> None:
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        Console(file=out, width=80).print(View(STUDIES["ten"]))
    assert f"{ASCII[REUSED]} from the store" in (tmp_path / "out").read_text()
