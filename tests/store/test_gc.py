"""Collection: what goes, what stays, in which order, and what a kill in the middle leaves."""

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


def segment(store: Store, key: str) -> list[str]:
    """A published segment with a state, a mask and a checkpoint left over; the paths its record names."""
    value = float(sum(map(ord, key)))
    digest = store.save_state(key, 7, {"w": torch.tensor([value])})
    mask = store.save_mask({"w": torch.arange(2000) % (len(key) + 2) == 0})
    store.save_checkpoint(key, 5, {"w": torch.tensor([value])}, None, {})
    files = [state_path(key, 7, digest), mask_path(mask)]
    assert store.publish_segment(key, {"files": files})
    return files


def plan(store: Store, *segments: str, **options: float) -> dict[str, str]:
    reached = Reached(segments=frozenset(segments))
    return {removal.path: removal.why for removal in plan_gc(store, reached, **{"grace_s": 0.0, **options})}


def test_the_plan_names_what_nothing_reaches(store: Store) -> None:
    kept, dropped = segment(store, "kept"), segment(store, "dropped")
    store.publish_table("kept", {})
    store.publish_table("dropped", {})
    store.save_checkpoint("unfinished", 3, {"w": torch.ones(1)}, None, {})
    store.put("damaged/masks/x", b"x")
    store.put("studies/s/history.json", b"{}")
    reached = Reached(segments=frozenset({"kept", "unfinished"}), tables=frozenset({"kept"}))
    removals = plan_gc(store, reached, grace_s=0)
    assert {removal.path: removal.why for removal in removals} == {
        segment_path("dropped"): "no study reaches this record",
        table_path("dropped"): "no study reaches this record",
        checkpoint_path("kept", 5): "its segment is finished",
        checkpoint_path("dropped", 5): "no study reaches its segment",
        **dict.fromkeys(dropped, "no record names it"),
        "damaged/masks/x": "it was set aside as damaged",
    }
    assert {removal.path for removal in removals[:2]} == {segment_path("dropped"), table_path("dropped")}
    sizes = store.list()
    assert all(removal.bytes == sizes[removal.path] for removal in removals)
    assert collect(store, removals) == sum(removal.bytes for removal in removals)
    assert set(store.list()) == {
        segment_path("kept"), table_path("kept"), *kept, checkpoint_path("unfinished", 3), "studies/s/history.json",
    }  # fmt: skip
    assert plan_gc(store, reached, grace_s=0) == []


def test_what_is_reached_beside_the_records_stays(local_store: Store) -> None:
    digest = local_store.save_state("t", 1, {"w": torch.ones(1)})
    path = state_path("t", 1, digest)
    assert plan(local_store) == {path: "no record names it"}
    for reached in (Reached(files=frozenset({path})), Reached(states=frozenset({("t", 1)}))):
        assert plan_gc(local_store, reached, grace_s=0) == []


def test_a_record_keeps_the_steps_that_it_names(local_store: Store) -> None:
    paths = [state_path("t", step, local_store.save_state("t", step, {"w": torch.ones(1)})) for step in (1, 2, 3)]
    local_store.publish_segment("kept", {"trajectory": "t", "states": [1, 3]})
    assert set(plan(local_store, "kept")) == {paths[1]}


def test_checkpoints_of_unfinished_work_stay(local_store: Store) -> None:
    local_store.publish_segment("kept", {})
    for key in ("kept@state", "unfinished", "dropped@state"):
        local_store.save_checkpoint(key, 1, {"w": torch.ones(1)}, None, {})
    assert set(plan(local_store, "kept", "unfinished")) == {checkpoint_path("dropped@state", 1)}


def test_what_is_young_stays_with_all_that_it_names(store: Store) -> None:
    segment(store, "dropped")
    assert plan(store, grace_s=3600.0) == {}
    assert plan(store, grace_s=3600.0, now=time.time() + 7200) != {}


def test_a_young_record_keeps_its_old_files(local_store: Store) -> None:
    files = segment(local_store, "young")
    for path in files:
        os.utime(Path(local_store.uri, path), (1, 1))
    assert plan(local_store, grace_s=3600.0) == {}


def test_halves_of_killed_writers_go(local_store: Store) -> None:
    half = Path(local_store.uri, ".tmp", "half")
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"x")
    assert plan(local_store, grace_s=3600.0) == {}
    assert plan(local_store) == {".tmp/half": "a writer that was killed left it"}
    collect(local_store, plan_gc(local_store, Reached(), grace_s=0))
    assert not half.exists()


def test_a_file_written_again_since_the_plan_stays(local_store: Store) -> None:
    model = {"w": torch.ones(1)}
    path = state_path("t", 1, local_store.save_state("t", 1, model))
    os.utime(Path(local_store.uri, path), (1, 1))
    removals = plan_gc(local_store, Reached())
    assert [removal.path for removal in removals] == [path]
    local_store.save_state("t", 1, model)
    assert collect(local_store, removals) == 0
    assert local_store.exists(path)


def test_a_record_that_cannot_be_read_stops_the_plan(local_store: Store) -> None:
    segment(local_store, "kept")
    local_store.put(segment_path("kept"), b"{")
    with pytest.raises(DamagedFile, match=r"segments/kept\.json"):
        plan(local_store, "kept")


def test_nothing_goes_while_a_run_is_live(local_store: Store) -> None:
    segment(local_store, "dropped")
    removals = plan_gc(local_store, Reached(), grace_s=0)
    with live(local_store, "my-study", "run1"):
        with pytest.raises(StorageError, match="runs are live: my-study on"):
            collect(local_store, removals)
        assert set(local_store.list()) >= {removal.path for removal in removals}
        assert collect(local_store, removals, beside_live_runs=True) > 0


def test_a_collector_killed_anywhere_leaves_nothing_half_visible(local_store: Store, fork: Callable[..., int]) -> None:
    store, reached = local_store, Reached(segments=frozenset({"kept"}))
    kept = segment(store, "kept")
    dropped = {key: segment(store, key) for key in ("one", "three", "seven")}

    def gc() -> None:
        collect(store, plan_gc(store, reached, grace_s=0))

    kills = 0
    while fork(gc, kill_at="gc:1") == -9:  # a kill after every single removal
        kills += 1
        left = store.list()
        assert set(kept) <= left.keys()
        for key in store.segments() & dropped.keys():
            assert set(dropped[key]) <= left.keys()
    assert kills > len(dropped)
    assert set(store.list()) == {segment_path("kept"), *kept}
