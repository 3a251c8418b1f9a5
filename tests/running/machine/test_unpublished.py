"""Names that Ray does not publish are there in this version; without one a warning says what is lost, and no more."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lth_ray.running.machine import unpublished
from lth_ray.unpublished import warn_of

LOOKS: dict[str, tuple[Callable[[], Any], Any]] = {
    "ray._private.state.state.get_draining_nodes": (unpublished.draining_nodes, set()),
    "ray._private.state.state.get_placement_group_table": (unpublished.placement_groups, []),
    "ray._private.worker._global_node": (unpublished.own_node, None),
    "ray.train.v2._internal.exceptions.WorkerGroupStartupTimeoutError": (
        lambda: unpublished.found_no_room(None),
        False,
    ),
}


@pytest.fixture(autouse=True)
def not_yet_told() -> Iterator[None]:
    warn_of.cache_clear()
    yield
    warn_of.cache_clear()


def parts(name: str) -> tuple[Any, str]:
    """The object that has the last part of a dotted name, and that part."""
    path, _, last = name.rpartition(".")
    try:
        return importlib.import_module(path), last
    except ModuleNotFoundError:
        module, _, attribute = path.rpartition(".")
        return getattr(importlib.import_module(module), attribute), last


@pytest.mark.parametrize("name", sorted(unpublished.NEEDED))
def test_this_version_has_it(name: str) -> None:
    owner, last = parts(name)
    if last == "get_placement_group_table":  # of what the state is when it is connected
        owner = importlib.import_module("ray._raylet").GlobalStateAccessor
    assert hasattr(owner, last), f"Ray has no {name}: {unpublished.NEEDED[name]}"


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_without_it_one_warning_says_what_is_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, last = parts(name)
    last = "_connect_and_get_accessor" if last == "get_placement_group_table" else last
    monkeypatch.delattr(
        owner if hasattr(owner.__class__, "__file__") or not hasattr(type(owner), last) else type(owner), last
    )
    look, otherwise = LOOKS[name]
    with pytest.warns(UserWarning, match="as lth_ray knows it") as told:
        assert look() == otherwise
    assert unpublished.NEEDED[name] in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert look() == otherwise


def test_an_address_that_ray_does_not_tell_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("ray._private.services.canonicalize_bootstrap_address_or_die")
    with pytest.warns(UserWarning, match="HOST:PORT"), pytest.raises(ConnectionError, match="HOST:PORT"):
        unpublished.bootstrap_address()


def test_a_ray_of_one_s_own_starts_without_a_port_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import parameter

    before = parameter.RayParams
    with unpublished.any_port():
        assert parameter.RayParams is not before
    assert parameter.RayParams is before
    monkeypatch.delattr(parameter, "RayParams")
    with pytest.warns(UserWarning, match="the port of another"), unpublished.any_port():
        assert not hasattr(parameter, "RayParams")
