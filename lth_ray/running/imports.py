"""Imports that a process can do without."""

import inspect
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

GUARDED: tuple[Callable[..., Any], ...] = (
    Optimizer.add_param_group,
    Optimizer.load_state_dict,
    Optimizer.state_dict,
    Optimizer.zero_grad,
)


def spare_dynamo() -> None:
    """Keep torch.optim from importing torch._dynamo, which takes as long as torch, as soon as an optimizer is
    made.

    Its methods are kept out of graphs by `torch._dynamo.disable`, which matters to nobody here (torch.compile is given
    the model alone). torch/_compile.py looks for the guarded method in an attribute of the bare one before it imports;
    where a version of torch does not, this changes nothing. Autograd's path imports it all the same, at its first step.
    """
    for method in GUARDED:
        bare = inspect.unwrap(method)
        setattr(bare, "__dynamo_disable", bare)
