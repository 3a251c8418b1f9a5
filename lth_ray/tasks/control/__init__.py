"""Games: environments of gymnasium, and the policies that learn to play them."""

from lth_ray.tasks.control.task import Control

__all__ = ["Control"]
