"""A snapshot as plain lines, for logs: few, each of which says where the run is."""

from lth_ray.watching.lineage_rows import speed
from lth_ray.watching.live_view import number, percent, stopping
from lth_ray.watching.snapshot import Snapshot, Work, duration

SHORTEST_S, LONGEST_S = 10.0, 300.0
SHARE = 0.1  # of the time so far until the next line: an hour has some fifty
SHOWN_WORK = 3


def pause_s(elapsed_s: float) -> float:
    """Return how long a log waits for its next line."""
    return min(LONGEST_S, max(SHORTEST_S, SHARE * elapsed_s))


def began(snapshot: Snapshot) -> str:
    """Return what there is to do, and what need not be done."""
    dense, lineages = snapshot.dense_runs, len(snapshot.lines)
    saved = snapshot.naive_steps - snapshot.unique_steps
    text = f"{snapshot.study}: {number(lineages, 'lineage')}"
    text += f" on {number(dense, 'dense run')}" if dense < lineages else ""
    text += f", {number(snapshot.trainings[1], 'training')}, {snapshot.unique_steps:,} steps"
    text += f", {saved:,} saved by sharing" if saved > 0 else ""
    return text + (f", {snapshot.reused_steps:,} in the store already" if snapshot.reused_steps > 0 else "")


def where(snapshot: Snapshot) -> str:
    """Return where the run is, in one line."""
    done, trainings = snapshot.trainings
    facts = [
        f"{percent(snapshot)} %",
        f"{done:,}/{trainings:,} trainings",
        f"{snapshot.finished}/{len(snapshot.lines)} lineages",
    ]
    facts += [] if snapshot.steps_per_s is None else [f"{speed(snapshot.steps_per_s)} steps/s"]
    facts.append(f"{duration(snapshot.at - snapshot.began)} so far")
    facts += [] if not snapshot.seconds_left else [f"about {duration(snapshot.seconds_left)} left"]
    facts += [stopping(snapshot.stopping)] if snapshot.stopping else []
    text = ", ".join(facts)
    works = snapshot.at_work
    if works:
        more = f" and {len(works) - SHOWN_WORK} more" if len(works) > SHOWN_WORK else ""
        text += f" | now {', '.join(_briefly(work) for work in works[:SHOWN_WORK])}{more}"
    text += f" | waits for room: {'; '.join(snapshot.room[:SHOWN_WORK])}" if snapshot.room else ""
    return text + (f" | last {snapshot.last}" if snapshot.last else "")


def left_at(snapshot: Snapshot) -> str:
    """Return how far a run was when it was stopped."""
    done, trainings = snapshot.trainings
    facts = [
        f"{done:,} of {number(trainings, 'training')}",
        f"{snapshot.finished} of {number(len(snapshot.lines), 'lineage')}",
    ]
    facts += (
        [f"{snapshot.branches[0]:,} of {number(snapshot.branches[1], 'branch', 'es')}"] if snapshot.branches[1] else []
    )
    return f"stopped at {percent(snapshot)} %, with {', '.join(facts)} finished"


def _briefly(work: Work) -> str:
    number = "" if work.round is None else f" round {work.round}"
    does = f"{100 * work.share:.0f} %" if work.watched else "" if work.round is not None else work.doing
    return f"{work.job}{number} ({does})" if does else f"{work.job}{number}"
