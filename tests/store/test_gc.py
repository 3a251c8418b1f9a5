"""Collection: what goes, what stays, in which order, and what a kill in the middle leaves."""

import hashlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lth_ray.store import (
    DamagedFile,
    Reached,
    StorageError,
    Store,
    checkpoint_path,
    collect,
    live,
    mask_path,
    plan_gc,
    segment_path,
    state_path,
    table_path,
)  # fmt: skip
from lth_ray.store.files import MARKER, TEMPORARY


def key(name: str, suffix: str = "") -> str:
    """A key as lth_ray gives them."""
    return hashlib.sha256(name.encode()).hexdigest()[:32] + suffix


KEPT, DROPPED, UNFINISHED, YOUNG, T = (key(name) for name in ("kept", "dropped", "unfinished", "young", "t"))

SET_ASIDE = f"damaged/{mask_path('0' * 64)}"


def segment(store: Store, key: str) -> list[str]:
    """A published segment with a state, a mask and a checkpoint left over; the paths its record names."""
    value = float(sum(map(ord, key)))
    digest = store.save_state(key, 7, {"w": torch.tensor([value])})
    mask = store.save_mask({"w": torch.arange(2000) % (2 + int(key[:8], 16) % 997) == 0})
    store.save_checkpoint(key, 5, {"w": torch.tensor([value])}, None, {})
    files = [state_path(key, 7, digest), mask_path(mask)]
    assert store.publish_segment(key, {"files": files})
    return files


def plan(store: Store, *segments: str, **options: float) -> dict[str, str]:
    reached = Reached(segments=frozenset(segments))
    return {removal.path: removal.why for removal in plan_gc(store, reached, **{"grace_s": 0.0, **options})}


def test_the_plan_names_what_nothing_reaches(store: Store) -> None:
    kept, dropped = segment(store, KEPT), segment(store, DROPPED)
    store.publish_table(KEPT, {})
    store.publish_table(DROPPED, {})
    store.save_checkpoint(UNFINISHED, 3, {"w": torch.ones(1)}, None, {})
    store.put(SET_ASIDE, b"x")
    store.put("studies/s/history.json", b"{}")
    reached = Reached(segments=frozenset({KEPT, UNFINISHED}), tables=frozenset({KEPT}))
    removals = plan_gc(store, reached, grace_s=0)
    assert {removal.path: removal.why for removal in removals} == {
        segment_path(DROPPED): "no study reaches this record",
        table_path(DROPPED): "no study reaches this record",
        checkpoint_path(KEPT, 5): "its segment is finished",
        checkpoint_path(DROPPED, 5): "no study reaches its segment",
        **dict.fromkeys(dropped, "no record names it"),
        SET_ASIDE: "it was set aside as damaged",
    }
    assert {removal.path for removal in removals[:2]} == {segment_path(DROPPED), table_path(DROPPED)}
    sizes = store.list()
    assert all(removal.bytes == sizes[removal.path] for removal in removals)
    assert collect(store, removals) == sum(removal.bytes for removal in removals)
    assert set(store.list()) == {
        segment_path(KEPT), table_path(KEPT), *kept, checkpoint_path(UNFINISHED, 3), "studies/s/history.json",
    }  # fmt: skip
    assert plan_gc(store, reached, grace_s=0) == []


def test_what_is_reached_beside_the_records_stays(local_store: Store) -> None:
    digest = local_store.save_state(T, 1, {"w": torch.ones(1)})
    path = state_path(T, 1, digest)
    assert plan(local_store) == {path: "no record names it"}
    for reached in (Reached(files=frozenset({path})), Reached(states=frozenset({(T, 1)}))):
        assert plan_gc(local_store, reached, grace_s=0) == []


def test_a_record_keeps_the_steps_that_it_names(local_store: Store) -> None:
    paths = [state_path(T, step, local_store.save_state(T, step, {"w": torch.ones(1)})) for step in (1, 2, 3)]
    local_store.publish_segment(KEPT, {"trajectory": T, "states": [1, 3]})
    assert set(plan(local_store, KEPT)) == {paths[1]}


def test_checkpoints_of_unfinished_work_stay(local_store: Store) -> None:
    local_store.publish_segment(KEPT, {})
    for key in (f"{KEPT}@state", UNFINISHED, f"{DROPPED}@state"):
        local_store.save_checkpoint(key, 1, {"w": torch.ones(1)}, None, {})
    assert set(plan(local_store, KEPT, UNFINISHED)) == {checkpoint_path(f"{DROPPED}@state", 1)}


def test_what_is_young_stays_with_all_that_it_names(store: Store) -> None:
    segment(store, DROPPED)
    assert plan(store, grace_s=3600.0) == {}
    assert plan(store, grace_s=3600.0, now=time.time() + 7200) != {}


def test_a_young_record_keeps_its_old_files(local_store: Store) -> None:
    files = segment(local_store, YOUNG)
    for path in files:
        os.utime(Path(local_store.uri, path), (1, 1))
    assert plan(local_store, grace_s=3600.0) == {}


def test_halves_of_killed_writers_go(local_store: Store) -> None:
    half = Path(local_store.uri, ".tmp", T)
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"x")
    assert plan(local_store, grace_s=3600.0) == {}
    assert plan(local_store) == {f".tmp/{T}": "a writer that was killed left it"}
    collect(local_store, plan_gc(local_store, Reached(), grace_s=0))
    assert not half.exists()


def test_a_file_written_again_since_the_plan_stays(local_store: Store) -> None:
    model = {"w": torch.ones(1)}
    path = state_path(T, 1, local_store.save_state(T, 1, model))
    os.utime(Path(local_store.uri, path), (1, 1))
    removals = plan_gc(local_store, Reached())
    assert [removal.path for removal in removals] == [path]
    local_store.save_state(T, 1, model)
    assert collect(local_store, removals) == 0
    assert local_store.exists(path)


def test_a_record_that_cannot_be_read_stops_the_plan(local_store: Store) -> None:
    segment(local_store, KEPT)
    local_store.put(segment_path(KEPT), b"{")
    with pytest.raises(DamagedFile, match=KEPT):
        plan(local_store, KEPT)


def test_nothing_goes_while_a_run_is_live(local_store: Store) -> None:
    segment(local_store, DROPPED)
    removals = plan_gc(local_store, Reached(), grace_s=0)
    with live(local_store, "my-study", "run1"):
        with pytest.raises(StorageError, match="runs are live: my-study on"):
            collect(local_store, removals)
        assert set(local_store.list()) >= {removal.path for removal in removals}
        assert collect(local_store, removals, beside_live_runs=True) > 0


def test_a_collector_killed_anywhere_leaves_nothing_half_visible(local_store: Store, fork: Callable[..., int]) -> None:
    store, reached = local_store, Reached(segments=frozenset({KEPT}))
    kept = segment(store, KEPT)
    dropped = {one: segment(store, one) for one in map(key, ("one", "three", "seven"))}

    def gc() -> None:
        collect(store, plan_gc(store, reached, grace_s=0))

    kills = 0
    while fork(gc, kill_at="gc:1") == -9:  # a kill after every single removal
        kills += 1
        left = store.list()
        assert set(kept) <= left.keys()
        for one in store.segments() & dropped.keys():
            assert set(dropped[one]) <= left.keys()
    assert kills > len(dropped)
    assert set(store.list()) == {segment_path(KEPT), *kept}


FOREIGN = (
    "masks/train/img1.png", "masks/img1.safetensors", "checkpoints/bert/model.pt", "checkpoints/bert/000000000001.bin",
    "tables/results.csv", "tables/results.json", "segments/a.json", "states/texas/000000000001-x.safetensors",
    "damaged/parcel.txt", "damaged/masks/a.png", ".tmp/download.part", "readme",
)  # fmt: skip


def test_another_s_folder_is_refused_and_stays(store: Store) -> None:
    foreign = Store.open(store.uri, writable=False)
    foreign.delete(MARKER)
    for path in FOREIGN:
        foreign.put(path, b"mine")
    before = {**foreign.list(), **foreign.list(TEMPORARY)}
    for uri in (foreign.uri, f"{foreign.uri}/masks"):
        with pytest.raises(StorageError, match="is no storage of lth_ray"):
            plan_gc(Store.open(uri, writable=False), Reached(), grace_s=0)
    assert {**foreign.list(), **foreign.list(TEMPORARY)} == before


def test_another_s_files_in_a_storage_stay(store: Store) -> None:
    """One that was given to a study as its storage: of all that is in it only the study's own may go."""
    own = segment(store, DROPPED)
    for path in FOREIGN:
        store.put(path, b"mine")
    removals = plan_gc(store, Reached(), grace_s=0)
    assert {removal.path for removal in removals} == {segment_path(DROPPED), checkpoint_path(DROPPED, 5), *own}
    collect(store, removals)
    assert {*store.list(), *store.list(TEMPORARY)} == {*FOREIGN}


@pytest.mark.parametrize("evidence", ["segment", "table", "study"])
def test_a_storage_from_before_there_were_markers_is_known_by_its_records(local_store: Store, evidence: str) -> None:
    old = local_store.impatient
    if evidence == "study":
        old.put_study("s", "history.json", {"entries": []})
    else:
        (old.publish_segment if evidence == "segment" else old.publish_table)(KEPT, {})
    old = Store.open(old.uri, writable=False)
    old.put(SET_ASIDE, b"x")
    old.delete(MARKER)
    reached = Reached(segments=frozenset({KEPT}), tables=frozenset({KEPT}))
    assert [removal.path for removal in plan_gc(old, reached, grace_s=0)] == [SET_ASIDE]


@pytest.mark.parametrize("grace_s", [math.nan, math.inf, -1.0])
def test_a_grace_that_is_no_number_is_refused(local_store: Store, grace_s: float) -> None:
    segment(local_store, DROPPED)
    with pytest.raises(StorageError, match=r"grace_s = .*give a number"):
        plan(local_store, grace_s=grace_s)


def test_ages_are_told_by_the_clock_of_the_storage(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector whose own clock is a day ahead takes nothing that is young."""
    segment(local_store, DROPPED)
    ahead = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert plan(local_store, grace_s=3600.0) == {}
