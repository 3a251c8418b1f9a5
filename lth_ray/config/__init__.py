"""Frozen dataclasses of a study, its units, its fan-out and its keys."""

from lth_ray.config.base import Config, ConfigError, nearest
from lth_ray.config.branches import Branch, RandomMask, RandomReinit, ShuffledMask
from lth_ray.config.declared import declaration, restore
from lth_ray.config.keys import REVISIONS, digest, meaning, subseed
from lth_ray.config.launch import Launch
from lth_ray.config.recipe import Data, Model, Prune, Rewind, Train
from lth_ray.config.study import Study, Subseeds
from lth_ray.config.units import Length, epochs, steps
from lth_ray.config.variants import Variant, differences, launched, parse, set_field, set_fields, variants

__all__ = [
    "REVISIONS", "Branch", "Config", "ConfigError", "Data", "Launch", "Length", "Model", "Prune", "RandomMask",
    "RandomReinit", "Rewind", "ShuffledMask", "Study", "Subseeds", "Train", "Variant", "declaration", "differences",
    "digest", "epochs", "launched", "meaning", "nearest", "parse", "restore", "set_field", "set_fields", "steps",
    "subseed", "variants",
]  # fmt: skip
