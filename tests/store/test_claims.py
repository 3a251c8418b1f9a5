"""Claims on work, by which several runs on one storage share it, alike on a local folder and on S3."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lth_ray.store import LiveRun, Reached, StorageAway, StorageError, Store, collect, live, plan_gc
from lth_ray.store.claims import Claims, claims_of
from lth_ray.store.layout import claim_path
from lth_ray.store.local import LocalFiles

KEY, OTHER = "segment-" + "a" * 32 + "-100", "table-" + "b" * 32


def gone(run: LiveRun) -> LiveRun:
    """A run of this host whose process is no more, and left its marker."""
    return replace(run, id="gone", started=run.started - 1000)


def mark(store: Store, run: LiveRun) -> None:
    store.put_study(run.study, f"live/{run.id}.json", vars(run))


def test_of_two_live_runs_one_has_the_work_until_it_gives_it_back(store: Store) -> None:
    with live(store, "s", "one") as one, live(store, "other", "two") as two:
        first, second = Claims(store, one), Claims(store, two)
        assert first.take(KEY, "k0/seed0")
        assert first.take(KEY, "k0/seed0")
        assert not second.take(KEY, "k0/seed0")
        assert second.take(OTHER, "branch")
        assert {key: (claim.what, run.id) for key, (claim, run) in second.of_others().items()} == {
            KEY: ("k0/seed0", "one")
        }
        assert {run: [claim.what for claim in claims] for run, claims in claims_of(store, "s").items()} == {
            "one": ["k0/seed0"]
        }
        first.give_back(KEY)
        assert second.of_others() == {}
        assert second.take(KEY, "k0/seed0")
        assert not first.take(KEY, "k0/seed0")
        for claims in (first, second):
            claims.give_all_back()
        assert store.list("claims") == {}


def test_of_many_at_once_one_takes_over_from_a_run_that_is_gone(store: Store) -> None:
    with live(store, "s", "0") as run:
        dead = gone(run)
        mark(store, dead)
        assert Claims(store, dead).take(KEY, "it")
        runs = [replace(run, id=str(number)) for number in range(4)]
        for one in runs:
            mark(store, one)
        claims = [Claims(store, one) for one in runs]
        assert claims[0].of_others() == {}
        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(lambda one: one.take(KEY, "it"), claims))
        assert won.count(True) == 1
        winner = claims[won.index(True)]
        assert len(store.list("claims")) == 2
        winner.give_back(KEY)
        assert store.list("claims") == {}


@pytest.mark.parametrize("point", ["mid-write:1", "claimed:1"])
def test_a_run_killed_as_it_claims_binds_nobody(local_store: Store, fork: Callable[..., int], point: str) -> None:
    store = local_store

    def claim() -> None:
        from lth_ray import probes

        with live(store.impatient, "s", "killed") as run:
            os.environ["LTH_RAY_KILL_AT"] = point
            probes._NAME, probes._passings_left = point.partition(":")[0], 1
            Claims(store, run).take(KEY, "it")
            probes.point("claimed")

    assert fork(claim) == -9
    with live(store, "s", "next") as run:
        claims = Claims(store, run)
        assert claims.of_others() == {}
        assert claims.take(KEY, "it")
        claims.give_all_back()
    assert store.list("claims") == {}


def test_a_damaged_claim_binds_nobody(store: Store) -> None:
    with live(store, "s", "one") as run:
        store.put(f"claims/{KEY}.0.json", b"{}")
        claims = Claims(store, run)
        assert claims.of_others() == {}
        assert claims.take(KEY, "it")
        assert {run: [claim.what for claim in held] for run, held in claims_of(store, "s").items()} == {"one": ["it"]}
        claims.give_back(KEY)
    assert store.list("claims") == {}


def test_a_storage_that_fails_binds_nobody(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        assert Claims(local_store, one).take(KEY, "it")
        claims = Claims(local_store, two)
        assert not claims.take(KEY, "it")

        def away(*_: object) -> None:
            raise StorageAway("away")

        with monkeypatch.context() as context:
            context.setattr("lth_ray.store.local.LocalFiles.put_if_absent", away)
            context.setattr("lth_ray.store.local.LocalFiles.delete", away)
            assert claims.take(KEY, "it")
            claims.give_back(KEY)


def test_a_claim_whose_removal_failed_is_removed_with_the_next(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other runs would wait for it as long as this one lives, though its work is done."""
    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        first, second = Claims(local_store, one), Claims(local_store, two)
        assert first.take(KEY, "it")
        assert first.take(OTHER, "branch")

        def away(*_: object) -> None:
            raise StorageAway("away")

        with monkeypatch.context() as context:
            context.setattr("lth_ray.store.local.LocalFiles.delete", away)
            first.give_back(KEY)
        assert second.of_others().keys() == {KEY, OTHER}
        first.give_back(OTHER)
        assert second.of_others() == {}

        with monkeypatch.context() as context:
            assert first.take(KEY, "it")
            context.setattr("lth_ray.store.local.LocalFiles.delete", away)
            first.give_back(KEY)
        assert first.take(KEY, "it")  # it is its own, and stays
        assert first.of_others() == {}
        assert not second.take(KEY, "it")
        first.give_all_back()
    assert local_store.list("claims") == {}


def test_a_claim_that_can_never_be_removed_keeps_no_other(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    delete, refused = LocalFiles.delete, {KEY, OTHER}

    def delete_unless_refused(self: LocalFiles, *paths: str) -> None:
        if any(key in path for key in refused for path in paths):
            raise StorageError("permission denied")
        delete(self, *paths)

    monkeypatch.setattr(LocalFiles, "delete", delete_unless_refused)
    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        first, second = Claims(local_store, one), Claims(local_store, two)
        for key in (OTHER, KEY):
            assert first.take(key, "it")
            first.give_back(key)
        assert second.of_others().keys() == {KEY, OTHER}
        refused.remove(OTHER)
        first.remove_left()
        first.remove_left()
        assert second.of_others().keys() == {KEY}
        assert first.take(OTHER, "it")
        first.give_back(OTHER)
        assert second.of_others().keys() == {KEY}


def test_a_removal_whose_answer_was_lost_takes_nothing_from_another_run(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = LocalFiles.delete

    def unanswered(self: LocalFiles, *paths: str) -> None:
        delete(self, *paths)
        raise StorageAway("away")

    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        first, second = Claims(local_store, one), Claims(local_store, two)
        assert first.take(KEY, "it")
        with monkeypatch.context() as context:
            context.setattr(LocalFiles, "delete", unanswered)
            first.give_back(KEY)
        assert second.take(KEY, "it")
        first.remove_left()
        assert first.of_others().keys() == {KEY}
        assert not first.take(KEY, "it")


@pytest.mark.parametrize("dead", [0, 1])
def test_work_begun_without_an_answer_takes_no_claim_from_another_run(
    local_store: Store, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    """It has the work, beyond what a dead run left; and to begin it as well costs its own training alone."""
    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        for _ in range(dead):
            mark(local_store, gone(one))
            assert Claims(local_store, gone(one)).take(KEY, "it")
        first, second, third = Claims(local_store, one), Claims(local_store, two), Claims(local_store, two)
        assert first.take(KEY, "it")
        claims = local_store.list("claims")
        put, path = LocalFiles.put_if_absent, claim_path(KEY, dead)

        def away(self: LocalFiles, name: str, data: bytes) -> bool:
            if name == path:
                raise StorageAway("away")
            return put(self, name, data)

        with monkeypatch.context() as context:
            context.setattr(LocalFiles, "put_if_absent", away)
            assert second.take(KEY, "it")
        second.give_back(KEY)
        assert local_store.list("claims") == claims
        assert not third.take(KEY, "it")


def test_a_claim_whose_answer_was_lost_is_removed_with_its_work(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalFiles.put_if_absent

    def unanswered(self: LocalFiles, path: str, data: bytes) -> bool:
        put(self, path, data)
        raise StorageAway("away")

    with live(local_store, "s", "one") as one, live(local_store, "s", "two") as two:
        first, second = Claims(local_store, one), Claims(local_store, two)
        with monkeypatch.context() as context:
            context.setattr(LocalFiles, "put_if_absent", unanswered)
            assert first.take(KEY, "it")
        assert not second.take(KEY, "it")
        first.give_back(KEY)
        assert second.take(KEY, "it")


def test_what_a_dead_run_had_claimed_is_collected_once_no_run_is_live(local_store: Store) -> None:
    with live(local_store, "s", "one") as run:
        assert Claims(local_store, run).take(KEY, "it")
        later = local_store.now() + 7200
        assert plan_gc(local_store, Reached(), now=later) == []
    (removal,) = plan_gc(local_store, Reached(), now=later)
    assert (removal.path, removal.why) == (f"claims/{KEY}.0.json", "the run that claimed it is gone")
    collect(local_store, [removal])
    assert local_store.list("claims") == {}
