"""Hugging Face folders that do not fit, or are no whole ones: each is one error of the plan."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lth_ray.config import ConfigError, Data, Model, set_fields
from lth_ray.lottery import make_plan
from tests.lottery.encoders import STUDY
from tests.tiny_bert import VOCABULARY, save_bert, save_sentences, save_tokenizer

pytest.importorskip("transformers", reason="Hugging Face folders need the extra `text`")


def broken(folder: Path, what: str) -> None:
    """An encoder's folder with a fault."""
    save_bert(folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    given, said = load_file(weights), json.loads(config.read_text())
    if what == "pickles":
        torch.save(given, folder / "pytorch_model.bin")
    if what in ("pickles", "nothing"):
        weights.unlink()
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    if what == "a layer less":
        save_file({name: one for name, one in given.items() if "layer.1." not in name}, weights)
    if what == "a layer more":
        config.write_text(json.dumps({**said, "num_hidden_layers": 1}))
    if what == "wider":
        config.write_text(json.dumps({**said, "intermediate_size": 32}))
    if what == "infinite":
        save_file({**given, "pooler.dense.bias": torch.full((16,), torch.inf)}, weights)
    if what == "no config":
        config.unlink()
    if what == "another kind":
        config.write_text(json.dumps({"model_type": "xlnet"}))
    if what == "no kind":
        config.write_text("{}")
    if what == "a shard less":
        weights.unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "pickles": ({}, r"holds pickles \(pytorch_model.bin\) and no model.safetensors, and code from a file is not run"),
    "nothing": ({}, r"holds no model.safetensors; give a folder as"),
    "cut": ({}, r"model.safetensors is no readable safetensors file"),
    "a shard less": ({}, r"model-1.safetensors is no readable safetensors file"),
    "a layer less": ({}, r"lacks 'bert.encoder.layer.1.*so that it does not fit its config.json; .*Model\(redraw="),
    "a layer more": ({}, r"holds the unknown 'encoder.layer.1"),
    "wider": ({}, r"'bert.encoder.layer.0.intermediate.dense.*needs \(32"),
    "infinite": ({}, r"'bert.pooler.dense.bias' has values that are NaN or infinite"),
    "no config": ({}, r"config.json cannot be read"),
    "no kind": ({}, r"config.json names no model_type"),
    "another kind": ({}, r"its model_type 'xlnet' is not known here; valid: albert, bert"),
    "no folder": ({"model": Model("hf:nowhere")}, r"Model.name = 'nowhere': there is no folder"),
    "a larger tokenizer": ({"data.tokenizer": "words"}, r"knows 24 tokens, and the tokenizer of the data has 29"),
    "a longer sentence": ({"data.length": 17}, r"Sentences.length = 17: Model.name = 'hf:.*' takes 16 tokens at most"),
    "an option": ({"model.options": {"dropout_typo": 0.1}}, r"Model.options\['dropout_typo'\]: config.json of"),
    "images": ({"data": Data("digits", batch_size=8, validation=0)}, r"have shape \(1, 8, 8\); give Sentences"),
    "synflow": ({"prune.criterion": "synflow"}, r"it calls the network with ones, and its inputs are torch.int32"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_what_does_not_fit_is_one_clear_error(tmp_path: Path, what: str) -> None:
    broken(tmp_path / "bert", what)
    save_tokenizer(tmp_path / "words", [*VOCABULARY, *(f"more{i}" for i in range(7))])
    save_sentences(tmp_path / "films.csv")
    changes, message = FAULTS[what]
    with pytest.raises(ConfigError, match=message):
        make_plan(set_fields(STUDY, changes), str(tmp_path))
