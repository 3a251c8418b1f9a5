"""Branches: what each changes of its ticket, and what it leaves."""

from typing import Any

import pytest
import torch

from lth_ray.config import Branch, ConfigError, RandomMask, RandomReinit, ShuffledMask, steps
from lth_ray.lottery import load_ticket, make_plan


def results(lab: Any, ran: Any) -> dict[str, Any]:
    return {b.id.removeprefix("k10/seed0/"): load_ticket(b.segment.key, lab.store().uri) for b in ran.plan.branches}


def counts(mask: dict[str, torch.Tensor]) -> dict[str, int]:
    return {name: int(kept.sum()) for name, kept in mask.items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_each_branch_changes_one_thing(lab: Any) -> None:
    shuffled_masks = [ShuffledMask(scope=scope) for scope in ("global", "layer", "filter")]
    branches = [RandomReinit(copies=2), RandomReinit(length="whole"), RandomMask(copies=2), *shuffled_masks]
    study = lab.study(rewind=[steps(10)])
    plain = lab.run(study)
    ran = lab.run(lab.study(rewind=[steps(10)], branches=branches))
    assert ran.steps == ran.plan.branch_steps == 2 * (40 + 7 * 30)  # no ticket is trained again
    assert plain.contents.items() <= ran.contents.items()
    found = results(lab, ran)
    ticket = load_ticket(ran.key(2), lab.store().uri)
    assert len({row["content"] for row in ran.branches}) == len(ran.branches) == 2 * 8
    for index in range(2):
        reinit, random = found[f"round2/random_reinit-{index}"], found[f"round2/random_mask-{index}"]
        assert same(reinit.mask, ticket.mask)
        assert not same(reinit.rewind_state, ticket.rewind_state)
        assert reinit.provenance["first"] == 10  # as long as the ticket, at its place in schedule and data
        assert counts(random.mask) == counts(ticket.mask)
        assert not same(random.mask, ticket.mask)
        both = {name: random.mask[name] & ticket.mask[name] for name in ticket.mask}
        for name, kept in both.items():
            assert torch.equal(random.rewind_state[name][kept], ticket.rewind_state[name][kept])
    whole = found["round2/random_reinit-length=whole-0"]
    assert (whole.provenance["first"], whole.provenance["last"]) == (0, 40)
    assert same(whole.mask, ticket.mask)
    assert not same(found["round2/random_mask-0"].mask, found["round2/random_mask-1"].mask)
    reinits = [found[f"round2/random_reinit-{index}"].rewind_state for index in range(2)]
    assert not same(*reinits)
    for scope in ("global", "layer", "filter"):
        shuffled = found[f"round2/shuffled_mask-{scope}-0"].mask
        assert sum(counts(shuffled).values()) == sum(counts(ticket.mask).values())
        assert (counts(shuffled) == counts(ticket.mask)) == (scope != "global")
        rows = all(torch.equal(shuffled[n].sum(1), ticket.mask[n].sum(1)) for n in shuffled)
        assert rows == (scope == "filter")
    columns = {row["scope"] for row in ran.branches if row["branch"] == "shuffled_mask"}
    assert columns == {"global", "layer", "filter"}


def test_nested_branches_and_their_rounds(lab: Any) -> None:
    inner = RandomMask(rounds=[2], branches=[RandomReinit()])
    ran = lab.run(lab.study(rewind=[steps(10)], branches=[RandomReinit(branches=[inner]), ShuffledMask(rounds=[1])]))
    found = results(lab, ran)
    assert set(found) == {
        "round1/random_reinit-0", "round2/random_reinit-0", "round2/random_reinit-0/random_mask-0",
        "round2/random_reinit-0/random_mask-0/random_reinit-0", "round1/shuffled_mask-global-0",
    }  # fmt: skip
    outer, mask, innermost = (found[name] for name in sorted(found) if name.startswith("round2"))
    assert counts(mask.mask) == counts(outer.mask)
    both = {name: mask.mask[name] & outer.mask[name] for name in mask.mask}
    assert all(torch.equal(mask.rewind_state[n][kept], outer.rewind_state[n][kept]) for n, kept in both.items())
    assert same(innermost.mask, mask.mask)
    assert not same(innermost.rewind_state, mask.rewind_state)


class Unknown(Branch):
    """A branch that nothing carries out."""


WRONG: dict[str, tuple[list[Branch], str]] = {
    "dense": ([RandomMask(rounds=[0, 1])], r"RandomMask.rounds = \[0\]: round 0 is dense"),
    "beyond the last": ([RandomMask(rounds=[1, 3])], r"RandomMask.rounds = \[3\]: there are rounds \[1, 2\]"),
    "nested beyond its own": (
        [RandomReinit(rounds=[1], branches=[RandomMask(rounds=[2])])], r"RandomMask.rounds = \[2\]: .* \[1\]",
    ),
    "given twice": ([RandomMask(), RandomMask(copies=2, rounds=[2])], "would be called .*/round2/random_mask-0'"),
    "unknown": ([Unknown()], "Unknown"),
}  # fmt: skip


@pytest.mark.parametrize(("branches", "message"), WRONG.values(), ids=WRONG)
def test_branches_that_cannot_be(lab: Any, branches: list[Branch], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(branches=branches))
