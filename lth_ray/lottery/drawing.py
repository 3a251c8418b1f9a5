"""The limits of the steps of a lineage: what being rewound, pruned or drawn there does not go together with."""

from lth_ray import pruning
from lth_ray.config import ConfigError, EarlyBird, Variant
from lth_ray.lottery.derivation import Draw
from lth_ray.training import Recipe


def check_draw(variant: Variant, draw: Draw, rewind_step: int, dense_end: int) -> None:
    """Raise ConfigError for a lineage whose draw cannot be carried out.

    dense_end: the last step at which it may take place.
    """
    study, rewind = variant.study, variant.rewind
    prune = study.prune
    assert isinstance(prune.at, EarlyBird)
    wrong = {
        f"Prune.rounds = {prune.num_rounds}": prune.num_rounds > 1 and "a draw gives one ticket; give 1",
        "Prune.one_shot = True": prune.one_shot and "a draw gives one ticket; leave it out",
        f"Prune.iterations = {prune.iterations}": prune.iterations > 1 and "a look scores once; leave it out",
        f"Prune.criterion = {prune.criterion!r}": bool(pruning.uses(prune.criterion))
        and "it looks at more than an epoch's weights; use another, such as 'magnitude' or 'bn_scale'",
        f"Rewind.method = {rewind.method!r}": rewind.method != "weights"
        and "EarlyBird.then says what the ticket goes on from; leave it out",
        f"Rewind.batch_norm = {rewind.batch_norm!r}": rewind.batch_norm is not None
        and "EarlyBird.then says what the ticket goes on from; leave it out",
        "Rewind.pretraining": rewind.pretraining is not None
        and "masks are those of the study's own task; leave it out",
        "Study.ticket": study.ticket is not None and "a ticket has a mask already; leave one of them out",
        f"EarlyBird.latest = {prune.at.latest}": dense_end < draw.earliest
        and f"step {dense_end} lies before the earliest draw, step {draw.earliest}; give a later one, "
        "a longer training, or a smaller window",
        f"Study.rewind = {rewind.point}": rewind_step > draw.earliest
        and f"step {rewind_step} may lie beyond the draw, which may be at step {draw.earliest}; give an earlier one",
    }
    for what, why in wrong.items():
        if why:
            raise ConfigError(f"Prune.at = EarlyBird(...) and {what}: {why}")


def check_steps(variant: Variant, recipe: Recipe, rewind_step: int, pruned_step: int) -> None:
    """Raise ConfigError where a step lies beyond the end of training, or is rewound to after it was pruned."""
    prune, masks = variant.study.prune, variant.rewind.masks
    if masks is not None and (prune.from_dense or prune.dynamic is not None):
        why = "all are found in the dense network" if prune.from_dense else "they change while tickets are trained"
        raise ConfigError(f"Rewind.masks = {masks!r}: by Prune {why}; leave it out")
    prune, rewind = variant.study.prune, variant.rewind
    end = f"{recipe.train.length} = step {recipe.total_steps}"
    if rewind_step > recipe.total_steps:
        raise ConfigError(
            f"Study.rewind = {rewind.point}: step {rewind_step} lies beyond the end of training, {end}; give an "
            "earlier rewind point"
        )
    if pruned_step > recipe.total_steps:
        raise ConfigError(
            f"Prune.at = {prune.at}: step {pruned_step} lies beyond the end of training, {end}; give an earlier step"
        )
    goes_on = rewind.method not in ("weights", "scratch") or rewind.pretraining is not None
    if goes_on and rewind_step > pruned_step:
        what = "a pretraining ends" if rewind.pretraining else f"method={rewind.method!r} goes on"
        raise ConfigError(
            f"Study.rewind = {rewind.point}: step {rewind_step}, where {what}, lies beyond Prune.at = {prune.at} = "
            f"step {pruned_step}, whose weights are pruned; give an earlier rewind point, or a later step for Prune.at"
        )
    if prune.rescale and rewind.method not in ("weights", "scratch"):
        averaged = "Train.ema_decay" if recipe.train.ema_decay is not None else "Train.average_from"
        if masks is not None:
            raise ConfigError(
                f"Prune.rescale = True and Rewind.masks = {masks!r}: weights are rescaled in the training that "
                "the mask was found by, and tickets go on from another; leave one of them out"
            )
        for what, is_so in {
            "Rewind.optimizer = 'restored'": rewind.optimizer == "restored",
            averaged: recipe.train.is_averaged,
        }.items():
            if is_so:
                raise ConfigError(
                    f"Prune.rescale = True and {what}: it belongs to weights as they were before they are rescaled; "
                    "leave one of them out"
                )
