"""Retraining methods crossed with the source of masks, and with batch norms of another step."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray.config import ConfigError, EarlyBird, Model, Perturb, Perturbation, Prune, Rewind, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.models import batch_norm_tensors


def rewound(method: str, **options: Any) -> Rewind:
    return Rewind(steps(10), method=method, **options)


def test_learning_rate_rewinding_under_the_masks_of_weight_rewinding(lab: Any) -> None:
    rewinds = [rewound("weights"), rewound("learning_rate"), rewound("learning_rate", masks="weights")]
    ran = lab.run(lab.study({"prune.rounds": 3}, rewind=rewinds))
    assert not ran.failures
    assert ran.plan.lineages[2].id == "learning_rate/masks=weights/k10/seed0"
    assert ran.steps == 40 + 3 * 3 * 30 - 30  # round 1 of both rewindings of rates is one; masks are found once for all
    plain, own, led = ([load_ticket(ran.key(r, n), ran.store.uri) for r in range(4)] for n in range(3))
    for number in (1, 2, 3):
        assert all(torch.equal(led[number].mask[name], keeps) for name, keeps in plain[number].mask.items())
        before = led[number - 1].trained_state
        for name, value in led[number].rewind_state.items():
            assert torch.equal(value, before[name] * led[number].mask.get(name, True))
    assert not all(torch.equal(led[3].mask[name], keeps) for name, keeps in own[3].mask.items())


def test_the_reverse_is_to_continue(lab: Any) -> None:
    """Masks that learning-rate rewinding finds, on weights that are rewound."""
    ran = lab.run(lab.study({"prune.rounds": 3}, rewind=[rewound("learning_rate"), rewound("continue")]))
    for number in (1, 2, 3):
        own, rewound_ = (load_ticket(ran.key(number, n), ran.store.uri) for n in range(2))
        assert all(torch.equal(rewound_.mask[name], keeps) for name, keeps in own.mask.items())
    with pytest.raises(ConfigError, match=r"Rewind.masks = 'weights': it says by what masks of method='learning_rate'"):
        rewound("weights", masks="weights")


class Normed(nn.Module):
    """Two linear layers with a batch norm between them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.hidden, self.norm, self.output = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.relu(self.norm(self.hidden(images.flatten(1)))))
        return logits


NORMED = {"model": Model(Normed), "train.lr": 0.01}
NORMS = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked")


def test_what_belongs_to_batch_norms() -> None:
    assert tuple(batch_norm_tensors(Normed(3))) == NORMS
    assert batch_norm_tensors(nn.BatchNorm1d(3, affine=False, track_running_stats=False)) == []
    assert batch_norm_tensors(nn.Linear(3, 3)) == []


@pytest.mark.parametrize(
    ("method", "batch_norm"),
    [("weights", "trained"), ("learning_rate", "rewound"), ("fine_tune", "rewound"), ("continue", "trained")],
)
def test_batch_norms_of_another_step_than_the_weights(lab: Any, method: str, batch_norm: str) -> None:
    rewinds = [rewound(method, batch_norm=batch_norm), rewound(method)]
    ran = lab.run(lab.study(NORMED, rewind=rewinds))
    assert not ran.failures
    assert ran.plan.lineages[0].id.startswith("/".join([method, ""] if method != "weights" else []))
    lineage = ran.plan.lineages[0]
    assert f"batch_norm={batch_norm}" in lineage.id
    point = ran.store.load_state(lineage.dense.trajectory, 10).model
    for number in (1, 2):
        ticket, found_by = load_ticket(ran.key(number), ran.store.uri), lineage.found_by(number)
        ended = ran.store.load_state(found_by.trajectory, found_by.last).model
        weights, norms = (point, ended) if batch_norm == "trained" else (ended, point)
        for name, value in ticket.rewind_state.items():
            expected = norms[name] if name in NORMS else weights[name] * ticket.mask.get(name, True)
            assert torch.equal(value, expected), name
    plain, other = (load_ticket(ran.key(1, n), ran.store.uri) for n in (1, 0))
    assert all(torch.equal(plain.mask[name], keeps) for name, keeps in other.mask.items())  # the dense network's
    assert not torch.equal(plain.trained_state["hidden.weight"], other.trained_state["hidden.weight"])


def test_perturbed_tickets_keep_the_batch_norms_that_they_start_with(lab: Any) -> None:
    ran = lab.run(
        lab.study(
            {**NORMED, "prune.rounds": 1}, rewind=[rewound("weights", batch_norm="trained")], branches=[Perturb()]
        )
    )
    (result,) = ran.plan.branches
    same, ticket = (load_ticket(key, ran.store.uri) for key in (result.segment.key, ran.key(1)))
    assert all(torch.equal(same.trained_state[name], value) for name, value in ticket.trained_state.items())


GROWN = Perturbation("grown")


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (
            "weights",
            {"batch_norm": "rewound"},
            "method='weights' has them so by itself; give 'trained', or leave it out",
        ),
        ("fine_tune", {"batch_norm": "trained"}, "method='fine_tune' has them so by itself; give 'rewound', or leave"),
        ("scratch", {"batch_norm": "trained"}, "method='scratch' draws new weights; leave it out"),
        ("weights", {"batch_norm": "trained", "optimizer": "restored"}, "Rewind.optimizer = 'restored': it is that of"),
        ("weights", {"batch_norm": "trained", "perturbation": GROWN}, "weights that are 'grown' go on from the round"),
        ("learning_rate", {"batch_norm": "fresh"}, "Rewind.batch_norm = 'fresh': "),
        ("learning_rate", {"masks": "own"}, "Rewind.masks = 'own': "),
    ],
)
def test_what_does_not_go_together_is_told(method: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rewound(method, **options)
    assert said in str(caught.value)


def test_what_a_network_or_a_pruning_rule_has_no_use_for_is_refused_by_the_plan(lab: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"Rewind.batch_norm = 'trained': the network has no batch norm; leave it out"
    ):
        make_plan(lab.study(rewind=[rewound("weights", batch_norm="trained")]))
    led = [rewound("learning_rate", masks="weights")]
    with pytest.raises(ConfigError, match=r"Rewind.masks = 'weights': by Prune all are found in the dense network"):
        make_plan(lab.study({"prune.one_shot": True}, rewind=led))
    early = {"prune": Prune(fraction=0.2, rounds=1, at=EarlyBird(window=2))}
    with pytest.raises(ConfigError, match=r"EarlyBird\(...\) and Rewind.batch_norm = 'trained': EarlyBird.then says"):
        make_plan(lab.study(early | NORMED, rewind=[rewound("weights", batch_norm="trained")]))
