"""Labelled sentences: their tokens by hand, what counts, what is held out, and what is refused."""

import io
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch

from lth_ray.config import ConfigError, Sentences
from lth_ray.data import absolute
from lth_ray.tasks import task_of
from tests.tiny_bert import VOCABULARY, save_sentences, save_tokenizer

pytest.importorskip("transformers", reason="sentences need the extra `text`")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_tokenizer(tmp_path / "words")
    save_sentences(tmp_path / "films.csv")
    return tmp_path


def sentences(name: str = "csv:films.csv", **fields: Any) -> Sentences:
    given: dict[str, Any] = {"tokenizer": "words", "length": 10, "batch_size": 8, "validation": 16, "test": 24}
    return Sentences(name, **{**given, **fields})


def ids(text: str) -> list[int]:
    return [VOCABULARY.index(word) for word in text.split()]


def test_tokens_by_hand(root: Path) -> None:
    (root / "two.csv").write_text('label,first,second\nyes,the plot was dull,"a fine, great film"\nno,The actor!,bad\n')
    config = sentences("csv:two.csv", columns=["first", "second"], length=8, validation=0, test=1)
    read = task_of(config)._read(root).train  # type: ignore[attr-defined]
    first = "[CLS] the plot [SEP] a fine [UNK] [SEP]"  # of 4 and 5 tokens 2 and 3 are left
    second = "[CLS] the actor [UNK] [SEP] bad [SEP] [PAD]"
    assert read.inputs[0].tolist() == [ids(first), [1] * 4 + [2] * 4]
    assert read.inputs[1].tolist() == [ids(second), [1] * 5 + [2] * 2 + [0]]
    assert read.targets.tolist() == [1, 0]  # "no" comes before "yes"


def test_what_is_held_out_and_what_a_network_is_offered(root: Path) -> None:
    task = task_of(sentences())
    identity, loaded = task.identify(root), task.load(root)
    assert (identity.n_train, identity.n_validation, identity.n_test) == (80, 16, 24)
    assert (identity.input_shape, identity.num_classes, identity.vocabulary) == ((2, 10), 2, len(VOCABULARY))
    parts = [loaded.train, loaded.validation, loaded.test]
    every = task._read(root).train  # type: ignore[attr-defined]
    assert torch.equal(torch.cat([part.targets for part in parts]).bincount(), every.targets.bincount())
    batch = task.stream(loaded, 3, 0).batch(11)
    assert (batch[0].dtype, tuple(batch[0].shape), len(batch[1])) == (torch.int32, (8, 2, 10), 8)
    assert int(task.example(identity)[0].max()) == len(VOCABULARY) - 1  # so that a smaller network is found out
    assert sum(len(targets) for _, targets in task.examples(loaded, loaded.test)) == 24


def test_evaluation_takes_few_tokens_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.tasks.sentences.TOKENS_AT_A_TIME", 70)
    task = task_of(sentences())
    loaded = task.load(root)
    cut = list(task.examples(loaded, loaded.test))
    assert [len(targets) for _, targets in cut] == [7, 7, 7, 3]
    assert torch.equal(torch.cat([inputs for inputs, _ in cut]), loaded.test.inputs)


def test_tokens_count_and_no_place_does(root: Path) -> None:
    frame = pandas.read_csv(root / "films.csv")
    frame.to_csv(root / "films.tsv", sep="\t", index=False)
    frame.to_parquet(root / "films.parquet")
    save_tokenizer(root / "moved" / "words")
    known = task_of(sentences()).identify(root).digest
    for name in ("tsv:films.tsv", "parquet:films.parquet"):
        assert task_of(sentences(name, tokenizer="hf:moved/words")).identify(root).digest == known
    save_tokenizer(root / "others", [*VOCABULARY[:5], *VOCABULARY[:4:-1]])
    save_tokenizer(root / "more", [*VOCABULARY, "unseen"])
    changed = [{"tokenizer": "others"}, {"tokenizer": "more"}, {"length": 9}, {"columns": ["sentence", "other"]}]
    found = {task_of(sentences(**one)).identify(root).digest for one in changed}  # type: ignore[arg-type]
    assert len(found) == 4
    assert known not in found


def test_a_path_is_found_where_processes_elsewhere_look_for_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    config = sentences(tokenizer=str(root / "words"))
    name, _ = absolute(config.name, None)
    assert task_of(config.found_at(name)).identify(None) == task_of(config).identify(None)
    (root / "data").mkdir()
    with pytest.raises(ConfigError, match=r"there is no .*data/films.csv; give its path, or --data-root"):
        task_of(config).identify(root / "data")  # though there is one here


def test_a_folder_brings_its_test_set_and_numbers_are_predicted(root: Path) -> None:
    (root / "glue").mkdir()
    for part, n in (("train", 40), ("validation", 12)):
        save_sentences(root / "glue" / f"{part}.tsv", n, "\t")
    config = sentences("tsv:glue", tested_on="validation", validation=0, test=None, score="rmse")
    task = task_of(config)
    identity = task.identify(root)
    assert (identity.n_train, identity.n_test, identity.num_classes) == (40, 12, 1)
    assert task.load(root).test.targets.dtype == torch.float32
    with pytest.raises(ConfigError, match=r"Sentences.test = 5: 'tsv:glue' is a folder; leave it out"):
        task_of(sentences("tsv:glue", tested_on="validation", test=5)).identify(root)


def test_polarity_is_two_files_of_lines(root: Path) -> None:
    (root / "sentence_polarity").mkdir()
    for kind, word in (("neg", "bad"), ("pos", "good")):
        (root / "sentence_polarity" / f"rt-polarity.{kind}").write_text(f"the film was {word} \n" * 5)
    read = task_of(sentences("polarity"))._read(root).train  # type: ignore[attr-defined]
    assert read.targets.tolist() == [0] * 5 + [1] * 5
    assert read.inputs[5, 0].tolist() == [*ids("[CLS] the film was good [SEP]"), 0, 0, 0, 0]


@pytest.mark.parametrize(("word", "classes"), [("nan", [1, 0, 0]), ("inf", [1, 0, 0]), ("1.5", [0, 1, 1])])
def test_a_class_may_be_called_like_a_number_that_is_not_whole(root: Path, word: str, classes: list[int]) -> None:
    (root / "a.csv").write_text(f"label,sentence\n{word},bad\n2.0,fine\n2,good\n")
    read = task_of(sentences("csv:a.csv", validation=0, test=1))._read(root)  # type: ignore[attr-defined]
    assert read.outputs == 2
    assert read.train.targets.tolist() == classes


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pandas.DataFrame(columns).to_parquet(file)
    return file.getvalue()


BAD: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    "no UTF-8": ("a.csv", b"label,sentence\n0,bad\n1,fine \xe9\n", {}, r"a.csv, line 3: byte 0xe9 is not UTF-8"),
    "an empty line": ("a.csv", b"label,sentence\n0,bad\n\n1,fine\n", {}, r"a.csv: row 1 has 0 columns"),
    "an empty sentence": ("a.tsv", b"label\tsentence\n0\tbad\n1\t \n", {}, r"a.tsv: 'sentence' of row 1 is empty"),
    "no label": ("a.csv", b"label,sentence\n,bad\n", {}, r"a.csv: 'label' of row 0 is missing"),
    "a column more": ("a.csv", b"label,sentence\n0,bad,dull\n", {}, r"row 0 has 3 columns, and the first line names 2"),
    "no such column": ("a.csv", b"label,sentnce\n0,bad\n", {}, r"no such column in .*; did you mean sentnce"),
    "hidden labels": ("a.csv", b"label,sentence\n-1,bad\n0,fine\n", {}, r"a label is -1, as where labels are not"),
    "words as numbers": ("a.csv", b"label,sentence\nx,bad\n", {"score": "rmse"}, r"the target of row 0 is 'x'"),
    "lists as numbers": (
        "a.parquet",
        parquet(label=[[1.0]], sentence=["bad"]),
        {"score": "rmse"},
        r"the target of row 0 is \[1",
    ),
    "nothing": ("a.csv", b"label,sentence\n", {}, r"it holds no sentence"),
    "no Parquet": ("a.parquet", b"PAR", {}, r"a.parquet: not a readable Parquet file"),
    "a missing sentence": ("a.parquet", parquet(label=[1], sentence=[None]), {}, r"'sentence' of row 0 is empty"),
    "too few": ("a.csv", b"label,sentence\n0,bad\n1,fine\n", {"test": 2}, r"there are 2 sentences to take them from"),
    "no test": ("a.csv", b"label,sentence\n0,bad\n1,fine\n", {"test": None}, r"is one file; say how many"),
    "no tokenizer": (
        "a.csv",
        b"label,sentence\n0,bad\n1,fine\n",
        {"tokenizer": "."},
        r"no tokenizer can be read there",
    ),
    "no folder": (
        "a.csv",
        b"label,sentence\n0,bad\n1,fine\n",
        {"tokenizer": "x"},
        r"no network is asked for it",
    ),
    "no set": ("a.csv", b"", {"name": "sst2"}, r"no such set; valid: polarity, csv:PATH"),
    "no file": ("a.csv", b"", {"name": "csv:nowhere.csv"}, r"there is no .*nowhere.csv"),
    "no part": ("glue/train.csv", b"label,sentence\n0,bad\n", {"name": "csv:glue"}, r"there is no test.csv in"),
    "no polarity": ("a.csv", b"", {"name": "polarity"}, r"unpack them there, or give --data-root"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(root: Path, case: str) -> None:
    file, content, fields, message = BAD[case]
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(content)
    given = {"name": f"{file.rpartition('.')[2]}:{file}", "validation": 0, "test": 1, **fields}
    with pytest.raises(ConfigError, match=message):
        task_of(sentences(**given)).identify(root)


def test_it_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match=r'pip install "lth_ray\[text\]"'):
        task_of(sentences(length=7)).identify(root)
