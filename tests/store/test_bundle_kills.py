"""Kills while bundles are written, sent, unpacked and collected: each is complete or absent, and nothing is lost."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from lth_ray import probes
from lth_ray.store import Reached, Store, collect, plan_gc
from lth_ray.store.bundles import BundledFiles
from lth_ray.store.uri import open_files
from tests.store.trained import TRAINED, alone, bundle, finish, forget, key, whole
from tests.store.wire import Wire


@pytest.mark.parametrize("place", ["tmp_path", pytest.param("s3_bucket", marks=pytest.mark.slow)])
@pytest.mark.parametrize("point", ["bundled:1", "unbundled:1", "unbundled:7"])
def test_a_kill_while_bundling_loses_nothing(
    request: pytest.FixtureRequest, fork: Callable[..., int], place: str, point: str
) -> None:
    store = Store.open(f"{request.getfixturevalue(place)}/{uuid.uuid4().hex}")
    for number in range(TRAINED):
        finish(store, number)
    before = store.list()
    assert fork(killed(lambda: bundle(store), point)) == -9
    assert_bundling_goes_on(store, before)


@pytest.mark.parametrize("point", ["mid-write:1", "mid-write:2"])
def test_a_kill_while_a_bundle_is_written_leaves_none(local_store: Store, fork: Callable[..., int], point: str) -> None:
    for number in range(TRAINED):
        finish(local_store, number)
    before = local_store.list()
    assert fork(killed(lambda: bundle(local_store), point)) == -9
    assert local_store.list("bundles") == {}
    assert_bundling_goes_on(local_store, before)


def test_a_kill_while_a_bundle_is_sent_to_a_bucket_leaves_none(
    s3_bucket: str, tmp_path: Path, fork: Callable[..., int]
) -> None:
    """Half of the request has left the host when its process is killed."""
    uri, pid = f"{s3_bucket}/{uuid.uuid4().hex}", tmp_path / "pid"
    store = Store.open(uri)
    for number in range(TRAINED):
        finish(store, number)
    before = store.list()
    with Wire(os.environ["AWS_ENDPOINT_URL"], b"/bundles/", 1000, lambda: os.kill(int(pid.read_text()), 9)) as wire:

        def send() -> None:
            pid.write_text(str(os.getpid()))
            bundle(Store(BundledFiles(open_files(f"{uri}?endpoint_override={wire.address}&scheme=http"))))

        assert fork(send) == -9
    assert wire.cut
    assert store.list("bundles") == {}
    assert_bundling_goes_on(store, before)


def assert_bundling_goes_on(store: Store, before: dict[str, int]) -> None:
    assert whole(forget(store))
    assert store.list() == before
    store.delete(".tmp/bundling")  # which another would take to be at work for ten minutes
    bundle(store)
    assert whole(forget(store))
    assert store.list() == before
    assert {path.partition("/")[0] for path in alone(store)} == {"bundles", "states"}


def killed(action: Callable[[], object], point: str) -> Callable[[], object]:
    """The action with a kill at a point, for a child process: modules keep the probes that they have imported."""

    def run() -> object:
        name, _, count = point.partition(":")
        probes._NAME, probes._passings_left = name, int(count)  # type: ignore[misc]
        return action()

    return run


def test_a_kill_while_bundles_are_collected_loses_nothing_that_is_kept(
    local_store: Store, fork: Callable[..., int]
) -> None:
    for number in range(TRAINED):
        finish(local_store, number)
    bundle(local_store)
    kept = Reached(segments=frozenset({key(1)}))
    removals = plan_gc(local_store, kept, now=local_store.now() + 7200)
    assert fork(killed(lambda: collect(local_store, removals), "rebundled:1")) == -9
    assert len(local_store.list("bundles")) == 2
    assert whole(forget(local_store), range(1, 2))
    collect(local_store, plan_gc(local_store, kept, now=local_store.now() + 7200))
    assert local_store.segments() == {key(1)}
    assert whole(forget(local_store), range(1, 2))
