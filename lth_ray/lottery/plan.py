"""The plan: a study unfolded into jobs with keys, in which nothing is trained twice."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lth_ray.collector import paused
from lth_ray.config import ConfigError, Study, TaskConfig, settled, variants
from lth_ray.data import Identity
from lth_ray.lottery.branch_tree import BranchResult, branch_results, other_data
from lth_ray.lottery.checks import (
    check_functions,
    check_networks,
    check_tickets,
    check_weights,
    tell_other_sources,
)
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.jobs import Job, make_jobs
from lth_ray.lottery.kept.kept_states import make_pieces, state_pieces
from lth_ray.lottery.kept.records import segments
from lth_ray.lottery.kept.stored import Stock, damaged_masks, take_stock
from lth_ray.lottery.kept.structures import Structures, recipe_of, structures_of
from lth_ray.lottery.other_studies import with_keys
from lth_ray.lottery.piece_checks import check_alignment, check_patterns, check_replicates
from lth_ray.lottery.pieces import Piece
from lth_ray.lottery.pretrained import identified
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.stop_rule import ending_of
from lth_ray.lottery.transfer_checks import check_transfers
from lth_ray.store import Store
from lth_ray.tasks import task_of
from lth_ray.training import Recipe


@dataclass(frozen=True)
class Plan:
    """A study unfolded.

    pieces: every piece of the study by key, finished or not.
    jobs: what is left to do, producers before consumers.
    """

    study: Study
    lineages: tuple[Lineage, ...]
    branches: tuple[BranchResult, ...]
    pieces: dict[str, Piece]
    jobs: tuple[Job, ...]
    identities: dict[TaskConfig, Identity]

    @cached_property
    def structures(self) -> dict[str, str]:
        """The structures of its networks, for its record."""
        recipes = (piece.recipe for piece in self.pieces.values())
        return structures_of((*(lineage.recipe for lineage in self.lineages), *recipes))

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(self.pieces)

    @cached_property
    def unique_steps(self) -> int:
        """The optimizer steps of the whole study, each counted once."""
        return sum(piece.num_steps for piece in self.pieces.values())

    @cached_property
    def branch_steps(self) -> int:
        """Those of `unique_steps` that branches take."""
        keys = {segment.key for result in self.branches for _, segment in result.trainings} & self.keys
        keys -= {r.segment.key for lineage in self.lineages for r in lineage.rounds}  # a transfer to its own data
        return sum(self.pieces[key].num_steps for key in keys)

    @cached_property
    def naive_steps(self) -> int:
        """The steps of training every lineage from its own initialisation, and every branch by itself."""
        rounds = sum(
            (r.segment.num_steps + (r.search.num_steps if r.search else 0))
            for lineage in self.lineages
            for r in lineage.rounds
        )
        rounds += sum(lineage.pretraining.num_steps for lineage in self.lineages if lineage.pretraining)
        trainings = {(job, segment.key): segment for b in self.branches for job, segment in b.trainings}
        return rounds + sum(
            self.pieces[key].num_steps if key in self.pieces else segment.num_steps
            for (_, key), segment in trainings.items()
        )

    @cached_property
    def remaining_steps(self) -> int:
        return sum(job.num_steps for job in self.jobs)

    @cached_property
    def priorities(self) -> dict[str, int]:
        """The steps on the longest chain that each job begins: long chains go first."""
        producer = {piece.key: job.id for job in self.jobs for piece in job.pieces}
        longest: dict[str, int] = {}
        for job in reversed(self.jobs):
            longest[job.id] = longest.get(job.id, 0) + job.num_steps
            for need in job.needs & producer.keys():
                longest[producer[need]] = max(longest.get(producer[need], 0), longest[job.id])
        return longest


def make_plan(
    study: Study,
    data_root: str | None = None,
    store: Store | None = None,
    identities: Mapping[TaskConfig, Identity] | None = None,
    structures: Structures | None = None,
) -> Plan:
    """Unfold a study; with a store, `jobs` holds only what is not done yet.

    identities, structures: of a recorded study, whose data sets and functions need not be at hand and were checked
        before.

    Raises ConfigError for whatever can be known to be wrong before training: names, lengths, globs, missing data.
    """
    with paused():  # a third of the time of a plan of thousands of lineages
        return _planned(study, data_root, store, identities, structures)


def _planned(
    study: Study,
    data_root: str | None,
    store: Store | None,
    identities: Mapping[TaskConfig, Identity] | None,
    structures: Structures | None,
) -> Plan:
    known, study = dict(identities or {}), identified(settled(study), data_root)

    def unfold(other: Study) -> tuple[Lineage, ...]:
        return unfolded(identified(settled(other), data_root), data_root, dict(known), structures)

    study = with_keys(study, unfold)
    lineages = unfolded(study, data_root, known, structures)
    branches = tuple(result for lineage in lineages for result in branch_results(lineage))
    _check_distinct("Study.branches: two results", (result.id for result in branches))
    if identities is None:
        check_functions(lineages)
        check_networks(lineages)
        check_weights(lineages)
        check_tickets(lineages, store)
    stock = take_stock(store, _asked(lineages, branches, {})) if store else Stock()
    if identities is None:
        tell_other_sources(lineages, stock.records)
    asked = _asked(lineages, branches, _ended_early(lineages, stock))
    trained = segments(stock.records)
    diverged = [(key, record.trajectory) for key, record in trained.items() if record.diverged_at is not None]
    lost = frozenset(name for names in diverged for name in names)
    drawn = {key: record.drawn["step"] for key, record in trained.items() if record.drawn}
    drawn |= {key: trained[key].last for key, one in asked.items() if _is_stretched(one) and key in trained}
    trunks = frozenset(one.key for lineage in lineages for one in (lineage.dense, lineage.trunk))
    pieces = make_pieces(_possible(asked.values(), lost), study.keep, trunks, drawn)
    if identities is None:
        check_replicates(pieces.values())
        check_alignment(pieces.values())
        check_patterns(pieces.values())
        check_transfers(branches)
    if store is not None and identities is None:
        for key in damaged_masks(pieces, stock, store):
            del stock.records[key]
    unfinished = {key: piece for key, piece in pieces.items() if key not in stock.records}
    jobs = make_jobs(lineages, branches, {**state_pieces(pieces, stock), **unfinished})
    return Plan(study, lineages, branches, pieces, jobs, known)


def unfolded(
    study: Study,
    data_root: str | None,
    identities: dict[TaskConfig, Identity],
    structures: Structures | None = None,
) -> tuple[Lineage, ...]:
    """Return every lineage of a settled study.

    identities: of its data sets, as far as they are known; gains the others.
    structures: of a recorded study, what its networks are made of.
    """
    found, recipes = [], dict[int, Recipe]()  # one of each declaration, whatever the seed and the rewind point
    for variant in variants(study):
        data = variant.study.data
        pretraining = variant.rewind.pretraining
        others = [pretraining.data(data)] if pretraining else []
        for one in (data, *others, *other_data(variant.study.branches, data)):
            if one not in identities:
                identities[one] = task_of(one).identify(data_root)
        if id(variant.study) not in recipes:
            model, train = variant.study.model.drawn, variant.study.train
            recipes[id(variant.study)] = recipe_of(model, data, train, identities[data], structures)
        found.append(Lineage(variant, recipes[id(variant.study)], identities, structures))
    _check_distinct("Study.rewind, Study.sweep: two lineages", (lineage.id for lineage in found))
    return tuple(found)


def _check_distinct(what: str, ids: Iterable[str]) -> None:
    name, number = next(iter(Counter(ids).most_common(1)), ("", 0))
    if number > 1:
        raise ConfigError(f"{what} would be called {name!r}; leave one of them out")


def _is_stretched(one: Segment | Table) -> bool:
    return isinstance(one, Segment) and one.stretch is not None


def _ended_early(lineages: Iterable[Lineage], stock: Stock) -> dict[str, int]:
    """Return {lineage: last round} of the lineages that have ended: a loss that diverged, or the rule of
    Study.stop_below.
    """
    ended: dict[str, int] = {}
    for lineage in lineages:
        for r in lineage.rounds:
            record = stock.records.get(r.segment.key)
            stopped = record is not None and ending_of(record, lineage.stop_rule(r.number)) is not None
            if stopped or (r.search is not None and stock.diverged(r.search.key)):
                ended[lineage.id] = r.number
                break
    return ended


def _possible(asked: Iterable[Segment | Table], lost: frozenset[str]) -> list[Segment | Table]:
    """Leave out what starts from or measures a state of a training that diverged, and what builds on that.

    asked: producers before consumers. lost: keys and trajectories of trainings that diverged.
    """
    found, dropped = [], set[str]()
    for one in asked:
        after = one.of if isinstance(one, Table) else (one.needs_mask_of,)
        if dropped.isdisjoint(after) and not any(trajectory in lost for trajectory, _, _ in one.needs):
            found.append(one)
        else:
            dropped.add(one.key)
    return found


def _asked(
    lineages: Iterable[Lineage], branches: Iterable[BranchResult], ended: Mapping[str, int]
) -> dict[str, Segment | Table]:
    """Return every segment and table by key, producers before consumers; what lies behind a lineage's end is
    left out.
    """
    found: dict[str, Segment | Table] = {}
    for lineage in lineages:
        if lineage.pretraining is not None:
            found.setdefault(lineage.pretraining.key, lineage.pretraining)
        last = ended.get(lineage.id, lineage.prune.num_rounds)
        for r in lineage.rounds[: last + 1]:
            for segment in (r.segment, r.search if r.number < last else None):
                if segment is not None:
                    found.setdefault(segment.key, segment)
    there = [result for result in branches if result.round <= ended.get(result.lineage.id, result.round)]
    for result in there:
        for _, segment in result.trainings:
            found.setdefault(segment.key, segment)
    for table in (result.table for result in there):
        if table is not None and all(key in found for key in table.of):  # another seed's lineage may have ended
            found.setdefault(table.key, table)
    return found
