"""Which states are kept, for how long, and which of them are to be made again."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.stored import Stock
from lth_ray.lottery.task import AnyTask, Discard, TableTask, Task


def make_tasks(asked: Iterable[Segment | Table], keep: str, trunks: frozenset[str]) -> dict[str, AnyTask]:
    """{key: task} of every segment and table of a study, with what is kept of each segment.

    That is: what others start from, prune or measure, the start where it is newly made, the end of dense runs, and
    what `keep` says. Under "rewind" a ticket's trained state is there only until the last of these is done.
    """
    asked = list(asked)
    readers: dict[tuple[str, int], set[str]] = defaultdict(set)  # by (trajectory, step)
    wanted: dict[str, set[int]] = defaultdict(set)
    restored: dict[str, set[int]] = defaultdict(set)
    for one in asked:
        for trajectory, step, optimizer in one.needs:
            readers[trajectory, step].add(one.key)
            wanted[trajectory].add(step)
            restored[trajectory] |= {step} if optimizer else set()
    tasks: dict[str, AnyTask] = {
        one.key: TableTask(one)
        if isinstance(one, Table)
        else _task(one, wanted[one.trajectory], restored[one.trajectory], keep, one.key in trunks)
        for one in asked
    }
    for task in [task for task in tasks.values() if isinstance(task, Task)]:
        for step in task.passing:
            keys = readers[task.segment.trajectory, step]
            paths = frozenset(tasks[key].record_path for key in keys)
            discard = Discard(task.segment.trajectory, step, paths, task.key)
            for key in keys:
                if discard not in tasks[key].discards:
                    tasks[key] = replace(tasks[key], discards=(*tasks[key].discards, discard))
    return tasks


def _task(segment: Segment, wanted: set[int], restored: set[int], keep: str, is_trunk: bool) -> Task:
    read = {step for step in wanted if segment.first <= step <= segment.last}
    if not segment.num_steps and not is_trunk:  # an evaluation: what it looked at can be made again at once
        return Task(segment, frozenset(read))
    kept = {segment.first} if segment.starts_anew else set()
    if keep != "rewind" or is_trunk:
        kept |= {segment.last} | read
    if keep == "all":
        kept |= set(segment.recipe.evaluation_steps(segment.first, segment.last))
    states, passing = frozenset(kept | read), frozenset(read - kept)
    return Task(segment, states, passing, resumable=is_trunk, restored=frozenset(restored & read))


def state_tasks(tasks: Mapping[str, AnyTask], stock: Stock) -> dict[str, Task]:
    """Tasks for the states of finished segments that are asked for and not there: those of a later rewind point,
    what was not kept or was lost, and what is needed to make them again."""
    trained = {key: task for key, task in tasks.items() if isinstance(task, Task)}
    finished = [task for key, task in trained.items() if key in stock.records and not stock.diverged(key)]
    unfinished = [task for key, task in tasks.items() if key not in stock.records]
    makers = {state: task for task in finished for state in task.makes}
    for made_soon in (state for task in unfinished for state in task.makes):
        makers.pop(made_soon, None)  # made on its way
    asked = [(trajectory, step) for task in unfinished for trajectory, step, _ in task.reads]
    asked += [(task.segment.trajectory, step) for task in finished for step in task.states - task.passing]
    missing: dict[str, set[int]] = defaultdict(set)
    while asked:
        trajectory, step = asked.pop()
        maker = makers.get((trajectory, step))
        if maker is not None and step not in missing[trajectory] and not _is_there(maker, step, stock):
            missing[trajectory].add(step)
            asked += [(start, first) for start, first, _ in maker.segment.start.needs]
    made = [
        task for trajectory, steps in missing.items() if steps
        for task in _pieces(makers[trajectory, max(steps)], sorted(steps), stock)
    ]  # fmt: skip
    return {task.key: task for task in made}


def _is_there(task: Task, step: int, stock: Stock) -> bool:
    return (task.segment.trajectory, step) in (stock.resumable if task.resumable_at(step) else stock.states)


def _pieces(task: Task, steps: list[int], stock: Stock) -> list[Task]:
    """Training that makes the states at `steps`, each piece of it from the nearest earlier snapshot."""
    trajectory, first = task.segment.trajectory, task.segment.first
    snapshots = {step for at, step in stock.resumable if at == trajectory}
    pieces: list[tuple[int, list[int]]] = []
    for step in steps:
        begins = max((snapshot for snapshot in snapshots if snapshot <= step), default=first)
        if pieces and begins <= pieces[-1][1][-1]:
            pieces[-1][1].append(step)
        else:
            pieces.append((begins, [step]))
    return [task.for_states(made, begins) for begins, made in pieces]
