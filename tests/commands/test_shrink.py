"""`lth-ray export --shrink`: smaller networks in files, and what they compute."""

import json
from pathlib import Path

import pytest
import torch

import lth_ray
from lth_ray import Data, Model, Prune, Study, Train, load_small, load_ticket, models, steps
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import ConfigError
from lth_ray.lottery import Plan
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.store import Store
from tests.commands.conftest import Own, images
from tests.commands.test_onnx import run_onnx
from tests.conftest import Call
from tests.running.conftest import train_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Plan]:
    """A storage with tickets whose masks are of units: of a named network, and of one's own."""
    folder = str(tmp_path_factory.mktemp("structured"))
    study = Study(
        "structured", model=Model("cifar_resnet8_4"), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(6), lr=0.1, momentum=0.9, channels_last=True), rewind=[steps(0)], seeds=[0], keep="tickets",
        prune=Prune("l1", structure="channels", fraction=0.4, rounds=1),
        arms={"named": {}, "own": {"model": Model(Own)}, "single": {"prune": Prune(fraction=0.5, rounds=1)}},
    )  # fmt: skip
    return folder, train_here(study, Store.open(folder))


def masked(key: str, storage: str, network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict(load_ticket(key, storage).trained_state)
    return network.eval()


def resnet() -> torch.nn.Module:
    return models.build("cifar_resnet8_4", 10, (1, 8, 8), seed=3)


def test_weights_and_history_build_the_smaller_network(call: Call, trained: tuple[str, Plan], tmp_path: Path) -> None:
    storage, plan = trained
    file = tmp_path / "small.safetensors"
    code, printed = call(None, "export", "named/k0/seed0/r1", "--to", file, "--shrink", "--storage", storage)
    assert code == 0, printed
    key = next(one for one in plan.lineages if one.id.startswith("named")).rounds[1].segment.key
    record, ticket = Store.open(storage).segment(key), load_ticket(key, storage)
    assert record is not None
    assert record["backend"] == "shrunk-fp32"
    whole, small = masked(key, storage, resnet()), load_small(file)
    assert torch.allclose(small(images()), whole(images()), rtol=0, atol=1e-5)
    history = json.loads((tmp_path / "small.json").read_text())
    sizes = [sum(p.numel() for p in one.parameters()) for one in (whole, small)]
    assert [history[which]["parameters"] for which in ("whole", "small")] == sizes
    pruned = sum(int((~keeps).sum()) for keeps in ticket.mask.values())
    assert sizes[0] - sizes[1] == pruned
    flops = [forward_flops(one, uses_of_weights(one, (torch.zeros(1, 1, 8, 8),))) for one in (whole, small)]
    assert [history[which]["forward_flops"] for which in ("whole", "small")] == flops
    assert record["forward_flops"] == flops[1] < flops[0]
    assert history["about"]["ticket"] == key
    assert sorted(one.name for one in tmp_path.iterdir()) == ["small.json", "small.safetensors"]


@pytest.mark.slow
def test_onnx_is_the_smaller_network_too(trained: tuple[str, Plan], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    storage, _ = trained
    for shrink in (False, True):
        to = tmp_path / f"{shrink}.onnx"
        key = export_ticket("named/k0/seed0/r1", to, format="onnx", shrink=shrink, storage=storage)
    expected = masked(key, storage, resnet())(images())
    assert torch.allclose(run_onnx(tmp_path / "True.onnx", images()), expected, rtol=0, atol=1e-5)
    assert (tmp_path / "True.onnx").stat().st_size < (tmp_path / "False.onnx").stat().st_size


def test_a_network_of_ones_own_is_given(trained: tuple[str, Plan], tmp_path: Path) -> None:
    storage, _ = trained
    file = tmp_path / "own.safetensors"
    with pytest.raises(ConfigError, match="the function Own, which lives in the study's script"):
        export_ticket("own/k0/seed0/r1", file, shrink=True, storage=storage)
    key = lth_ray.export_ticket("own/k0/seed0/r1", file, shrink=True, storage=storage, model=Own(10, (1, 8, 8)))
    with pytest.raises(ConfigError, match="the function Own; give load_small"):
        load_small(file)
    small = load_small(file, lambda: Own(10, (1, 8, 8)))
    assert small.conv.out_channels < 4
    assert torch.allclose(small(images()), masked(key, storage, Own(10, (1, 8, 8)))(images()), rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"keeps a part of 'conv.weight', which this whole one has not so"):
        load_small(file, torch.nn.Linear(3, 2))


def test_what_cannot_be_made_smaller_is_refused(trained: tuple[str, Plan], tmp_path: Path) -> None:
    storage, _ = trained
    file = tmp_path / "small.safetensors"
    with pytest.raises(ConfigError, match="removes no channel, head or neuron whole"):
        export_ticket("single/k0/seed0/r1", file, shrink=True, storage=storage)
    with pytest.raises(ConfigError, match="--shrink --format prune: what is pruned away has no mask"):
        export_ticket("named/k0/seed0/r1", file, format="prune", shrink=True, storage=storage)
    with pytest.raises(ConfigError, match=r"give a .safetensors"):
        export_ticket("named/k0/seed0/r1", tmp_path / "small.json", shrink=True, storage=storage)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda history: {}, "not the history of a smaller network"),
        (lambda history: {**history, "kept": {"conv1.weight": [[99], None, None, None]}}, "conv1.weight"),
        (lambda history: {**history, "kept": {}}, "does not fit the network"),
    ],
)
def test_a_damaged_history_is_refused(trained, tmp_path, change, says) -> None:  # type: ignore[no-untyped-def]
    storage, _ = trained
    file, beside = tmp_path / "small.safetensors", tmp_path / "small.json"
    with pytest.raises(ConfigError, match="no smaller network with its history"):
        load_small(file)
    export_ticket("named/k0/seed0/r1", file, shrink=True, storage=storage)
    beside.write_text(json.dumps(change(json.loads(beside.read_text()))))
    with pytest.raises(ConfigError, match=says):
        load_small(file)
