"""Outputs of a study's own network and loss: tried by the plan, told with the user's line, and used by
criteria.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import pruning
from lth_ray.config import ConfigError, Model, set_fields, steps
from lth_ray.config.blame import in_one_line
from lth_ray.data import Batch
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.execution.networks import build

# What a network returns -------------------------------------------------------------------------------------------


class Flat(nn.Module):
    """A linear network, whose output `shape` makes something else of."""

    def __init__(self, num_classes: int, shape: Callable[[Any, bool], Any] = lambda logits, training: logits) -> None:
        super().__init__()
        self.layer, self.shape = nn.Linear(64, num_classes), shape

    def forward(self, images: torch.Tensor) -> Any:
        return self.shape(self.layer(images.flatten(1)), self.training)


def with_output(shape: Callable[[Any, bool], Any]) -> Callable[[int], nn.Module]:
    def network(num_classes: int) -> nn.Module:
        return Flat(num_classes, shape)

    return network


def fails(logits: torch.Tensor, training: bool) -> torch.Tensor:
    raise ValueError("boom")  # here


OUTPUTS: dict[str, tuple[Callable[[Any, bool], Any], str]] = {
    "tuple": (lambda logits, training: (logits, logits), r"returns a tuple of 2 in evaluation, and a tensor of logits"),
    "dict": (lambda logits, training: {"out": logits}, r"returns a dict of out in evaluation"),
    "tuple in training": (lambda logits, training: (logits, 1) if training else logits, "a tuple of 2 in training"),
    "an axis too many": (lambda logits, training: logits[:, :, None], r"float32 \[2, 10, 1\] of 2 images"),
    "too few classes": (lambda logits, training: logits[:, :9], r"\[2, 9\] of 2 images .* mend its last layer"),
    "whole numbers": (lambda logits, training: logits.argmax(1, True), r"torch.int64 \[2, 1\]"),
    "an error": (
        fails,
        r"its forward pass fails .*2, 1, 8, 8.*ValueError: boom \(test_own_outputs.py, line \d+, in fails: raise Val",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "message"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_network_whose_outputs_are_no_logits(lab: Any, shape: Callable[[Any, bool], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Model.name = .*network \(test_own_outputs.py, line \d+\).*{message}"):
        make_plan(lab.study(model=Model(with_output(shape))))


def test_a_network_may_return_more_in_training_to_a_loss_that_takes_it(lab: Any) -> None:
    def own(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        found = model(batch[0])
        return F.cross_entropy(found[0] if isinstance(found, tuple) else found, batch[1]), {}

    network = with_output(lambda logits, training: (logits, logits) if training else logits)
    changes = {"train.length": steps(2), "prune.rounds": 0}
    ran = lab.run(set_fields(lab.study(model=Model(network)), {**changes, "train.loss": own}))
    assert ran.tickets[0]["test_accuracy"] is not None


# What a loss returns ----------------------------------------------------------------------------------------------

LOSSES: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "None": (lambda loss: None, "returned None; return"),
    "no metrics": (lambda loss: loss, r"returned a tensor of shape \[\]; return \(loss, metrics\)"),
    "a float": (lambda loss: (loss.item(), {}), "returned a float as the loss"),
    "detached": (lambda loss: (loss.detach(), {}), "without a gradient: leave out detach"),
    "one an image": (lambda loss: (loss.expand(60), {}), r"a tensor of shape \[60\] as the loss, .* take its mean"),
    "metrics of None": (lambda loss: (loss, None), "returned None as the metrics"),
    "metrics of text": (lambda loss: (loss, {"a": "b"}), r"\{a: a str\} as the metrics"),
}  # fmt: skip


@pytest.mark.parametrize("field", ["loss", "step"])
@pytest.mark.parametrize(("makes", "message"), LOSSES.values(), ids=LOSSES)
def test_a_loss_that_returns_something_else(lab: Any, field: str, makes: Callable[[Any], Any], message: str) -> None:
    def focal(model: nn.Module, batch: Batch) -> Any:
        return makes(F.cross_entropy(model(batch[0]), batch[1]))

    with pytest.raises(ConfigError, match=rf"Train.{field} = .*focal \(test_own_outputs.py, line \d+\) .*{message}"):
        make_plan(lab.study({f"train.{field}": focal}))


def test_an_error_within_it_shows_the_users_line_and_whose_call_it_was(lab: Any) -> None:
    def late(model: nn.Module, batch: Batch) -> Any:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        if batch[0].any():  # which the plan's made-up images are not
            F.cross_entropy(model(batch[0]), batch[1][:3])  # of other sizes
        return loss, {}

    with pytest.raises(ValueError, match="Expected input batch_size") as caught:
        lab.run(lab.study({"train.loss": late}))
    told = in_one_line(caught.value)
    assert re.search(r"\(test_own_outputs.py, line \d+, in late: F.cross_entropy\(model\(batch\[0\]\), batch", told)
    assert re.search(r"called by Train.loss = .*late \(test_own_outputs.py, line \d+\)\)$", told)


# Criteria by gradients --------------------------------------------------------------------------------------------


def upside_down(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
    """A loss by which other weights matter: of class 0 alone, whatever the labels, and of the first layer itself."""
    penalty = 0.1 * model.get_parameter("fc1.weight")[:, :32].square().sum()
    return -model(batch[0])[:, 0].mean() + penalty, {}


@pytest.mark.parametrize("criterion", ["snip", "grad"])
@pytest.mark.parametrize(
    "changes", [{"train.step": upside_down}, {"train.loss": upside_down}, {"train.label_smoothing": 0.4}]
)
def test_criteria_take_the_gradient_of_the_studys_own_loss(lab: Any, criterion: str, changes: dict[str, Any]) -> None:
    study = set_fields(
        lab.study(), {"prune.criterion": criterion, "prune.rounds": 1, "train.length": steps(2), **changes}
    )
    ran = lab.run(study)
    lineage = ran.plan.lineages[0]
    model, recipe = build(lineage.recipe, lineage.drawn.seed), lineage.recipe
    inputs, labels = recipe.task.evidence(recipe.task.load(), lineage.seeds.order)
    own = recipe.train.step or recipe.train.loss
    loss = own(model, (inputs, labels))[0] if own else F.cross_entropy(model(inputs), labels, label_smoothing=0.4)
    loss.backward()
    weights = {name: model.get_parameter(name) for name in ("fc1.weight", "fc2.weight", "output.weight")}
    gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    scores = {n: (g * weights[n].detach() if criterion == "snip" else g).abs() for n, g in gradients.items()}
    expected = pruning.prune(scores, pruning.dense_mask(model), 0.2, "layer")
    found = load_ticket(ran.key(1), ran.store.uri).mask
    assert all(torch.equal(found[name], expected[name]) for name in weights)
    plain = pruning.score(criterion, model, pruning.dense_mask(model), batch=(inputs, labels))
    usual = pruning.prune(plain, pruning.dense_mask(model), 0.2, "layer")
    assert not all(torch.equal(found[name], usual[name]) for name in weights)


def test_only_another_loss_moves_the_key_of_such_a_mask(lab: Any) -> None:
    masks = {}
    for name, smoothing in {"plain": 0.0, "smoothed": 0.1}.items():
        study = set_fields(lab.study(), {"prune.criterion": "snip", "train.label_smoothing": smoothing})
        masks[name] = make_plan(study).lineages[0].rounds[1].segment.mask
    assert (masks["plain"].own_loss, masks["smoothed"].own_loss) == (False, True)
