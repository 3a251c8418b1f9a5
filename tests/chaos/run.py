"""`make chaos`: a hundred faults of all kinds under a fixed seed; the table of what they have cost.

python -m tests.chaos.run [--faults N] [--minutes M] [--kinds trial,driver] [--only 0,2] [--folder FOLDER]
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from tests.chaos import faults
from tests.chaos.compare import Seen, damages, differences, seen
from tests.chaos.scene import EVERY, NAME, Lost, Scene, a_scene

SEED, FAULTS, MINUTES = 20, 100, 90.0
LAST_MINUTES = 4.0  # that the end of a study may take: no fault falls later


@dataclass(frozen=True)
class Fault:
    """after: so many further steps. seconds: from the blow to the next steps. lost: what it has cost; "" for nothing,
    None where it has not fallen."""

    number: int
    kind: str
    workers: int
    remote: bool
    after: int
    seconds: float = 0.0
    lost: str | None = None


def schedule(count: int, seed: int = SEED) -> list[Fault]:
    """Rounds of all kinds, each once a round in an order that is drawn; rounds without workers and with two in turn."""
    draw, found = random.Random(seed), list[Fault]()
    for workers in cycle((0, 2)):
        if len(found) >= count:
            break
        for remote, kinds in ((False, faults.TOGETHER if workers else faults.ALONE), (True, faults.REMOTE)):
            for strike in draw.sample(kinds, len(kinds)):
                found.append(Fault(len(found), strike.__name__, workers, remote, draw.randint(1, 2 * EVERY)))
    return found[:count]


def lives(planned: Sequence[Fault]) -> list[list[Fault]]:
    """Faults that befall one study one after another: neighbours under the same conditions."""
    found: list[list[Fault]] = []
    for fault in planned:
        if found and (found[-1][-1].workers, found[-1][-1].remote) == (fault.workers, fault.remote):
            found[-1].append(fault)
        else:
            found.append([fault])
    return found


def live(scene: Scene, planned: Sequence[Fault], expected: Seen, ends: float) -> list[Fault]:
    """Lets the faults befall one study, as many as it lives to see, and compares what it has become. Those that have
    fallen; whoever of them it was is not known where the end differs."""
    fallen: list[Fault] = []
    wrong: list[str] = []
    try:
        for fault in planned:
            if time.monotonic() > ends or not scene.train(fault.after):
                break
            fallen.append(befall(scene, fault))
            if fallen[-1].lost:
                scene.kill_driver()
                break
        scene.finish()
        if scene.damaged:
            scene.lth_ray("verify", "--mend")
            scene.finish()
        wrong = differences(expected, seen(scene.storage, scene.database, NAME))
        wrong += [text for text in (damages(scene.storage),) if text]
    except Exception as error:  # of whatever kind: the other lives go on
        wrong.append(_said(error))
    for text in wrong:
        print(f"  LOST at the end: {text}", flush=True)
    return [replace(fault, lost="; ".join([*filter(None, [fault.lost]), *wrong])) for fault in fallen]


def befall(scene: Scene, fault: Fault) -> Fault:
    """One fault, and whether the study trains further after it."""
    began = time.monotonic()
    scene.draw.seed(f"{SEED} {fault.number}")  # so that it is the same whatever came before
    try:
        faults.KINDS[fault.kind](scene)
        scene.train(3)
        lost = ""
    except Exception as error:
        lost = _said(error)
    seconds = time.monotonic() - began
    print(f"  {fault.number:3} {fault.kind}: {lost or 'goes on'} after {seconds:.0f} s", flush=True)
    return replace(fault, seconds=seconds, lost=lost)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Lost) else f"{type(error).__name__}: {error}"


def undisturbed(folder: Path, workers: int) -> Seen:
    """Return what comes of the study where nothing happens."""
    with a_scene(folder, workers, False) as scene:
        scene.environment["LTH_PAUSE_S"] = "0"
        scene.finish()
        return seen(scene.storage, scene.database, NAME)


def endure(planned: Sequence[Fault], folder: Path, minutes: float) -> list[Fault]:
    """Lets all of them fall within the time; the same faults, with what they have cost."""
    ends = time.monotonic() + 60 * (minutes - LAST_MINUTES)
    expected: dict[int, Seen] = {}
    done: list[Fault] = []
    for number, life in enumerate(lives(planned)):
        left = life
        while left and time.monotonic() < ends:
            first = left[0]
            if first.workers not in expected:
                expected[first.workers] = undisturbed(folder / f"undisturbed-{first.workers}", first.workers)
            where = folder / f"life-{number}-{first.number}"
            print(f"{where.name}: {first.workers} workers, {'S3' if first.remote else 'a disk'}", flush=True)
            fallen: list[Fault] = []
            try:
                with a_scene(where, first.workers, first.remote) as scene:
                    fallen = live(scene, left, expected[first.workers], ends)
                    if any(fault.lost for fault in fallen):
                        raise Lost(f"kept: {where}")
            except Exception as error:  # the folder stays
                print(f"  {_said(error)}", flush=True)
                fallen = fallen or [replace(first, lost=_said(error))]
            done += fallen
            if not fallen:  # the study ended before the first of them was due
                break
            left = left[len(fallen) :]
    fell = {fault.number for fault in done}
    return sorted([*done, *(fault for fault in planned if fault.number not in fell)], key=lambda fault: fault.number)


def table(told: Sequence[Fault]) -> str:
    """A row a kind, with and without workers."""
    lines = ["| kind | workers | faults | survived | s to the next steps | lost |", "|---|---|---|---|---|---|"]
    for kind, workers in sorted({(fault.kind, fault.workers) for fault in told}):
        own = [fault for fault in told if (fault.kind, fault.workers) == (kind, workers) and fault.lost is not None]
        waits = [fault.seconds for fault in own if not fault.lost]
        took = f"{statistics.median(waits):.0f} ({min(waits):.0f} - {max(waits):.0f})" if waits else ""
        lost = "; ".join(sorted({fault.lost for fault in own if fault.lost}))
        lines.append(f"| {kind} | {workers} | {len(own)} | {len(waits)} | {took} | {lost} |")
    fell = [fault for fault in told if fault.lost is not None]
    survived = sum(not fault.lost for fault in fell)
    return "\n".join([*lines, "", f"{len(fell)} of {len(told)} faults fell, {survived} were survived."])


def main() -> int:
    """1 where something was lost, or not all faults fell in the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=int(os.environ.get("LTH_RAY_CHAOS", FAULTS)))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--kinds", default="", help="only these, by commas")
    parser.add_argument("--only", default="", help="only the faults with these numbers, by commas")
    parser.add_argument("--folder", default="", help="where the studies are run and kept that were lost")
    given = parser.parse_args()
    planned = schedule(given.faults)
    if given.kinds:
        planned = [fault for fault in planned if fault.kind in given.kinds.split(",")]
    if given.only:
        planned = [fault for fault in planned if str(fault.number) in given.only.split(",")]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended
    began = time.monotonic()
    told = endure(planned, Path(given.folder or tempfile.mkdtemp(prefix="lth_chaos_")), given.minutes)
    print(f"\n{table(told)} {(time.monotonic() - began) / 60:.0f} minutes, seed {SEED}.")
    return int(any(fault.lost is None or fault.lost for fault in told))


if __name__ == "__main__":
    sys.exit(main())
