"""Policies: networks that give preferences of actions and the value of what they see."""

from lth_ray.models.policies.atari import AtariPolicy
from lth_ray.models.policies.mlp import MlpPolicy

__all__ = ["AtariPolicy", "MlpPolicy"]
