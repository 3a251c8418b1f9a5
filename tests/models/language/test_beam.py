"""Beam search: greedy at width 1, the known best on toy tables, penalties by hand, and rows that do not disturb each
other.
"""

import itertools
import math
from typing import Any

import torch

from lth_ray.config.tasks.translation import BEGIN, END, PAD
from lth_ray.models.language.beam import beam_search

A, B = 3, 4
NAMES = {"a": A, "b": B, ".": END}


def table(chances: dict[str, dict[str, float]]) -> Any:
    """A step of a toy language: {what was said: {what may be said next: with what chance}}, of one row or several."""

    def step(tokens: torch.Tensor, state: dict[str, torch.Tensor]) -> Any:
        said = torch.cat([state["said"], tokens[:, None]], 1)
        logits = torch.full((len(tokens), 5), -50.0)
        for row, prefix in enumerate(said[:, 1:].tolist()):
            text = "".join({A: "a", B: "b"}.get(token, ".") for token in prefix)
            for name, chance in chances.get(text, {".": 1.0}).items():
                logits[row, NAMES[name]] = math.log(chance)
        return logits, None, {"said": said}

    return step


def search(chances: dict[str, dict[str, float]], longest: int = 5, rows: int = 1, **options: Any) -> list[str]:
    state = {"said": torch.zeros(rows, 0, dtype=torch.int64)}
    found = beam_search(table(chances), state, torch.full((rows,), longest), **options)
    words = {A: "a", B: "b", END: ".", PAD: ""}
    return ["".join(words[token] for token in row) for row in found.tolist()]


GARDEN_PATH = {  # the likeliest first token leads to the less likely sentence: .6 * .4 against .4 * .9
    "": {"a": 0.6, "b": 0.4},
    "a": {"a": 0.4, "b": 0.35, ".": 0.25},
    "aa": {".": 1.0},
    "ab": {".": 1.0},
    "b": {".": 0.9, "a": 0.1},
}


def test_width_1_takes_the_likeliest_token_and_width_2_the_likeliest_sentence() -> None:
    assert search(GARDEN_PATH, width=1) == ["aa."]
    assert search(GARDEN_PATH, width=2) == ["b."]
    assert search(GARDEN_PATH, width=4, rows=3) == ["b."] * 3


def test_wide_beams_find_the_best_of_all_sentences() -> None:
    generator = torch.Generator().manual_seed(0)
    chances = {}
    for length in range(3):
        for prefix in map("".join, itertools.product("ab", repeat=length)):
            drawn = torch.rand(3, generator=generator)
            chances[prefix] = dict(zip("ab.", (drawn / drawn.sum()).tolist(), strict=True))
    for prefix in map("".join, itertools.product("ab", repeat=3)):
        chances[prefix] = {".": 1.0}
    for penalty in (0.0, 0.6, 2.0):
        scores = {}
        for length in range(4):
            for sentence in map("".join, itertools.product("ab", repeat=length)):
                steps = [chances[sentence[:i]][one] for i, one in enumerate(sentence + ".")]
                scores[sentence + "."] = sum(map(math.log, steps)) / ((5 + length + 1) / 6) ** penalty
        assert search(chances, width=15, length_penalty=penalty) == [max(scores, key=scores.__getitem__)]


def test_a_length_penalty_prefers_the_longer_of_two_sentences_as_by_hand() -> None:
    chances = {"": {".": 0.30, "a": 0.70}, "a": {"a": 0.999, "b": 0.001}, "aa": {".": 0.42, "a": 0.58}, "aaa": {".": 1}}
    # log .3 = -1.204; log(.7 * .999 * .42) = -1.225; divided by ((5 + 3) / 6) ** .6 = 1.188: -1.031
    assert search(chances, width=3, longest=3) == ["."]
    assert search(chances, width=3, longest=3, length_penalty=0.6) == ["aa."]


def test_a_coverage_penalty_prefers_what_looks_at_all_of_the_source() -> None:
    """Saying a looks at the first of two tokens, b at the second; both sentences take two tokens and look twice."""
    looks = {BEGIN: [0.5, 0.5], A: [1.0, 0.0], B: [0.05, 0.95]}

    def step(tokens: torch.Tensor, state: dict[str, torch.Tensor]) -> Any:
        logits = torch.full((len(tokens), 5), -50.0)
        for row, token in enumerate(tokens.tolist()):
            logits[row, [A, B] if token == BEGIN else [END]] = torch.tensor(
                [0.55, 0.45] if token == BEGIN else [1.0]
            ).log()
        attention = torch.tensor([[*looks[token], 0.0] for token in tokens.tolist()])  # a third token is none
        return logits, attention, state

    def found(penalty: float) -> int:
        state, present = {"none": torch.zeros(1, 1)}, torch.tensor([[True, True, False]])
        options = {"coverage_penalty": penalty, "present": present}
        return int(beam_search(step, state, torch.tensor([4]), width=2, **options)[0, 0])

    # a: log .55 + p log min(1, .5 + 0), b: log .45 + p log .55: the difference of .2007 is made up for by p > 2.1055
    assert found(0.0) == A
    assert found(2.10) == A
    assert found(2.12) == B


def test_a_token_that_is_never_looked_at_leaves_the_likeliest_sentence() -> None:
    def step(tokens: torch.Tensor, state: dict[str, torch.Tensor]) -> Any:
        logits = torch.full((len(tokens), 5), -50.0)
        logits[torch.arange(len(tokens)), torch.where(tokens == BEGIN, A, END)] = 0.0
        return logits, torch.tensor([[1.0, 0.0]]).expand(len(tokens), 2), state

    options = {"coverage_penalty": 0.1, "present": torch.ones(1, 2, dtype=torch.bool)}
    found = beam_search(step, {"none": torch.zeros(1, 1)}, torch.tensor([4]), width=2, **options)
    assert found.tolist() == [[A, END, PAD, PAD]]


def test_a_sentence_that_does_not_end_is_ended() -> None:
    assert search({text: {"a": 1.0} for text in ("", "a", "aa", "aaa", "aaaa")}, longest=4) == ["aaa."]


def test_rows_of_different_lengths_are_as_alone() -> None:
    def step(tokens: torch.Tensor, state: dict[str, torch.Tensor]) -> Any:
        logits = torch.stack([torch.sin(7.0 * state["row"] + 3.0 * tokens + one) for one in range(9)], 1)
        return 3 * logits, None, {"row": state["row"] + 0.37}

    longest, starts = torch.tensor([3, 9, 6]), torch.tensor([0.1, 0.5, 0.9])
    together = beam_search(step, {"row": starts}, longest, width=3, length_penalty=0.6)
    for row in range(3):
        alone = beam_search(step, {"row": starts[row, None]}, longest[row, None], width=3, length_penalty=0.6)
        assert together[row, : alone.shape[1]].tolist() == alone[0].tolist()
        assert int((together[row] != PAD).sum()) <= int(longest[row])
