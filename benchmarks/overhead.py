"""Start-up, and what a study's time goes into beside training and evaluation.

Four figures: the seconds of `python studies/digits.py --plan` (beside those of a bare `import torch`) and of the whole
study run again once it is finished, each in processes of their own; the share of a lineage of 1-second rounds that is
not training, from one result to the next as the driver gets them; and that share in studies/lenet_mnist.py, with
trainings evaluated as often as there and a fifth as long, on two cores. The last is an upper bound: what is done once a
training weighs less in a longer one, and what the driver and Ray's own processes take of the cores is added, though it
lies within the trainings' time or on a core that idles.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from typing import Any
from unittest.mock import patch

import psutil
from rich.console import Console

from benchmarks.suite import data_root
from benchmarks.timing import Entry, Line, Paired, Skipped, paired
from lth_ray.config import Data, Launch, Model, Prune, Study, Train, set_fields, steps
from lth_ray.lottery import Job, make_plan
from lth_ray.running import driver
from lth_ray.running.estimate import estimate
from lth_ray.running.watch import Watch

ROOT = Path(__file__).resolve().parents[1]
DIGITS, LENET = ROOT / "studies" / "digits.py", ROOT / "studies" / "lenet_mnist.py"
PLAN_S, RERUN_S, ROUND_PERCENT, WHOLE_PERCENT = 4.0, 10.0, 20.0, 5.0  # the targets
PAIRS_A_PROCESS = 66
ROUNDS = 10  # of a second each
WHOLE = "neither training nor evaluation, of lenet_mnist.py"
# the densities that 24 rounds of a fifth go through, in fewer: 100, 40, 16, 6.4, 2.6 and 1 %
SHORTENED = {
    "prune.fraction": {"fc*.weight": 0.6, "output.weight": 0.3}, "prune.rounds": 5, "seeds": [0, 1],
    "arms": {"iterative": {}}, "train.length": steps(10_000),
}  # fmt: skip


def entries(pairs: int = 200) -> list[Line]:
    """Measure all four; without MNIST, the first three."""
    times = max(2, pairs // PAIRS_A_PROCESS)
    with tempfile.TemporaryDirectory(prefix="lth_", ignore_cleanup_errors=True) as folder:
        own = [planning(times, folder), again(times, folder), of_rounds(Path(folder, "rounds"))]
        images = data_root() / "MNIST"
        if images.is_dir():
            return [*own, of_lenet(Path(folder, "lenet"))]
        why = f"there is no MNIST in {images}; give --data-root the folder with it"
        return [*own, Skipped(WHOLE, why)]


def planning(times: int, folder: str) -> Entry:
    """Time --plan, with an empty storage."""
    measured = paired(
        lambda: python(DIGITS, "--plan", "--storage", f"{folder}/none"),
        lambda: python("-c", "import torch"),
        pairs=times, warmups=1,
    )  # fmt: skip
    return seconds("digits.py --plan, beside `import torch`", measured.ours_s, PLAN_S, measured)


def again(times: int, folder: str) -> Entry:
    """Time a study of which nothing is left to do, in the store and in MLflow."""
    command = (DIGITS, "--storage", f"{folder}/digits", "--cpus", "2")
    python(*command)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        python(*command)
        taken.append(time.perf_counter() - began)
    return seconds("digits.py, finished, run again", taken, RERUN_S)


def python(*arguments: object) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, capture_output=True, cwd=ROOT)


def seconds(name: str, taken: Sequence[float], target: float, beside: Paired | None = None) -> Entry:
    """Return the report's line on so many runs."""
    median, (low, _, high) = statistics.median(taken), statistics.quantiles(taken, n=4)
    theirs = beside.theirs_ms if beside else None
    return Entry(name, "s", median, (low, high), target, 1e3 * median, theirs, len(taken))


@dataclass(frozen=True)
class Noted:
    """A result as the driver got it. at, others_s: seconds, of the clock and of processor time of `others`."""

    job: Job
    result: dict[str, Any]
    at: float
    others_s: float

    @property
    def training_s(self) -> float:
        return float(self.result["training_s"])


def noted(study: Study, launch: Launch) -> list[Noted]:
    """Run a study to its end; return its results in the order in which they came."""
    found: list[Noted] = []

    class Noting(Watch):
        def on_piece(self, job: Job, result: dict[str, Any]) -> None:
            found.append(Noted(job, result, time.monotonic(), others_s()))
            super().on_piece(job, result)

    with patch.object(driver, "Watch", Noting):
        results = driver.run(study, launch, console=Console(quiet=True))
    assert not results.failures, results.failures
    return found


def others_s() -> float:
    """Return the processor time so far of the driver and of Ray's own processes: of all but those that train."""
    found = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            taken = process.cpu_times() if not process.name().startswith("ray::") else None
        except psutil.Error:  # it has ended
            continue
        found += taken.user + taken.system if taken else 0.0
    return found


def of_rounds(storage: Path) -> Entry:
    """Measure the rounds of a lineage that trains LeNet-300-100 for a second each."""
    study = Study(
        "rounds", model=Model("lenet_300_100"), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(1000), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100)),
        prune=Prune(scope="layer", fraction=0.02, rounds=ROUNDS), rewind=[steps(0)], seeds=[0],
    )  # fmt: skip
    plan = make_plan(study, None)
    length = round(plan.remaining_steps / estimate(plan, None, Launch(), 1).seconds)
    study = replace(study, train=replace(study.train, length=steps(length)))
    return rounds_line(noted(study, Launch(str(storage), cpus=2)))


def rounds_line(found: Sequence[Noted]) -> Entry:
    """The report's, on the results of a dense run and of a lineage's rounds.

    Of a round it is known when it began from the second on: the first one may be another process's than the dense run.
    """
    rounds = [(later.at - earlier.at, later.training_s) for earlier, later in pairwise(found[1:])]
    low, median, high = statistics.quantiles([100 * (1 - inside / s) for s, inside in rounds], n=4)
    name = f"not training, of a round of {statistics.median(s for s, _ in rounds):.2g} s"
    outside_ms = 1e3 * statistics.median(s - inside for s, inside in rounds)
    inside_ms = 1e3 * statistics.median(inside for _, inside in rounds)
    return Entry(name, "%", median, (low, high), ROUND_PERCENT, outside_ms, inside_ms, len(rounds))


def of_lenet(storage: Path) -> Entry:
    """Measure the study with two seeds, six densities, shorter trainings and no branches; both cores work."""
    study = set_fields(run_path(str(LENET))["study"], SHORTENED)
    return whole_line(noted(study, Launch(str(storage), data_root=str(data_root()), cpus=2)), study.seeds)


def whole_line(found: Sequence[Noted], seeds: Sequence[int]) -> Entry:
    """Return the line on the results of a chain of jobs for each seed, dense runs first, done at the same
    time.
    """
    n, chains = len(found), [[one for one in found if f"seed{seed}" in one.job.id] for seed in seeds]
    spans = [chain[-1].at - chain[0].at + chain[0].result["wall_s"] for chain in chains]
    training = [sum(one.training_s for one in chain) for chain in chains]
    others = (found[-1].others_s - found[0].others_s) * n / (n - 1) / len(chains)  # it is not seen before the first
    shares = [100 * (1 - (t - others) / s) for t, s in zip(training, spans, strict=True)]
    share = 100 * (1 - sum(t - others for t in training) / sum(spans))
    inside_ms = 1e3 * sum(training) / n
    outside_ms = 1e3 * sum(spans) / n * share / 100
    return Entry(WHOLE, "%", share, (min(shares), max(shares)), WHOLE_PERCENT, outside_ms, inside_ms, n)
