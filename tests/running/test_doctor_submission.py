"""The line that a healthy machine or cluster is told to run a study by, and that the programs take."""

from dataclasses import replace

import pytest

from lth_ray.running.doctor.examine import Asked
from lth_ray.running.doctor.finding import OK, PROBLEM, Finding
from lth_ray.running.doctor.submission import submission
from tests.docs import forms

SHARED = Asked("/shared/lth", data_root="/shared/data", tracking_uri="http://10.0.0.20:5000", study="resnet50_rewind")
NODES = {"head": {"CPU": 4.0}, "a": {"CPU": 64.0, "GPU": 8.0}, "b": {"CPU": 48.0, "GPU": 8.0}}
PLACES = "--storage /shared/lth --data-root /shared/data --tracking-uri http://10.0.0.20:5000"
JOB = "ray job submit --address http://10.0.0.1:8265 --working-dir . -- python -m lth_ray run resnet50_rewind"


@pytest.mark.parametrize(
    ("asked", "nodes", "dashboard", "line"),
    [
        (Asked("./lth_storage"), {"": {"CPU": 2.0, "GPU": 0.0}}, None, "lth-ray run digits --storage ./lth_storage"),
        (
            SHARED, NODES, "10.0.0.1:8265",  # ImageNet's packed images are decoded by loaders, or a plan refuses them
            f"{JOB} {PLACES} --gpus-per-worker 1 --cpus-per-worker 6 --loaders 5",
        ),
        (
            replace(SHARED, workers=8, gpus_per_worker=1.0), NODES, "http://10.0.0.1:8265",
            f"{JOB} {PLACES} --workers 8 --gpus-per-worker 1 --cpus-per-worker 6 --loaders 5",
        ),
        (
            replace(SHARED, gpus_per_worker=0.25), NODES, "10.0.0.1:8265",
            f"{JOB} {PLACES} --gpus-per-worker 0.25 --cpus-per-worker 1",
        ),
    ],
    ids=["a laptop", "GPUs", "teams", "shared GPUs"],
)  # fmt: skip
def test_the_line(asked: Asked, nodes: dict[str, dict[str, float]], dashboard: str | None, line: str) -> None:
    found = submission(asked, nodes, dashboard, [Finding("disk", OK, "")])
    assert found is not None
    assert found.found == line
    forms.check(line)


def test_what_lacks_something_is_told_no_line() -> None:
    assert submission(SHARED, NODES, None, [Finding("disk", PROBLEM, "full", "make room")]) is None
