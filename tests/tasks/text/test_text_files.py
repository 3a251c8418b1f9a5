"""Texts as they are found: folders, packed ones, what of them counts, and what is refused."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Text
from lth_ray.data import DamagedDataset, MissingDataset
from lth_ray.data.text import catalogue
from lth_ray.data.text.lines import Part
from lth_ray.data.text.packed import pack, verify
from lth_ray.tasks import task_of
from tests.tasks.text.chained import chain


def test_a_packed_text_is_the_same_text(folder: Path, tmp_path: Path) -> None:
    parts = catalogue.find_parts(f"text:{folder}")
    packed = pack(parts, "word", 20, 2, tmp_path / "packed")
    assert verify(packed) == []
    data = Text(f"packed:{tmp_path / 'packed'}", batch_size=4, window=10, vocabulary=20, min_count=2)
    ours, theirs = task_of(data), task_of(replace(data, name=f"text:{folder}"))
    assert ours.identify() == theirs.identify()
    assert ours.identify().num_classes == 20
    step = 5
    assert torch.equal(ours.stream(ours.load(), 1, 2).batch(step)[0], theirs.stream(theirs.load(), 1, 2).batch(step)[0])
    (tmp_path / "packed" / "test.tokens").write_bytes(b"short")
    with pytest.raises(DamagedDataset, match=r"test\.tokens: is not the file of 325 tokens that the manifest names"):
        ours.load()
    with pytest.raises(ConfigError, match=r"Text\.vocabulary = None: .* was packed with 20"):
        task_of(replace(data, vocabulary=None)).identify()


@pytest.mark.parametrize("form", ["text", "packed"])
def test_a_measured_word_that_stands_for_nothing_is_refused_packed_or_not(tmp_path: Path, form: str) -> None:
    (tmp_path / "train.txt").write_text("a b\n" * 50)
    (tmp_path / "test.txt").write_text("a\n\nb z y\n")
    place = tmp_path
    if form == "packed":
        place = pack(catalogue.find_parts(f"text:{tmp_path}"), "word", None, 1, tmp_path / "packed").folder
    with pytest.raises(ConfigError, match=r"do not occur in the text to train on, which has no <unk>"):
        task_of(Text(f"{form}:{place}", batch_size=4, window=10)).identify()


def test_what_a_text_is_made_of_counts(folder: Path, tmp_path: Path) -> None:
    """And neither its place nor how it is stored."""
    for name in ("train", "valid", "test"):
        source = folder / f"{name}.txt"
        whole = source.read_bytes() if source.exists() else gzip.decompress((folder / f"{name}.txt.gz").read_bytes())
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress(whole))

    def identity(place: Path, **fields: Any) -> Any:
        return task_of(Text(f"text:{place}", batch_size=4, window=10, **fields)).identify()

    assert identity(folder) == identity(tmp_path)
    assert identity(folder, validation=7).n_validation == 7
    other = identity(folder, min_count=60)
    assert (other.digest, other.num_classes) != (identity(folder).digest, identity(folder).num_classes)
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(chain(121, 0).encode()))
    catalogue._found.cache_clear()
    assert identity(folder).digest != identity(tmp_path).digest


@pytest.mark.parametrize(
    ("files", "fields", "message"),
    [
        ({"train.txt": b"a b\n" * 50}, {}, r"there is no test\.txt \(or \.txt\.gz\); give a folder with test\.txt"),
        ({"train.txt": b"\n\n", "test.txt": b"a"}, {}, "no word in the text to train on"),
        ({"train.txt": b"a b\n" * 50, "test.txt": b""}, {}, r"test\.txt: is empty; put some lines of text into it"),
        ({"train.txt": b"a b\n" * 50, "test.txt": b"a\n\nb z y\n"}, {}, r"test\.txt: the word 'z' and 1 more do not"),
        (
            {"train.txt": b"a b\n" * 50, "test.txt": b"a\nb \xff\n"},
            {},
            r"test\.txt, line 2: byte 3 \(0xff\) is no UTF-8",
        ),
        ({"train.txt": b"a b\n" * 5, "test.txt": b"a\n"}, {}, "a step takes 40 tokens, and there are 15 to train on"),
        (
            {"train.txt": b"a b\n" * 50, "test.txt": b"a\n"},
            {"validation": 9},
            "validation = 9: .* has no validation part",
        ),
        ({"train.txt": b"a\n", "train.txt.gz": b"", "test.txt": b"a\n"}, {}, r"has both train\.txt and train\.txt\.gz"),
    ],
)
def test_a_bad_text_is_one_clear_error(
    tmp_path: Path, files: dict[str, bytes], fields: dict[str, Any], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        task_of(Text(f"text:{tmp_path}", batch_size=4, window=10, **fields)).identify()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level": "bpe"}, r"Text\.vocabulary = None: give the number of tokens"),
        ({"level": "byte", "vocabulary": 300}, r"Text\.vocabulary = 300: of bytes there are 256"),
        ({"level": "byte", "min_count": 2}, r"Text\.min_count = 2: at the level 'byte' there are no rare words"),
        ({"level": "letter"}, r"Text\.level = 'letter': valid: bpe, byte, hf, word"),
    ],
)
def test_a_text_is_checked_when_it_is_declared(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Text("text:x", batch_size=1, window=1, **fields)


def test_an_unknown_text_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'wikitext' is unknown: did you mean wikitext2"):
        task_of(Text("wikitext", batch_size=4, window=10)).identify()
    with pytest.raises(MissingDataset, match=r"no packed text in .*nowhere; `lth-ray data pack` makes one"):
        task_of(Text(f"packed:{tmp_path / 'nowhere'}", batch_size=4, window=10)).identify()


def test_wikitext_2_has_the_published_number_of_tokens(shared_data: Path) -> None:
    """Merity et al. 2017, table 1, and an end for each line, empty ones too."""
    for name, tokens in (("valid", 217_646), ("test", 245_569)):
        part = Part((shared_data / "text" / f"wikitext2_{name}.txt",))
        assert sum(len(line.split()) + 1 for line in part.lines()) == tokens
