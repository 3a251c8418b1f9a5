"""Tickets trained on something else than what they were found on: data, training, or network."""

from dataclasses import replace

from lth_ray.config import ConfigError, Transfer, meaning
from lth_ray.lottery.branches.base import Host
from lth_ray.lottery.branches.perturbing import check_same_metric
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.kept.structures import recipe_of
from lth_ray.lottery.origins import Init
from lth_ray.lottery.sources import (
    Copied,
    Perturbed,
    Rescaled,
    Small,
    Snapshot,
    StartSource,
    Transplanted,
    weights_of,
    within,
)
from lth_ray.lottery.stretched import Network, Stretched
from lth_ray.training import Recipe


def transfer(host: Host, branch: Transfer, seed: int) -> Segment:
    """Train the ticket on something else (Morcos et al. 2019); from its trained weights this is a warm start (Ash &
    Adams 2019).

    The ticket's own training is its transfer to what it was found on.
    """
    lineage, ticket = host.lineage, host.segment
    study = lineage.recipe
    if ticket.recipe.model != study.model:
        raise ConfigError(
            "Transfer: it is of the study's network, and the one that it hangs on has another (Guided.model, "
            "Transfer.changes); hang it on tickets, and give it all changes at once"
        )
    data = branch.data(study.data)
    identity = lineage.identities.get(data, study.identity)
    recipe = recipe_of(branch.model(study.model), data, branch.train(study.train), identity, lineage.structures)
    check_same_metric("Transfer.changes", study, recipe)
    if branch.start == "rewound" and _is_own(host, branch, recipe):
        return ticket.settled
    first = _first(host, recipe) if branch.length == "ticket" else 0
    output = branch.output == "kept" or recipe.meaning()["data"] == ticket.recipe.meaning()["data"]
    is_same = meaning(recipe.model) == meaning(ticket.recipe.model)
    of = None if is_same and output else Network(ticket.recipe.model, ticket.recipe.identity)
    start = _start(host, branch, recipe, seed, of, output)
    mask = _mask(host, branch, seed, of, output)
    frozen = ticket.frozen and branch.start != "random"
    return Segment(recipe, start, mask, lineage.seeds, first, recipe.total_steps, frozen=frozen)


def _is_own(host: Host, branch: Transfer, recipe: Recipe) -> bool:
    """Return whether a recipe, from its first step or the rewind point, is that of the host's own training."""
    ticket, study = host.segment, host.lineage.recipe
    given = ticket.recipe if host.above else study  # a fine-tuned ticket's is another than the study's
    is_same = recipe.meaning() == given.meaning() and recipe.train.backend == given.train.backend
    whole = ticket.first == 0 and ticket.last == recipe.total_steps
    return is_same and (whole or branch.length == "ticket") and ticket.stretch is None


def _first(host: Host, recipe: Recipe) -> int:
    """Return the step of a recipe at which the host's own training would begin."""
    lineage, ticket = host.lineage, host.segment
    if ticket.first == 0 and ticket.first_of is None:
        return 0
    if ticket.first != lineage.rewind_step or ticket.first_of is not None:
        raise ConfigError(
            "Transfer.length = 'ticket': tickets of early-bird draws (Prune.at) and of Rewind.method = 'fine_tune' "
            "have no rewind point in another training to begin at; give 'whole'"
        )
    first = recipe.steps(lineage.rewind.point)
    if first > recipe.total_steps:
        raise ConfigError(
            f"Transfer.length = 'ticket': the rewind point {lineage.rewind.point} lies beyond the end of a training of "
            f"{recipe.train.length}; give 'whole', or a longer one"
        )
    return first


def _start(host: Host, branch: Transfer, recipe: Recipe, seed: int, of: Network | None, output: bool) -> StartSource:
    """Return the weights that it sets out from.

    of: the ticket's network, where the layers of another take over from it, or all but its output layer.
    """
    lineage, ticket = host.lineage, host.segment
    if branch.start == "random":
        return Init(recipe.model, recipe.identity.digest, seed)
    base: StartSource = ticket.end if branch.start == "trained" else weights_of(ticket.start)
    if branch.start == "rewound" and ticket.key == lineage.dense.key:
        base = Snapshot(ticket.trajectory, ticket.first)
    initial = replace(lineage.drawn, model=recipe.model, data_identity=recipe.identity.digest)
    if any(isinstance(one, Rescaled) for one in within(base)):
        raise ConfigError(
            "Transfer: a ticket of Prune.rescale begins with weights that examples of its own data rescale; give "
            "start='trained'"
        )
    if of is not None and any(isinstance(one, (Perturbed, Small)) for one in within(base)):
        raise ConfigError(
            "Transfer.changes: weights that depend on a mask (perturbed, or those of a small network) are carried to "
            "no other network or output layer; keep Model, and output='kept', or give start='trained'"
        )
    if of is not None:
        return Transplanted(base, initial, of, output)
    if recipe.identity.num_classes != ticket.recipe.identity.num_classes:
        return Transplanted(base, initial)
    return base


def _mask(host: Host, branch: Transfer, seed: int, of: Network | None, output: bool) -> Copied | Stretched | None:
    ticket, lineage = host.segment, host.lineage
    if ticket.mask is None:
        return None
    if branch.start != "random":
        return host.mask if of is None else Stretched(ticket.key, of, output)
    if lineage.prune.structure:
        raise ConfigError(
            "Transfer.start = 'random': it permutes single weights, and this study prunes whole units; hang the "
            "transfer on RandomReinit(branches=[ShuffledMask(branches=[...])])"
        )
    return Stretched(ticket.key, Network(ticket.recipe.model, ticket.recipe.identity), output, seed)
