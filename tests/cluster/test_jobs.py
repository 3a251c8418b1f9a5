"""Jobs submitted over HTTP from another host: what is sent, how they end, that they go on, that they share a store."""

import time
from pathlib import Path

import pytest

from lth_ray.store import Store
from tests.cluster.lab import Lab
from tests.cluster.studies import Case, Expected, recorded, undisturbed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

SENT_BYTES = 2_000_000  # unpacked; of a checkout of some 6 MB
WORKER_S, STOP_S = 20.0, 30.0


def test_two_hosts_train_lose_a_worker_are_stopped_and_go_on(lab: Lab, tmp_path: Path) -> None:
    case = Case("stopped", 1.0e-3)
    expected = undisturbed(case, tmp_path, workers=2)
    dense = expected.plan.lineages[0].dense.key
    flags = "--workers", "2", "--checkpoint-every-s", "1"
    first = case.submit(lab, *flags, pause_s=0.08)
    lab.until(lambda: lab.steps(dense).total() >= 25, "both hosts train")
    assert [len(lab.trainers(name)) for name in ("worker1", "worker2")] == [1, 1]
    (victim,) = lab.trainers(lab.leads(dense))
    victim.kill()
    began, before = time.monotonic(), lab.steps(dense).total()
    lab.until(lambda: lab.steps(dense).total() > before, "it goes on")
    recovered = time.monotonic() - began

    lab.until(lambda: max(lab.steps(dense)) >= 60, "it has come further")
    began = time.monotonic()
    first.ray("stop")
    stopped = time.monotonic() - began
    code = first.wait(30)
    assert "goes on from there" in first.ray("logs").stdout
    checkpoint = Store.open(str(lab.storage)).newest_checkpoint(dense)
    assert checkpoint is not None
    assert checkpoint.step >= 60
    before_it = lab.steps(dense)

    second = case.submit(lab, *flags)
    assert second.wait() == 0, second.output[-3000:]
    print(
        f"from a killed worker to the next step {recovered:.1f} s; stopped in {stopped:.1f} s (exit code {code}) "
        f"with a checkpoint of step {checkpoint.step} of {max(before_it)}"
    )
    assert (lab.steps(dense) - before_it).keys() == set(range(checkpoint.step + 1, 101))
    expected.check(lab)
    _, store = recorded(lab, case.name)
    for key in expected.plan.keys:
        record = store.segment(key)
        assert record is not None
        assert record["environment"]["world_size"] == 2
        assert not record["earlier_environments"]
    assert "succeeded" in second.ray("status").stdout
    assert recovered < WORKER_S
    assert stopped < STOP_S


def test_a_mistake_ends_a_job_with_a_message_and_a_code(lab: Lab) -> None:
    job = Case("mistaken", 1.1e-3).submit(lab, "--set", "train.lr=-1")
    assert job.wait() == 1
    printed = job.ray("logs").stdout
    assert "Train.lr = -1" in printed
    assert "Traceback" not in printed
    assert "failed with exit code 2" in job.ray("status").stdout

    # what was sent for it is the code; looked at where it arrived, on the head
    script = "cd /tmp/ray/session_latest/runtime_resources/working_dir_files && du -sb */ && find . -type f"
    lines = lab.hosts["head"].run("sh", "-c", script).stdout.splitlines()
    sizes = [int(line.split()[0]) for line in lines if line[0].isdigit()]
    kinds = {Path(line).suffix for line in lines if line[0] == "." and "/_ray_pkg_" in line and line.count("/") > 1}
    print(f"sent, unpacked: {max(sizes)} bytes")
    assert max(sizes) < SENT_BYTES
    assert kinds <= {".py", ".csv", ""}


@pytest.fixture(scope="module")
def twice(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Two jobs have done the same study on the same store at the same time."""
    case = Case("twice", 1.2e-3, seeds=(0, 1))
    expected = undisturbed(case, tmp_path_factory.mktemp("twice"))
    jobs = [case.submit(lab, "--concurrent", "1", pause_s=0.03) for _ in range(2)]
    codes = [job.wait() for job in jobs]
    assert codes == [0, 0], jobs[0].output[-3000:] + jobs[1].output[-3000:]
    print(*(line for job in jobs for line in job.output.splitlines() if line.startswith("trained ")), sep="\n")
    return expected


def test_two_jobs_at_once_on_one_store(lab: Lab, twice: Expected) -> None:
    twice.check_contents(lab)


def test_two_jobs_at_once_are_recorded_once(lab: Lab, twice: Expected) -> None:
    twice.check_record(lab)
