"""lth_ray: a distributed study runner for lottery-ticket research.

The names below are the public interface. What a declaration needs is imported at once; what runs is imported
when it is first used, so that `import lth_ray` stays quick and needs neither Ray nor MLflow.
"""

import importlib
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from lth_ray.collector import spared
from lth_ray.config import (
    Barrier,
    Boxes,
    Branch,
    Connectivity,
    CrossedMask,
    Curvature,
    Cyclic,
    Data,
    Dynamic,
    EarlyBird,
    Environment,
    Examples,
    Guided,
    Launch,
    MaskOverlap,
    Model,
    PermutedMask,
    Perturb,
    Perturbation,
    Pretrain,
    Pretraining,
    Prune,
    RandomMask,
    RandomReinit,
    Rescored,
    Rewind,
    Scoring,
    Scratch,
    Sentences,
    ShuffledMask,
    SignFlips,
    Stability,
    Study,
    Subseeds,
    Supermask,
    Table,
    Text,
    TicketOf,
    Train,
    Transfer,
    Translation,
    Weights,
    epochs,
    steps,
)
from lth_ray.running.mistakes import tell_plainly

if TYPE_CHECKING:
    from lth_ray import analysis, data, models, pruning
    from lth_ray.cli import main
    from lth_ray.commands.smaller import smaller_networks
    from lth_ray.commands.tickets import export_ticket
    from lth_ray.lottery.tickets.difficulty import easiest_first
    from lth_ray.lottery.tickets.importing import import_ticket
    from lth_ray.lottery.tickets.loading import Ticket, load_ticket
    from lth_ray.lottery.tickets.small import load_small
    from lth_ray.record import figures
    from lth_ray.running.driver import run
    from lth_ray.running.opening import open as open
    from lth_ray.running.results import Results

__version__ = "0.6.0"  # moves with lth_ray.config.REVISIONS

tell_plainly()

_LAZY = {
    "main": "lth_ray.cli",
    "run": "lth_ray.running.driver",
    "open": "lth_ray.running.opening",
    "Results": "lth_ray.running.results",
    "Ticket": "lth_ray.lottery.tickets.loading",
    "load_ticket": "lth_ray.lottery.tickets.loading",
    "easiest_first": "lth_ray.lottery.tickets.difficulty",
    "export_ticket": "lth_ray.commands.tickets",
    "smaller_networks": "lth_ray.commands.smaller",
    "import_ticket": "lth_ray.lottery.tickets.importing",
    "load_small": "lth_ray.lottery.tickets.small",
    "models": "",
    "pruning": "",
    "data": "",
    "analysis": "",
    "figures": "lth_ray.record",
}

__all__ = [  # less `open`, which `from lth_ray import *` would put in the place of Python's own
    "Barrier",
    "Boxes",
    "Branch",
    "Connectivity",
    "CrossedMask",
    "Curvature",
    "Cyclic",
    "Data",
    "Dynamic",
    "EarlyBird",
    "Environment",
    "Examples",
    "Guided",
    "Launch",
    "MaskOverlap",
    "Model",
    "PermutedMask",
    "Perturb",
    "Perturbation",
    "Pretrain",
    "Pretraining",
    "Prune",
    "RandomMask",
    "RandomReinit",
    "Rescored",
    "Results",
    "Rewind",
    "Scoring",
    "Scratch",
    "Sentences",
    "ShuffledMask",
    "SignFlips",
    "Stability",
    "Study",
    "Subseeds",
    "Supermask",
    "Table",
    "Text",
    "Ticket",
    "TicketOf",
    "Train",
    "Transfer",
    "Translation",
    "Weights",
    "analysis",
    "data",
    "easiest_first",
    "epochs",
    "export_ticket",
    "figures",
    "import_ticket",
    "load_small",
    "load_ticket",
    "main",
    "models",
    "pruning",
    "run",
    "smaller_networks",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'lth_ray' has no attribute {name!r}")
    module = _LAZY[name]
    where = module or f"lth_ray.{name}"
    with nullcontext() if where in sys.modules else spared():
        found = importlib.import_module(where)
    return getattr(found, name) if module else found
