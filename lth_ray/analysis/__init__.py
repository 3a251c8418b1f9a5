"""What is read off trained networks: connectivity, distances, alignment, masks and weights."""

from lth_ray.analysis.alignment import align
from lth_ray.analysis.batch_norm import reestimate
from lth_ray.analysis.connectivity import barrier, error_barrier, linear_path, walk
from lth_ray.analysis.distances import angle, l2_distance, share_travelled
from lth_ray.analysis.masks import overlap
from lth_ray.analysis.units import Units, hidden_units
from lth_ray.analysis.weights import movement, surviving

__all__ = [
    "Units", "align", "angle", "barrier", "error_barrier", "hidden_units", "l2_distance", "linear_path", "movement",
    "overlap", "reestimate", "share_travelled", "surviving", "walk",
]  # fmt: skip
