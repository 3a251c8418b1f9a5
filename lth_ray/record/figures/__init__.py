"""The papers' figures: a data frame in, a matplotlib Figure out.

| function | frame | draws |
|---|---|---|
| metric_figure | tickets, and branches under them | the metric and the early-stop step against remaining weights |
| curves_figure | Results.tickets() | the metric and the validation loss over training, by density |
| instability_figure | Results.branches() | the error barrier against the step at which copies part |
| rounds_figure | tickets and branches together | barriers to the round before, beside what tickets gain |
| curvature_figure | Results.branches() | the Hessian's largest eigenvalue and trace |
| paths_figure | Results.branches() | the error along the line between copies |
| heat_map_figure | tickets and branches together | the metric and barriers over a swept field, such as warm-up, x k |
| stability_figure | Results.branches() | distances of tickets to their dense network and to each other |
| collapse_figure | Results.tickets() | the density of the sparsest layer against compression |
| densities_figure | Results.tickets() | the density of each layer |
| surviving_figure | Results.branches() | the distribution of the initial weights that survive |
| movement_figure | Results.branches() | how far kept and pruned weights move |
| signs_figure | Results.branches() | how many kept weights end with another sign |
| overlap_figure | Results.branches() | what masks of different seeds have in common |
| mask_distances_figure | Results.mask_distances() | how far the masks of a training's epochs are from each other |
| regrowth_figure | Results.tickets() | what the updates of moving masks exchange |
| transfer_matrix_figure | tickets and branches together | tickets of several sources on several targets |
| retraining_figure | Results.tickets() | retraining methods against compression and search cost |
| architectures_figure | tickets and branches together | the metric of architectures from scratch against parameters |
| costs_figure | Results.tickets() | ways of finding tickets against all the training that one takes |

All take a title and a caption, state n, draw the mean over seeds with its 95 % t-interval, keep to colours for every
kind of sight, and tell lines by markers or line styles too, so that they read in grey. All but the first return None
where the frame holds nothing of theirs. What is not in the frame itself, such as a training's curve, is read from the
storage that the frame comes from.
"""

from lth_ray.record.figures.architectures import architectures_figure
from lth_ray.record.figures.collapse import collapse_figure
from lth_ray.record.figures.costs import costs_figure
from lth_ray.record.figures.curvature import curvature_figure
from lth_ray.record.figures.curves import curves_figure
from lth_ray.record.figures.densities import densities_figure
from lth_ray.record.figures.heat_map import heat_map_figure
from lth_ray.record.figures.instability import instability_figure
from lth_ray.record.figures.mask_distances import mask_distances_figure
from lth_ray.record.figures.metric import metric_figure
from lth_ray.record.figures.movement import movement_figure
from lth_ray.record.figures.overlap import overlap_figure
from lth_ray.record.figures.paths import paths_figure
from lth_ray.record.figures.regrowth import regrowth_figure
from lth_ray.record.figures.retraining import retraining_figure
from lth_ray.record.figures.rounds import rounds_figure
from lth_ray.record.figures.signs import signs_figure
from lth_ray.record.figures.stability import stability_figure
from lth_ray.record.figures.surviving import surviving_figure
from lth_ray.record.figures.transfer_matrix import transfer_matrix_figure

__all__ = [
    "architectures_figure",
    "collapse_figure",
    "costs_figure",
    "curvature_figure",
    "curves_figure",
    "densities_figure",
    "heat_map_figure",
    "instability_figure",
    "mask_distances_figure",
    "metric_figure",
    "movement_figure",
    "overlap_figure",
    "paths_figure",
    "regrowth_figure",
    "retraining_figure",
    "rounds_figure",
    "signs_figure",
    "stability_figure",
    "surviving_figure",
    "transfer_matrix_figure",
]
