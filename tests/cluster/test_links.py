"""Links cut and restored, a host that writes on after it was given up, and a tracking server that is down."""

import hashlib
import time
from pathlib import Path

import pytest

from lth_ray.store import Store, layout
from tests.cluster.lab import TRACKING, WORKERS, Lab
from tests.cluster.studies import Case, losses, recorded, undisturbed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

HOST_S = 40.0  # from the loss to the next step
CLOSE = 1e-5  # losses of another number of workers
OFTEN = "--checkpoint-every-s", "1"


def other_than(name: str) -> str:
    (other,) = {*WORKERS} - {name}
    return other


def test_a_team_whose_leading_host_is_cut_off_goes_on(lab: Lab, tmp_path: Path) -> None:
    """One worker goes on alone; the host comes back, and the next round has two again."""
    case = Case("lost", 1.3e-3)
    expected = undisturbed(case, tmp_path, workers=2)
    dense, pruned = (r.segment.key for r in expected.plan.lineages[0].rounds)
    job = case.submit(lab, "--workers", "2", "--min-workers", "1", *OFTEN, pause_s=0.06)
    lab.until(lambda: lab.steps(dense).total() >= 40, "both hosts train")
    fenced = lab.leads(dense)
    before = lab.steps(dense, other_than(fenced)).total()
    lab.network.cut(lab.hosts[fenced])
    began = time.monotonic()
    lab.until(lambda: lab.steps(dense, other_than(fenced)).total() > before, "the other goes on")
    recovered = time.monotonic() - began
    lab.network.heal(lab.hosts[fenced])
    lab.restart_worker(fenced)

    assert job.wait() == 0, job.output[-3000:]
    repeated = lab.steps(dense).total() - case.steps
    print(f"from a cut link to the next step {recovered:.1f} s, {repeated} steps trained again")
    plan, store = recorded(lab, case.name)
    first, second = store.segment(dense), store.segment(pruned)
    assert first is not None
    assert second is not None
    sizes = [found["world_size"] for found in (*first["earlier_environments"], first["environment"])]
    assert sizes == [2, 1]
    assert second["environment"]["world_size"] == 2
    for key, found in losses(plan, store).items():
        assert found == pytest.approx(expected.losses[key], abs=CLOSE)
    expected.check_record(lab)
    assert repeated < 40
    assert recovered < HOST_S


def files(store: Store, *folders: str) -> dict[str, tuple[int, int, str]]:
    """{path: inode, time of its last change, digest of what it holds}"""
    found = {}
    for path in (path for folder in folders for path in store.list(folder)):
        full = Path(store.uri, path)
        status = full.stat()
        found[path] = (status.st_ino, status.st_mtime_ns, hashlib.sha256(full.read_bytes()).hexdigest())
    return found


def test_a_fenced_host_that_writes_on_does_no_harm(lab: Lab, tmp_path: Path) -> None:
    """The storage is on a network of its own: a host that Ray has lost can still write to it, at once and late.
    MLflow is down all the while."""
    case = Case("fenced", 1.4e-3, steps=200)
    expected = undisturbed(case, tmp_path)
    dense = expected.plan.lineages[0].dense.key
    lab.hosts["mlflow"].end_processes()
    job = case.submit(lab, *OFTEN, pause_s=0.015)
    lab.until(lambda: lab.steps(dense).total() >= 30, "it trains")
    fenced = lab.leads(dense)
    (writer,) = lab.trainers(fenced)
    lab.network.cut(lab.hosts[fenced])
    began, at = time.monotonic(), lab.steps(dense, fenced).total()
    time.sleep(2.5)
    writer.suspend()
    assert lab.steps(dense, fenced).total() > at, "it was to write on"
    lab.until(lambda: lab.steps(dense, other_than(fenced)), "another host takes it up")
    recovered = time.monotonic() - began
    assert job.wait() == 0, job.output[-3000:]
    _, store = recorded(lab, case.name)
    records = files(store, layout.SEGMENTS, layout.TABLES)

    writer.resume()  # now all is done without it
    lab.until(lambda: lab.steps(dense, fenced)[case.steps], "the fenced host has trained to the end")
    lab.start_mlflow()
    lab.until(lambda: lab.listens("mlflow", 5000), "MLflow is up")
    assert files(store, layout.SEGMENTS, layout.TABLES) == records
    lab.network.heal(lab.hosts[fenced])
    lab.restart_worker(fenced)
    expected.check_contents(lab)

    at_storage = "--storage", str(lab.storage)
    gc = lab.hosts["head"].run("lth-ray", "gc", *at_storage, "--grace-s", "0", "--yes")
    assert gc.returncode == 0, gc.stdout
    assert files(store, layout.SEGMENTS, layout.TABLES) == records
    assert "cannot be written to" in job.output
    replay = lab.hosts["desk"].run("lth-ray", "replay", case.name, *at_storage, "--tracking-uri", TRACKING)
    assert replay.returncode == 0, replay.stdout
    assert "2 results sent, 0 were there already" in replay.stdout
    expected.check(lab)
    print(f"from a cut link to the next step {recovered:.1f} s; gc said: {gc.stdout.strip()}")
    assert recovered < HOST_S
