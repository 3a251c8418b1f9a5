"""A text in the tokens of a Hugging Face folder's own tokenizer."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Model, Text
from lth_ray.data.text import catalogue
from lth_ray.tasks import task_of, text
from tests.tiny_bert import save_gpt2, save_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers need the extra `text`")
pytest.importorskip("transformers", reason="Hugging Face folders need the extra `text`")
LINES = ["the film was good", "", "the plot was dull, and the film long", "good"]
END = "<|endoftext|>"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(catalogue, "cache_dir", lambda: tmp_path / "cache")
    catalogue._found.cache_clear()
    text._given.cache_clear()
    for part in ("train", "test"):
        (tmp_path / f"{part}.txt").write_text("\n".join(LINES * 4) + "\n")
    save_byte_level(tmp_path / "gpt2")
    yield tmp_path
    catalogue._found.cache_clear()
    text._given.cache_clear()


def save_byte_level(folder: Path, size: int = 300) -> None:
    """Write a tokenizer as GPT-2 has one."""
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(LINES, vocab_size=size, special_tokens=[END], show_progress=False)
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    of = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(of))


def declared(folder: str = "gpt2", **given: Any) -> Text:
    return Text("text:.", **{"batch_size": 2, "window": 8, "level": "hf", "tokenizer": folder, **given})


def test_tokens_are_the_folder_s_own_with_its_numbers(root: Path) -> None:
    import transformers

    task = task_of(declared())
    identity, loaded = task.identify(root), task.load(root)
    own = transformers.AutoTokenizer.from_pretrained(str(root / "gpt2"))
    expected = [token for line in LINES * 4 for token in own(f"{line}\n")["input_ids"]]
    assert loaded.test.windows([0], len(expected)).tolist() == [expected]
    assert (identity.num_classes, loaded.test.end) == (len(own), own.eos_token_id)
    assert own.decode(expected) == "\n".join(LINES * 4) + "\n"
    first, _ = next(task.examples(loaded, loaded.test))
    assert int(first[0, 0]) == own.eos_token_id


def test_the_numbering_is_in_the_digest_and_the_place_is_not(root: Path) -> None:
    digest = task_of(declared()).identify(root).digest
    shutil.copytree(root / "gpt2", root / "copy")
    assert task_of(declared("copy")).identify(root).digest == digest
    assert task_of(declared(str(root / "copy"))).identify(root).digest == digest
    save_byte_level(root / "smaller", 262)
    assert task_of(declared("smaller")).identify(root).digest != digest


def test_a_network_learns_by_it_and_one_of_other_tokens_is_told(root: Path) -> None:
    from lth_ray import models
    from lth_ray.config import Folder

    identity = task_of(declared()).identify(root)
    for tokens in (identity.num_classes, identity.num_classes + 1):
        save_gpt2(root / f"net{tokens}", tokens)
    name = Folder(str(root / f"net{identity.num_classes}"))
    network = models.build(name, identity.num_classes, identity.input_shape, seed=0)
    assert network(torch.zeros(2, 8, dtype=torch.int64)).shape == (2, 8, identity.num_classes)
    other = Folder(str(root / f"net{identity.num_classes + 1}"))
    with pytest.raises(ConfigError, match=r"do not fit; give the text the tokenizer of its folder: Text\(level='hf'"):
        models.build(other, identity.num_classes, identity.input_shape, seed=0)
    assert Model(f"hf:{other.path}").name == other


def test_a_text_of_a_wordpiece_tokenizer_begins_behind_its_separator(root: Path) -> None:
    save_tokenizer(root / "bert")
    assert task_of(declared("bert")).load(root).test.end == 3  # [SEP]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokenizer": None}, "Text.tokenizer = None: level='hf' takes the tokenizer of a folder"),
        ({"level": "word"}, "give both, or neither"),
        ({"vocabulary": 300}, "the tokenizer has tokens of its own; leave it out"),
        ({"min_count": 2}, "there are no rare words"),
    ],
    ids=str,
)
def test_what_is_said_twice_is_told_when_it_is_declared(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declared(**given)


def test_folders_without_a_tokenizer_of_use_are_told(root: Path) -> None:
    (root / "none").mkdir()
    save_byte_level(root / "endless")
    (root / "endless" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    for folder, message in {
        "none": "Text.tokenizer = .*: no tokenizer can be read there",
        "absent": "Text.tokenizer = 'absent': there is no folder",
        "endless": "Text.tokenizer = 'endless': no token of it ends a text; give a folder with",
    }.items():
        with pytest.raises(ConfigError, match=message):
            task_of(declared(folder)).identify(root)
