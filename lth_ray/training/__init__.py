"""The one training loop, evaluation, optimizers and schedules."""

from lth_ray.training.backends import backend_of
from lth_ray.training.clock import Clock
from lth_ray.training.compiled.captured import capture
from lth_ray.training.compiled.fused import fuse
from lth_ray.training.loop import Run, train
from lth_ray.training.loss import evaluate
from lth_ray.training.machine import Usage, environment
from lth_ray.training.recipe import Recipe
from lth_ray.training.segment import (
    Journal,
    Pause,
    Seeds,
    Start,
    columns,
    masked_start,
    measure,
    stored_beside,
    train_segment,
)
from lth_ray.training.supermask import Supermask, supermask_state
from lth_ray.training.team import ALONE, Team, TeamBroken
from lth_ray.training.together.joint import train_together
from lth_ray.training.together.lockstep import Lane, train_segments_together
from lth_ray.training.together.replicates import replicate

__all__ = [
    "ALONE",
    "Clock",
    "Journal",
    "Lane",
    "Pause",
    "Recipe",
    "Run",
    "Seeds",
    "Start",
    "Supermask",
    "Team",
    "TeamBroken",
    "Usage",
    "backend_of",
    "capture",
    "columns",
    "environment",
    "evaluate",
    "fuse",
    "masked_start",
    "measure",
    "replicate",
    "stored_beside",
    "supermask_state",
    "train",
    "train_segment",
    "train_segments_together",
    "train_together",
]
