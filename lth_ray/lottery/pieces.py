"""The pieces of a study: each trains one segment, and keeps states of it, or measures one table."""

from dataclasses import dataclass, field, replace

from lth_ray.lottery.derivation import Draw, Segment, Table
from lth_ray.lottery.sources import UNKNOWN, StateAt
from lth_ray.store import Store, segment_path, table_path
from lth_ray.training import Recipe


@dataclass(frozen=True)
class Discard:
    """A state that goes as soon as every piece that reads it is finished.

    readers: the paths of their records.
    maker: the key of the segment on whose way it is.
    """

    trajectory: str
    step: int
    readers: frozenset[str]
    maker: str


@dataclass(frozen=True)
class Measurement:
    """A table to measure."""

    table: Table
    discards: tuple[Discard, ...] = ()

    measured = True
    num_steps = 0
    states: frozenset[int] = frozenset()
    makes: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        return self.table.key

    @property
    def record_path(self) -> str:
        return table_path(self.key)

    @property
    def recipe(self) -> Recipe:
        return self.table.recipe

    @property
    def reads(self) -> tuple[StateAt, ...]:
        return self.table.needs

    @property
    def after(self) -> frozenset[str]:
        return frozenset(self.table.of)


@dataclass(frozen=True)
class Expected:
    """The end of a stretched training, before the mask is there whose operations say it.

    is_exact: as many units of each layer go whatever their order is; else it is an estimate.
    """

    last: int
    is_exact: bool


@dataclass(frozen=True)
class Training:
    """A segment to train, and the steps of it whose states are kept.

    passing: those of `states` that are there only for later segments, the last of which discards them.
    resumable: keep the optimizer's state with them, so that training can go on from there.
    restored: the steps at which it is kept because others start with it.
    siblings: the dense trainings of one trajectory that draw masks, which take each other up.
    drawn: the step at which its own draw has ended it, once that is known.
    of: the key of the finished segment whose states are made (a later rewind point, or what was not kept):
        training sets out from the nearest stored state, measures nothing and publishes no record. None trains
        a new segment.
    begins: the step that this sets out from, as far as the plan knows; None for the segment's first.
    expected: where a stretched one will end, as far as can be said before its mask is known.
    """

    segment: Segment
    states: frozenset[int]
    passing: frozenset[int] = frozenset()
    resumable: bool = False
    restored: frozenset[int] = frozenset()
    discards: tuple[Discard, ...] = ()
    siblings: tuple[Segment, ...] = ()
    drawn: int | None = None
    of: str | None = field(default=None, kw_only=True)
    begins: int | None = field(default=None, kw_only=True)
    expected: Expected | None = field(default=None, kw_only=True)

    @property
    def measured(self) -> bool:
        return self.of is None

    @property
    def recipe(self) -> Recipe:
        return self.segment.recipe

    @property
    def record_path(self) -> str:
        return segment_path(self.record_key)

    @property
    def makes(self) -> tuple[tuple[str, int], ...]:
        """(trajectory, step) of the states it keeps, and of the one at which it draws, or is stretched to."""
        drawn = [(self.segment.key, UNKNOWN)] if self.segment.draw or self.segment.stretch else []
        return (*((self.segment.trajectory, step) for step in self.states), *drawn)

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The draws that are looked for on the way, its own and those of its siblings."""
        found = [one.draw for one in (self.segment, *self.siblings) if one.draw is not None]
        return tuple({draw.id: draw for draw in found}.values()) if self.measured else ()

    @property
    def after(self) -> frozenset[str]:
        """The keys of segments that must be finished before, beside the states it reads."""
        mask = self.segment.needs_mask_of
        return frozenset({mask} if mask and self.measured else ())

    @property
    def key(self) -> str:
        return self.segment.key if self.measured else f"{self.segment.key}@state"

    @property
    def record_key(self) -> str:
        """The key of the segment that this makes, or whose states it makes."""
        return self.of or self.segment.key

    @property
    def num_steps(self) -> int:
        """The optimizer steps to take, were there no checkpoint to go on from."""
        last = self.last if self.drawn is None or not self.measured else self.drawn
        return last - (self.segment.first if self.begins is None else self.begins)

    @property
    def last(self) -> int:
        """The step at which it ends, as far as it is known or expected."""
        return self.segment.last if self.expected is None else self.expected.last

    @property
    def reads(self) -> tuple[StateAt, ...]:
        """The states read before it starts: a finished segment's mask is in its record, and needs none."""
        return self.segment.needs if self.measured else self.segment.start.needs

    def resumable_at(self, step: int) -> bool:
        """Return whether the state at `step` is kept with the optimizer's."""
        return step in self.restored or (self.resumable and self.segment.first < step < self.segment.recipe.total_steps)

    def lasting(self, last: int) -> "Training":
        """Return it with the step at which its segment ends, of which it was planned without (Segment.stretch)."""
        planned, segment = self.segment, self.segment.lasting(last)
        states = {last if step == planned.last else step for step in self.states}
        if states and self.states >= set(planned.recipe.evaluation_steps(planned.first, planned.last)):
            states |= set(segment.recipe.evaluation_steps(segment.first, last))  # all of them are kept
        return replace(self, segment=segment, states=frozenset(states), expected=None)

    def for_states(self, states: list[int], begins: int | None = None) -> "Training":
        """Return the training that makes `states`, in order, of this one's segment once that is finished."""
        segment = replace(self.segment, last=states[-1], draw=None)
        return replace(self, segment=segment, states=frozenset(states), passing=frozenset(), of=self.key, begins=begins)

    def missing(self, store: Store) -> list[int]:
        """Return the states to be kept that are not in the store, in order."""
        trajectory = self.segment.trajectory
        return [
            step
            for step in sorted(self.states - self.passing)
            if store.find_state(trajectory, step, with_optimizer=self.resumable_at(step)) is None
        ]


Piece = Training | Measurement
