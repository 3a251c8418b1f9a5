"""Prune(at=...): the step whose weights give the mask, where the dense network ends."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lth_ray import models
from lth_ray.config import Barrier, ConfigError, RandomReinit, Rewind, Stability, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.record.report.comparisons import comparisons
from lth_ray.record.report.findings import findings
from lth_ray.record.report.making import report

EARLY = {"prune.at": steps(0)}


@pytest.fixture
def file(tmp_path: Path) -> str:
    save_file(models.build("lenet_20_10", input_shape=(1, 8, 8), seed=7).state_dict(), tmp_path / "mine.safetensors")
    return str(tmp_path / "mine.safetensors")


def smallest_gone(file: str, share: float) -> dict[str, torch.Tensor]:
    """The mask of the file's weights without the smallest, layer by layer, by plain sorting."""
    network = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=0)
    models.load_weights(network, file)
    found = {}
    for name, weight in models.prunable(network).items():
        order = weight.abs().flatten().argsort(stable=True)
        keeps = torch.ones(weight.numel(), dtype=torch.bool)
        keeps[order[: round(share * weight.numel())]] = False
        found[name] = keeps.view_as(weight)
    return found


def test_pretrained_weights_are_pruned_without_training_them_first(lab: Any, file: str) -> None:
    ran = lab.run(lab.study({"model.weights": file, "prune.rounds": 1, **EARLY}, branches=[RandomReinit()]))
    assert not ran.failures
    assert ran.steps == ran.plan.unique_steps == 40 + 40
    dense, ticket = (load_ticket(ran.key(number), ran.store.uri) for number in (0, 1))
    expected = smallest_gone(file, 0.2)
    assert all(torch.equal(ticket.mask[name], keeps) for name, keeps in expected.items())
    assert dense.trained_state is not None
    assert ticket.rewind_state is not None
    for name, value in dense.trained_state.items():
        assert torch.equal(ticket.rewind_state[name], value.masked_fill(~expected.get(name, value == value), 0.0))
    assert [row["train_steps"] for row in ran.tickets] == [0, 40]
    assert [row["search_epochs"] for row in ran.tickets] == [0, pytest.approx(40 / 19)]
    assert ran.tickets[0]["test_accuracy"] is not None


def test_one_shot_finds_every_mask_there(lab: Any, file: str) -> None:
    ran = lab.run(lab.study({"model.weights": file, "prune.one_shot": True, **EARLY}))
    assert ran.steps == 2 * 40
    for number, share in ((1, 0.2), (2, 0.36)):
        mask = load_ticket(ran.key(number), ran.store.uri).mask
        assert all(torch.equal(mask[name], keeps) for name, keeps in smallest_gone(file, share).items())


@pytest.mark.parametrize("method", ["fine_tune", "learning_rate"])
def test_pruning_and_fine_tuning_take_turns(lab: Any, file: str, method: str) -> None:
    """Round 2 prunes what round 1 was fine-tuned to."""
    fields = {"rewind": [Rewind(steps(0), method=method)]}
    ran = lab.run(lab.study({"model.weights": file, **EARLY}, **fields))
    assert ran.steps == 2 * 40
    first, second = (load_ticket(ran.key(number), ran.store.uri) for number in (1, 2))
    assert all(torch.equal(first.mask[name], keeps) for name, keeps in smallest_gone(file, 0.2).items())
    assert first.trained_state is not None
    assert second.rewind_state is not None
    for name, keeps in second.mask.items():
        left, gone = first.trained_state[name][keeps].abs(), first.trained_state[name][first.mask[name] & ~keeps].abs()
        assert left.min() >= gone.max()
        assert torch.equal(second.rewind_state[name][keeps], first.trained_state[name][keeps])


def test_gradients_at_initialisation(lab: Any) -> None:
    """SNIP, Lee et al. 2019: the mask that its scores at initialisation give, and no dense training for it. At a later
    step they are those at its weights."""
    snip = {"prune.criterion": "snip", "prune.rounds": 1}
    ran, step_10 = (lab.run(lab.study({**snip, "prune.at": at}), str(at)) for at in (steps(0), steps(10)))
    trained = lab.run(lab.study(snip), "trained")
    assert (ran.steps, step_10.steps, trained.steps) == (40, 50, 80)
    early, later, late = (load_ticket(one.key(1), one.store.uri) for one in (ran, step_10, trained))
    assert all(torch.equal(early.mask[name], late.mask[name]) for name in late.mask)
    assert early.provenance["content"] == late.provenance["content"]
    assert any(not torch.equal(early.mask[name], later.mask[name]) for name in late.mask)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_step_on_the_way(lab: Any, decay: float | None) -> None:
    """The weights (or their averages) of step 10 give the mask; a study that trains on goes on from there."""
    average = {} if decay is None else {"train.ema_decay": decay, "train.ema_for": "evaluation_and_pruning"}
    early = lab.study({"prune.at": steps(10), "prune.rounds": 1, **average}, rewind=[steps(0), steps(10)])
    ran = lab.run(early)
    assert ran.steps == 10 + 40 + 30
    dense = load_ticket(ran.key(0), ran.store.uri).trained_state
    assert dense is not None
    weights = {n: dense[f"averages.{n.replace('.', '/')}"] if decay else dense[n] for n in ("fc1.weight", "fc2.weight")}
    for lineage in (0, 1):
        mask = load_ticket(ran.key(1, lineage), ran.store.uri).mask
        for name, weight in weights.items():
            assert weight[mask[name]].abs().min() >= weight[~mask[name]].abs().max()
    whole = lab.run(lab.study({"prune.rounds": 1, **average}))
    alone = lab.run(lab.study({"prune.rounds": 1, **average}), "alone")
    assert whole.contents == alone.contents


def test_the_last_step_is_what_none_says(lab: Any) -> None:
    """In keys too, so that nothing is trained twice."""
    assert make_plan(lab.study({"prune.at": steps(40)})).keys == make_plan(lab.study()).keys
    early, late = (make_plan(lab.study(changes)) for changes in (EARLY, {}))
    assert early.lineages[0].dense.trajectory == late.lineages[0].dense.trajectory
    assert early.keys & late.keys == set()


@pytest.mark.parametrize(
    ("changes", "fields", "message"),
    [
        ({"prune.at": steps(41)}, {}, r"Prune.at = steps\(41\): step 41 lies beyond the end of training"),
        (
            EARLY,
            {"rewind": [Rewind(steps(10), method="learning_rate")]},
            r"Study.rewind = steps\(10\): step 10, where method='learning_rate' goes on, lies beyond Prune.at",
        ),
        (EARLY, {"branches": [Barrier(children=2)]}, "Barrier: round 0 takes no step of training"),
        (EARLY, {"branches": [Stability(rounds=[0])]}, "Stability: round 0 takes no step of training"),
    ],
)
def test_what_cannot_be_is_named(lab: Any, changes: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(changes, **fields))


def test_reports_compare_nothing_with_a_network_that_was_not_trained(lab: Any, file: str) -> None:
    fields = {"branches": [RandomReinit()], "seeds": [0, 1, 2]}
    changes = {"model.weights": file, "train.length": steps(5), "prune.rounds": 1, **EARLY}
    ran = lab.run(lab.study(changes, **fields))
    frame = comparisons(ran.tickets, ran.branches)
    assert list(frame["against"]) == ["random reinit"]
    assert findings(frame)[0] == "No ticket can be compared with the dense network that it was found in."
    made = report(ran.plan, ran.store)
    assert list(made.summary["round"].unique()) == [0, 1]
    assert "atching" not in made.markdown
    assert not made.comparisons["matching"].notna().any()
    svgs = [ran.store.get(path).decode() for path in made.figures if path.endswith(".svg")]
    assert svgs
    assert not any("dense" in svg for svg in svgs)
