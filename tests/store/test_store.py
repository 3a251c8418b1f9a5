"""States, masks, checkpoints and records, alike on a local folder and on S3."""

import json
import math
from collections.abc import Callable

import pytest
import torch

from lth_ray.store import (
    DamagedFile,
    MissingFile,
    StorageError,
    Store,
    checkpoint_path,
    content,
    mask_path,
    segment_path,
    state_path,
    table_path,
)  # fmt: skip

MODEL = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([0.5, -0.0])}
OTHER = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(2, 3)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
RECORD = {"meaning": {"step": 3, "lr": 1.2e-3}, "journal": [[1, 0.1 + 0.2], [2, math.inf]], "files": []}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_state_comes_back(store: Store) -> None:
    digest = store.save_state("t", 5, MODEL)
    state = store.load_state("t", 5)
    assert digest == state.content == content(MODEL)
    assert equal(state.model, MODEL)
    assert state.optimizer is None
    assert store.find_state("t", 5) == state_path("t", 5, digest)
    assert store.find_state("t", 5, with_optimizer=True) is None
    assert store.find_state("t", 50) is None
    assert store.find_state("other", 5) is None


def test_an_optimizer_beside_it_does_not_change_the_content(store: Store) -> None:
    digest = store.save_state("t", 5, MODEL, OPTIMIZER)
    assert digest == content(MODEL)
    assert store.find_state("t", 5) == store.find_state("t", 5, with_optimizer=True)
    for wanted in (None, digest):
        assert store.load_state("t", 5, wanted).optimizer is None
        optimizer = store.load_state("t", 5, wanted, with_optimizer=True).optimizer
        assert optimizer is not None
        assert torch.equal(optimizer["state"][0]["momentum_buffer"], torch.ones(2, 3))
    store.save_state("t", 5, MODEL)
    assert store.find_state("t", 5) == state_path("t", 5, digest)
    assert store.load_state("t", 5, with_optimizer=True).optimizer is not None


def test_deleting_a_state_takes_all_of_that_step(store: Store) -> None:
    store.save_state("t", 5, MODEL, OPTIMIZER)
    store.save_state("t", 5, OTHER)
    kept = state_path("t", 55, store.save_state("t", 55, MODEL))
    for _ in range(2):
        store.delete_state("t", 5)
        assert list(store.list()) == [kept]


def test_two_contents_at_one_step_are_told_apart(store: Store) -> None:
    for model in (MODEL, OTHER):
        store.save_state("t", 5, model)
    for model in (MODEL, OTHER):
        assert equal(store.load_state("t", 5, content(model)).model, model)


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(MissingFile, match="states/t/000000000005-"):
        store.load_state("t", 5)
    with pytest.raises(MissingFile, match="states/t/000000000005-aaaa"):
        store.load_state("t", 5, "a" * 64)
    store.save_state("u", 5, MODEL)
    with pytest.raises(MissingFile, match="optimizer"):
        store.load_state("u", 5, with_optimizer=True)
    with pytest.raises(MissingFile, match="masks/abc"):
        store.load_mask("abc")
    assert store.segment("k") is None
    assert store.table("k") is None
    assert store.newest_checkpoint("k") is None
    assert store.segments() == store.tables() == set()


def test_a_mask_comes_back_packed(store: Store) -> None:
    mask = {"z": torch.rand(300, 100) < 0.2, "a": torch.ones(3, dtype=torch.bool)}
    digest = store.save_mask(mask)
    loaded = store.load_mask(digest)
    assert digest == content(mask)
    assert equal(loaded, mask)
    assert list(loaded) == ["z", "a"]
    assert store.list("masks")[mask_path(digest)] < 300 * 100 / 8 + 1000


def test_checkpoints_keep_the_newest(store: Store) -> None:
    for step in (9, 10, 100):
        store.save_checkpoint("k", step, MODEL, OPTIMIZER, {"loss": [step * 0.1]})
    assert list(store.list("checkpoints")) == [checkpoint_path("k", 100)]
    checkpoint = store.newest_checkpoint("k")
    assert checkpoint is not None
    assert (checkpoint.key, checkpoint.step) == ("k", 100)
    assert equal(checkpoint.model, MODEL)
    assert checkpoint.journal == {"loss": [10.0]}
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer["param_groups"] == OPTIMIZER["param_groups"]
    store.drop_checkpoints("k")
    assert store.list() == {}
    assert store.newest_checkpoint("k") is None


def test_a_damaged_checkpoint_gives_way_to_the_one_before(store: Store) -> None:
    store.save_checkpoint("k", 1, MODEL, None, {})
    whole = store.get(checkpoint_path("k", 1))
    store.put(checkpoint_path("k", 2), whole[:-3])
    store.put(checkpoint_path("k", 3), whole)  # a whole file, but of another step
    with pytest.warns(UserWarning, match=r"checkpoints/k/00000000000[23]") as warned:
        checkpoint = store.newest_checkpoint("k")
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert len(warned) == 2
    damaged = {f"damaged/{checkpoint_path('k', step)}" for step in (2, 3)}
    assert set(store.list()) == {checkpoint_path("k", 1), *damaged}


def test_the_first_to_publish_wins(store: Store) -> None:
    assert store.publish_segment("k", RECORD)
    assert not store.publish_segment("k", {"meaning": "other"})
    assert store.publish_table("k", {"step": [1, 2]})
    assert not store.publish_table("k", {})
    assert store.segment("k") == RECORD
    assert store.table("k") == {"step": [1, 2]}
    assert store.publish_segment("k.2", RECORD)
    assert store.segments() == {"k", "k.2"}
    assert store.tables() == {"k"}


def test_a_nan_is_a_result(store: Store) -> None:
    store.publish_table("k", {"loss": [math.nan, -math.inf]})
    loss = (store.table("k") or {})["loss"]
    assert math.isnan(loss[0])
    assert loss[1] == -math.inf


def test_a_study_keeps_records_of_its_own(store: Store) -> None:
    store.put_study("s", "history.json", {"runs": [1]})
    store.put_study("s", "history.json", {"runs": [1, 2]})
    assert store.study("s", "history.json") == {"runs": [1, 2]}
    assert store.study("s", "none.json") is None


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "one bit": flip,
    "foreign json": lambda data: b'{"hello": 1}',
    "list": lambda data: b"[1]",
    "text": lambda data: b"not a record \xff",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_in_every_kind(local_store: Store, damage: str) -> None:
    store = local_store
    digest, mask_digest = store.save_state("t", 1, MODEL, OPTIMIZER), store.save_mask({"m": torch.ones(90) > 0})
    store.publish_segment("k", RECORD)
    store.publish_table("k", RECORD)
    readers: dict[str, Callable[[], object]] = {
        state_path("t", 1, digest, with_optimizer=True): lambda: store.load_state("t", 1),
        mask_path(mask_digest): lambda: store.load_mask(mask_digest),
        segment_path("k"): lambda: store.segment("k"),
        table_path("k"): lambda: store.table("k"),
    }
    assert set(store.list()) == set(readers)
    for path, read in readers.items():
        read()
        store.put(path, DAMAGES[damage](store.get(path)))
        with pytest.raises(DamagedFile, match="Move it aside") as found:
            read()
        assert found.value.path == path
    store.quarantine(segment_path("k"))
    assert store.segment("k") is None
    assert store.publish_segment("k", RECORD)


def test_a_file_under_a_wrong_name_is_found(local_store: Store) -> None:
    store = local_store
    digest = store.save_state("t", 1, MODEL)
    store.put(state_path("t", 2, digest), store.get(state_path("t", 1, digest)))
    with pytest.raises(DamagedFile, match="it has step '1' where '2' belongs"):
        store.load_state("t", 2)
    store.publish_segment("k", RECORD)
    store.put(segment_path("j"), store.get(segment_path("k")))
    with pytest.raises(DamagedFile, match="the segment of 'k', not the segment of 'j'"):
        store.segment("j")
    store.put(mask_path("f" * 64), store.get(mask_path(store.save_mask({"m": torch.ones(3) > 0}))))
    with pytest.raises(DamagedFile, match="not the mask"):
        store.load_mask("f" * 64)


def test_an_altered_number_in_a_record_is_found(local_store: Store) -> None:
    local_store.publish_segment("k", RECORD)
    envelope = json.loads(local_store.get(segment_path("k")))
    envelope["record"]["meaning"]["step"] = 4
    local_store.put(segment_path("k"), json.dumps(envelope).encode())
    with pytest.raises(DamagedFile, match="digest differs"):
        local_store.segment("k")


@pytest.mark.parametrize("key", ["", "a/b", "..", ".hidden", "a b", "é", "a\n"])
def test_a_key_must_be_a_file_name(local_store: Store, key: str) -> None:
    for call in (local_store.segment, local_store.table, local_store.newest_checkpoint):
        with pytest.raises(StorageError, match="cannot name a file"):
            call(key)
