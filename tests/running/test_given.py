"""The config of a trial, which Tune copies, names and pickles for each of thousands."""

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from lth_ray.running.settings import Settings
from lth_ray.running.trial import Given
from lth_ray.store import Store


def job(name: str) -> Any:
    return SimpleNamespace(id=name, pieces=(SimpleNamespace(key=f"{name}.1"),))


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    rules: Any = {f"{name}.1": name for name in "abc"}
    return Settings(Store.open(str(tmp_path), marked=False), {}, stop_rules=rules)


def test_a_trial_knows_the_rules_of_its_own_pieces_alone(settings: Settings) -> None:
    given = Given.of([job("a"), job("b")], settings)
    assert given["settings"].stop_rules == {"a.1": "a", "b.1": "b"}
    assert repr(given) == "a, b"


def test_a_copy_has_a_list_of_its_own_and_shares_what_never_changes(settings: Settings) -> None:
    given = Given.of([job("a"), job("b")], settings)
    copied = copy.deepcopy(given)
    given["jobs"].remove(given["jobs"][0])
    assert [one.id for one in copied["jobs"]] == ["a", "b"]
    assert copied["jobs"][1] is given["jobs"][0]
    assert copied["settings"] is given["settings"]
    assert isinstance(pickle.loads(pickle.dumps(given)), Given)


def test_tune_is_given_every_trial_once_in_order_and_copies_none(settings: Settings) -> None:
    generator = pytest.importorskip("ray.tune.search.variant_generator")
    from ray import tune

    from lth_ray.running.tuning import InTurn

    configs = [Given.of([job(str(number))], settings) for number in range(5)]
    spec = {"config": {"trial": tune.sample_from(InTurn(configs))}}
    drawn = [next(generator.generate_variants(spec))[1]["config"]["trial"] for _ in configs]
    assert [repr(one) for one in drawn] == ["0", "1", "2", "3", "4"]
    assert all(one["jobs"][0] is given["jobs"][0] for one, given in zip(drawn, configs, strict=True))
    assert all(one["settings"] is given["settings"] for one, given in zip(drawn, configs, strict=True))
    assert pickle.loads(pickle.dumps(InTurn(configs)))._left.__length_hint__() == 0
