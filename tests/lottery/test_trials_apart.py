"""Jobs of a batch that end, fail or are raced by themselves: the others go on."""

from typing import Any

import pytest
import torch

from lth_ray.lottery import make_plan
from lth_ray.lottery.execution import networks, reconstruct
from lth_ray.store import Store
from tests.lottery.test_trials import study_of


def infinite(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The network drawn under `seed` begins with infinite weights."""
    original = networks.build

    def build(recipe: Any, drawn: int | None = None) -> Any:
        network = original(recipe, drawn)
        if drawn == seed:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.mul_(torch.inf)
        return network

    monkeypatch.setattr(reconstruct, "build", build)


def test_one_that_diverges_ends_alone(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(lab)
    whole = lab.whole(study).contents
    infinite(monkeypatch, make_plan(study).lineages[1].drawn.seed)
    ran = lab.run(study)
    assert [row["diverged_at"] for row in ran.tickets if row["seed"] == 1] == [5]
    assert {name: content for name, content in ran.contents.items() if "seed1" not in name} == {
        name: content for name, content in whole.items() if "seed1" not in name
    }
    assert len(ran.branches) == 2 * 2
    assert not lab.run(study).plan.jobs


def test_stop_below_ends_one_and_the_others_go_on(lab: Any) -> None:
    free = lab.whole(study_of(lab, branches=[]))
    firsts = {row["seed"]: row["validation_accuracy"] for row in free.tickets if row["round"] == 1}
    worst = min(firsts, key=lambda seed: firsts[seed])
    below = sorted(firsts.values())[0] + 1e-6
    assert sorted(firsts.values())[1] > below
    ran = lab.run(study_of(lab, branches=[], stop_below=below))
    assert max(row["round"] for row in ran.tickets if row["seed"] == worst) == 1
    assert ran.contents.items() <= free.contents.items()
    assert max(row["round"] for row in ran.tickets) == 2


def test_what_keeps_one_from_being_begun_is_its_own(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(lab)
    broken = make_plan(study).lineages[2].dense.key
    original = reconstruct.pruned_mask

    def pruned_mask(source: Any, *given: Any) -> Any:
        if source.of == broken:
            raise ValueError("scores are NaN")
        return original(source, *given)

    monkeypatch.setattr(reconstruct, "pruned_mask", pruned_mask)
    ran = lab.run(study)
    assert ran.failures["k0/seed2"] == "scores are NaN"
    assert [row["round"] for row in ran.tickets] == [0, 1, 2, 0, 1, 2, 0]
    assert len(ran.branches) == 2 * 2


def test_a_second_run_that_was_first_stands_for_one_of_them(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study, raced = study_of(lab), []
    original = Store.publish_segment

    def publish(self: Store, key: str, record: Any) -> bool:
        if not raced:
            raced.append(key)
            assert original(self, key, {**record, "content": "theirs"})
        return original(self, key, record)

    monkeypatch.setattr(Store, "publish_segment", publish)
    ran = lab.run(study)
    assert [row["content"] for row in ran.tickets if row["key"] == raced[0]] == ["theirs"]
    assert not ran.failures
