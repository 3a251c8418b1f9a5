"""Tickets of other studies that a study starts from: their keys, and whether they are there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from lth_ray.config import ConfigError, Study, TicketOf, given_tickets, with_given_tickets
from lth_ray.lottery.branch_tree import branch_results
from lth_ray.lottery.rounds import Lineage
from lth_ray.store import Store

Unfold = Callable[[Study], Sequence[Lineage]]


def with_keys(study: Study, unfold: Unfold) -> Study:
    """Return a study with the keys of all tickets of other studies that it starts from.

    unfold: gives a study's lineages. Raises ConfigError for a ticket that its study does not find.
    """
    known: list[tuple[Study, Sequence[Lineage]]] = []  # no dict, as studies have no hash, and two may share a name

    def found(ticket: TicketOf) -> TicketOf:
        if ticket.key is not None:
            return ticket
        lineages = next((there for other, there in known if other == ticket.study), None)
        if lineages is None:
            lineages = unfold(ticket.study)
            known.append((ticket.study, lineages))
        return replace(ticket, key=_key(ticket, lineages))

    return with_given_tickets(study, found)


def _key(ticket: TicketOf, lineages: Iterable[Lineage]) -> str:
    study, what = ticket.study, f"Study.ticket = {ticket.called}"
    seed = study.seeds[0] if ticket.seed is None else ticket.seed
    arm = next(iter(study.arms), "") if ticket.arm is None else ticket.arm
    there = [one for one in lineages if (one.variant.arm, one.variant.seed) == (arm, seed)]
    if len(there) != 1:
        why = "it has none" if not there else f"it has {len(there)} of them, by sweeps or rewind points"
        raise ConfigError(f"{what}: of arm {arm!r} and seed {seed} {why}; give one that it has once")
    (lineage,) = there
    number = lineage.prune.num_rounds if ticket.round is None else ticket.round
    if number > lineage.prune.num_rounds:
        raise ConfigError(f"{what}.round = {number}: its last is {lineage.prune.num_rounds}; give that or less")
    if ticket.branch is None:
        return lineage.rounds[number].segment.key
    hung = [result for result in branch_results(lineage) if result.round == number and result.table is None]
    for result in hung:
        if ticket.branch in (result.label, result.path, result.path.rpartition("-")[0]):
            return result.segment.key
    names = ", ".join(dict.fromkeys(result.label for result in hung)) or "none"
    raise ConfigError(f"{what}.branch = {ticket.branch!r}: no branch of round {number}; there are {names}")


def check_found(study: Study, store: Store) -> None:
    """Raise ConfigError where a ticket of another study that a study starts from is not in the store."""
    for ticket in given_tickets(study):
        if ticket.key is not None and store.segment(ticket.key) is None:
            name = ticket.study.name
            raise ConfigError(
                f"Study.ticket = {ticket.called}: {store.uri} does not hold it; run that study first, as "
                f"main([{name.replace('-', '_')}, this_one]) does"
            )
