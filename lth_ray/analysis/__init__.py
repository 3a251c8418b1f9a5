"""Measurements of trained networks: connectivity, distances, curvature, alignment, masks and weights.

Each name is imported when it is first used: pandas and scipy take a second that a training should not wait for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lth_ray.analysis.alignment import align
    from lth_ray.analysis.connectivity import barrier, error_barrier, linear_path, walk
    from lth_ray.analysis.distances import angle, l2_distance, share_travelled, to_segment
    from lth_ray.analysis.hessian import Eigenvalues, Hessian, Trace, largest_eigenvalues, trace
    from lth_ray.analysis.masks import overlap
    from lth_ray.analysis.signs import sign_flips
    from lth_ray.analysis.weights import movement, surviving

_MODULES = {
    "alignment": ("align",),
    "connectivity": ("barrier", "error_barrier", "linear_path", "walk"),
    "distances": ("angle", "l2_distance", "share_travelled", "to_segment"),
    "hessian": ("Eigenvalues", "Hessian", "Trace", "largest_eigenvalues", "trace"),
    "masks": ("overlap",),
    "signs": ("sign_flips",),
    "weights": ("movement", "surviving"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Eigenvalues",
    "Hessian",
    "Trace",
    "align",
    "angle",
    "barrier",
    "error_barrier",
    "l2_distance",
    "largest_eigenvalues",
    "linear_path",
    "movement",
    "overlap",
    "share_travelled",
    "sign_flips",
    "surviving",
    "to_segment",
    "trace",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lth_ray.analysis' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lth_ray.analysis.{_MODULE_OF[name]}"), name)
