"""lth-ray show, export and import: which ticket is meant, what is said of it, what others make of the files."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune

import lth_ray
from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, data, load_ticket, models, steps
from lth_ray.commands.tickets import export_ticket, find_ticket, places
from lth_ray.config import ConfigError
from lth_ray.data import evaluation_batches
from lth_ray.lottery import Plan
from lth_ray.pruning import kept
from lth_ray.running.history import entries_of, recorded_plan
from lth_ray.store import Store
from tests.conftest import Call
from tests.running.conftest import declared, train_here

NAME = "small"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the finished study, which tests only read."""
    folder = str(tmp_path_factory.mktemp("finished"))
    train_here(declared(), Store.open(folder))
    return folder


@pytest.fixture(scope="module")
def plan(storage: str) -> Plan:
    return recorded_plan(Store.open(storage, writable=False), NAME)


def images() -> torch.Tensor:
    """The digits of the test set, as networks take them."""
    dataset = data.load(declared().data)
    return torch.cat([inputs for inputs, _ in evaluation_batches(dataset.test, dataset.mean, dataset.std)])


def network(state: dict[str, torch.Tensor] | None = None) -> nn.Module:
    made = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=9)
    if state is not None:
        made.load_state_dict(state)
    return made.eval()


def recorded_accuracy(key: str, storage: str) -> float:
    accuracy: float = load_ticket(key, storage).provenance["journal"]["test_accuracy"][-1]
    return accuracy


# Which ticket ----------------------------------------------------------------------------------------------------


def test_a_ticket_by_key_prefix_and_place(storage: str, plan: Plan) -> None:
    store = Store.open(storage, writable=False)
    key = plan.lineages[1].rounds[2].segment.key
    assert find_ticket(store, key) == find_ticket(store, key[:12]) == key
    assert find_ticket(store, "k40/seed0/r2", NAME) == find_ticket(store, "k40/seed0/r2") == key


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("nonsense", None, "no ticket 'nonsense' in .*, which holds 7: give a `key` .* LINEAGE/rROUND"),
        ("", None, "7 tickets begin with '': .*; give more"),
        ("k0/seed0/r3", NAME, "k0/seed0 has rounds 0 to 2, and no round 3"),
        ("k1/seed0/r1", NAME, "no lineage 'k1/seed0' in study 'small': did you mean k0/seed0 or"),
        ("k0/seed0/r1", "smal", "no study 'smal' .* did you mean small"),
    ],
)
def test_a_ticket_that_is_not_there_is_named(storage: str, text: str, name: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_ticket(Store.open(storage, writable=False), text, name)


def test_of_several_studies_one_is_to_be_named(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    for name in ("one", "two"):
        study = Study(name, model=Model("lenet_20"), data=declared().data, train=Train(steps(2), lr=0.1),
                      prune=Prune(fraction=0.5, rounds=0), rewind=[steps(0)], seeds=[0])  # fmt: skip
        train_here(study, store)
    with pytest.raises(ConfigError, match=r"of which study.*--name.*one, two"):
        find_ticket(store, "k0/seed0/r0")
    key = find_ticket(store, "k0/seed0/r0", "two")
    assert [place.study for place in places(store, key)] == ["one", "two"]  # they share the run


# What is said of it ----------------------------------------------------------------------------------------------


def test_show_says_what_it_is_and_where_it_comes_from(call: Call, storage: str, plan: Plan) -> None:
    key = plan.lineages[1].rounds[2].segment.key
    code, printed = call(None, "show", f"{plan.lineages[1].id}/r2", "--storage", storage, "--json")
    told = json.loads(printed)
    assert code == 0
    ticket = load_ticket(key, storage)
    assert (told["key"], told["kind"], told["content"]) == (key, "ticket", ticket.provenance["content"])
    assert [layer["name"] for layer in told["layers"]] == [
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    layers = {layer["name"]: layer for layer in told["layers"]}
    for name, mask in ticket.mask.items():
        assert (layers[name]["kept"], layers[name]["eligible"]) == (int(mask.sum()), mask.numel())
        assert layers[name]["density"] == int(mask.sum()) / mask.numel()
    assert layers["fc1.weight"]["shape"] == [20, 64]
    assert told["kept"] == kept(ticket.mask)
    assert told["remaining_weights"] == told["kept"] / told["eligible"]
    assert told["parameters"] == sum(value.numel() for value in network().state_dict().values())
    assert told["measurements"]["test_accuracy"] == recorded_accuracy(key, storage)
    assert told["bytes"]["mask"] == len(next(Path(storage, "masks").glob(f"{ticket.provenance['mask']}*")).read_bytes())
    assert set(told["bytes"]["states"]) == {"100"}
    [place] = told["studies"]
    assert (place["study"], place["lineage"], place["round"], place["seed"]) == (NAME, "k40/seed0", 2, 0)
    assert place["rewind_step"] == told["trained"]["from_step"] == 40
    parents = [r.segment.key for r in plan.lineages[1].rounds[:2]]
    assert [row["key"] for row in place["ancestors"]] == parents
    assert [row["test_accuracy"] for row in place["ancestors"]] == [recorded_accuracy(one, storage) for one in parents]
    assert place["seeds"] == vars(plan.lineages[1].seeds)
    assert told["environment"] == ticket.provenance["environment"]
    assert place["commit"] == entries_of(Store.open(storage, writable=False), NAME)[0]["commit"]


def test_show_for_a_person(call: Call, storage: str, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, printed = call(None, "show", "k40/seed0/r2", "--storage", storage)
    flat = " ".join(printed.replace("│", " ").split())
    assert code == 0
    for part in (
        "48.99% ", "20 x 64", "627 1,280", "study small, lineage k40/seed0, round 2; seed 0, rewind step 40",
        "adam, lr 0.001",
        f"the weights of {plan.lineages[0].dense.trajectory} at step 40", "before it, in k40/seed0",
        plan.lineages[1].rounds[1].segment.key,
    ):  # fmt: skip
        assert part in flat, part


def test_keys_and_content_are_whole_in_80_columns(
    call: Call, storage: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keys = [r.segment.key for r in plan.lineages[1].rounds]
    _, printed = call(None, "show", keys[2], "--storage", storage)
    for whole in (*keys[:3], load_ticket(keys[2], storage).provenance["content"]):
        assert whole in printed


def test_what_lineages_share_is_shown_in_each_and_a_branch_beside_its_ticket(
    call: Call, storage: str, plan: Plan
) -> None:
    _, printed = call(None, "show", plan.lineages[0].dense.key, "--storage", storage, "--json")
    told = json.loads(printed)
    assert told["kind"] == "dense network"
    assert [(place["lineage"], place["round"]) for place in told["studies"]] == [("k0/seed0", 0), ("k40/seed0", 0)]
    _, printed = call(None, "show", plan.branches[0].key, "--storage", storage, "--json")
    told = json.loads(printed)
    assert told["kind"] == "branch result"
    assert told["studies"][0]["branch"] == plan.branches[0].id
    assert [row["round"] for row in told["studies"][0]["ancestors"]] == [0, 1, 2]


# State dicts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["trained", "rewind"])
def test_a_plain_state_dict(call: Call, storage: str, plan: Plan, tmp_path: Path, state: str) -> None:
    key, file = plan.lineages[0].rounds[2].segment.key, tmp_path / "ticket.safetensors"
    code, printed = call(None, "export", key[:10], "--to", file, "--state", state, "--storage", storage)
    assert code == 0
    assert key in printed
    ticket = load_ticket(key, storage)
    expected = ticket.trained_state if state == "trained" else ticket.rewind_state
    assert expected is not None
    found = load_file(file)
    assert found.keys() == network().state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    assert (about["ticket"], about["state"], about["lineage"], about["round"]) == (key, state, "k0/seed0", "2")
    assert list(tmp_path.iterdir()) == [file]


def test_the_exported_network_is_as_accurate_as_the_record_says(storage: str, plan: Plan, tmp_path: Path) -> None:
    key, file = plan.lineages[0].rounds[2].segment.key, tmp_path / "ticket.safetensors"
    export_ticket(key, file, storage=storage)
    dataset = data.load(declared().data)
    right = network(load_file(file))(images()).argmax(1) == dataset.test.labels
    assert float(right.float().mean()) == pytest.approx(recorded_accuracy(key, storage))


def test_exported_files_have_the_mode_of_any_new_file(storage: str, plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    key, usual = plan.lineages[0].rounds[2].segment.key, tmp_path / "usual"
    usual.touch()
    for format_ in ("state_dict", "prune", "onnx"):
        export_ticket(key, tmp_path / format_, format=format_, storage=storage)
        assert (tmp_path / format_).stat().st_mode == usual.stat().st_mode, format_


def test_the_naming_of_the_pruning_library(storage: str, plan: Plan, tmp_path: Path) -> None:
    """A network that the library pruned by other masks takes the file, and then computes what the ticket does."""
    key, file = plan.lineages[0].rounds[2].segment.key, tmp_path / "ticket.safetensors"
    export_ticket(key, file, format="prune", storage=storage)
    ticket, pruned = load_ticket(key, storage), network()
    for name in ticket.mask:
        layer = pruned.get_submodule(name.removesuffix(".weight"))
        prune.custom_from_mask(layer, "weight", torch.ones_like(layer.get_parameter("weight")))
    pruned.load_state_dict(load_file(file))
    assert torch.equal(pruned(images()), network(ticket.trained_state)(images()))
    for name in ticket.mask:  # and it can be made permanent
        prune.remove(pruned.get_submodule(name.removesuffix(".weight")), "weight")
    assert torch.equal(pruned(images()), network(ticket.trained_state)(images()))


def test_from_the_library_and_back(call: Call, storage: str, plan: Plan, tmp_path: Path) -> None:
    """A ticket exported in its naming is imported as the same mask and weights, in another storage."""
    key, file, other = plan.lineages[0].rounds[2].segment.key, tmp_path / "ticket.safetensors", tmp_path / "other"
    export_ticket(key, file, format="prune", storage=storage)
    code, printed = call(None, "import", file, "--storage", other)
    assert code == 0
    imported, ticket = load_ticket(printed.split()[-1], str(other)), load_ticket(key, storage)
    assert imported.trained_state is not None
    assert ticket.trained_state is not None
    assert all(torch.equal(imported.mask[name], mask) for name, mask in ticket.mask.items())
    assert all(torch.equal(imported.trained_state[name], value) for name, value in ticket.trained_state.items())
    _, printed = call(None, "show", printed.split()[-1], "--storage", other, "--json")
    told = json.loads(printed)
    assert (told["kind"], told["remaining_weights"]) == ("imported ticket", ticket.provenance["remaining_weights"])
    assert told["meaning"]["imported"] == "ticket.safetensors"
    code, printed = call(None, "show", told["key"], "--storage", other)
    assert code == 0
    assert "ticket.safetensors, imported" in printed
    _, printed = call(None, "gc", "--storage", other, "--grace-s", 0)
    assert "0 files" in printed


def test_importing_something_else_ends_in_its_message(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save(network(), file)
    code, printed = call(None, "import", file, "--storage", tmp_path / "s")
    assert code == 2
    assert "model.pt holds more than tensors, and code from a file is not run" in printed


def test_importing_a_dense_network_says_that_it_is_one(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"state_dict": network().state_dict()}, file)
    code, printed = call(None, "import", file, "--storage", tmp_path / "s")
    assert code == 0
    assert "a dense network: no parameter is named as torch.nn.utils.prune names pruned ones" in printed
    key = next(word for word in printed.split() if word.startswith("imported-"))
    code, shown = call(None, "show", key, "--storage", tmp_path / "s")
    assert code == 0
    assert f"imported ticket {key}: 100.0% of the weights" in shown
    code, _ = call(None, "export", key, "--to", tmp_path / "out.safetensors", "--storage", tmp_path / "s")
    assert code == 0
    out = load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(value, out[name]) for name, value in network().state_dict().items())


# ONNX ------------------------------------------------------------------------------------------------------------


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


class Own(nn.Module):
    """A user's: it has batch norm and a size that is taken from its input."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(input_shape[0], 4, 3), nn.BatchNorm2d(4)
        self.output = nn.Linear(4 * 6 * 6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.relu(self.norm(self.conv(x))).reshape(x.shape[0], -1))
        return logits


@pytest.fixture(scope="module")
def own_storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("own"))
    study = Study(
        "own", model=Model(Own), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(20), lr=0.1, ema_decay=0.9), prune=Prune(fraction=0.5, rounds=1), rewind=[steps(0)],
        seeds=[0], keep="rewind", branches=[RandomReinit()],
    )  # fmt: skip
    train_here(study, Store.open(folder))
    return folder


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
    assert f"needs the package {package}: pip install 'lth_ray[onnx]'" in printed


# What the documents tell -----------------------------------------------------------------------------------------


def test_the_commands_of_the_documents(
    call: Call, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they stand there: what one exports another imports."""
    pytest.importorskip("onnxruntime")
    shutil.copytree(storage, tmp_path / "lth_storage")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^lth-ray (?:show|export|import) .*", (ROOT / "docs" / "tickets.md").read_text(), re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        code, printed = call(None, *shlex.split(line)[1:])
        assert code == 0, (line, printed)
    told = {line.split()[1] for line in re.findall(r"^lth-ray .*", (ROOT / "README.md").read_text(), re.MULTILINE)}
    assert {"show", "export", "import"} <= told


# What cannot be --------------------------------------------------------------------------------------------------


def test_weights_that_were_not_kept_name_the_remedy(call: Call, own_storage: str, tmp_path: Path) -> None:
    code, printed = call(None, "export", "k0/seed0/r1", "--to", tmp_path / "x", "--storage", own_storage)
    assert code == 2
    assert "has no trained weights: the study did not keep them (Study.keep); give --state rewind, or run" in printed
    export_ticket("k0/seed0/r1", tmp_path / "x", state="rewind", storage=own_storage)
    assert set(load_file(tmp_path / "x")) == set(Own(10, (1, 8, 8)).state_dict())  # without averages


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"format": "prune", "ticket": "k0/seed0/r0"}, "is a dense network and has no mask: .* --format state_dict"),
        ({"format": "onxx"}, "--format onxx: did you mean onnx"),
        ({"state": "final"}, "--state final: give one of trained, rewind"),
        ({"to": "no/such/folder/x"}, "there is no folder no/such/folder; make it first"),
    ],
)
def test_what_cannot_be_written_is_named(
    storage: str, tmp_path: Path, asked: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        export_ticket(**{"ticket": "k0/seed0/r1", "to": "x", "storage": storage, **asked})
    assert not list(tmp_path.iterdir())
