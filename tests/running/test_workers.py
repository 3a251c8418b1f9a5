"""Workers: their number for a training, what they take, and what cannot be shared."""

from typing import Any

import pytest

from lth_ray.config import ConfigError, Data, Launch, Model, Prune, RandomReinit, Study, Train, set_fields, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.running.planning import check_workers
from lth_ray.running.workers import ON_THE_HEAD, Workers

STUDY = Study(
    "shared",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(40), lr=0.1, batch_norm_group=10),
    prune=Prune(fraction=0.3, rounds=1),
    rewind=[steps(0)],
    seeds=[0],
    branches=[RandomReinit()],
)


def plan(**changes: Any) -> Plan:
    return make_plan(set_fields(STUDY, {name.replace("__", "."): value for name, value in changes.items()}))


def asked(**given: Any) -> Workers:
    return Workers.asked(Launch("storage", **given))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"workers": -1}, "Launch.workers = -1: give a whole number of at least 0"),
    ({"workers": 2, "later_workers": 4}, "Launch.later_workers = 4: there are 2 workers"),
    ({"workers": 2, "later_workers": 0}, "Launch.later_workers = 0"),
    ({"min_workers": 1}, "Launch.min_workers = 1: there are 0 workers"),
    ({"cpus_per_worker": 0}, "Launch.cpus_per_worker = 0"),
    ({"loaders": 1}, "Launch.loaders = 1: a worker has 1 cores, one of which trains; give --cpus-per-worker 2"),
    ({"loaders": -1}, "Launch.loaders = -1"),
    ({"gpu_type": "H100"}, "Launch.gpu_type = 'H100': give a list"),
    ({"concurrent": 0}, "Launch.concurrent = 0"),
    ({"workers": 2, "gpus_per_worker": 0.5}, "Launch.gpus_per_worker = 0.5: each of the workers"),
    ({"checkpoint_every_steps": 0}, "Launch.checkpoint_every_steps = 0"),
    ({"stall_after_min": -1}, "Launch.stall_after_min = -1"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Launch("storage", **given)
    assert message in str(caught.value)


def test_gpus_are_not_left_waiting_for_one_process_that_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = plan()
    check_workers(small, Launch("storage", gpus_per_worker=1))
    monkeypatch.setattr("lth_ray.running.planning.is_packed", lambda name: name == "digits")
    check_workers(small, Launch("storage"))
    check_workers(small, Launch("storage", gpus_per_worker=1, cpus_per_worker=2, loaders=1))
    with pytest.raises(ConfigError, match=r"--loaders 0: one process decodes .* 'digits' .* --loaders 7"):
        check_workers(small, Launch("storage", gpus_per_worker=1))


def test_a_recipe_that_workers_cannot_share_is_refused_before_ray_starts() -> None:
    check_workers(plan(), Launch("storage", workers=6, later_workers=2))
    with pytest.raises(ConfigError, match=r"--workers 4: a batch of 60 images is 6 groups of 10"):
        check_workers(plan(), Launch("storage", workers=4))
    with pytest.raises(ConfigError, match=r"--workers 4"):
        check_workers(plan(), Launch("storage", workers=6, later_workers=4))
    with pytest.raises(ConfigError, match=r"1 group of 60 \(Train.batch_norm_group = None\)"):
        check_workers(plan(train__batch_norm_group=None), Launch("storage", workers=2))


def pieces(made: Plan) -> dict[str, Any]:
    return {job.kind: job.pieces[0] for job in made.jobs}


def test_later_rounds_and_branches_may_have_fewer_workers() -> None:
    workers, by_kind = asked(workers=6, later_workers=2), pieces(plan())
    assert {kind: workers.sizes(piece) for kind, piece in by_kind.items()} == {
        "dense": [6], "lineage": [2], "branch": [2],
    }  # fmt: skip
    assert asked(workers=6, min_workers=2).sizes(by_kind["dense"]) == [6, 3, 2]
    assert asked(workers=6).sizes(by_kind["lineage"]) == [6]


@pytest.mark.parametrize(("cores", "expected"), [(12, 6), (6, 6), (5, 3), (4, 3), (2, 2), (1, 2), (0, 2)])
def test_a_shrunken_cluster_trains_with_the_most_workers_that_may_share_it(cores: int, expected: int) -> None:
    workers = asked(workers=6, min_workers=2)
    assert workers.choose(pieces(plan())["dense"], {"CPU": cores, "GPU": 8}) == expected


def test_without_a_minimum_they_are_waited_for() -> None:
    assert asked(workers=6).choose(pieces(plan())["dense"], {"CPU": 4}) == 6


SLOTS: list[tuple[dict[str, Any], dict[str, float], int]] = [
    ({}, {"CPU": 4.0}, 4),
    ({"cpus_per_worker": 2}, {"CPU": 5.0}, 2),
    ({"gpus_per_worker": 0.5}, {"CPU": 16.0, "GPU": 2.0}, 4),
    ({"workers": 4}, {"CPU": 9.0}, 2),
    ({"workers": 8, "gpus_per_worker": 1, "later_workers": 2}, {"CPU": 64.0, "GPU": 16.0}, 8),
    ({"workers": 8, "gpus_per_worker": 1}, {"CPU": 64.0}, 0),
]


@pytest.mark.parametrize(("given", "total", "expected"), SLOTS)
def test_as_many_trainings_as_the_cluster_holds(given: dict[str, Any], total: dict[str, float], expected: int) -> None:
    assert asked(**given).slots(total) == expected


def test_more_than_ray_has_is_refused() -> None:
    asked(workers=4).check_cluster({"CPU": 4.0})
    with pytest.raises(ConfigError, match=r"--gpus-per-worker: a training needs 0.5 GPU, and Ray has 0 in all"):
        asked(gpus_per_worker=0.5).check_cluster({"CPU": 4.0})
    with pytest.raises(ConfigError, match=r"--workers, .*: a training needs 8 CPU, and Ray has 4 in all.*--concurrent"):
        asked(workers=8).check_cluster({"CPU": 4.0})


def test_a_gpu_type_that_no_node_has_is_refused() -> None:
    total = {"CPU": 4.0, "GPU": 4.0, "accelerator_type:H100": 1.0}
    asked(gpu_type=["k0/*=H100"], gpus_per_worker=1).check_cluster(total)
    with pytest.raises(ConfigError, match=r"--gpu-type 'h100': no node .* has such a GPU; it has H100"):
        asked(gpu_type=["h100"], gpus_per_worker=1).check_cluster(total)


def test_a_trial_that_has_workers_holds_none_of_what_they_need() -> None:
    job = plan().jobs[0]
    assert asked(workers=2).placement(job).bundles == [ON_THE_HEAD]
    assert asked(gpus_per_worker=0.25, cpus_per_worker=2).placement(job).bundles == [{"CPU": 2.0, "GPU": 0.25}]


@pytest.mark.parametrize(
    ("types", "expected"),
    [((), None), (("H100",), "H100"), (("k0/*=A100", "H100"), "A100"), (("other*=A100",), None)],
)
def test_a_lineage_can_be_pinned_to_a_gpu_type(types: tuple[str, ...], expected: str | None) -> None:
    job = next(job for job in plan().jobs if job.kind == "lineage")
    assert job.id == "k0/seed0"
    workers = asked(gpu_type=types, gpus_per_worker=1)
    assert workers.gpu_type(job) == expected
    named = [name for name in workers.placement(job).bundles[0] if name.startswith("accelerator_type:")]
    assert named == ([f"accelerator_type:{expected}"] if expected else [])


@pytest.mark.parametrize(
    ("given", "threads"), [({}, 1), ({"cpus_per_worker": 0.5}, 1), ({"cpus_per_worker": 4, "loaders": 3}, 1)]
)
def test_cores_that_decode_do_not_train(given: dict[str, Any], threads: int) -> None:
    assert asked(**given).threads == threads
