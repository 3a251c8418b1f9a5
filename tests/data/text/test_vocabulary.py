"""Words, bytes and byte pairs: functions of the training text, which give it back."""

import gzip
import hashlib
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lth_ray.config import ConfigError
from lth_ray.data import DamagedDataset
from lth_ray.data.text.levels import read_vocabulary
from lth_ray.data.text.lines import Part
from lth_ray.data.text.vocabulary import Bytes, Words, encoded, word_vocabulary

LINES = ["the cat sat on the mat", "", "the dog sat", "a naïve 漢字 test"]


@pytest.mark.parametrize(
    ("size", "min_count", "words"),
    [
        (None, 1, ("the", "sat", "a", "cat", "dog", "mat", "naïve", "on", "test", "漢字")),
        (None, 2, ("the", "sat")),
        (4, 1, ("the", "sat")),
        (3, 2, ("the",)),
    ],
)
def test_words_are_numbered_by_frequency(size: int | None, min_count: int, words: tuple[str, ...]) -> None:
    assert word_vocabulary(LINES, size, min_count).words == ("<unk>", "<eos>", *words)


def test_words_not_in_the_vocabulary_are_one() -> None:
    vocabulary = word_vocabulary(LINES, min_count=2)
    assert list(encoded(vocabulary, ["the bird sat", "", "<unk> sat"])) == [[2, 0, 3, 1], [1], [0, 3, 1]]
    assert vocabulary.decode([2, 0, 3, 1, 3]) == "the <unk> sat\nsat"


def test_bytes_are_the_file_itself() -> None:
    (tokens,) = Bytes().encode(["naïve"])
    assert tokens == [*"naïve\n".encode()]
    assert Bytes().decode(tokens) == "naïve\n"


def test_byte_pairs_give_the_text_back_whatever_the_order_of_lines() -> None:
    bpe = pytest.importorskip("lth_ray.data.text.bpe", reason="needs lth_ray[text]")
    pytest.importorskip("tokenizers", reason="needs lth_ray[text]")
    text = [" ".join(random.Random(i).choices(["low", "lower", "newest", "wider"], k=9)) for i in range(50)]
    made = bpe.train_bpe(text, 300)
    assert made == bpe.train_bpe(text[::-1], 300)
    assert made.size <= 300
    low, newest = made.encode(["low"])[0], made.encode(["newest low"])[0]
    assert len(low) == 2  # the word is one token, and the end of the line
    assert newest[-2:] == low
    for line in (*text[:3], *LINES):
        (tokens,) = made.encode([line])
        assert made.decode(tokens) == line + "\n"
    assert read_vocabulary(made.document) == made
    joint = bpe.train_bpe([*text, *LINES], 300, ["</s>", "<pad>", "<s>"])
    added = {one["content"]: one["id"] for one in json.loads(joint.tokenizer)["added_tokens"]}
    assert added == {"</s>": 0, "<pad>": 1, "<s>": 2}
    with pytest.raises(ConfigError, match="vocabulary = 200: by byte-pair encoding every byte is a token"):
        bpe.train_bpe(text, 200)


def test_a_vocabulary_is_plain_data() -> None:
    words = word_vocabulary(LINES)
    assert read_vocabulary(words.document) == words
    assert read_vocabulary(Bytes().document) == Bytes()
    assert isinstance(words, Words)


def test_a_text_without_a_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="no word in the text to train on"):
        word_vocabulary(["", "  "])


def test_a_text_is_the_same_compressed_or_as_a_table(tmp_path: Path) -> None:
    whole = "".join(f"{line}\n" for line in LINES).encode()
    plain, packed, table = (tmp_path / name for name in ("a.txt", "a.txt.gz", "a.parquet"))
    plain.write_bytes(whole)
    packed.write_bytes(gzip.compress(whole))
    pq.write_table(pa.table({"text": ["the cat sat on the mat\n\nthe dog sat", LINES[3]]}), table)
    for path in (plain, packed, table):
        assert list(Part((path,)).lines()) == LINES
        assert Part((path,)).digest() == hashlib.sha256(whole).hexdigest()


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    bad, cut, table = tmp_path / "bad.txt", tmp_path / "cut.txt.gz", tmp_path / "a.parquet"
    bad.write_bytes("fine\nna\u00efve\n".encode("latin1"))
    with pytest.raises(DamagedDataset, match=r"bad.txt, line 2: byte 3 \(0xef\) is no UTF-8; convert the file, as by"):
        list(Part((bad,)).lines())
    cut.write_bytes(gzip.compress(random.Random(0).randbytes(5000).hex().encode())[:2000])
    with pytest.raises(DamagedDataset, match=r"cut\.txt\.gz: cannot be read"):
        list(Part((cut,)).lines())
    pq.write_table(pa.table({"label": [1]}), table)
    with pytest.raises(DamagedDataset, match=r"has the columns label \(int64\); one of strings must be called 'text'"):
        list(Part((table,)).lines())
