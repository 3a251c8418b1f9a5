"""Branches: what is asked of a finished ticket. Adding one is a config class, a function here and its entry below."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_ray.config import Branch, ConfigError, RandomMask, RandomReinit, ShuffledMask, digest, subseed
from lth_ray.lottery.derivation import Copied, Redrawn, Segment
from lth_ray.lottery.rounds import Lineage


@dataclass(frozen=True)
class BranchResult:
    """One copy of a branch on round `round` of a lineage.

    path: the branch's name behind the results it hangs on, such as "random_reinit-0/random_mask".
    parameters: the branch's own fields, as columns.
    """

    lineage: Lineage
    round: int
    path: str
    index: int
    parameters: dict[str, Any]
    segment: Segment

    @property
    def id(self) -> str:
        return f"{self.lineage.id}/round{self.round}/{_label(self.path, self.parameters)}-{self.index}"

    @property
    def digest(self) -> str:
        return digest("branch", {"id": self.id, "segment": self.segment.key})


def random_reinit(lineage: Lineage, ticket: Segment, branch: Branch, seed: int) -> Segment:
    """The ticket's mask on newly drawn initial weights, trained from the first step (Frankle & Carbin 2019, s. 2)."""
    return replace(lineage.dense, start=lineage.initial(seed), mask=Copied(ticket.key))


def random_mask(lineage: Lineage, ticket: Segment, branch: Branch, seed: int) -> Segment:
    """The ticket's start under a uniformly drawn mask with the same number of weights in each layer."""
    return replace(ticket, mask=Redrawn(ticket.key, "random", seed))


def shuffled_mask(lineage: Lineage, ticket: Segment, branch: ShuffledMask, seed: int) -> Segment:
    """The ticket's start under its own mask, permuted."""
    return replace(ticket, mask=Redrawn(ticket.key, branch.scope, seed))


# config class: (name in records, segment of one copy)
BRANCHES: dict[type[Branch], tuple[str, Callable[..., Segment]]] = {
    RandomReinit: ("random_reinit", random_reinit),
    RandomMask: ("random_mask", random_mask),
    ShuffledMask: ("shuffled_mask", shuffled_mask),
}


def branch_results(lineage: Lineage) -> Iterator[BranchResult]:
    """Every branch result that a lineage's study asks for, a branch before those hung on it."""
    for branch in lineage.variant.study.branches:
        for number in _rounds(branch, range(1, lineage.prune.rounds + 1)):
            yield from _hung(lineage, number, lineage.rounds[number].segment, branch, "")


def _rounds(branch: Branch, there: Sequence[int]) -> Sequence[int]:
    """The rounds that a branch is hung on; there: those of the tickets or results that it hangs on."""
    name = type(branch).__name__
    if type(branch) not in BRANCHES:
        raise ConfigError(f"Study.branches: nothing says how {name} is done; enter it in lth_ray.lottery.branches")
    rounds = there if branch.rounds is None else branch.rounds
    beyond = [number for number in rounds if number not in there]
    if beyond:
        why = "round 0 is dense and has no mask" if 0 in beyond else f"there are rounds {list(there)} to hang it on"
        raise ConfigError(f"{name}.rounds = {beyond}: {why}; leave them out, or raise Prune.rounds")
    for further in branch.branches:
        _rounds(further, rounds)
    return rounds


def _hung(lineage: Lineage, number: int, ticket: Segment, branch: Branch, above: str) -> Iterator[BranchResult]:
    name, function = BRANCHES[type(branch)]
    path = f"{above}/{name}" if above else name
    parameters = {"scope": branch.scope} if isinstance(branch, ShuffledMask) else {}
    label = _label(path, parameters)
    for index in range(getattr(branch, "copies", 1)):
        segment = function(lineage, ticket, branch, subseed(lineage.variant.seed, label, index))
        yield BranchResult(lineage, number, path, index, parameters, segment)
        for further in branch.branches:
            if further.rounds is None or number in further.rounds:
                yield from _hung(lineage, number, segment, further, f"{label}-{index}")


def _label(path: str, parameters: Mapping[str, Any]) -> str:
    """Tells a branch from another of its kind: its path and its own fields."""
    return "-".join([path, *map(str, parameters.values())])
