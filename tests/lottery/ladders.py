"""Studies whose masks are found before training, at a ladder of densities, and what such a run has found."""

from typing import Any

import torch
from torch import nn

from lth_ray import models
from lth_ray.config import (
    steps,
)
from lth_ray.lottery import load_ticket

DENSITIES = [0.5, 0.1, 0.02]


LADDER = {"fraction": None, "rounds": None, "remaining": DENSITIES, "at": steps(0), "scope": "global"}


def early(lab: Any, *, changes: Any = None, rewind: Any = None, **prune: Any) -> Any:
    fields = {f"prune.{name}": value for name, value in {**LADDER, **prune}.items()}
    return lab.study({**fields, **(changes or {})}, rewind=[rewind or steps(0)])


def masks(ran: Any, lineage: int = 0) -> list[dict[str, torch.Tensor]]:
    number = len(ran.plan.lineages[lineage].rounds)
    return [load_ticket(ran.key(r, lineage), ran.store.uri).mask for r in range(1, number)]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def initial(ran: Any) -> nn.Module:
    """The network as it was drawn."""
    dense = load_ticket(ran.key(0), ran.store.uri)
    network = models.build("lenet_20_10", input_shape=(1, 8, 8))
    state = dense.rewind_state or dense.trained_state
    assert state is not None
    network.load_state_dict(state)
    return network
