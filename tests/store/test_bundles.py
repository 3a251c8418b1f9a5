"""Bundles of small files: listed, read, published and removed as if each file lay by itself, whoever dies when."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lth_ray.store import DamagedFile, MissingFile, Reached, Store, collect, content, mask_path, plan_gc, segment_path
from lth_ray.store.bundles import BundledFiles, read_index
from lth_ray.store.bundling import AT_IT, KILLED_S, _is_alone, bundling, remove_bundled, write_bundles
from lth_ray.store.files import Entry
from lth_ray.store.known_bundles import KNOWN
from lth_ray.store.whole import damage
from tests.store.trained import TRAINED, alone, bundle, finish, forget, key, mask, trajectory, whole


def test_bundled_files_are_one_file_and_read_as_before(filled: Store) -> None:
    before = filled.list()
    assert write_bundles(filled, at_least=TRAINED + 1) == 0
    assert filled.list("bundles") == {}
    assert bundle(filled) == 3 * TRAINED
    assert filled.list() == before
    (held,) = filled.list("bundles")
    assert alone(filled) == {held} | {path for path in before if "000000000040-" in path}
    assert whole(filled)
    assert whole(forget(filled))
    assert filled.list(f"states/{trajectory(1)}").keys() == {
        path for path in before if path.startswith(f"states/{trajectory(1)}/")
    }
    assert bundle(filled) == 0


def test_files_stay_by_themselves_until_their_bundle_has_settled(filled: Store) -> None:
    before = alone(filled)
    assert write_bundles(filled, at_least=1) == 1
    assert remove_bundled(filled) == 0
    assert alone(filled) - set(filled.list("bundles")) == before
    assert bundle(filled) == 3 * TRAINED
    assert len(filled.list("bundles")) == 1
    assert whole(forget(filled))


def test_what_comes_later_makes_another_bundle(filled: Store) -> None:
    bundle(filled)
    for number in range(TRAINED, 2 * TRAINED):
        finish(filled, number)
    filled.save_mask(mask(0))  # written again, as by a lineage that comes to the same one
    bundle(filled)
    assert len(filled.list("bundles")) == 2
    assert {path.partition("/")[0] for path in alone(filled)} == {"bundles", "states"}
    assert whole(forget(filled), range(2 * TRAINED))


def test_publishing_once_holds_beside_bundling(filled: Store) -> None:
    """Another process, which has looked before, writes at the moment at which the record goes into a bundle."""
    raw = filled.bundled.files
    put, path = type(raw).put_if_absent, segment_path(key(0))

    def bundled_meanwhile(self: Any, name: str, data: bytes) -> bool:
        if name == path and path in alone(filled):
            bundle(filled)
        return put(self, name, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(raw), "put_if_absent", bundled_meanwhile)
        assert not filled.publish_segment(key(0), {"number": "another"})
    assert path not in alone(filled)
    assert whole(forget(filled))


def test_a_bundler_that_was_killed_does_not_keep_others_for_ever(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(local_store, 0)
    local_store.put(".tmp/bundling", b"")
    assert bundle(local_store) == 0
    monkeypatch.setattr("lth_ray.store.bundling.KILLED_S", -1.0)
    assert bundle(local_store) == 3


def test_a_bundler_with_much_to_do_stays_alone(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts how long its last bundle took, not how long it has been at all of them."""
    for number in range(TRAINED):
        finish(local_store, number)
    monkeypatch.setattr("lth_ray.store.bundling.BUNDLE_BYTES", 1)  # each record begins another
    write, alone_too = BundledFiles.bundle, list[bool]()

    def slowly(self: BundledFiles, contents: Mapping[Entry, bytes]) -> str | None:
        began = Path(local_store.uri, AT_IT).stat().st_mtime
        os.utime(Path(local_store.uri, AT_IT), (began - 0.9 * KILLED_S,) * 2)
        return write(self, contents)

    def another_looks() -> bool:
        alone_too.append(_is_alone(local_store))
        return True

    monkeypatch.setattr(BundledFiles, "bundle", slowly)
    assert write_bundles(local_store, at_least=1, going_on=another_looks) == TRAINED
    assert alone_too == [False] * TRAINED


def test_a_record_that_is_being_collected_does_not_come_back_without_what_it_names(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been read for a bundle by then, and its mask has not."""
    raw, digest = type(filled.bundled.files), content(mask(0))
    get = raw.get

    def gone(self: Any, path: str) -> bytes:
        if path == mask_path(digest):
            filled.delete(segment_path(key(0)), path)
        return get(self, path)

    monkeypatch.setattr(raw, "get", gone)
    bundle(filled)
    assert forget(filled).segments() == {key(number) for number in range(1, TRAINED)}
    assert whole(filled, range(1, TRAINED))


def test_two_that_bundle_at_once_lose_nothing(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.store.bundling._is_alone", lambda store: True)
    with ThreadPoolExecutor(2) as pool:
        removed = list(pool.map(bundle, [filled, filled]))
    assert sum(removed) >= 3 * TRAINED
    assert {path.partition("/")[0] for path in alone(filled)} == {"bundles", "states"}
    assert whole(forget(filled))


def test_what_several_records_name_is_in_one_bundle(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.store.bundling.BUNDLE_BYTES", 1)  # each record begins another
    digest = local_store.save_mask(mask(0))
    for number in range(TRAINED):
        local_store.publish_segment(key(number), {"files": [mask_path(digest)], "states": []})
    assert write_bundles(local_store, at_least=1) == TRAINED
    finish(local_store, TRAINED)  # names another mask, and lies beside files that wait to be removed
    local_store.publish_segment(key(TRAINED + 1), {"files": [mask_path(digest)], "states": []})
    assert write_bundles(local_store, at_least=1) == 2
    held = [path for one in local_store.list("bundles") for path in read_index(local_store.bundled.files, one)]
    assert held.count(mask_path(digest)) == 1
    assert sorted(held) == sorted(set(held))


def test_a_record_that_was_made_again_is_not_removed_for_the_bundle_that_is_gone(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was damaged both by itself and in the bundle, and set aside when its removal had been decided upon."""
    monkeypatch.setattr("lth_ray.store.bundling.READERS", 1)
    write_bundles(filled, at_least=1)
    raw, again = type(filled.bundled.files), list[bool]()
    exists = raw.exists

    def made_again(self: Any, path: str) -> bool:
        if path.startswith("bundles/") and not again:
            again.append(True)
            filled.quarantine(segment_path(key(0)))
            assert filled.publish_segment(key(0), {"number": "made again", "files": [], "states": []})
        return exists(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(raw, "exists", made_again)
        assert remove_bundled(filled, settled_s=0.0) == 0
    record = forget(filled).segment(key(0))
    assert record is not None
    assert record["number"] == "made again"
    assert whole(filled, range(1, TRAINED))


def test_a_damaged_member_is_moved_aside_and_the_others_stay(filled: Store) -> None:
    bundle(filled)
    (held,) = filled.list("bundles")
    path = mask_path(content(mask(2)))
    member = read_index(filled.bundled.files, held)[path]
    data = bytearray(filled.get(held))
    data[member.begin + member.bytes - 1] ^= 1
    filled.put(held, bytes(data))
    assert damage(filled, path) is not None
    with pytest.raises(DamagedFile) as found:
        filled.load_mask(content(mask(2)))
    filled.quarantine(found.value.path)
    assert not filled.exists(path)
    assert filled.exists(f"damaged/{path}")
    with pytest.raises(MissingFile):
        filled.load_mask(content(mask(2)))
    filled.save_mask(mask(2))
    assert whole(forget(filled))
    assert len(filled.list("bundles")) == 1


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_bundle_with_a_damaged_index_is_found_and_its_trainings_are_planned_again(filled: Store) -> None:
    bundle(filled)
    (held,) = filled.list("bundles")
    filled.put(held, b"\0" + filled.get(held)[1:])
    assert damage(filled, held) is not None
    assert forget(filled).segment(key(0)) is None
    before = alone(filled)
    with pytest.raises(DamagedFile, match=held):  # what the records in it name is not known
        plan_gc(filled, Reached(), now=filled.now() + 7200)
    assert alone(filled) == before
    filled.quarantine(held)
    assert finish(filled, 0)
    assert whole(forget(filled), range(1))


def test_what_no_study_reaches_is_collected_out_of_bundles(filled: Store) -> None:
    bundle(filled)
    kept = Reached(segments=frozenset({key(1)}), states=frozenset({(trajectory(1), 40)}))
    removals = plan_gc(filled, kept, now=filled.now() + 7200)
    assert {removal.path for removal in removals if removal.path.startswith("segments/")} == {
        segment_path(key(number)) for number in range(TRAINED) if number != 1
    }
    assert plan_gc(filled, kept) == []  # what was bundled is as old as it was
    freed = collect(filled, removals)
    assert freed == sum(removal.bytes for removal in removals)
    assert filled.segments() == {key(1)}
    assert whole(forget(filled), range(1, 2))
    assert len(filled.list("bundles")) == 1
    collect(filled, plan_gc(filled, Reached(), now=filled.now() + 7200))
    assert filled.list() == filled.list("bundles") == {}


def test_a_reader_goes_on_when_a_bundle_is_written_anew_beside_it(filled: Store) -> None:
    bundle(filled)
    assert whole(filled)
    before = dict(KNOWN.of(filled.uri).bundles)
    filled.delete(segment_path(key(0)))
    known = KNOWN.of(filled.uri)
    known.take_in(known.next_turn(), frozenset(before), before)  # as a process that has not looked since
    assert filled.segment(key(TRAINED - 1)) is not None
    assert whole(filled, range(1, TRAINED))
    assert filled.segment(key(0)) is None


def test_a_storage_without_bundles_is_as_before(local_store: Store) -> None:
    finish(local_store, 0)
    assert {entry.path for entry in local_store.files.entries("")} == set(local_store.list())
    assert not os.path.exists(f"{local_store.uri}/bundles")


def test_a_run_bundles_from_time_to_time(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for one, default in ((write_bundles, TRAINED), (remove_bundled, 0.0)):
        monkeypatch.setattr(one, "__defaults__", (default, *one.__defaults__[1:]))  # type: ignore[index]
    deadline = time.monotonic() + 60
    with bundling(local_store, every_s=0.01):
        for number in range(TRAINED):
            finish(local_store, number)
        while any(path.startswith("segments/") for path in alone(local_store)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert whole(local_store)
