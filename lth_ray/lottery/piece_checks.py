"""Checks of a study's pieces: what cannot be trained or measured as it is asked for, known before anything is."""

from collections.abc import Iterable

from lth_ray import models
from lth_ray.config import Boxes, ConfigError, Translation
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.patterned import check_patterned
from lth_ray.lottery.patterned import Patterned, Permuted
from lth_ray.lottery.pieces import Piece, Training
from lth_ray.training import Recipe
from lth_ray.training.together.replicable import check_replicable


def check_replicates(pieces: Iterable[Piece]) -> None:
    """Raise ConfigError for what is to be trained in replicates (Train.replicates) and cannot be."""
    trained = (piece for piece in pieces if isinstance(piece, Training) and piece.recipe.train.replicates > 1)
    for segment in (piece.segment for piece in trained):
        check_replicable(segment.recipe)
        for what, is_so in {
            "a Supermask": segment.learned,
            "pruned weights frozen at other values": segment.frozen,
            "a mask that changes (Prune.dynamic)": segment.regrowth is not None,
            "a training that a draw ends (Prune.at = EarlyBird)": segment.draw is not None,
        }.items():
            if is_so:
                raise ConfigError(
                    f"Train.replicates = {segment.recipe.train.replicates}: {what} cannot be trained in replicates; "
                    "leave that out, or train each by itself (Train.replicates = 1)"
                )


def check_patterns(pieces: Iterable[Piece]) -> None:
    """Raise ConfigError for a pattern that the network which is to follow it does not fit."""
    for piece in pieces:
        if isinstance(piece, Training) and isinstance(piece.segment.mask, Patterned):
            check_patterned(piece.segment.mask, piece.recipe)


def check_alignment(pieces: Iterable[Piece]) -> None:
    """Raise ConfigError for networks whose units are to be matched and which cannot be told apart."""
    found = {(id(piece.recipe), one): (piece.recipe, *one) for piece in pieces if (one := _matched(piece))}
    for recipe, said, by in found.values():
        _check_units(recipe, said, by)


def _matched(piece: Piece) -> tuple[str, bool | str] | None:
    """Return where it is asked for that units are matched, and by what: of a line's ends, or of a mask's."""
    if isinstance(piece, Training):
        mask = piece.segment.mask
        return (
            (f"CrossedMask.match or PermutedMask.match = {mask.match!r}", mask.match)
            if isinstance(mask, Permuted)
            else None
        )
    by = (piece.table.options or {}).get("align")
    asked = "Barrier" if piece.table.kind == "line" else "Connectivity"
    return (f"{asked}.align = {by!r}", by) if by else None


def _check_units(recipe: Recipe, said: str, by: bool | str) -> None:
    if recipe.train.is_averaged:
        raise ConfigError(f"{said}: units are matched by weights, and not by their averages; leave it out")
    if by == "activations" and not recipe.has_epochs:
        raise ConfigError(
            f"{said}: {type(recipe.data).__name__} has no training set on which units could be compared; match "
            "them by weights"
        )
    if by == "activations" and isinstance(recipe.data, (Boxes, Translation)):
        raise ConfigError(
            f"{said}: a network for {type(recipe.data).__name__} chooses by itself what its later layers see, so that "
            "two of them see different things; match them by weights"
        )
    network = build(recipe)
    try:
        coupling = models.coupled(network, recipe.task.example(recipe.identity))
    except ConfigError as error:
        raise ConfigError(f"{said}: {error}; leave it out for this network") from error
    if by == "activations":
        from lth_ray.analysis.activations import readers  # with scipy, which other plans do without

        try:
            readers(network, coupling)
        except ConfigError as error:
            raise ConfigError(f"{said}: {error}; match them by weights") from error
