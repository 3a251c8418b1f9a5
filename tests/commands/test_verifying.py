"""`lth-ray verify`: what is damaged is named, set aside when told to, and made again by the next run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray.commands import reporting
from lth_ray.lottery import branch_rows, make_plan, ticket_rows
from lth_ray.store import Store, mask_path
from lth_ray.store.bundling import remove_bundled, write_bundles
from lth_ray.store.known_bundles import KNOWN
from tests.conftest import Call
from tests.running.conftest import declared, train_here

STUDY = declared()
pytestmark = pytest.mark.filterwarnings("ignore:.*(damaged|lost)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train_here(STUDY, Store.open(str(folder)))
    return folder


@pytest.fixture
def storage(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "storage"))


def contents(storage: Path) -> list[str]:
    store = Store.open(str(storage))
    plan = make_plan(STUDY, None, store)
    return [row["content"] for row in (*ticket_rows(plan, store), *branch_rows(plan, store))]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def of_each_kind(storage: Path) -> dict[str, Path]:
    """A file of each kind, and a checkpoint of a segment that is not done."""
    store = Store.open(str(storage))
    lineage = make_plan(STUDY).lineages[0]
    dense, ticket = lineage.dense, lineage.rounds[2].segment
    store.save_checkpoint(f"{ticket.key}@state", 10, store.load_state(dense.trajectory, dense.last).model, None, {})
    record = store.segment(ticket.key)
    assert record is not None
    return {
        "segment": storage / "segments" / f"{ticket.key}.json",
        "state": storage / str(store.find_state(dense.trajectory, dense.last)),
        "mask": storage / record["files"][0],
        "checkpoint": next((storage / "checkpoints").glob("*/*")),
        "history": storage / "studies" / "small" / "history" / "000001.json",
    }


def test_a_whole_storage_is_whole(call: Call, storage: Path) -> None:
    for name in ([], ["small"]):
        code, printed = call(None, "verify", *name, "--storage", storage)
        assert code == 0, printed
        assert "0 damaged, 0 lost" in printed
    count = len([path for path in storage.rglob("*.*") if path.parts[-2] in ("segments", "tables", "masks", "history")])
    states = len(list(storage.glob("states/*/*")))
    assert int(printed.partition(" files read")[0]) == count + states


@pytest.mark.parametrize("kind", ["segment", "state", "mask", "checkpoint", "history"])
def test_damage_is_named_set_aside_and_made_again(call: Call, storage: Path, finished: Path, kind: str) -> None:
    path = of_each_kind(storage)[kind]
    name = str(path.relative_to(storage))
    flipped(path)
    code, printed = call(None, "verify", "small", "--storage", storage)
    if kind != "history":  # nothing else of the study is known then
        assert code == 1
    code, printed = call(None, "verify", "--storage", storage)
    assert code == 1
    assert f"{name}: it is damaged: " in printed
    assert "1 damaged, 0 lost; --mend sets the damaged ones aside" in printed
    assert path.exists()
    code, printed = call(None, "verify", "--storage", storage, "--mend")
    assert code == 0
    assert (storage / "damaged" / name).exists()
    assert not path.exists()
    train_here(STUDY, Store.open(str(storage)))
    code, printed = call(None, "verify", "small", "--storage", storage)
    assert code == 0, printed
    assert contents(storage) == contents(finished)


def test_a_file_that_is_whole_but_another_s_is_damage(call: Call, storage: Path) -> None:
    """Its digest fits; its name, or what its name says, does not."""
    masks = sorted(storage.glob("masks/*"))
    shutil.copy(masks[0], masks[1])
    segments = sorted(storage.glob("segments/*"))
    shutil.copy(segments[0], segments[1])
    states = sorted(storage.glob("states/*/*"))
    states[0].rename(states[0].with_name(states[0].name[:13] + "0" * 16 + ".safetensors"))
    code, printed = call(None, "verify", "--storage", storage)
    assert code == 1
    assert "3 damaged" in printed
    for path in (masks[1], segments[1]):
        assert str(path.relative_to(storage)) in printed


def test_what_is_lost_is_named(call: Call, storage: Path) -> None:
    files = of_each_kind(storage)
    for kind in ("state", "mask"):
        files[kind].unlink()
    code, printed = call(None, "verify", "small", "--storage", storage)
    assert code == 1
    assert "0 damaged, 2 lost" in printed
    assert f"{files['mask'].relative_to(storage)}: it is lost: " in printed
    train_here(STUDY, Store.open(str(storage)))
    assert call(None, "verify", "small", "--storage", storage)[0] == 0


def test_another_study_s_damage_is_not_this_one_s(call: Call, storage: Path) -> None:
    train_here(replace(STUDY, name="other", seeds=[7]), Store.open(str(storage)))
    record = Store.open(str(storage)).segment(make_plan(replace(STUDY, seeds=[7])).lineages[0].rounds[1].segment.key)
    assert record is not None
    flipped(storage / mask_path(record["mask"]))
    assert call(None, "verify", "small", "--storage", storage)[0] == 0
    assert call(None, "verify", "other", "--storage", storage)[0] == 1
    code, printed = call(None, "verify", "smal", "--storage", storage)
    assert code == 2
    assert "did you mean small" in printed


def test_what_lies_in_bundles_is_read_and_a_damaged_one_is_set_aside_and_made_again(
    call: Call, storage: Path, finished: Path
) -> None:
    store = Store.open(str(storage))
    before = contents(storage)
    assert write_bundles(store, at_least=1) == 1
    remove_bundled(store, settled_s=0.0)
    assert not list(storage.glob("segments/*"))
    code, printed = call(None, "verify", "--storage", storage)
    assert (code, "0 damaged, 0 lost" in printed) == (0, True), printed
    assert contents(storage) == before
    assert not make_plan(STUDY, None, store).jobs
    (bundle,) = storage.glob("bundles/*")
    bundle.write_bytes(b"\0" + bundle.read_bytes()[1:])
    KNOWN.of(store.uri).forget({str(bundle.relative_to(storage))})  # as another process, which has not read it
    code, printed = call(None, "verify", "--storage", storage, "--mend")
    assert code == 0
    assert f"{bundle.relative_to(storage)}: it is damaged: " in printed
    train_here(STUDY, store)
    assert contents(storage) == before == contents(finished)


def test_gc_bundles_what_an_ended_run_has_left(call: Call, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, waited = contents(storage), list[float]()
    monkeypatch.setattr(reporting, "write_bundles", lambda store: write_bundles(store, at_least=1))
    monkeypatch.setattr(reporting, "remove_bundled", lambda store: remove_bundled(store, settled_s=0.0))
    monkeypatch.setattr(reporting.time, "sleep", waited.append)
    alone = len([*storage.glob("segments/*"), *storage.glob("tables/*")])
    code, printed = call(None, "gc", "--yes", "--storage", storage)
    assert code == 0, printed
    assert "put small files into 1 bundles; waiting 120 s until every host sees them" in printed
    assert "files lie in bundles alone now" in printed
    assert (waited, alone > 0) == ([120.0], True)
    assert not [*storage.glob("segments/*"), *storage.glob("tables/*"), *storage.glob("masks/*")]
    assert contents(storage) == before
