"""A task: one piece of training, and what is to be kept of it."""

from dataclasses import dataclass, field, replace

from lth_ray.lottery.derivation import Init, Segment
from lth_ray.store import Store


@dataclass(frozen=True)
class Discard:
    """A state that goes as soon as every segment that reads it is finished."""

    trajectory: str
    step: int
    readers: frozenset[str]


@dataclass(frozen=True)
class Task:
    """A segment to train, and the steps of it whose states are kept.

    passing: those of `states` that are there only for later segments, the last of which discards them.
    resumable: keep the optimizer's state with them, so that training can go on from there.
    of: the key of the finished segment whose states are made (a later rewind point, or what was not kept): training
        sets out from the nearest stored state, measures nothing and publishes no record. None trains a new segment.
    begins: the step that this sets out from, as far as the plan knows; None for the segment's first.
    """

    segment: Segment
    states: frozenset[int]
    passing: frozenset[int] = frozenset()
    resumable: bool = False
    discards: tuple[Discard, ...] = ()
    of: str | None = field(default=None, kw_only=True)
    begins: int | None = field(default=None, kw_only=True)

    @property
    def measured(self) -> bool:
        return self.of is None

    @property
    def key(self) -> str:
        return self.segment.key if self.measured else f"{self.segment.key}@state"

    @property
    def record_key(self) -> str:
        """Of the segment that this makes, or whose states it makes."""
        return self.of or self.segment.key

    @property
    def num_steps(self) -> int:
        """Optimizer steps to take, were there no checkpoint to go on from."""
        return self.segment.last - (self.segment.first if self.begins is None else self.begins)

    @property
    def reads(self) -> tuple[tuple[str, int, bool], ...]:
        """The states read before it starts: a finished segment's mask is in its record, and needs none."""
        return self.segment.needs if self.measured else self.segment.start_needs

    @property
    def starts_anew(self) -> bool:
        """Whether the state at its first step is its own to keep."""
        return isinstance(self.segment.start, Init)

    def resumable_at(self, step: int) -> bool:
        return self.resumable and self.segment.first < step < self.segment.recipe.total_steps

    def for_states(self, states: list[int], begins: int | None = None) -> "Task":
        """The task that makes `states`, in order, of this one's segment once that is finished."""
        segment = replace(self.segment, last=states[-1])
        return replace(self, segment=segment, states=frozenset(states), passing=frozenset(), of=self.key, begins=begins)

    def missing(self, store: Store) -> list[int]:
        """The states to be kept that are not in the store, in order."""
        trajectory = self.segment.trajectory
        return [
            step for step in sorted(self.states - self.passing)
            if store.find_state(trajectory, step, with_optimizer=self.resumable_at(step)) is None
        ]  # fmt: skip
