"""The base of branch functions: what one is given and what it returns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lth_ray.config import Branch, ConfigError, subseed
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.sources import Copied
from lth_ray.training import Seeds


@dataclass(frozen=True)
class Host:
    """The ticket or result that a branch is hung on: round `number` of a lineage, or another branch's result
    there.

    segment: its training.
    above: the label of that result, "" for the ticket itself.
    """

    lineage: Lineage
    number: int
    segment: Segment
    above: str = ""

    @property
    def id(self) -> str:
        return "/".join(part for part in (f"{self.lineage.id}/round{self.number}", self.above) if part)

    @property
    def mask(self) -> Copied | None:
        """Its mask, as that of a training which takes it over; None where it is dense."""
        return Copied(self.segment.key) if self.segment.mask is not None else None


@dataclass(frozen=True)
class Asked:
    """One result that a branch asks for.

    trainings: {name: segment} that it takes; segments of one name run one after another, and equal ones run
        once, whoever asks. The name "" is the result's own.
    table: a measurement that is the result; without one it is what the last training measured.
    told: columns beside the branch's fields.
    """

    trainings: tuple[tuple[str, Segment], ...] = ()
    table: Table | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


def check_same_network(host: Host, other: Segment, what: str) -> None:
    """Raise ConfigError where a host is to be measured beside a network of another shape."""
    own, its = host.segment.recipe.identity, other.recipe.identity
    if (own.input_shape, own.num_classes) != (its.input_shape, its.num_classes):
        raise ConfigError(
            f"{what}: {host.above!r} learns other data, for which the network has another shape; hang it elsewhere"
        )
    if host.segment.recipe.model != other.recipe.model:
        raise ConfigError(f"{what}: {host.above!r} has another network, which cannot be compared; hang it elsewhere")


def copy_seed(lineage: Lineage, name: str, index: int) -> int:
    """Return the sub-seed of a copy, for one use.

    It is the same for every branch and round, so that what differs between these is not the copy.
    """
    return subseed(lineage.variant.seed, "copy", name, index)


def copy_noise(lineage: Lineage, index: int) -> Seeds:
    """Return the seeds of a copy's order, augmentation and dropout."""
    return Seeds(*(copy_seed(lineage, name, index) for name in ("order", "augmentation", "dropout")))


Seed = Callable[[int], int]  # of a copy, by its index
Function = Callable[[Host, Any, Seed], Iterable[Asked]]


def copies(make: Callable[[Host, Any, int], Segment]) -> Function:
    """Return the branch function of one training a copy.

    make: (host, branch, seed) -> segment.
    """

    def asked(host: Host, branch: Branch, seed: Seed) -> Iterable[Asked]:
        return [Asked((("", make(host, branch, seed(index))),)) for index in range(getattr(branch, "copies", 1))]

    return asked
