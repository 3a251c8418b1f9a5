"""Structured pruning: masks whose zeros are whole channels, heads or neurons, and the criteria that rank these."""

from lth_ray.pruning.structured.masks import (
    check_units_are_left,
    chosen_layers,
    guarded,
    of_units,
    shuffled_units,
    with_units,
    without_dead_units,
)
from lth_ray.pruning.structured.scores import UNIT_CRITERIA, score_units
from lth_ray.pruning.structured.thinet import rebuilt

__all__ = [
    "UNIT_CRITERIA",
    "check_units_are_left",
    "chosen_layers",
    "guarded",
    "of_units",
    "rebuilt",
    "score_units",
    "shuffled_units",
    "with_units",
    "without_dead_units",
]
