"""Checks of a lineage's network and pruning rule: all that can be known to be wrong before anything is
trained.
"""

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError, OwnFunction, TicketOf, nearest, short_name
from lth_ray.lottery.execution.networks import build, of_part
from lth_ray.lottery.execution.ranking import Ranking, ranking
from lth_ray.lottery.execution.reading import ended_state
from lth_ray.lottery.execution.reconstruct import pretrained_weights
from lth_ray.lottery.kept.records import Record, SegmentRecord
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.lottery.origins import Adopted, Pretrained
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.trying import try_criterion, try_network
from lth_ray.store import Store
from lth_ray.training import Recipe
from lth_ray.training.averages import HOLDER
from lth_ray.training.together.replicable import check_network_replicable


def check_networks(lineages: Iterable[Lineage]) -> None:
    """Build each distinct network once and try every pruning rule's globs and fractions on it.

    Raises ConfigError for an unknown model or option, for globs that fit no parameter, for layers that would silently
    not be pruned, and for a network or a loss of the study's own whose outputs are of no use.
    """
    networks: dict[str, dict[str, Lineage]] = defaultdict(dict)
    for lineage in lineages:
        model = json.dumps(lineage.recipe.meaning()["model"], sort_keys=True)
        train = lineage.recipe.train
        rule = f"{json.dumps(lineage.rule, sort_keys=True)} {train.loss} {train.step} {lineage.recipe.group}"
        rule += f" {lineage.prune.remaining} {lineage.rewind.batch_norm}"
        identity = lineage.recipe.identity
        rules = networks[f"{model} {identity.input_shape} {identity.num_classes}"]
        rules[rule] = max(rules.get(rule, lineage), lineage, key=lambda one: one.prune.num_rounds)
    for rules in networks.values():
        network = build(next(iter(rules.values())).recipe, seed=0)
        for lineage in rules.values():
            _check_scales(network, lineage.recipe)
            _check_batch_norm(network, lineage)
            if lineage.recipe.train.replicates > 1:
                check_network_replicable(network, lineage.recipe)
            check_computed(network, lineage.rule)
            ranks = ranking(network, lineage.rule, lineage.recipe)
            _check_something_is_left(lineage, ranks)
            try_network(network, lineage.recipe)
            if lineage.prune.num_rounds:
                try_criterion(network, lineage.recipe, lineage.prune, ranks)


def _check_scales(network: nn.Module, recipe: Recipe) -> None:
    if recipe.train.scale_l1 and not models.scale_parameters(network):
        raise ConfigError(
            f"Train.scale_l1 = {recipe.train.scale_l1}: the network has no batch norm whose scales it could bear on; "
            "leave it out"
        )


def _check_batch_norm(network: nn.Module, lineage: Lineage) -> None:
    if lineage.rewind.batch_norm is not None and not models.batch_norm_tensors(network):
        raise ConfigError(
            f"Rewind.batch_norm = {lineage.rewind.batch_norm!r}: the network has no batch norm; leave it out"
        )


def check_computed(network: nn.Module, rule: Mapping[str, Any]) -> None:
    """Raise ConfigError for convolutions and linear layers whose weight is made of other parameters (weight_norm,
    spectral_norm), of which the rule says neither that these are pruned nor that they are left.

    Whole units go with whatever makes them.
    """
    left = [
        one
        for one in models.computed(network)
        if not any(fnmatchcase(part, glob) for part in one.parts for glob in (*rule["include"], *rule["exclude"]))
    ]
    if not left or rule.get("structure"):
        return
    shown = "; ".join(f"'{one.layer}.weight' by {one.by} of {', '.join(one.parts) or 'nothing'}" for one in left)
    stand_ins, others = [one.stand_in for one in left if one.stand_in], [one for one in left if not one.stand_in]
    remedies = [f"Prune(include={stand_ins}) prunes where a zero is a zero weight"] if stand_ins else []
    remedies += [f"Prune(exclude={[f'{one.layer}.*' for one in left]}) leaves these layers dense"]
    remedies += ["or give the layers plain weights"] if others else []
    raise ConfigError(
        f"Prune would leave convolutions and linear layers dense whose weight is no parameter but computed: {shown}; "
        f"{', '.join(remedies)}"
    )


def _check_something_is_left(lineage: Lineage, ranks: Ranking) -> None:
    """Count what all rounds prune together: of a network without weights there is nothing to measure."""
    prune, there, rule = lineage.prune, ranks.everything, {**lineage.rule, "scope": ranks.scope}
    if prune.fraction is None:
        for number in range(1, prune.num_rounds + 1):
            ranks.check(there, pruning.counts_of(rule, there, 1, prune.density(number)))
        return
    counts = pruning.one_shot_counts(there, prune.fraction, ranks.scope, prune.num_rounds)
    total, what = pruning.kept(there), "units" if prune.structure else "weights"
    if total and total == (sum(counts.values()) if isinstance(counts, dict) else counts):
        raise ConfigError(
            f"Prune.fraction = {prune.fraction!r}: none of {total:,} {what} would be left after {prune.num_rounds} "
            f"round{'s' if prune.num_rounds > 1 else ''}; give a smaller share, or fewer rounds"
        )
    ranks.check(there, counts)


def check_functions(lineages: Iterable[Lineage]) -> None:
    """Raise ConfigError where two functions of one name have one `version`, by which no key can tell them
    apart.
    """
    known: dict[tuple[str, str], OwnFunction] = {}
    for recipe in {id(lineage.recipe): lineage.recipe for lineage in lineages}.values():
        for field, function, version in _versioned(recipe):
            first = known.setdefault((function.name, version), function)
            if first.source != function.source or (first.source is None and first.call is not function.call):
                raise ConfigError(
                    f"{field} = {short_name(function)}: the study has two functions of this name that differ, "
                    f"both with version = {version!r}; give each a version of its own, or leave the version out"
                )


def tell_other_sources(lineages: Iterable[Lineage], records: Mapping[str, Record]) -> None:
    """Warn where a result was made under a function's present `version` by another source, and counts all the
    same.
    """
    warned = set()
    for lineage in lineages:
        for segment in (r.segment for r in lineage.rounds if r.segment.key in records):
            record = records[segment.key]
            made_by = record.functions or {} if isinstance(record, SegmentRecord) else {}
            for field, function, version in _versioned(segment.recipe):
                source = (made_by.get(field) or [None, None])[1]
                if None not in (source, function.source) and source != function.source and function.name not in warned:
                    warned.add(function.name)
                    warnings.warn(
                        f"{field} = {short_name(function)} has changed since {lineage.id} was trained, and its version "
                        f"= {version!r} has not: what is stored is taken; give another version to train anew",
                        stacklevel=2,
                    )


def _versioned(recipe: Recipe) -> list[tuple[str, OwnFunction, str]]:
    """Return (field, function, version) of the functions whose source a stated version stands for."""
    versions = {"Model": recipe.model.version, "Train": recipe.train.version}
    found = [(field, one, versions[field.partition(".")[0]]) for field, one in recipe.functions]
    return [(field, one, version) for field, one, version in found if version is not None]


def check_weights(lineages: Iterable[Lineage]) -> None:
    """Read each file of pretrained weights into the networks that are to begin with it.

    Raises ConfigError where it does not fit one.
    """
    seen = set()
    for lineage in lineages:
        origin, identity = lineage.origin, lineage.recipe.identity
        if isinstance(origin, Pretrained):
            asked = json.dumps(
                [
                    lineage.recipe.meaning()["model"],
                    identity.input_shape,
                    identity.num_classes,
                    origin.file.path,
                    origin.redraw,
                ]
            )
            if asked not in seen:
                pretrained_weights(origin, lineage.recipe)
            seen.add(asked)


def check_tickets(lineages: Iterable[Lineage], store: Store | None) -> None:
    """Compare each ticket that a study starts from with the networks and pruning rules that are to take it
    up.

    Raises ConfigError where it is not there, or does not fit. Without a store there is nothing to look at.
    """
    seen = set()
    for lineage in (one for one in lineages if one.variant.study.ticket is not None):
        recipe, of = lineage.recipe, [lineage.variant.study.ticket_key, lineage.variant.study.ticket_part]
        shapes = [recipe.identity.input_shape, recipe.identity.num_classes]
        asked = json.dumps([recipe.meaning()["model"], shapes, lineage.rule, of])
        if store is not None and isinstance(lineage.origin, Adopted) and asked not in seen:
            _check_ticket(lineage, lineage.origin, store)
        seen.add(asked)


def _check_ticket(lineage: Lineage, ticket: Adopted, store: Store) -> None:
    wrong, record = f"Study.ticket = {ticket.of!r}", finished_segment(store, ticket.of)
    if record is None and isinstance(lineage.variant.study.ticket, TicketOf):
        return  # whose study may run before, see `check_found`
    if record is None:
        raise ConfigError(f"{wrong}: not in {store.uri}; `lth-ray import FILE --storage {store.uri}` puts one there")
    trajectory, step = ended_state(store, ticket.of)
    if store.find_state(trajectory, step) is None:
        raise ConfigError(f"{wrong}: its weights were not kept; run its study again with keep='tickets'")
    if record.meaning.get("learned") or record.meaning.get("frozen"):
        raise ConfigError(
            f"{wrong} is no network of kept weights and zeros: give a ticket that was found by pruning, or an imported "
            "one"
        )
    network, part = build(lineage.recipe, seed=0), ticket.part
    ties = models.tied(network)
    given = models.retied(of_part(store.load_state(trajectory, step).model, part), ties)
    own = {name: value for name, value in network.state_dict().items() if not name.startswith(f"{HOLDER}.")}
    if part and not any(name.startswith(part) for name in own):
        raise ConfigError(f"Study.ticket_part = {part!r}: no tensor of this network begins so; {nearest(part, own)}")
    others = () if part else (name for name in given if not name.startswith(f"{HOLDER}."))
    for name in [*(name for name in own if name.startswith(part)), *others]:
        if name not in given or name not in own or own[name].shape != given[name].shape:
            theirs, ours = (tuple(some[name].shape) if name in some else "none" for some in (given, own))
            raise ConfigError(f"{wrong} does not fit this network: {name!r} is {theirs} there and {ours} here")
    if record.mask is None:
        _check_dense_ticket(lineage, wrong)
        return
    covered = set(models.under_own_names(of_part(store.load_mask(record.mask), part), ties))
    ranks = ranking(network, lineage.rule, lineage.recipe)
    may = set(ranks.whole(ranks.everything))
    if part:  # the rest is dense
        covered = covered & own.keys()
        may = may & covered if lineage.prune.num_rounds else covered
    if covered != may:
        field = "include" if covered - may else "exclude"
        names = sorted(covered - may or may - covered)
        raise ConfigError(f"{wrong}: its mask covers other parameters than Prune; give Prune({field}={names})")


def _check_dense_ticket(lineage: Lineage, wrong: str) -> None:
    """Raise for a branch that needs a mask in round 0, which is dense then and has none."""
    for branch in lineage.variant.study.branches:
        if 0 in (branch.rounds or ()) and not branch.of_dense:
            raise ConfigError(
                f"{type(branch).__name__}.rounds = {list(branch.rounds or ())}: {wrong} is a dense network, whose "
                "round 0 has no mask; leave round 0 out"
            )
