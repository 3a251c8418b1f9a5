"""Studies that begin with a Hugging Face folder: its weights are step 0, and what it lacks is the seed's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lth_ray import load_small, models
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import (
    Barrier,
    ConfigError,
    Model,
    RandomMask,
    RandomReinit,
    Rewind,
    Scoring,
    Text,
    set_fields,
    steps,
)
from lth_ray.lottery import make_plan
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.pretrained import identified
from lth_ray.models.flops import uses_of_weights
from lth_ray.models.units import unit_layers
from lth_ray.running.history import check_same_study, recorded_plan, remember
from lth_ray.store import Store
from lth_ray.training import Start, Team, train_segment
from tests.carried_out import carried_out, rows_of, whole_and_killed
from tests.docs.blocks import blocks
from tests.lottery.encoders import STUDY
from tests.tiny_bert import save_bert, save_gpt2, save_sentences
from tests.training.teams import together

pytest.importorskip("transformers", reason="Hugging Face folders need the extra `text`")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    save_bert(folder / "bert")
    save_sentences(folder / "films.csv")
    return folder


def test_step_0_is_the_folder_and_the_head_is_the_seed_s(root: Path, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    study = set_fields(STUDY, {"seeds": [0, 1], "keep": "all", "train.length": steps(2), "prune.rounds": 1})
    plan = make_plan(study, str(root), store)
    carried_out(study, store, root)
    begins = [store.load_state(plan.lineages[i].rounds[0].segment.trajectory, 0).model for i in (0, 1)]
    for name, value in load_file(root / "bert" / "model.safetensors").items():
        assert all(torch.equal(begin[f"bert.{name}"], value) for begin in begins)
    assert set(begins[0]) - {f"bert.{name}" for name in load_file(root / "bert" / "model.safetensors")} == {
        "classifier.weight",
        "classifier.bias",
    }
    first, second = (begin["classifier.weight"] for begin in begins)
    assert not torch.equal(first, second)
    fresh = build(plan.lineages[1].recipe, plan.lineages[1].drawn.seed).state_dict()
    assert torch.equal(second, fresh["classifier.weight"])  # and a network that is drawn as a whole has the same
    assert not torch.equal(begins[1]["bert.pooler.dense.weight"], fresh["bert.pooler.dense.weight"])
    ticket = store.load_state(plan.lineages[0].rounds[1].segment.trajectory, 2).model
    mask = store.load_mask(store.segment(plan.lineages[0].rounds[1].segment.key)["mask"])  # type: ignore[index]
    assert all(bool((ticket[name][~keeps] == 0).all()) for name, keeps in mask.items())
    assert "classifier.weight" not in mask
    assert "bert.encoder.layer.1.attention.self.query.weight" in mask
    assert not any("embeddings" in name for name in mask)


def test_a_killed_training_with_dropout_goes_on_bit_for_bit(root: Path, tmp_path: Path) -> None:
    study = set_fields(STUDY, {"rewind": [steps(0), Rewind(steps(5), optimizer="restored")]})
    whole, killed = whole_and_killed(study, tmp_path, kills=(8, 26), every_steps=3, root=root)
    assert killed == whole
    assert len(set(whole)) == 3  # a dense network, and a ticket of each rewind point


def test_it_learns_and_everything_hangs_on_its_tickets(root: Path, tmp_path: Path) -> None:
    branches = [RandomReinit(), RandomMask(), Barrier(points=3, rounds=[1])]
    changes = {"train.length": steps(40), "train.lr": 4e-3, "branches": branches, "prune.fraction": 0.3}
    tickets, others = rows_of(set_fields(STUDY, changes), Store.open(str(tmp_path)), root)
    assert min(row["test_accuracy"] for row in tickets) > 0.9  # one word of each sentence tells
    assert tickets[1]["remaining_weights"] == pytest.approx(0.7, abs=1e-3)
    assert {row["branch"] for row in others} == {"random_reinit", "random_mask", "barrier"}
    (line,) = (row for row in others if row["branch"] == "barrier")
    assert line["lmc_error_barrier"] >= 0


@pytest.mark.parametrize("prune", [
    {"criterion": "snip", "at": steps(0), "scoring": Scoring(per_class=4)},
    {"criterion": "grasp", "at": steps(0)},
    {"one_shot": True, "criterion": "movement"},
    {"include": ["bert.embeddings.word_embeddings.weight"], "at": steps(0)},
])  # fmt: skip
def test_masks_by_other_rules(root: Path, tmp_path: Path, prune: dict[str, Any]) -> None:
    study = set_fields(STUDY, {"train.length": steps(3), **{f"prune.{name}": value for name, value in prune.items()}})
    tickets, _ = rows_of(study, Store.open(str(tmp_path)), root)
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("kind", "layer", "own"), [
    ("heads", "bert.encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.0.attention.self.value.bias"),
    ("neurons", "bert.encoder.layer.1.intermediate.dense.weight", "bert.encoder.layer.1.intermediate.dense.bias"),
])  # fmt: skip
def test_heads_and_neurons_go_as_wholes(root: Path, tmp_path: Path, kind: str, layer: str, own: str) -> None:
    prune = {"prune.structure": kind, "prune.scope": "layer", "prune.exclude": ["bert.embeddings.*", "bert.pooler.*"]}
    study, store = set_fields(STUDY, {"train.length": steps(3), **prune}), Store.open(str(tmp_path))
    carried_out(study, store, root)
    (lineage,) = make_plan(study, str(root), store).lineages
    key = lineage.rounds[1].segment.key
    mask = store.load_mask(store.segment(key)["mask"])  # type: ignore[index]
    kept = mask[layer].flatten(1).any(1)
    assert torch.equal(mask[layer].flatten(1).all(1), kept)
    assert torch.equal(mask[own], kept)  # with the rows go their biases
    groups = kept.view(4, 4) if kind == "heads" else kept[:, None]
    assert torch.equal(groups.all(1), groups.any(1))
    assert int(groups.any(1).sum()) == len(groups) // 2
    remember(store, make_plan(study, str(root), store), "Asked by a test.")
    file, trained = tmp_path / "small.safetensors", store.segment(key)["backend"]  # type: ignore[index]
    if kind == "heads":  # whose number is one of the configuration
        assert trained == "eager-fp32"
        why = r"attention.self.query: the network would compute something else .*leave --shrink out"
        with pytest.raises(ConfigError, match=why):
            export_ticket(key, file, shrink=True, storage=store.uri)
        return
    assert trained == "shrunk-fp32"
    export_ticket(key, file, shrink=True, storage=store.uri)
    with pytest.raises(ConfigError, match="of the function that reads hf:bert; give load_small"):
        load_small(file)
    small = load_small(file, build(lineage.recipe, seed=0))
    assert small.get_parameter(layer).shape == (int(kept.sum()), mask[layer].shape[1])


def test_two_workers_train_it_as_one(root: Path) -> None:
    plan = make_plan(set_fields(STUDY, {"train.batch_norm_group": 4}), str(root))
    recipe, dense = plan.lineages[0].recipe, plan.lineages[0].dense

    def work(team: Team) -> dict[str, torch.Tensor]:
        model = build(recipe, seed=1)
        start = Start(0, {name: value.clone() for name, value in model.state_dict().items()})
        arguments = recipe, model, recipe.task.load(root), None, dense.seeds, start, 6
        return dict(list(train_segment("key", *arguments, team=team))[-1].run.model.state_dict())

    (alone,), pair = together(1, work), together(2, work)
    for own in pair:
        assert all(torch.allclose(own[name], alone[name], atol=1e-6) for name in alone)


def test_gpt2_foretells_text_and_its_conv1d_are_linear(root: Path, tmp_path: Path) -> None:
    save_gpt2(root / "gpt2", 256)
    for part in ("train", "test"):
        (root / f"{part}.txt").write_text("the film was very good and the plot was dull\n" * 20)
    text = Text("text:.", batch_size=4, window=12, level="byte")
    language = replace(STUDY, model=Model("hf:gpt2"), data=text, margin=1.0)
    study = set_fields(language, {"prune.exclude": ["*.wte.*"], "train.lr": 2e-2, "train.length": steps(30)})
    store = Store.open(str(tmp_path))
    tickets, _ = rows_of(study, store, root)
    assert tickets[0]["test_perplexity"] < 256 / 3
    plan = make_plan(study, str(root), store)
    network = build(plan.lineages[0].recipe, 0)
    mask = store.load_mask(store.segment(plan.lineages[0].rounds[1].segment.key)["mask"])  # type: ignore[index]
    assert set(mask) == {
        f"transformer.h.{layer}.{name}.weight"
        for layer in (0, 1)
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=1e-3)
    models.initialise(network, "kaiming", torch.Generator().manual_seed(0))
    wide = network.get_parameter("transformer.h.0.attn.c_attn.weight")  # [16 inputs, 48 outputs]
    assert float(wide.std()) == pytest.approx((2 / 16) ** 0.5, rel=0.1)
    (tokens,) = plan.lineages[0].recipe.task.example(plan.lineages[0].recipe.identity)
    uses = uses_of_weights(network, (tokens,))
    assert uses["transformer.h.0.attn.c_attn.weight"] == 12
    heads = unit_layers(network, (tokens,), "heads")
    assert [one.size for one in heads] == [4, 4]
    assert heads[0].name == "transformer.h.0.attn.c_attn.weight"
    other = set_fields(study, {"data.level": "word"})
    with pytest.raises(ConfigError, match=r"it knows 256 tokens, and the text has \d+, which do not fit"):
        make_plan(other, str(root))


def test_the_content_counts_and_the_place_does_not(root: Path, tmp_path: Path) -> None:
    keys = {"bert": [r.segment.key for r in make_plan(STUDY, str(root)).lineages[0].rounds]}
    shutil.copytree(root / "bert", root / "moved", dirs_exist_ok=True)
    config = json.loads((root / "moved" / "config.json").read_text())
    (root / "moved" / "config.json").write_text(json.dumps({**config, "_name_or_path": "elsewhere"}))
    for name, tensors, settings in (
        ("weights", {"pooler.dense.bias": torch.ones(16)}, {}),
        ("dropout", {}, {"hidden_dropout_prob": 0.3}),
    ):
        shutil.copytree(root / "bert", root / name, dirs_exist_ok=True)
        given = load_file(root / "bert" / "model.safetensors")
        save_file({**given, **tensors}, root / name / "model.safetensors")
        (root / name / "config.json").write_text(json.dumps({**config, **settings}))
    for name in ("moved", "weights", "dropout"):
        plan = make_plan(set_fields(STUDY, {"model": Model(f"hf:{name}")}), str(root))
        keys[name] = [r.segment.key for r in plan.lineages[0].rounds]
    options = make_plan(set_fields(STUDY, {"model.options": {"hidden_dropout_prob": 0.3}}), str(root))
    assert keys["moved"] == keys["bert"]
    assert all(a not in keys["bert"] for name in ("weights", "dropout") for a in keys[name])
    assert options.lineages[0].recipe.task is not None
    assert build(options.lineages[0].recipe).bert.embeddings.dropout.p == 0.3  # type: ignore[union-attr]
    arms = {"a": {"model.name": "hf:moved"}, "b": {"model.name": "hf:weights"}}
    first, second = make_plan(set_fields(STUDY, {"arms": arms}), str(root)).lineages
    assert [r.segment.key for r in first.rounds] == keys["bert"]
    assert [r.segment.key for r in second.rounds] == keys["weights"]
    store = Store.open(str(tmp_path))
    remember(store, make_plan(STUDY, str(root), store), "")
    shutil.copytree(root / "bert", root / "elsewhere" / "bert", dirs_exist_ok=True)
    check_same_study(
        store, set_fields(STUDY, {"model": Model("hf:elsewhere/bert"), "data.tokenizer": "elsewhere/bert"})
    )
    again = recorded_plan(store, "tiny-bert")  # by its record alone
    assert [r.segment.key for r in again.lineages[0].rounds] == keys["bert"]


def test_a_study_that_was_identified_asks_for_no_folder_again(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "bert", tmp_path / "bert")
    arms = {
        "network": {"model.name": "hf:bert"},
        "tokenizer": {"data.tokenizer": "hf:bert"},
        "data": {"data": STUDY.data},
    }
    known = identified(set_fields(STUDY, {"arms": arms}), str(tmp_path))
    assert known.arms["tokenizer"] == {"data.tokenizer": str(tmp_path / "bert")}
    shutil.rmtree(tmp_path / "bert")
    assert identified(known) == known


def test_the_encoder_of_the_documents(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = [block.text for block in blocks("docs/tickets.md") if "hf:encoder" in block.text]
    said: dict[str, Any] = {"__name__": "example"}
    exec(example, said)
    shutil.copytree(root / "bert", tmp_path / "encoder")
    for kind in ("neg", "pos"):
        (tmp_path / f"rt-polarity.{kind}").write_text("the film was dull\n" * 40)
    monkeypatch.chdir(tmp_path)
    changes = {"data.length": 12, "data.validation": 8, "data.test": 8}
    plan = make_plan(set_fields(said["study"], changes), str(tmp_path))
    assert plan.unique_steps == 3 * 11 * 3 * 2
    assert [str(plan.study.model.name), plan.study.data.tokenizer] == ["hf:encoder", str(tmp_path / "encoder")]  # type: ignore[attr-defined]
