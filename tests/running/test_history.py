"""What a study's name holds in a storage: it may grow, it may not become another study."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray import Model, Prune, RandomMask, Study
from lth_ray.config import ConfigError, steps
from lth_ray.lottery import make_plan
from lth_ray.running.history import HISTORY, check_same_study, entries_of, recorded_plan, remember
from lth_ray.store import Store
from tests.running.conftest import declared


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
    store.put_study("small", HISTORY, {"entries": [entry]})
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
    store.put_study("small", HISTORY, {"entries": [entry]})
    check_same_study(store, replace(declared(), model=Model(network(8))))
    with pytest.raises(ConfigError, match=r"model.name"):
        check_same_study(store, replace(declared(), model=Model(network)))
