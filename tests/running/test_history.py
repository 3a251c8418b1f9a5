"""A study's name in a storage: it may grow, it may not become another study."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from lth_ray import Model, Prune, RandomMask, Study, Transfer
from lth_ray.commands import reporting
from lth_ray.config import ConfigError, Launch, set_fields, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.models import build
from lth_ray.running.history import (
    ALL_IN_ONE,
    check_same_study,
    entries_of,
    older_tickets,
    recorded_plan,
    remember,
    studies,
)
from lth_ray.running.planning import print_plan, slow_here
from lth_ray.store import StorageError, Store
from lth_ray.training import machine
from tests.running.conftest import declared

FIRST = "history/000001.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(str(tmp_path))
    remember(opened, make_plan(declared()), "Asked by a test.")
    return opened


def test_a_record_from_before_a_field_was_added_is_the_same_study(store: Store) -> None:
    [entry] = entries_of(store, "small")
    declaration = entry["declaration"]
    for part, names in {"prune": ["ties"], "data": ["target", "blur", "train_images"]}.items():
        for name in names:
            del declaration[part][name]
    del declaration["against"]
    store.put_study("small", FIRST, entry)
    check_same_study(store, declared())
    assert recorded_plan(store, "small").keys == make_plan(declared()).keys


GROWN = {
    "seeds": {"seeds": [0, 1]},
    "branches": {"branches": [RandomMask()]},
    "rewind": {"rewind": [steps(0), steps(10)]},
    "what it is compared with": {"against": "lenet-mnist"},
}


@pytest.mark.parametrize("what", GROWN)
def test_a_study_may_grow(store: Store, what: str) -> None:
    check_same_study(store, replace(declared(), **GROWN[what]))


def test_another_study_under_its_name_is_refused(store: Store) -> None:
    other: Study = replace(declared(), prune=Prune("movement", scope="layer", fraction=0.3, rounds=2))
    with pytest.raises(ConfigError, match=r"prune.criterion: 'magnitude' in the store, 'movement' now"):
        check_same_study(store, other)


def network(width: int) -> Callable[[int], None]:
    def net(num_classes: int) -> None:
        raise AssertionError((num_classes, width))

    return net


def held(tmp_path: Path, model: Model) -> Store:
    """A storage in which the study was recorded with this network."""
    store, study = Store.open(str(tmp_path)), replace(declared(), model=model)
    plan = replace(make_plan(declared()), study=study)
    remember(store, plan, "")
    return store


def own_lenet(num_classes: int) -> nn.Module:
    hidden = [nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(10, num_classes))


def test_what_an_own_network_is_made_of_is_recorded(tmp_path: Path) -> None:
    """Its function is not at hand where the record is read, and its keys depend on what trains it."""
    store = Store.open(str(tmp_path))
    study: Study = replace(declared(), model=Model(own_lenet), prune=Prune("magnitude", fraction=0.3, rounds=2))
    plan = make_plan(study)
    assert {segment.backend for lineage in plan.lineages for segment in [lineage.dense]} == {"fused"}
    remember(store, plan, "")
    assert list(entries_of(store, "small")[0]["structures"].values()) == ["fully_connected"]
    assert recorded_plan(store, "small").keys == plan.keys
    transfer = replace(study, branches=[Transfer({"train.lr": 0.01}, rounds=[1])])
    remember(store, make_plan(transfer), "")
    assert recorded_plan(store, "small").keys == make_plan(transfer).keys


def test_a_record_from_before_networks_were_read_keeps_its_keys(tmp_path: Path) -> None:
    """And a plan says that its results are there, and what takes them."""
    store = Store.open(str(tmp_path))
    study: Study = replace(declared(), model=Model(own_lenet), prune=Prune("magnitude", fraction=0.3, rounds=2))
    eager = make_plan(set_fields(study, {"train.backend": "eager"}))
    remember(store, replace(eager, study=make_plan(study).study), "")
    [entry] = entries_of(store, "small")
    assert "structures" not in entry
    assert recorded_plan(store, "small").keys == eager.keys
    for key in eager.keys:
        store.publish_segment(key, {"key": key, "environment": {"packages": {"lth_ray": "0.5.0"}}})
    [told] = older_tickets(store, make_plan(study))
    assert told.tickets == len(eager.lineages) * 3
    assert told.why == ("they were trained by backend 'eager', and Train.backend = 'auto' now chooses 'fused'",)
    assert told.remedy == "`--set train.backend=eager` takes them"


def test_a_file_of_weights_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it lies: what is in it is in the keys, as of data sets."""
    monkeypatch.chdir(tmp_path)
    study = declared()
    network = build(study.model.name, input_shape=(1, 8, 8))
    for name in ("one.safetensors", "other.safetensors"):
        save_file(network.state_dict(), name)
    store = Store.open(str(tmp_path / "storage"))
    one, other = (replace(study, model=replace(study.model, weights=f"{n}.safetensors")) for n in ("one", "other"))
    in_arms = [replace(study, arms={"a": {"model.weights": f"{n}.safetensors"}}) for n in ("one", "other")]
    for same, another in ((one, other), (replace(in_arms[0], name="arms"), replace(in_arms[1], name="arms"))):
        remember(store, make_plan(same), "Asked by a test.")
        check_same_study(store, same)
        with pytest.raises(ConfigError, match="already holds a different study"):
            check_same_study(store, another)
    keys = make_plan(one).keys
    (tmp_path / "one.safetensors").unlink()
    assert recorded_plan(store, study.name).keys == keys


def test_another_function_of_its_name_is_another_study(tmp_path: Path) -> None:
    store = held(tmp_path, Model(network(8)))
    check_same_study(store, replace(declared(), model=Model(network(8))))
    with pytest.raises(ConfigError, match=r"model.name: the function, or what it refers to, has changed"):
        check_same_study(store, replace(declared(), model=Model(network(9))))


def test_a_stated_version_stands_for_the_source(tmp_path: Path) -> None:
    store = held(tmp_path, Model(network(8), version="3"))
    check_same_study(store, replace(declared(), model=Model(network(9), version="3")))
    with pytest.raises(ConfigError, match=r"model.version: '3' in the store, '4' now"):
        check_same_study(store, replace(declared(), model=Model(network(8), version="4")))


def test_a_function_that_was_recorded_by_its_name_alone_is_the_same_study(tmp_path: Path) -> None:
    store = held(tmp_path, Model(network(8)))
    [entry] = entries_of(store, "small")
    entry["declaration"]["model"] |= {"name": {"kind": "function", "name": "network.<locals>.net"}, "version": "1"}
    store.put_study("small", FIRST, entry)
    check_same_study(store, replace(declared(), model=Model(network(8))))
    with pytest.raises(ConfigError, match=r"model.name"):
        check_same_study(store, replace(declared(), model=Model(network)))


def test_of_runs_that_start_together_all_are_remembered(tmp_path: Path) -> None:
    """And so what each of them reaches is kept by collection."""
    plans = [make_plan(replace(declared(), seeds=[seed])) for seed in range(3)]
    for number in range(10):
        store, together = Store.open(str(tmp_path / str(number))), threading.Barrier(3)

        def start(plan: Plan, store: Store = store, together: threading.Barrier = together) -> None:
            together.wait()
            remember(store, plan, "q")

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(start, plans))
        assert sorted(entry["declaration"]["seeds"] for entry in entries_of(store, "small")) == [[0], [1], [2]]
        assert reporting.reached(store).segments == frozenset().union(*(plan.keys for plan in plans))


def test_entries_have_an_order(store: Store) -> None:
    for seeds in ([0, 1], [0, 1], [0], [0, 1]):  # the second is the newest already
        remember(store, make_plan(replace(declared(), seeds=seeds)), "Asked by a test.")
    assert [len(entry["declaration"]["seeds"]) for entry in entries_of(store, "small")] == [1, 2, 1, 2]
    assert {lineage.variant.seed for lineage in recorded_plan(store, "small").lineages} == {0, 1}


def test_the_form_of_earlier_versions_is_read_and_gone_on_from(store: Store) -> None:
    old = entries_of(store, "small")
    store.delete(f"studies/small/{FIRST}")
    store.put_study("small", ALL_IN_ONE, {"entries": old})
    assert studies(store) == ["small"]
    remember(store, make_plan(declared()), "Asked by a test.")
    assert store.list("studies/small").keys() == {f"studies/small/{ALL_IN_ONE}"}
    remember(store, make_plan(replace(declared(), seeds=[1])), "Asked by a test.")
    assert [entry["declaration"]["seeds"] for entry in entries_of(store, "small")] == [[0], [1]]


@pytest.mark.parametrize("form", [FIRST, ALL_IN_ONE])
def test_a_damaged_entry_stops_no_run_and_lets_nothing_be_collected(store: Store, form: str) -> None:
    store.put(f"studies/small/{form}", b'{"kind": "study"')
    with pytest.warns(UserWarning, match=rf"{form} .*`lth-ray verify small --mend`"):
        check_same_study(store, declared())
    plan = make_plan(replace(declared(), seeds=[1]))
    with pytest.warns(UserWarning, match="passed over"):
        remember(store, plan, "Asked by a test.")
    with pytest.warns(UserWarning, match="passed over"):
        assert [entry["declaration"]["seeds"] for entry in entries_of(store, "small")][-1] == [1]
    with pytest.raises(StorageError, match=rf"{form} .* nobody knows what it reaches: `lth-ray verify small --mend`"):
        reporting.reached(store)


@pytest.mark.parametrize(("launch", "times"), [({}, 1), ({"gpus_per_worker": 1}, 0)], ids=["CPUs", "GPUs"])
def test_a_plan_says_where_bf16_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch: dict[str, Any], times: int
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    half = make_plan(set_fields(declared(), {"train.precision": "bf16"}))
    told = slow_here(half, Launch(**launch))
    assert len(told) == times
    assert all("several times as long as in 'fp32'" in one for one in told)
    assert slow_here(make_plan(declared()), Launch(**launch)) == []


def test_a_plan_says_what_is_there_under_an_older_meaning(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """As a storage is whose automatic backend was another: the study's history holds the keys of that one."""
    then = make_plan(set_fields(declared(), {"train.backend": "eager"}))
    remember(store, replace(then, study=declared()), "")
    for key in then.keys:
        store.publish_segment(key, {"key": key, "environment": {"packages": {"lth_ray": "0.1.0"}}})
    print_plan(declared(), Launch(store.uri), Console())
    told = " ".join(capsys.readouterr().out.split())
    assert "6 tickets and 2 branch results are there, of this study under an older meaning (lth_ray 0.1.0)" in told
    assert "chooses 'fused'. `--set train.backend=eager` takes them" in told
