"""Dispatch of whatever a plan asks for to what carries it out."""

from collections.abc import Sequence

from lth_ray.lottery.execution.execute import execute
from lth_ray.lottery.execution.measure import measure
from lth_ray.lottery.execution.prepare import nothing_left
from lth_ray.lottery.execution.progress import Outcome
from lth_ray.lottery.execution.reading import once_more, stored_segment, stored_table
from lth_ray.lottery.execution.together import execute_together
from lth_ray.lottery.pieces import Measurement, Piece, Training
from lth_ray.store import Store, mask_path
from lth_ray.tasks.base import Loaded
from lth_ray.training import ALONE, Clock, Team


def carry_out(
    piece: Piece, store: Store, dataset: Loaded, device: str, clock: Clock | None = None, team: Team = ALONE
) -> Outcome:
    """Train or measure, alone or as one of a team whose leader alone writes to the store.

    Raises MissingState where something it needs is not there any more.
    """
    if isinstance(piece, Measurement):
        return once_more(lambda: measure(piece, store, dataset, device, team))
    if piece.recipe.train.replicates == 1:
        return once_more(lambda: execute(piece, store, dataset, device, clock, team))
    (outcome,) = execute_together([piece], store, dataset, device, clock)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def carry_out_all(
    pieces: Sequence[Piece], store: Store, dataset: Loaded, device: str, clock: Clock | None = None
) -> list[Outcome | Exception]:
    """Carry out pieces that a trial's jobs come to at once; return what comes of each.

    One alone is done as by `carry_out`; several are trained together, and each of them may fail by itself.
    """
    trained = [piece for piece in pieces if isinstance(piece, Training)]
    if len(pieces) > 1 and len(trained) == len(pieces):
        return execute_together(trained, store, dataset, device, clock)
    return [carry_out(piece, store, dataset, device, clock) for piece in pieces]


def stored(piece: Piece, store: Store) -> Outcome | None:
    """Return the outcome of a piece of which nothing is left to be done, by a look at the store alone; else
    None.
    """
    if isinstance(piece, Measurement):
        table = stored_table(store, piece.key)
        return None if table is None else Outcome(table, 0, 0.0)
    record = stored_segment(store, piece.record_key)
    lost = record is not None and record.mask is not None and not store.exists(mask_path(record.mask))
    return None if record is None or lost else nothing_left(piece, store, record)
