"""Parallel text: what is read and refused, buckets that have each pair once an epoch, and tokens spelled out again."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_ray.config import ConfigError
from lth_ray.data.text import parallel
from lth_ray.data.text.buckets import NONE, Buckets, rounded_up
from lth_ray.data.text.parallel import read_corpus
from lth_ray.data.text.spelling import spelled, spelling

pytest.importorskip("tokenizers", reason="the text extra is not installed")

ENGLISH = ["A dog runs .", "Two dogs  run in the snow.", "a <pad> b <eos>", "Café, naïve 日本語 ☕?"]
GERMAN = ["Ein Hund rennt .", "Zwei Hunde rennen im Schnee.", "ein <pad> b", "Größe ß — „ja“\u00a0\u2028!"]


def write(folder: Path, english: Any = ENGLISH, german: Any = GERMAN, part: str = "train", ending: str = "") -> Path:
    for language, lines in (("en", english), ("de", german)):
        content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        path = folder / f"{part}.{language}{ending}"
        path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    return folder


def corpus(
    folder: Path, vocabulary: int = 300, validated: bool = False, languages: tuple[str, str] = ("en", "de")
) -> Any:
    read_corpus.cache_clear()
    return read_corpus(f"text:{folder}", languages, vocabulary, validated, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(write(tmp_path), part="test")


def test_sentences_are_spelled_as_they_were_whatever_they_hold(folder: Path) -> None:
    found = corpus(folder)
    table = spelling(found.encoding)
    for side, lines in ((found.parts["test"].source, ENGLISH), (found.parts["test"].target, GERMAN)):
        sentences = np.split(side.tokens, side.starts[1:-1])
        assert [spelled(torch.from_numpy(one).long()[None], table)[0] for one in sentences] == lines
        assert {int(one[-1]) for one in sentences} == {0}
        assert all(0 not in one[:-1] for one in sentences)  # a sentence that says <eos> does not end there
    never_seen = found.encoding.encode(["Quokkas — 🦘"])
    assert spelled(torch.tensor(never_seen), table) == ["Quokkas — 🦘"]


def test_it_counts_by_what_the_files_say(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = corpus(folder)
    packed = tmp_path_factory.mktemp("packed")
    same = corpus(write(write(packed, ending=".gz"), part="test", ending=".txt.gz"))
    assert same.digest == found.digest
    assert same.encoding.tokenizer == found.encoding.tokenizer
    assert corpus(folder, vocabulary=280).digest != found.digest
    assert corpus(folder, languages=("de", "en")).digest != found.digest
    write(folder, german=[*GERMAN[:-1], "anders"], part="test")
    changed = corpus(folder)
    assert changed.digest != found.digest
    assert changed.encoding.tokenizer == found.encoding.tokenizer  # made from the sentences to train on alone


@pytest.mark.parametrize(
    ("english", "german", "message"),
    [
        (ENGLISH, GERMAN[:3], r"train\.en: has 4 lines, and .*train\.de has 3"),
        (ENGLISH[:1], GERMAN, r"train\.en: has 1 lines, and .*train\.de has 4"),
        (ENGLISH, [*GERMAN[:2], "  ", "x"], r"train\.de, line 3: is empty; remove this line from both languages"),
        (b"fine\nGr\xf6sse\n", GERMAN[:2], r"train\.en, line 2: byte 3 \(0xf6\) is no UTF-8; convert the file"),
        ([], [], r"train\.en: is an empty file"),
    ],
)
def test_what_is_refused_says_which_file_and_line(folder: Path, english: Any, german: Any, message: str) -> None:
    write(folder, english, german)
    with pytest.raises(ConfigError, match=message):
        corpus(folder)


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no valid.en, validation.en, val.en or dev.en"):
        corpus(folder, validated=True)
    with pytest.raises(ConfigError, match=r"there is no train.fr"):
        corpus(folder, languages=("en", "fr"))
    with pytest.raises(ConfigError, match=r"there is no train.en .* in .*wmt16"):
        read_corpus("wmt16", ("en", "de"), 300, True, str(folder))
    for name in ("wmt17", "text:", "wmt16:here"):
        with pytest.raises(ConfigError, match="no such set"):
            read_corpus(name, ("en", "de"), 300, True, None)
    with pytest.raises(ConfigError, match="by byte-pair encoding every byte is a token"):
        corpus(folder, vocabulary=100)


def test_the_encoding_is_made_once_and_a_damaged_one_anew(folder: Path, fresh_process: Path) -> None:
    found = corpus(folder)
    (kept,) = fresh_process.glob("encoded/*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    again = corpus(folder)
    assert again.digest == found.digest
    assert np.array_equal(again.parts["train"].source.tokens, found.parts["train"].source.tokens)
    assert kept.stat().st_size == len(whole)


@pytest.mark.parametrize(("n", "tokens", "blocks"), [(1, 40, 1), (1, 40, 4), (523, 40, 1), (523, 64, 3), (97, 1000, 8)])
def test_an_epoch_has_each_pair_once_among_those_of_its_length(n: int, tokens: int, blocks: int) -> None:
    drawn = np.random.default_rng(n).integers(1, 38, n)
    lengths = rounded_up(drawn, 4)
    assert ((lengths - drawn) < 4).all()
    buckets = Buckets(lengths, tokens, blocks)
    orders = []
    for epoch in range(3):
        batches = buckets.epoch(5, epoch)
        assert len(batches) == buckets.steps
        seen = Counter(np.concatenate([rows.flatten() for _, rows in batches]).tolist())
        absent = seen.pop(NONE, 0)
        assert seen == Counter(range(n))
        assert absent < batches[0][1].size * max(1, lengths.max())
        filled = 0
        for length, rows in batches:
            assert rows.shape == (blocks, tokens // length)
            assert (lengths[rows[rows >= 0]] <= length).all()
            filled += int((lengths[rows[rows >= 0]] < length).sum())
        assert filled <= len(buckets.sizes) * blocks * tokens // 4  # what was left of shorter ones
        orders.append([rows.tolist() for _, rows in batches])
    assert orders[0] != orders[1] or n == 1
    assert [rows.tolist() for _, rows in buckets.epoch(5, 1)] == orders[1]


def test_the_sides_of_a_pair_are_of_one_folder_and_one_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first" / "wmt16", tmp_path / "second" / "wmt16"
    for folder in (first, second):
        folder.mkdir(parents=True)
        write(folder, part="newstest2014")
    (first / "train.en").write_text("of another text\n")
    monkeypatch.setattr(parallel, "places", lambda root: [tmp_path / "first", tmp_path / "second"])
    with pytest.raises(ConfigError, match=r"there is no train.de \(or"):
        parallel.find("wmt16", ("en", "de"), False, None)
    write(second, ending=".gz")
    found = parallel.find("wmt16", ("en", "de"), False, None)
    assert {path.parent for path in (found["train"].source, found["train"].target)} == {second}
    assert found["test"].source.parent == first


def test_the_mark_that_a_file_of_utf_8_may_begin_with_is_no_part_of_its_first_word(
    folder: Path, tmp_path: Path
) -> None:
    plain = corpus(folder)
    write(folder, "".join(f"{line}\n" for line in ENGLISH).encode("utf-8-sig"))
    marked = corpus(folder)
    assert marked.encoding == plain.encoding
    assert np.array_equal(marked.parts["train"].source.tokens, plain.parts["train"].source.tokens)
