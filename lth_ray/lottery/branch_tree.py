"""A study's branches, unfolded: every result that is asked for, under the ticket or result it hangs on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Branch, ConfigError, Guided, TaskConfig, Transfer, digest, subseed, told
from lth_ray.lottery.branches import BRANCHES, Asked, Host
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.rounds import Lineage


@dataclass(frozen=True)
class BranchResult:
    """One result of a branch on round `round` of a lineage.

    path: the branch's name behind the results it hangs on, such as "random_reinit-0/random_mask".
    label: the path and what tells the branch from others of its kind.
    parameters: the branch's own fields and what tells its results apart, as columns.
    """

    lineage: Lineage
    round: int
    path: str
    label: str
    index: int
    parameters: dict[str, Any]
    asked: Asked
    host: str

    @property
    def id(self) -> str:
        return f"{self.lineage.id}/round{self.round}/{self.label}-{self.index}"

    @cached_property
    def trainings(self) -> tuple[tuple[str, Segment], ...]:
        """(job id, segment) of what it trains. A host's evaluations, which take no step, share one job."""
        return tuple(
            (f"{self.host}/{name or 'untrained'}" if name or not segment.num_steps else self.id, segment)
            for name, segment in self.asked.trainings
        )

    @property
    def segment(self) -> Segment:
        """Its last training."""
        return self.trainings[-1][1]

    @property
    def table(self) -> Table | None:
        return self.asked.table

    @property
    def key(self) -> str:
        """The key of the record that is the result: its table's, else its last training's."""
        return self.table.key if self.table else self.segment.key

    @property
    def digest(self) -> str:
        return digest("branch", {"id": self.id, "segment": self.key})


def branch_results(lineage: Lineage) -> Iterator[BranchResult]:
    """Yield every branch result that a lineage's study asks for, a branch before those hung on it."""
    there = range(lineage.prune.num_rounds + 1)
    for branch in lineage.variant.study.branches:
        given = lineage.dense.mask is not None and branch.rounds is not None  # round 0 is a ticket, and may be meant
        for number in _rounds(branch, there if branch.of_dense or given else there[1:]):
            yield from _hung(Host(lineage, number, lineage.rounds[number].segment), branch)


def other_data(branches: Iterable[Branch], given: TaskConfig) -> Iterator[TaskConfig]:
    """Yield the data sets that branches train on beside the study's own."""
    for branch in branches:
        data = branch.data(given)
        if data is not None:
            yield data
        yield from other_data(branch.branches, given)


def _rounds(branch: Branch, there: Sequence[int]) -> Sequence[int]:
    """Return the rounds that a branch is hung on.

    there: those of the tickets or results that it hangs on.
    """
    name = type(branch).__name__
    if type(branch) not in BRANCHES:
        raise ConfigError(f"Study.branches: nothing says how {name} is done; enter it in lth_ray.lottery.branches")
    rounds = there if branch.rounds is None else branch.rounds
    beyond = [number for number in rounds if number not in there]
    if beyond:
        why = (
            f"round 0 is dense and has no mask, and {name}.of_dense is False"
            if 0 in beyond
            else f"there are rounds {list(there)} to hang it on"
        )
        raise ConfigError(f"{name}.rounds = {beyond}: {why}; leave them out, or raise Prune.rounds")
    for further in branch.branches:
        _rounds(further, rounds)
    return rounds


def _hung(host: Host, branch: Branch) -> Iterator[BranchResult]:
    name, function = BRANCHES[type(branch)]
    if host.segment.learned is not None:
        raise ConfigError("Supermask.branches: what it learns is no ticket; hang them on the ticket beside it")
    if host.segment.mask is None and not branch.of_dense:
        raise ConfigError(
            f"{type(branch).__name__}: it hangs on a dense network, and its of_dense is False; give later rounds"
        )
    path = f"{host.above}/{name}" if host.above else name
    label = "-".join([path, *told(branch)])
    lineage, number = host.lineage, host.number
    results = function(host, branch, lambda index: subseed(lineage.variant.seed, label, index))
    for index, asked in enumerate(results):
        _check_same_network(host, branch, asked)
        _check_same_training(host, branch, asked)
        parameters = branch.parameters() | dict(asked.told)
        yield BranchResult(lineage, number, path, label, index, parameters, asked, host.id)
        for further in branch.branches:
            if asked.table is not None:
                raise ConfigError(f"{type(branch).__name__}.branches: it measures and trains no ticket to hang them on")
            if further.rounds is None or number in further.rounds:
                yield from _hung(Host(lineage, number, asked.trainings[-1][1], f"{label}-{index}"), further)


def _check_same_network(host: Host, branch: Branch, asked: Asked) -> None:
    """Raise ConfigError for a branch that would train or measure the study's network under the mask of another one."""
    if isinstance(branch, (Guided, Transfer)):  # which make another network of it, and see to that themselves
        return
    recipes = [one.recipe for _, one in asked.trainings]
    recipes += [asked.table.recipe] if asked.table is not None else []
    if any(recipe.model != host.segment.recipe.model for recipe in recipes):
        raise ConfigError(
            f"{type(branch).__name__}: it is of the study's network, and the one that it hangs on has another "
            "(Guided.model, Transfer.changes); hang it on tickets, or on a branch of the study's own network"
        )


def _check_same_training(host: Host, branch: Branch, asked: Asked) -> None:
    """Raise ConfigError for a branch that would train as the study does beside what another recipe trained."""
    if not host.above or not asked.trainings or isinstance(branch, (Guided, Transfer)):
        return
    study, ticket = host.lineage.recipe, host.lineage.rounds[host.number].segment.recipe
    given, own = host.segment.recipe, asked.trainings[-1][1].recipe
    if given.meaning() in (study.meaning(), ticket.meaning()):
        return
    if own.meaning() == study.meaning() or own.meaning()["data"] != given.meaning()["data"]:
        raise ConfigError(
            f"{type(branch).__name__}: it trains by the study's data and recipe, and what it hangs on, {host.above!r}, "
            "by others; hang it on tickets"
        )
