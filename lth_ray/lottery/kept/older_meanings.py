"""Results that a storage holds of a study under an older meaning: why they are not taken, and what would take
them.

A key is a digest and cannot be read back. So it is asked what the study's keys would have been, under the revisions of
earlier releases, by another backend, with the functions and data of an earlier run, and whether these are there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from lth_ray.config import (
    RAISED,
    RELEASES,
    REVISIONS,
    ConfigError,
    Study,
    TaskConfig,
    as_of,
    digest,
    functions_of,
    set_fields,
    short_name,
)
from lth_ray.data import Identity
from lth_ray.lottery.branch_tree import branch_results
from lth_ray.lottery.kept.structures import Structures
from lth_ray.lottery.plan import Plan, unfolded
from lth_ray.lottery.pretrained import files_of
from lth_ray.lottery.rounds import Lineage
from lth_ray.printing import enumerated
from lth_ray.store import DamagedFile, Store
from lth_ray.training.backends import EAGER, FUSED, FUSED_NORM

Identities = Mapping[TaskConfig, Identity]
Declared = tuple[Study, Identities, Structures]  # a study as it was run, with what its data and networks were
Keys = dict[str, str]  # {ticket or branch result: key}


@dataclass(frozen=True)
class Older:
    """Results that are there and yet to be trained.

    tickets, branches: how many.
    why: each cause in words.
    remedy: what takes them.
    made_by: the version of lth_ray that made them.
    own: for this study, and not for others alone.
    """

    tickets: int
    branches: int
    why: tuple[str, ...]
    remedy: str
    made_by: str
    own: bool

    def __str__(self) -> str:
        counts = {"ticket": self.tickets, "branch result": self.branches}
        there = " and ".join(f"{n:,} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n)
        there += " is there" if self.tickets + self.branches == 1 else " are there"
        there += ", of this study under an older meaning" if self.own else ", of other studies under another meaning"
        return f"{there} (lth_ray {self.made_by}), not taken and trained anew: {'; '.join(self.why)}. {self.remedy}"


@dataclass(frozen=True)
class _Then:
    """A meaning that results may have.

    revisions: those above 1, where they are not the present ones.
    backend: that of what chooses its own, where it is not the present choice.
    why: what else was different, in words.
    structures: what its networks were made of, where a record says it.
    """

    study: Study
    identities: Identities
    revisions: Mapping[str, int] | None = None
    backend: str | None = None
    why: tuple[str, ...] = ()
    structures: Structures | None = None


def older(
    plan: Plan, store: Store, recorded: Sequence[Declared] = (), own: frozenset[str] = frozenset()
) -> list[Older]:
    """Return what of a plan is to be trained though it is in `store` under an older meaning; one entry for
    each meaning.

    recorded: the study as earlier runs declared it, newest first. own: the keys that these reached. Reads listings, and
    one record for each entry.
    """
    there = frozenset(store.segments() | store.tables())
    tickets = {_ticket(lineage, r.number): r.segment.key for lineage in plan.lineages for r in lineage.rounds}
    now = tickets | {result.id: result.key for result in plan.branches}
    left = {name for name, key in now.items() if key not in there}
    found = []
    for then in _meanings(plan, recorded) if left and there else ():
        keys = {name: key for name, key in _keys(then, there).items() if name in left and key in there}
        if keys:
            left -= keys.keys()
            count = len(keys.keys() & tickets.keys())
            why, remedy = _why(then, plan, keys, there), _remedy(then, plan.study)
            is_own = not own.isdisjoint(keys.values())
            found.append(Older(count, len(keys) - count, why, remedy, _version(store, keys), is_own))
        if not left:
            break
    return found


def _meanings(plan: Plan, recorded: Sequence[Declared]) -> Iterator[_Then]:
    """Yield the likely before the unlikely: another backend, an older release, other functions or data."""
    earlier = [above for _, above in reversed(RELEASES) if _differing(above)]
    revisions = [None, *(above for at, above in enumerate(earlier) if above not in earlier[:at])]
    for above in revisions:
        for backend in (None, EAGER, FUSED, FUSED_NORM):
            if (above, backend) != (None, None):
                yield _Then(plan.study, plan.identities, above, backend)
    for study, identities, structures in recorded:
        why = (
            *_other_functions(study, plan.study),
            *_other_data(identities, plan.identities),
            *_other_weights(study, plan.study),
        )
        if why:
            yield from (
                _Then(study, identities, above, backend, why, structures)
                for above in revisions
                for backend in (None, EAGER)
            )


def _keys(then: _Then, there: frozenset[str]) -> Keys:
    """Return what keys a study's tickets had, and its branch results where a ticket is `there`."""
    found: Keys = {}
    with as_of(then.revisions) if then.revisions is not None else nullcontext():
        try:
            eager = {"train.backend": EAGER} if then.backend == EAGER else {}
            lineages = unfolded(set_fields(then.study, eager), None, dict(then.identities), then.structures)
        except ConfigError:  # it could not have been run so
            return {}
        for lineage in lineages:
            if then.backend not in (None, EAGER):  # no setting chooses it: the dense trainings tell enough
                train = lineage.recipe.train
                if train.backend != "auto" or train.replicates > 1:
                    continue
                meaning = {**lineage.dense.meaning, "backend": then.backend}
                found[_ticket(lineage, 0)] = f"{digest('trajectory', meaning)}-{lineage.dense.last}"
                continue
            tickets = {_ticket(lineage, r.number): r.segment.key for r in lineage.rounds}
            found |= tickets
            if not there.isdisjoint(tickets.values()):
                found |= {result.id: result.key for result in branch_results(lineage)}
    return found


def _why(then: _Then, plan: Plan, keys: Keys, there: frozenset[str]) -> tuple[str, ...]:
    """Return what is different now, in words.

    keys: of what is `there` by the meaning `then`.
    """
    why = [*then.why]
    if then.backend is not None:
        chosen = {one.dense.backend for one in plan.lineages if any(name.startswith(f"{one.id}/") for name in keys)}
        now = enumerated(map(repr, sorted(chosen)))
        why.append(f"they were trained by backend {then.backend!r}, and Train.backend = 'auto' now chooses {now}")
    above = then.revisions or {}
    for part in _differing(above) if then.revisions is not None else ():
        before, present = above.get(part, 1), REVISIONS[part]
        restored = _keys(replace(then, revisions={**above, part: present}), there)
        if any(restored.get(name) != key for name, key in keys.items()):
            reason = f": {RAISED[part]}" if part in RAISED else ""
            why.append(f"{part!r} was at revision {before} and is at {present}{reason}")
    return tuple(why)


def _remedy(then: _Then, study: Study) -> str:
    if then.backend == EAGER and then.revisions is None and not then.why:
        fixed = any(path in ("train", "train.backend") for fields in study.arms.values() for path in fields)
        setting = "Train(backend='eager') in a study of another name" if fixed else "`--set train.backend=eager`"
        return f"{setting} takes them"
    if then.why and then.revisions is None and then.backend is None:
        return "Taking that back takes them"
    return "No setting takes them: the lth_ray that made them does"


def _differing(above: Mapping[str, int]) -> list[str]:
    """Return the parts that are at another revision now."""
    return [part for part, number in REVISIONS.items() if above.get(part, 1) != number]


def _other_functions(then: Study, now: Study) -> list[str]:
    """Return functions of one name with another source."""
    sources: dict[str, set[str | None]] = {}
    for _, function in functions_of(now):
        sources.setdefault(function.name, set()).add(function.source)
    changed = {
        f"{path} = {short_name(function)}": None
        for path, function in functions_of(then)
        if function.source not in sources.get(function.name, {function.source})
    }
    return [f"{what}: the function, or what it refers to, has changed" for what in changed]


def _other_data(then: Identities, now: Identities) -> list[str]:
    changed = [data for data, one in then.items() if data in now and now[data].digest != one.digest]
    return [f"the data set {data.called!r} holds other examples" for data in changed]


def _other_weights(then: Study, now: Study) -> list[str]:
    """Return files of one name with other weights."""
    present: dict[str, set[str | None]] = {}
    for file in files_of(now):
        present.setdefault(str(file), set()).add(file.content)
    other = (one for one in files_of(then) if one.content not in present.get(str(one), {one.content}))
    changed = dict.fromkeys(map(str, other))
    return [f"the file {name!r} of Model.weights holds other weights" for name in changed]


def _version(store: Store, keys: Keys) -> str:
    """Return the version of lth_ray by which the first of them was made."""
    key = next(iter(keys.values()))
    try:
        record = store.segment(key) or store.table(key) or {}
    except DamagedFile:
        record = {}
    return str(record.get("environment", {}).get("packages", {}).get("lth_ray", "unknown"))


def _ticket(lineage: Lineage, number: int) -> str:
    return f"{lineage.id}/round{number}"
