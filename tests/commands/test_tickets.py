"""`lth-ray show`: which ticket is meant, and what is said of it."""

import json
from pathlib import Path

import pytest

from lth_ray import Model, Prune, Study, Train, load_ticket, steps
from lth_ray.commands.tickets import find_ticket, places, with_study
from lth_ray.config import ConfigError
from lth_ray.lottery import Plan
from lth_ray.pruning import kept
from lth_ray.running.history import entries_of
from lth_ray.store import Store
from tests.commands.conftest import NAME, network, recorded_accuracy
from tests.conftest import Call
from tests.running.conftest import declared, train_here


def test_a_ticket_by_key_prefix_and_place(storage: str, plan: Plan) -> None:
    store = Store.open(storage, writable=False)
    key = plan.lineages[1].rounds[2].segment.key
    assert find_ticket(store, key) == find_ticket(store, key[:12]) == key
    assert find_ticket(store, "k40/seed0/r2", NAME) == find_ticket(store, "k40/seed0/r2") == key


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("nonsense", None, "no ticket 'nonsense' in .*, which holds 7: give a `key` .* NAME/LINEAGE/rROUND"),
        ("", None, "7 tickets begin with '': .*; give more"),
        ("k0/seed0/r3", NAME, "k0/seed0 has rounds 0 to 2, and no round 3"),
        ("k1/seed0/r1", NAME, "no lineage 'k1/seed0' in study 'small': did you mean k0/seed0 or"),
        ("k0/seed0/r1", "smal", "no study 'smal' .* did you mean small"),
    ],
)
def test_a_ticket_that_is_not_there_is_named(storage: str, text: str, name: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_ticket(Store.open(storage, writable=False), text, name)


def test_of_several_studies_one_is_to_be_named(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    for name in ("one", "two"):
        study = Study(name, model=Model("lenet_20"), data=declared().data, train=Train(steps(2), lr=0.1),
                      prune=Prune(fraction=0.5, rounds=0), rewind=[steps(0)], seeds=[0])  # fmt: skip
        train_here(study, store)
    with pytest.raises(ConfigError, match=r"of which study.*NAME/k0/seed0/r0; in .* are one, two"):
        find_ticket(store, "k0/seed0/r0")
    key = find_ticket(store, "k0/seed0/r0", "two")
    assert find_ticket(store, "two/k0/seed0/r0") == key
    assert with_study(store, "two/k0/seed0/r0") == ("k0/seed0/r0", "two")
    assert with_study(store, "three/k0/seed0/r0") == ("three/k0/seed0/r0", None)  # three may be an arm
    assert [place.study for place in places(store, key)] == ["one", "two"]  # they share the run


def test_show_says_what_it_is_and_where_it_comes_from(call: Call, storage: str, plan: Plan) -> None:
    key = plan.lineages[1].rounds[2].segment.key
    code, printed = call(None, "show", f"{plan.lineages[1].id}/r2", "--storage", storage, "--json")
    told = json.loads(printed)
    assert code == 0
    ticket = load_ticket(key, storage)
    assert (told["key"], told["kind"], told["content"]) == (key, "ticket", ticket.provenance["content"])
    assert [layer["name"] for layer in told["layers"]] == [
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    layers = {layer["name"]: layer for layer in told["layers"]}
    for name, mask in ticket.mask.items():
        assert (layers[name]["kept"], layers[name]["eligible"]) == (int(mask.sum()), mask.numel())
        assert layers[name]["density"] == int(mask.sum()) / mask.numel()
    assert layers["fc1.weight"]["shape"] == [20, 64]
    assert told["kept"] == kept(ticket.mask)
    assert told["remaining_weights"] == told["kept"] / told["eligible"]
    assert told["parameters"] == sum(value.numel() for value in network().state_dict().values())
    assert told["measurements"]["test_accuracy"] == recorded_accuracy(key, storage)
    assert told["bytes"]["mask"] == len(next(Path(storage, "masks").glob(f"{ticket.provenance['mask']}*")).read_bytes())
    assert set(told["bytes"]["states"]) == {"100"}
    [place] = told["studies"]
    assert (place["study"], place["lineage"], place["round"], place["seed"]) == (NAME, "k40/seed0", 2, 0)
    assert place["rewind_step"] == told["trained"]["from_step"] == 40
    parents = [r.segment.key for r in plan.lineages[1].rounds[:2]]
    assert [row["key"] for row in place["ancestors"]] == parents
    assert [row["test_accuracy"] for row in place["ancestors"]] == [recorded_accuracy(one, storage) for one in parents]
    assert place["seeds"] == vars(plan.lineages[1].seeds)
    assert told["environment"] == ticket.provenance["environment"]
    assert place["commit"] == entries_of(Store.open(storage, writable=False), NAME)[0]["commit"]


def test_show_for_a_person(call: Call, storage: str, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, printed = call(None, "show", "k40/seed0/r2", "--storage", storage)
    flat = " ".join(printed.replace("│", " ").split())
    assert code == 0
    for part in (
        "48.99% ", "20 x 64", "627 1,280", "study small, lineage k40/seed0, round 2; seed 0, rewind step 40",
        "adam, lr 0.001",
        f"the weights of {plan.lineages[0].dense.trajectory} at step 40", "before it, in k40/seed0",
        plan.lineages[1].rounds[1].segment.key,
    ):  # fmt: skip
        assert part in flat, part


def test_keys_and_content_are_whole_in_80_columns(
    call: Call, storage: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keys = [r.segment.key for r in plan.lineages[1].rounds]
    _, printed = call(None, "show", keys[2], "--storage", storage)
    for whole in (*keys[:3], load_ticket(keys[2], storage).provenance["content"]):
        assert whole in printed


def test_what_lineages_share_is_shown_in_each_and_a_branch_beside_its_ticket(
    call: Call, storage: str, plan: Plan
) -> None:
    _, printed = call(None, "show", plan.lineages[0].dense.key, "--storage", storage, "--json")
    told = json.loads(printed)
    assert told["kind"] == "dense network"
    assert [(place["lineage"], place["round"]) for place in told["studies"]] == [("k0/seed0", 0), ("k40/seed0", 0)]
    _, printed = call(None, "show", plan.branches[0].key, "--storage", storage, "--json")
    told = json.loads(printed)
    assert told["kind"] == "branch result"
    assert told["studies"][0]["branch"] == plan.branches[0].id
    assert [row["round"] for row in told["studies"][0]["ancestors"]] == [0, 1, 2]
