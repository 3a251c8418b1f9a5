"""Branches that measure, run by Ray: what lands in the tables and in MLflow, and that kills change nothing."""

from collections.abc import Iterator

import pandas as pd
import pytest

from lth_ray import Study
from lth_ray.store import Store
from tests.running.conftest import SCRIPT, Runner, a_runner, contents, train_here

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

BRANCHES = """
    branches=[
        Barrier(points=3, rounds=[0, 2]), Stability(rounds=[2]), Weights(rounds=[2]), MaskOverlap(rounds=[2]),
        Perturb("constant", signs="rewound", trained=False, rounds=[2]), Supermask("bernoulli", rescale=True),
    ],
)
"""
MEASURING = (
    SCRIPT.replace("RandomReinit,", "Barrier, MaskOverlap, Perturb, Stability, Supermask, Weights,")
    .replace("rewind=[steps(0), steps(40)],\n    seeds=[0]", "rewind=[steps(40)],\n    seeds=[0, 1]")
    .replace("    branches=[RandomReinit(rounds=[2])],\n)\n", BRANCHES)
)


def declared() -> Study:
    namespace: dict[str, object] = {"__name__": "study"}
    exec(MEASURING, namespace)
    study = namespace["study"]
    assert isinstance(study, Study)
    return study


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contents without Ray and without a fault."""
    store = Store.open(str(tmp_path_factory.mktemp("alone")))
    return contents(train_here(declared(), store), store)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A run one of whose actors was killed as it had published its third result."""
    with a_runner(tmp_path_factory.mktemp("measured")) as runner:
        runner.source = MEASURING
        once = runner.folder / "killed"
        status = runner.run(LTH_RAY_KILL_AT="published:3", LTH_RAY_KILL_ONCE=str(once))
        assert status == 0, runner.output[-3000:]
        assert once.exists(), "nothing was killed"
        yield runner


def test_a_kill_changes_no_measurement(finished: Runner, alone: dict[str, str]) -> None:
    assert finished.contents() == alone
    assert finished.trained_twice == 0  # what was published is not done again


def test_every_measurement_is_in_the_table_of_branches(finished: Runner) -> None:
    frame = pd.read_parquet(finished.storage / "studies" / "small" / "branches.parquet")
    counts = frame.groupby("branch").size().to_dict()
    assert counts == {
        "barrier": 4, "stability": 4, "weights": 2, "mask_overlap": 1, "perturb": 2, "supermask": 2
    }  # fmt: skip
    barriers = frame[frame["branch"] == "barrier"]
    for name in ("lmc_error_barrier", "lmc_train_error_barrier", "l2_distance", "angle", "share_travelled"):
        assert barriers[name].notna().all()
    assert (barriers["spawn_step"] == 40).all()
    assert frame[frame["branch"] == "mask_overlap"]["jaccard"].notna().all()
    trained = frame[frame["branch"].isin(["perturb", "supermask"])]
    assert trained["test_accuracy"].notna().all()


def test_every_measurement_is_in_mlflow(finished: Runner) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.storage}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    barriers = [run for run in runs if run.data.params.get("branch") == "barrier"]
    assert len(barriers) == 4
    for run in barriers:
        assert {"lmc_error_barrier", "sparsity", "l2_distance"} <= run.data.metrics.keys()
        assert run.data.params["rewind_step"] == "40"
        assert run.data.params["branch.points"] == "3"
        assert run.info.status == "FINISHED"
    tickets = [run for run in runs if run.data.tags.get("lth.kind") == "ticket"]
    assert all("search_epochs" in run.data.metrics for run in tickets)
    frame = pd.read_parquet(finished.storage / "studies" / "small" / "branches.parquet")
    by_ticket = frame[frame["branch"] == "barrier"].groupby(["lineage", "round"])["lmc_error_barrier"].mean()
    shown = {
        (run.data.tags["lth.lineage"], int(run.data.params["round"])): run.data.metrics["lmc_error_barrier"]
        for run in tickets
        if "lmc_error_barrier" in run.data.metrics
    }
    assert shown == pytest.approx(by_ticket.to_dict())
    lineages = [run for run in runs if run.data.tags.get("lth.kind") == "lineage"]
    for run in lineages:
        history = client.get_metric_history(run.info.run_id, "lmc_error_barrier")
        assert {point.step for point in history} == {0, 2}


def test_a_rerun_measures_nothing_again(finished: Runner) -> None:
    before = finished.steps
    assert finished.run() == 0
    assert finished.steps == before
    assert "trained 0 steps" in finished.output
