"""`lth-ray export` and `import`: state dicts and the naming of torch.nn.utils.prune, there and back."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.utils import prune

from lth_ray import data, load_ticket
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import ConfigError
from lth_ray.lottery import Plan
from tests.commands.conftest import Own, images, network, recorded_accuracy
from tests.conftest import Call
from tests.running.conftest import declared

ROOT = Path(__file__).resolve().parents[2]


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
