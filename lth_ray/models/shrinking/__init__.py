"""Physically smaller networks: without the units that a mask removes whole, and equal to the masked network."""

from lth_ray.models.shrinking.network import build_small
from lth_ray.models.shrinking.positions import Shrinking
from lth_ray.models.shrinking.reading import shrink, shrinking
from lth_ray.models.shrinking.zeros import without_dead_inputs

__all__ = ["Shrinking", "build_small", "shrink", "shrinking", "without_dead_inputs"]
