"""`lth-ray export --format onnx`: what another program computes by the file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import lth_ray
from lth_ray import data, load_ticket, models
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import ConfigError, set_fields, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.lottery.tickets.onnx_export import Inputs, save_onnx
from lth_ray.running.history import remember
from lth_ray.store import Store
from tests.commands.conftest import Own, images, network
from tests.conftest import Call
from tests.running.conftest import declared
from tests.tiny_bert import save_bert, save_sentences


def run_onnx(file: Path, inputs: torch.Tensor) -> torch.Tensor:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [taken], [given] = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape, given.name) == ("images", ["batch", 1, 8, 8], "logits")
    return torch.from_numpy(session.run(["logits"], {"images": inputs.numpy()})[0])


def test_onnx_computes_the_same_on_real_digits(call: Call, storage: str, plan: Plan, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    key, file = plan.lineages[0].rounds[2].segment.key, tmp_path / "ticket.onnx"
    code, _ = call(None, "export", "k0/seed0/r2", "--to", file, "--format", "onnx", "--storage", storage)
    assert code == 0
    ours = network(load_ticket(key, storage).trained_state)(images())
    for number in (400, 1, 7):  # the batch axis is dynamic
        assert torch.allclose(run_onnx(file, images()[:number]), ours[:number], rtol=0, atol=1e-5)
    about = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
    assert (about["ticket"], about["state"]) == (key, "trained")
    told, dataset = json.loads(about["normalisation"]), data.load(declared().data)
    raw = dataset.test.images.numpy().astype(np.float32)  # by what the file says, from the pixels themselves
    normalised = (raw / told["white"] - np.float32(told["mean"])) / np.float32(told["std"])
    assert np.allclose(normalised, images().numpy(), atol=1e-5)
    assert list(tmp_path.iterdir()) == [file]


def test_onnx_of_ones_own_network_takes_the_network(call: Call, own_storage: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "own.onnx"
    flags = ("--to", file, "--format", "onnx", "--storage", own_storage)
    code, printed = call(None, "export", "k0/seed0/r0", *flags)
    assert code == 2
    assert "the function Own, which lives in the study's script" in printed
    assert not file.exists()
    made = Own(10, (1, 8, 8))
    key = lth_ray.export_ticket("k0/seed0/r0", file, format="onnx", storage=own_storage, model=made)
    weights = load_ticket(key, own_storage).trained_state
    assert weights is not None
    assert torch.equal(made.output.weight, weights["averages.output/weight"])  # which were measured
    assert torch.allclose(run_onnx(file, images()), made.eval()(images()), rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="does not fit this network"):
        export_ticket(key, file, format="onnx", storage=own_storage, model=network())


def test_onnx_of_a_network_that_fixes_the_number_of_images(own_storage: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    class Fixed(Own):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[: len(x)]

    with pytest.raises(ConfigError, match="the forward pass of Fixed fixes the number of images"):
        export_ticket("k0/seed0/r0", tmp_path / "x", format="onnx", storage=own_storage, model=Fixed(10, (1, 8, 8)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_names_the_extra(
    call: Call, storage: str, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for needed in ("onnx", "onnxruntime", "onnxscript"):  # none need be there for this
        monkeypatch.setitem(sys.modules, needed, sys)
    monkeypatch.setitem(sys.modules, package, None)
    code, printed = call(
        None, "export", "k0/seed0/r1", "--to", tmp_path / "x", "--format", "onnx", "--storage", storage
    )
    assert code == 2
    assert f'needs the package {package}: pip install "lth_ray[onnx]"' in printed


@pytest.mark.parametrize("name", [pytest.param("lstm_lm_1_8", marks=pytest.mark.slow), "transformer_lm_1_8_2"])
def test_onnx_of_a_language_model_takes_tokens(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    made, file = models.build(name, num_classes=40, input_shape=(6,), seed=0), tmp_path / "text.onnx"
    save_onnx(made, Inputs(torch.zeros(1, 6, dtype=torch.int64), tokens=40), file, {})
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [taken] = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("tokens", "tensor(int64)", ["batch", 6])
    for number in (1, 5):
        tokens = torch.arange(6 * number).reshape(number, 6) % 40
        found = torch.from_numpy(session.run(["logits"], {"tokens": tokens.numpy()})[0])
        assert torch.allclose(found, made.eval()(tokens), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_onnx_of_an_encoder_takes_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="Hugging Face folders need the extra `text`")
    onnxruntime = pytest.importorskip("onnxruntime")
    from tests.lottery.test_huggingface import STUDY, carried_out

    save_bert(tmp_path / "bert")
    save_sentences(tmp_path / "films.csv")
    store = Store.open(str(tmp_path / "store"))
    study = set_fields(STUDY, {"train.length": steps(2)})
    carried_out(study, store, tmp_path)
    plan = make_plan(study, str(tmp_path), store)
    remember(store, plan, "")
    key = export_ticket("k0/seed0/r1", tmp_path / "t.onnx", format="onnx", storage=store.uri)
    export_ticket(key, tmp_path / "t.safetensors", storage=store.uri)
    recipe = plan.lineages[0].recipe
    tokens = recipe.task.load(tmp_path).test.inputs
    theirs = transformers_own(tmp_path, tokens)  # by Hugging Face's own class and names
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"), providers=["CPUExecutionProvider"])
    for number in (24, 1):
        (found,) = session.run(["logits"], {"tokens": tokens[:number].numpy()})
        assert np.allclose(found, theirs[:number].numpy(), rtol=0, atol=1e-5)


def transformers_own(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    import transformers

    plain = transformers.BertForSequenceClassification(transformers.BertConfig.from_pretrained(folder / "bert")).eval()
    plain.load_state_dict(load_file(folder / "t.safetensors"))
    with torch.no_grad():
        found = plain(input_ids=tokens[:, 0].long(), attention_mask=(tokens[:, 1] > 0).long())
    logits: torch.Tensor = found.logits
    return logits
