"""A weight that a network has in several places is one parameter: in masks, states, exports and branches."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune

from lth_ray.config import Model, Perturb, Prune, Supermask, set_fields, steps
from lth_ray.lottery import Ticket, load_ticket
from lth_ray.lottery.tickets.exporting import save_prune_naming, save_state_dict, weights_of_ticket
from lth_ray.models import retied, tied
from lth_ray.models.flops import uses_of_weights
from lth_ray.training import averages


class Recurrent(nn.Module):
    """A block that is applied three times, registered as often."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, block = nn.Linear(64, 24), nn.Linear(24, 24)
        self.blocks = nn.ModuleList([block, block, block])
        self.output = nn.Linear(24, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images.flatten(1)).relu()
        for block in self.blocks:
            x = block(x).relu()
        logits: torch.Tensor = self.output(x)
        return logits


class Language(nn.Module):
    """An embedding whose weight is that of the output layer: of 10 levels of grey and 10 classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(num_classes, 16), nn.Linear(16 * 64, 16)
        self.output = nn.Linear(16, num_classes)
        self.output.weight = self.embedding.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = (images.flatten(1) * 2 + 2).long().clamp(0, 9)
        logits: torch.Tensor = self.output(self.hidden(self.embedding(grey).flatten(1)).relu())
        return logits


SHARED = {Recurrent: "blocks.0.weight", Language: "embedding.weight"}
NAMES = {
    Recurrent: ["first.weight", "blocks.0.weight", "output.weight"],
    Language: ["embedding.weight", "hidden.weight"],
}
NETWORKS = pytest.mark.parametrize("network", SHARED, ids=lambda network: network.__name__)


def study(lab: Any, network: type[nn.Module], changes: dict[str, Any] | None = None, **fields: Any) -> Any:
    base = lab.study(model=Model(network), prune=Prune(fraction=0.5, rounds=2), rewind=[steps(10)], **fields)
    return set_fields(base, changes or {})


def check_pruned(network: type[nn.Module], state: dict[str, torch.Tensor], mask: dict[str, torch.Tensor]) -> nn.Module:
    """Loads a state dict into the network, as anybody would, and looks at its parameters."""
    made = network(10)
    made.load_state_dict(state)
    parameters = dict(made.named_parameters())
    for name, keeps in mask.items():
        assert not parameters[name][~keeps].any(), name
        assert parameters[name][keeps].any(), name
    return made


def test_the_names_of_one_tensor() -> None:
    assert tied(Language(10)) == {"output.weight": "embedding.weight"}
    others = {f"blocks.{i}.{name}": f"blocks.0.{name}" for i in (1, 2) for name in ("weight", "bias")}
    assert tied(Recurrent(10)) == others
    assert not tied(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    one, other = torch.zeros(1), torch.ones(1)
    assert retied({"a": one, "b": other}, {"b": "a"}) == {"a": one, "b": one}
    assert retied({"b": other}, {"b": "a"}) == {"a": other, "b": other}


def test_operations_are_those_of_the_layers_that_multiply() -> None:
    assert uses_of_weights(Recurrent(10), (torch.zeros(1, 1, 8, 8),)) == {
        "first.weight": 1,
        "blocks.0.weight": 3,
        "output.weight": 1,
    }
    assert uses_of_weights(Language(10), (torch.zeros(1, 1, 8, 8),)) == {"hidden.weight": 1, "embedding.weight": 1}


@NETWORKS
@pytest.mark.parametrize("ema", [None, 0.9])
def test_tickets_and_their_files(lab: Any, network: type[nn.Module], ema: float | None, tmp_path: Path) -> None:
    ran = lab.run(study(lab, network, {"train.ema_decay": ema}))
    ticket = load_ticket(ran.key(2), ran.store.uri)
    assert set(ticket.mask) == set(NAMES[network])
    assert sum(int(m.sum()) for m in ticket.mask.values()) == round(sum(m.numel() for m in ticket.mask.values()) / 4)
    assert ticket.tied == tied(network(10))
    for state in ("trained", "rewind"):
        save_state_dict(ticket, tmp_path / "plain", state, {})
        plain = check_pruned(network, load_file(tmp_path / "plain"), ticket.mask)
        save_prune_naming(ticket, tmp_path / "pruned", state, {})
        hooked = network(10)
        names = {id(p): name for name, p in hooked.named_parameters()}
        for module in [m for m in hooked.modules() if isinstance(m, (nn.Linear, nn.Embedding))]:
            if names[id(module.weight)] in ticket.mask:
                prune.custom_from_mask(module, "weight", torch.ones_like(module.weight))
        hooked.load_state_dict(load_file(tmp_path / "pruned"))
        assert torch.equal(hooked(torch.ones(2, 1, 8, 8)), plain(torch.ones(2, 1, 8, 8)))


@NETWORKS
def test_perturbed_weights_are_those_that_train(lab: Any, network: type[nn.Module]) -> None:
    """Constants: the start of the training has two magnitudes in each layer, zero and the initial deviation."""
    ran = lab.run(study(lab, network, branches=[Perturb("constant", rounds=[2])]))
    (branch,) = ran.branches
    ticket = load_ticket(branch["key"], ran.store.uri)
    started = check_pruned(network, ticket.rewind_state, ticket.mask)
    weight, keeps = started.get_parameter(SHARED[network]).detach(), ticket.mask[SHARED[network]]
    assert weight[keeps].abs().unique().numel() == 1


@NETWORKS
def test_a_supermask_of_signed_constants(lab: Any, network: type[nn.Module]) -> None:
    branch = Supermask(
        "edge_popup", values="signed_constant", keep=0.5, rounds=[0], train={"optimizer": "sgd", "lr": 1}
    )
    ran = lab.run(study(lab, network, {"prune.rounds": 1}, branches=[branch]))
    assert not ran.failures
    trained = load_ticket(ran.branches[0]["key"], ran.store.uri).trained_state
    own = SHARED[network]
    for name in (own, *(other for other, first in tied(network(10)).items() if first == own)):
        assert trained[f"network.{name}"].abs().unique().numel() == 1


@NETWORKS
def test_trained_as_replicates(lab: Any, network: type[nn.Module]) -> None:
    changes = {"train.optimizer": "sgd", "train.lr": 0.05}
    alone = lab.run(study(lab, network, changes, seeds=[0, 1]), "alone")
    together = lab.run(study(lab, network, changes | {"train.replicates": 2}, seeds=[0, 1]), "together")
    for lineage in (0, 1):
        expected, found = (load_ticket(ran.key(1, lineage), ran.store.uri) for ran in (alone, together))
        assert expected.trained_state is not None
        assert found.trained_state is not None
        check_pruned(network, found.trained_state, found.mask)
        for name, value in expected.trained_state.items():
            torch.testing.assert_close(found.trained_state[name], value, rtol=1e-4, atol=1e-5)


# The weights that were measured ------------------------------------------------------------------------------------


def test_an_exported_file_is_what_was_measured(lab: Any, tmp_path: Path) -> None:
    """The averages, whose accuracy is recorded; the raw weights are in load_ticket, and the start is no average."""
    from lth_ray.lottery.tickets.exporting import kind_of_weights

    ran = lab.run(lab.study({"train.ema_decay": 0.9}, rewind=[steps(10)]))
    ticket = load_ticket(ran.key(1), ran.store.uri)
    assert ticket.trained_state is not None
    assert ticket.rewind_state is not None
    means = averages.measured(ticket.trained_state)
    assert not torch.equal(means["fc1.weight"], ticket.trained_state["fc1.weight"])
    save_state_dict(ticket, tmp_path / "file", "trained", {"weights": kind_of_weights(ticket.record, "trained")})
    found = load_file(tmp_path / "file")
    assert found.keys() == {f"{layer}.{name}" for layer in ("fc1", "fc2", "output") for name in ("weight", "bias")}
    assert all(torch.equal(found[name], ticket.trained_state[f"averages.{name.replace('.', '/')}"]) for name in found)
    with safe_open(tmp_path / "file", "pt") as opened:
        assert opened.metadata()["weights"].startswith("moving averages of the weights (ema_decay = 0.9)")
    save_prune_naming(ticket, tmp_path / "pruned", "trained", {})
    assert torch.equal(load_file(tmp_path / "pruned")["fc1.weight_orig"], means["fc1.weight"])
    save_state_dict(ticket, tmp_path / "start", "rewind", {})
    assert torch.equal(load_file(tmp_path / "start")["fc1.weight"], ticket.rewind_state["fc1.weight"])


def test_what_goes_to_mlflow_is_what_was_measured(lab: Any) -> None:
    from lth_ray.record.mlflow.models import ticket_page

    ran = lab.run(lab.study({"train.ema_decay": 0.9}))
    record = load_ticket(ran.key(1), ran.store.uri).record
    page = json.loads(ticket_page(ran.store, record))
    assert "moving averages" in page["weights"]  # how `load_ticket` of its line gives them
    ticket: Ticket = load_ticket(page["key"], page["storage"])
    assert ticket.trained_state is not None
    shown = weights_of_ticket(ticket, "trained")
    assert torch.equal(shown["fc1.weight"], ticket.trained_state["averages.fc1/weight"])
