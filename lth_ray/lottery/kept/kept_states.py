"""The states that are kept: which, for how long, and which of them are to be made again."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.kept.stored import Stock
from lth_ray.lottery.pieces import Discard, Measurement, Piece, Training
from lth_ray.lottery.sources import UNKNOWN


def make_pieces(
    asked: Iterable[Segment | Table], keep: str, trunks: frozenset[str], drawn: Mapping[str, int] | None = None
) -> dict[str, Piece]:
    """Return {key: piece} of every segment and table of a study, with what is kept of each segment.

    That is: what others start from, prune or measure, the start where it is newly made, the end of dense runs, and
    what `keep` says. Under "rewind" a ticket's trained state is there only until the last of these is done.
    """
    asked = [one.with_drawn(drawn) for one in asked] if drawn else list(asked)
    drawn = drawn or {}
    readers: dict[tuple[str, int], set[str]] = defaultdict(set)  # by (trajectory, step)
    wanted: dict[str, set[int]] = defaultdict(set)
    restored: dict[str, set[int]] = defaultdict(set)
    for one in asked:
        for trajectory, step, optimizer in one.needs:
            readers[trajectory, step].add(one.key)
            wanted[trajectory].add(step)
            restored[trajectory] |= {step} if optimizer else set()
    drawing: dict[str, list[Segment]] = defaultdict(list)
    for one in asked:
        if isinstance(one, Segment) and one.draw is not None:
            drawing[one.trajectory].append(one)
    pieces: dict[str, Piece] = {
        one.key: Measurement(one)
        if isinstance(one, Table)
        else _training(
            one,
            wanted[one.trajectory] | wanted[one.key],
            restored[one.trajectory],
            keep,
            one.key in trunks,
            drawn.get(one.key),
        )
        for one in asked
    }
    for key in pieces.keys() & trunks:
        if isinstance(trunk := pieces[key], Training):
            siblings = tuple(one for one in drawing[trunk.segment.trajectory] if one.key != key)
            pieces[key] = replace(trunk, siblings=siblings)
    for piece in [piece for piece in pieces.values() if isinstance(piece, Training)]:
        for step in piece.passing:
            keys = readers[piece.segment.trajectory, step]
            paths = frozenset(pieces[key].record_path for key in keys)
            discard = Discard(piece.segment.trajectory, step, paths, piece.key)
            for key in keys:
                if discard not in pieces[key].discards:
                    pieces[key] = replace(pieces[key], discards=(*pieces[key].discards, discard))
    return pieces


def _training(
    segment: Segment, wanted: set[int], restored: set[int], keep: str, is_trunk: bool, drawn: int | None
) -> Training:
    if segment.draw is not None:  # it may end at any look from the earliest on, and keeps the state there by itself
        sure = {step for step in wanted if segment.first <= step <= segment.draw.earliest or step == drawn}
        states = frozenset({segment.first} | sure if segment.starts_anew else sure)
        return Training(segment, states, resumable=True, restored=frozenset(restored & states), drawn=drawn)
    read = {step for step in wanted if segment.first <= step <= segment.last}
    if not segment.num_steps and not is_trunk:  # an evaluation: what it looked at can be made again at once
        return Training(segment, frozenset(read))
    kept = {segment.first} if segment.starts_anew else set()
    if keep != "rewind" or is_trunk:
        kept |= {segment.last} | read
    if UNKNOWN in wanted:  # it is stretched, and what it ends with is read
        kept |= {segment.last}
    if keep == "all":
        kept |= set(segment.recipe.evaluation_steps(segment.first, segment.last))
    states, passing = _shared(frozenset(kept | read)), _shared(frozenset(read - kept))
    return Training(segment, states, passing, resumable=is_trunk, restored=_shared(frozenset(restored & read)))


@lru_cache(maxsize=4096)
def _shared(steps: frozenset[int]) -> frozenset[int]:
    """Return one set for all that are equal: those of a hundred thousand lineages differ in nothing."""
    return steps


def state_pieces(pieces: Mapping[str, Piece], stock: Stock) -> dict[str, Training]:
    """Return trainings for the states of finished segments that are asked for and not there.

    These are those of a later rewind point, what was not kept or was lost, and what is needed to make them
    again.
    """
    trained = {key: piece for key, piece in pieces.items() if isinstance(piece, Training)}
    finished = [piece for key, piece in trained.items() if key in stock.records and not stock.diverged(key)]
    unfinished = [piece for key, piece in pieces.items() if key not in stock.records]
    makers = {state: piece for piece in finished for state in piece.makes}
    for made_soon in (state for piece in unfinished for state in piece.makes):
        makers.pop(made_soon, None)  # made on its way
    asked = [(trajectory, step) for piece in unfinished for trajectory, step, _ in piece.reads]
    asked += [(piece.segment.trajectory, step) for piece in finished for step in piece.states - piece.passing]
    missing: dict[str, set[int]] = defaultdict(set)
    while asked:
        trajectory, step = asked.pop()
        maker = makers.get((trajectory, step))
        if maker is not None and step not in missing[trajectory] and not _is_there(maker, step, stock):
            missing[trajectory].add(step)
            asked += [(start, first) for start, first, _ in maker.segment.start.needs]
    made = [
        piece
        for trajectory, steps in missing.items()
        if steps
        for piece in _pieces(makers[trajectory, max(steps)], sorted(steps), stock)
    ]
    return {piece.key: piece for piece in made}


def _is_there(piece: Training, step: int, stock: Stock) -> bool:
    return (piece.segment.trajectory, step) in (stock.resumable if piece.resumable_at(step) else stock.states)


def _pieces(piece: Training, steps: list[int], stock: Stock) -> list[Training]:
    """Return training that makes the states at `steps`, each piece of it from the nearest earlier snapshot."""
    trajectory, first = piece.segment.trajectory, piece.segment.first
    snapshots = {step for at, step in stock.resumable if at == trajectory}
    pieces: list[tuple[int, list[int]]] = []
    for step in steps:
        begins = max((snapshot for snapshot in snapshots if snapshot <= step), default=first)
        if pieces and begins <= pieces[-1][1][-1]:
            pieces[-1][1].append(step)
        else:
            pieces.append((begins, [step]))
    return [piece.for_states(made, begins) for begins, made in pieces]
