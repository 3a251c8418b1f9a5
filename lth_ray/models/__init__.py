"""The networks of the studies, their initial weights, and which of their weights may be pruned."""

from lth_ray.models.building import build, initialisation_of, names
from lth_ray.models.fans import check_scaled, small_initial
from lth_ray.models.files import checked, read_weights
from lth_ray.models.graph import Coupling, coupled
from lth_ray.models.huggingface.weights import in_own_names
from lth_ray.models.initial import initialise
from lth_ray.models.pretrained import fitting_weights, load_weights
from lth_ray.models.scales import Scale, batch_norm_tensors, scale_parameters, scales
from lth_ray.models.shrinking import Shrinking, build_small, shrink, shrinking, without_dead_inputs
from lth_ray.models.tied import functional, retied, tied, under_own_names
from lth_ray.models.units import EVERY, KINDS, Slices, UnitLayer, image_sizes, of_kind, unit_layers
from lth_ray.models.weights import Computed, computed, counted, prunable

__all__ = [
    "EVERY",
    "KINDS",
    "Computed",
    "Coupling",
    "Scale",
    "Shrinking",
    "Slices",
    "UnitLayer",
    "batch_norm_tensors",
    "build",
    "build_small",
    "check_scaled",
    "checked",
    "computed",
    "counted",
    "coupled",
    "fitting_weights",
    "functional",
    "image_sizes",
    "in_own_names",
    "initialisation_of",
    "initialise",
    "load_weights",
    "names",
    "of_kind",
    "prunable",
    "read_weights",
    "retied",
    "scale_parameters",
    "scales",
    "shrink",
    "shrinking",
    "small_initial",
    "tied",
    "under_own_names",
    "unit_layers",
    "without_dead_inputs",
]
