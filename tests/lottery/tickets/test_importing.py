"""Networks pruned elsewhere become tickets, and studies start from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lth_ray import Data, data, models
from lth_ray.config import (
    Barrier,
    Branch,
    ConfigError,
    Model,
    Perturb,
    RandomMask,
    RandomReinit,
    Stability,
    Supermask,
    Weights,
    steps,
)
from lth_ray.data import evaluation_batches
from lth_ray.lottery import Ticket, load_ticket, make_plan
from lth_ray.lottery.tickets.importing import IMPORTED, import_ticket
from lth_ray.pruning import density
from tests.lottery.tickets.test_prune_naming import pruned_network

ALL = ["fc1.weight", "fc2.weight", "output.weight"]


def wholly_pruned(seed: int = 3) -> torch.nn.Module:
    """Every linear weight at half."""
    from torch.nn.utils import prune

    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=seed)
    for name in ALL:
        prune.l1_unstructured(network.get_submodule(name.removesuffix(".weight")), "weight", amount=0.5)
    return network


def digits() -> torch.Tensor:
    """The test images, as networks take them."""
    dataset = data.load(Data("digits", batch_size=60, validation=200))
    return torch.cat([images for images, _ in evaluation_batches(dataset.test, dataset.mean, dataset.std)])


def outputs(ticket: Ticket, state: dict[str, torch.Tensor] | None) -> torch.Tensor:
    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=0)
    assert state is not None
    network.load_state_dict(state)
    logits: torch.Tensor = network(digits())
    return logits


def test_a_live_network_its_state_dict_and_a_file_are_one_ticket(tmp_path: Path) -> None:
    network, file = pruned_network(), tmp_path / "pruned.safetensors"
    save_file(network.state_dict(), file)
    storage = str(tmp_path / "storage")
    keys = {import_ticket(source, storage) for source in (network, network.state_dict(), file)}
    assert len(keys) == 1
    [key] = keys
    assert key.startswith(IMPORTED)
    assert len(list((tmp_path / "storage" / "segments").iterdir())) == 1
    assert import_ticket(pruned_network(seed=4), storage) != key
    ticket = load_ticket(key, storage)
    assert ticket.provenance["remaining_weights"] == density(ticket.mask) == (480 + 160) / (1280 + 200)
    assert torch.equal(outputs(ticket, ticket.trained_state), network(digits()))
    assert torch.equal(outputs(ticket, ticket.rewind_state), network(digits()))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: None, "not a readable safetensors file"),
        (lambda file: file.write_bytes(b"PK\x03\x04 of torch.save"), "not a readable safetensors file .*save_file"),
        (lambda file: save_file({}, file), "holds no tensor"),
    ],
    ids=["missing", "foreign", "empty"],
)
def test_a_file_that_is_none_is_named(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    write(file)
    with pytest.raises(ConfigError, match=f"mine.safetensors.*{message}"):
        import_ticket(file, str(tmp_path / "storage"))
    assert not (tmp_path / "storage").exists()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(pruned_network().state_dict(), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="not a readable safetensors file"):
        import_ticket(file, str(tmp_path / "storage"))


def test_a_study_starts_from_it(lab: Any) -> None:
    """Round 0 is its training; later rounds prune it further, and rewind to its own weights or to a step on the way."""
    network = wholly_pruned()
    key = import_ticket(network, lab.store().uri)
    study = lab.study(ticket=key, rewind=[steps(0), steps(10)], seeds=[0, 1])
    ran = lab.run(study)
    given = load_ticket(key, ran.store.uri)
    first, last = (load_ticket(ran.key(number), ran.store.uri) for number in (0, 2))
    assert first.mask.keys() == given.mask.keys() == set(ALL)
    assert all(torch.equal(first.mask[name], given.mask[name]) for name in ALL)
    assert torch.equal(outputs(first, first.rewind_state), network(digits()))
    assert [round(row["remaining_weights"], 3) for row in ran.tickets[:3]] == [0.5, 0.4, 0.32]
    for name, keeps in last.mask.items():
        assert not (keeps & ~given.mask[name]).any()
        assert torch.equal(last.rewind_state[name], given.trained_state[name].masked_fill(~keeps, 0.0))
    dense = {ran.plan.lineages[i].dense.key for i in range(4)}
    assert len(dense) == 2  # one for each seed, which two rewind points share
    assert ran.steps == ran.plan.unique_steps == 2 * (40 + 2 * 40 + 2 * 30)
    assert lab.run(study).steps == 0
    assert ran.tickets[0]["search_epochs"] == 0
    assert ran.tickets[2]["search_epochs"] == pytest.approx(2 * 40 / 19)


def test_the_order_of_a_file_s_tensors_changes_nothing(lab: Any) -> None:
    """Equal scores are pruned in the network's order of parameters, across layers too."""
    network = wholly_pruned()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.25)
    state, contents = network.state_dict(), []
    for store, names in (("one", list(state)), ("other", sorted(state, reverse=True))):
        key = import_ticket({name: state[name] for name in names}, lab.store(store).uri)
        changes = {"prune.scope": "global", "train.length": steps(1), "train.lr": 1e-30}
        contents.append(lab.run(lab.study(changes, ticket=key), store).contents)
    assert contents[0] == contents[1]


def test_its_key_is_in_those_of_what_it_leads_to(lab: Any) -> None:
    keys = [import_ticket(wholly_pruned(seed), lab.store().uri) for seed in (3, 4)]
    plans = [make_plan(lab.study(ticket=key)) for key in (*keys, None)]
    assert len({plan.lineages[0].dense.key for plan in plans}) == 3
    assert not plans[0].keys & plans[1].keys
    swept = make_plan(lab.study(sweep={"ticket": keys}), None, lab.store())
    assert [f"ticket={key}" in lineage.id for key, lineage in zip(keys, swept.lineages, strict=True)] == [True, True]


@pytest.mark.parametrize(
    "branch",
    [
        RandomReinit(rounds=[0, 1]), RandomMask(rounds=[0, 1]), Weights(), Stability(rounds=[0, 1]),
        Barrier(children=2, points=3, rounds=[0, 1]), Supermask("bernoulli", rounds=[0]),
        Perturb("rewound", signs="init", rounds=[0, 1]),
    ],
    ids=lambda branch: type(branch).__name__,
)  # fmt: skip
def test_branches_hang_on_it_too(lab: Any, branch: Branch) -> None:
    key = import_ticket(wholly_pruned(), lab.store().uri)
    changes = {"prune.rounds": 1, "prune.criterion": "magnitude_increase"}  # which looks at its weights as the first
    ran = lab.run(lab.study(changes, ticket=key, branches=[branch]))
    assert not ran.failures
    assert {row["round"] for row in ran.branches} == set(branch.rounds or [1])
    assert ran.branches[0]["remaining_weights"] == pytest.approx(0.5 if branch.rounds else 0.4, abs=1e-3)


def no_change(lab: Any) -> str:
    return import_ticket(wholly_pruned(), lab.store().uri)


def partly(lab: Any) -> str:
    return import_ticket(pruned_network(), lab.store().uri)


def dense(lab: Any) -> str:
    return str(lab.run(lab.study({"prune.rounds": 0})).key(0))


@pytest.mark.parametrize(
    ("ticket", "changes", "message"),
    [
        (lambda lab: "imported-0", {}, "not in .*lth-ray import"),
        (partly, {}, r"covers other parameters than Prune; give Prune\(exclude=\['output.weight'\]\)"),
        (no_change, {"prune.exclude": ["output.*"]}, r"give Prune\(include=\['output.weight'\]\)"),
        (no_change, {"model": Model("lenet_20_12")}, r"does not fit .*: 'fc2.weight' is \(10, 20\) there and"),
        (no_change, {"model": Model("lenet_20")}, "does not fit this network: 'output.weight'"),
    ],
)
def test_what_does_not_fit_is_named_before_training(
    lab: Any, ticket: Callable[[Any], str], changes: dict[str, Any], message: str
) -> None:
    study = lab.study(changes, ticket=ticket(lab))
    with pytest.raises(ConfigError, match=f"Study.ticket = .*{message}"):
        make_plan(study, None, lab.store())


@pytest.mark.parametrize("form", ["live", "state dict", "pt", "holder", "safetensors"])
def test_a_dense_network_is_a_dense_ticket(lab: Any, tmp_path: Path, form: str) -> None:
    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=3)
    state, file = network.state_dict(), tmp_path / "mine"
    torch.save({"state_dict": state, "epoch": 3} if form == "holder" else state, file)
    if form == "safetensors":
        save_file(state, file)
    key = import_ticket({"live": network, "state dict": state}.get(form, file), lab.store().uri)
    ticket = load_ticket(key, lab.store().uri)
    assert ticket.mask == {}
    assert ticket.provenance["remaining_weights"] == 1.0
    assert torch.equal(outputs(ticket, ticket.trained_state), network(digits()))
    assert key == import_ticket(models.build("lenet_20_10", input_shape=(1, 8, 8), seed=3), lab.store().uri)


def test_a_study_prunes_a_dense_ticket(lab: Any) -> None:
    """Round 0 trains it, as a newly drawn network is trained elsewhere, and later rounds prune that."""
    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=3)
    key = import_ticket(network, lab.store().uri)
    ran = lab.run(lab.study(ticket=key, branches=[RandomReinit()]))
    assert not ran.failures
    assert [round(row["remaining_weights"], 3) for row in ran.tickets] == [1.0, 0.8, 0.64]
    last = load_ticket(ran.key(2), ran.store.uri)
    assert last.rewind_state is not None
    for name, keeps in last.mask.items():
        assert torch.equal(last.rewind_state[name], network.state_dict()[name].masked_fill(~keeps, 0.0))
    for branch in (RandomReinit(rounds=[0, 1]), RandomMask(rounds=[0])):
        with pytest.raises(ConfigError, match=f"{type(branch).__name__}.rounds = .* whose round 0 has no mask"):
            make_plan(lab.study(ticket=key, branches=[branch]), None, lab.store())


class Tied(torch.nn.Module):
    """Two layers of one weight."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
        self.output = torch.nn.Linear(64, num_classes)
        self.second.weight = self.first.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.second(self.first(images.flatten(1)).relu()).relu())
        return logits


@pytest.mark.parametrize("pruned", ["first", "second"])
@pytest.mark.parametrize("form", ["live", "pt", "safetensors"])
def test_a_tied_weight_is_pruned_under_any_of_its_names(lab: Any, tmp_path: Path, pruned: str, form: str) -> None:
    """torch.nn.utils.prune hooks one of the layers, and leaves the other the whole weight."""
    from torch.nn.utils import prune

    torch.manual_seed(0)
    network, file = Tied(10), tmp_path / "mine"
    prune.l1_unstructured(network.get_submodule(pruned), "weight", amount=0.5)
    prune.l1_unstructured(network.output, "weight", amount=0.5)
    keeps = network.get_buffer(f"{pruned}.weight_mask").bool()
    state = network.state_dict()
    if form == "pt":
        torch.save(state, file)
    elif form == "safetensors":
        save_file({name: value.clone() for name, value in state.items()}, file)
    key = import_ticket(network if form == "live" else file, lab.store().uri)
    ran = lab.run(lab.study({"prune.rounds": 1}, ticket=key, model=Model(Tied)))
    assert not ran.failures
    ticket = load_ticket(ran.key(0), ran.store.uri)
    assert set(ticket.mask) == {"first.weight", "output.weight"}
    assert torch.equal(ticket.mask["first.weight"], keeps)
    assert ticket.rewind_state is not None
    for name in ("first.weight", "second.weight"):
        assert torch.equal(ticket.rewind_state[name], state[f"{pruned}.weight_orig"].masked_fill(~keeps, 0.0))
    assert round(ran.tickets[1]["remaining_weights"], 3) == 0.4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(4).to(torch.float8_e5m2), "'w' is float8_e5m2; its scale is not in it: give float32"),
        (torch.ones(4) * 1j, r"'w' is complex \(complex64\); weights are pruned as real numbers"),
        (torch.ones(4).to_sparse(), r"'w' is sparse \(sparse_coo\)"),
        (torch.full((4,), torch.inf), "'w' has values that are NaN or infinite"),
    ],
    ids=["float8", "complex", "sparse", "infinite"],
)
def test_tensors_of_other_kinds_are_named(value: torch.Tensor, message: str, tmp_path: Path) -> None:
    torch.save({"w": value}, tmp_path / "mine.pt")
    for source in ({"w": value}, tmp_path / "mine.pt"):
        with pytest.raises(ConfigError, match=message):
            import_ticket(source, str(tmp_path / "storage"))
    assert not (tmp_path / "storage").exists()


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save(models.build("lenet_5"), tmp_path / "mine.pt")
    with pytest.raises(ConfigError, match=r"network .*mine.pt holds more than tensors.*weights_only=False"):
        import_ticket(tmp_path / "mine.pt", str(tmp_path / "storage"))


def test_a_part_of_a_key_is_no_ticket(lab: Any) -> None:
    with pytest.raises(ConfigError, match=r"Study.ticket = 'imported': give a ticket's whole key"):
        lab.study(ticket="imported")


def test_averages_begin_at_its_weights(lab: Any) -> None:
    key = import_ticket(wholly_pruned(), lab.store().uri)
    ran = lab.run(lab.study({"train.ema_decay": 0.5, "prune.rounds": 1}, ticket=key))
    assert not ran.failures
    assert ran.tickets[1]["remaining_weights"] == pytest.approx(0.4, abs=1e-3)
