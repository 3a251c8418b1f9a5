"""Damaged files are named, moved aside and made again with the same content; none is ever taken for whole."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lth_ray.config import RandomMask, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.store import DamagedFile


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(bytes(data))


def foreign(path: Path) -> None:
    """Whole, but another segment's."""
    others = sorted(other for other in path.parent.glob("*") if other != path)
    others += sorted(other for other in path.parent.parent.glob("*/*") if other.parent != path.parent)
    shutil.copy(next(other for other in others if other.suffix == path.suffix), path)


DAMAGES = [truncated, flipped, foreign]
pytestmark = pytest.mark.filterwarnings("ignore:.*(damaged|lost)")


def growing(lab: Any, rounds: int) -> Any:
    changes = {"prune.rounds": rounds, "train.length": steps(20)}
    return lab.study(changes, rewind=[steps(10)], branches=[RandomMask(rounds=[1])])


def state_file(ran: Any, segment: Any, step: int) -> Path:
    return Path(ran.store.uri, ran.store.find_state(segment.trajectory, step))


def files(ran: Any) -> dict[str, tuple[Path, int]]:
    """{name: (file, steps that making it again takes)}; what follows from it is new then."""
    dense, rounds = ran.plan.lineages[0].dense, ran.plan.lineages[0].rounds
    folder = Path(ran.store.uri)
    mask = folder / ran.store.segment(ran.key(2))["files"][0]
    return {
        "the state at the rewind point": (state_file(ran, dense, 10), 10),
        "the state that is pruned": (state_file(ran, rounds[2].segment, 20), 10),
        "the mask that is pruned": (mask, 0),
        "the record that is pruned": (folder / "segments" / f"{ran.key(2)}.json", 10),
    }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["state at the rewind point", "state that is pruned", "mask that is pruned",
                                  "record that is pruned"])  # fmt: skip
def test_what_a_new_round_is_made_from_is_made_again(lab: Any, name: str, damage: Callable[[Path], None]) -> None:
    small = lab.run(growing(lab, 2))
    path, cost = files(small)[f"the {name}"]
    whole, relative = path.read_bytes(), str(path.relative_to(small.store.uri))
    damage(path)
    with pytest.warns(UserWarning, match=path.name[:30]):
        ran = lab.run(growing(lab, 3))
    trained = ran.steps
    if ran.failures:  # found while it was read: named, and made again by the next run
        assert relative in next(iter(ran.failures.values()))
        assert not path.exists()
        ran = lab.run(growing(lab, 3))
        trained += ran.steps
    assert not ran.failures
    assert trained == cost + 10
    assert ran.contents == lab.whole(growing(lab, 3)).contents
    assert Path(ran.store.uri, "damaged", relative).exists()
    if "record" not in name:
        assert path.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lab.run(growing(lab, 3)).steps == 0


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_damaged_masks_fail_no_run(lab: Any, damage: Callable[[Path], None]) -> None:
    """They are found by the plan, one behind the other, and made again before they are read: the first run goes on."""
    small = lab.run(growing(lab, 2))
    masks = [Path(small.store.uri, small.store.segment(small.key(number))["files"][0]) for number in (1, 2)]
    whole = [path.read_bytes() for path in masks]
    for path in masks:
        damage(path)
    before = small.store.list()
    with pytest.warns(UserWarning, match=masks[1].name):
        make_plan(growing(lab, 3), None, small.store)
    assert small.store.list() == before
    ran = lab.run(growing(lab, 3))
    assert not ran.failures
    assert ran.steps == 10
    assert [path.read_bytes() for path in masks] == whole
    assert ran.contents == lab.whole(growing(lab, 3)).contents


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_left_out_of_the_tables_and_made_again(lab: Any, damage: Callable[[Path], None]) -> None:
    ran = lab.run(growing(lab, 2))
    damage(Path(ran.store.uri, "segments", f"{ran.key(1)}.json"))
    with pytest.warns(UserWarning, match=ran.key(1)):
        assert [row["round"] for row in ran.tickets] == [0, 2]
    with pytest.raises(DamagedFile, match=ran.key(1)):
        load_ticket(ran.key(1), ran.store.uri)
    again = lab.run(growing(lab, 2))
    assert again.steps == 10
    assert again.contents == lab.whole(growing(lab, 2)).contents


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_a_damaged_checkpoint_is_passed_over(lab: Any, damage: Callable[[Path], None]) -> None:
    study = growing(lab, 2)
    lab.interrupted(study, 15, every_s=0)
    (checkpoint,) = Path(lab.store().uri).glob("checkpoints/*/*")
    damage(checkpoint)
    with pytest.warns(UserWarning, match=checkpoint.name):
        ran = lab.run(study, every_s=0)
    assert ran.steps == ran.plan.unique_steps
    assert ran.contents == lab.whole(study).contents


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_passed_over_for_an_earlier_one(lab: Any, damage: Callable[[Path], None]) -> None:
    ran = lab.run(lab.study(rewind=[steps(10), steps(20)]))
    damage(state_file(ran, ran.plan.lineages[0].dense, 20))
    study = lab.study(rewind=[steps(10), steps(30)])
    with pytest.warns(UserWarning, match="000000000020-"):
        later = lab.run(study)
    assert later.steps == 20 + 2 * 10
    assert later.contents == lab.whole(study).contents


def test_a_damaged_file_of_a_ticket_is_refused_by_name(lab: Any) -> None:
    ran = lab.run(growing(lab, 1))
    path = state_file(ran, ran.plan.lineages[0].rounds[1].segment, 20)
    flipped(path)
    with pytest.raises(DamagedFile, match=path.name[:30]):
        load_ticket(ran.key(1), ran.store.uri)


def test_files_that_were_deleted_are_made_again(lab: Any) -> None:
    study = growing(lab, 2)
    ran = lab.run(study)
    before = ran.store.list()
    for folder in ("states", "masks"):
        shutil.rmtree(Path(ran.store.uri, folder))
    again = lab.run(study)
    assert again.steps <= ran.steps
    assert not again.failures
    assert again.contents == ran.contents
    assert again.store.list() == before
