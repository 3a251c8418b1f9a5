"""Pretraining on some of the images for as many steps: drawn at random, the easy and the hard ones."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_ray import easiest_first
from lth_ray.config import ConfigError, Data, Pretraining, Rewind, set_fields, steps
from lth_ray.data import identify, load
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.tickets.difficulty import SEEDS
from lth_ray.store import Store
from tests.lottery.conftest import BASE

K = 8
DIET = 120  # images, two batches


def on(**images: Any) -> Rewind:
    return Rewind(steps(K), pretraining=Pretraining("labels", **images))


def test_it_is_trained_on_these_images_and_no_others(lab: Any) -> None:
    easy = tuple(range(5, 5 + DIET))
    ran = lab.run(lab.study({"prune.rounds": 1}, rewind=[Rewind(steps(K)), on(only=easy), on(images=DIET)]))
    assert not ran.failures
    whole, chosen, drawn = ran.plan.lineages
    assert whole.pretraining is None
    everything = load(whole.recipe.data).train
    for lineage in (chosen, drawn):
        before = lineage.pretraining
        assert (before.first, before.last, lineage.dense.first) == (0, K, K)  # k is fixed
        assert before.recipe.identity.n_train == DIET
        assert lineage.recipe.identity.n_train == 1197
    found = load(chosen.pretraining.recipe.data).train
    assert torch.equal(found.images, everything.images[5 : 5 + DIET])
    assert torch.equal(found.labels, everything.labels[5 : 5 + DIET])
    at_random = load(drawn.pretraining.recipe.data).train
    assert len(at_random) == DIET
    assert not torch.equal(at_random.images, found.images)
    assert len({row["content"] for row in ran.tickets if row["round"] == 1}) == 3


def test_all_images_are_no_diet(lab: Any) -> None:
    """Pretraining on all of them is the dense training itself, bit for bit."""
    ran = lab.run(lab.study({"prune.rounds": 1}, rewind=[Rewind(steps(K)), on(only=range(1197))]))
    whole, fed = ran.plan.lineages
    ticket = load_ticket(whole.rounds[1].segment.key, ran.store.uri)
    pretrained = load_ticket(fed.pretraining.key, ran.store.uri).trained_state
    for name, value in ticket.rewind_state.items():
        assert torch.equal(value, pretrained[name] * ticket.mask.get(name, torch.tensor(True))), name


def test_images_are_ranked_by_the_errors_of_short_trainings(lab: Any, tmp_path: Any) -> None:
    seeds = [7, 8]
    storage = str(tmp_path / "scores")
    order = easiest_first(BASE, steps(20), seeds=seeds, storage=storage)
    assert sorted(order) == list(range(1197))
    taken = lab.loop.take()
    assert taken == 40
    assert easiest_first(BASE, steps(20), seeds=seeds, storage=storage) == order
    assert lab.loop.take() == 0
    scoring = set_fields(
        BASE, {"train.length": steps(20), "prune.rounds": 0, "seeds": seeds, "name": "tiny-difficulty"}
    )
    plan = make_plan(scoring, None, Store.open(storage))
    train = load(BASE.data).train
    mean, std = load(BASE.data).mean, load(BASE.data).std
    inputs = (train.images.float() / train.white - mean[0]) / std[0]
    norms = torch.zeros(len(train), dtype=torch.float64)
    for lineage in plan.lineages:
        model = build(lineage.recipe).eval()
        model.load_state_dict(load_ticket(lineage.dense.key, storage).trained_state)
        with torch.no_grad():
            error = model(inputs).double().softmax(1)
        error[torch.arange(len(train)), train.labels] -= 1
        norms += error.square().sum(1).sqrt() / len(seeds)
    ranked = norms[list(order)]
    assert (ranked[1:] - ranked[:-1]).min() > -1e-5
    assert ranked[:DIET].mean() < ranked[-DIET:].mean() - 0.1


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Data("digits", batch_size=1, validation=0, only=[3, 3]), r"Data.only = .*: "),
        (lambda: Data("digits", batch_size=1, validation=0, only=[]), r"Data.only = .*give a list of places"),
        (lambda: Data("digits", batch_size=1, validation=0, only=[1], train_images=5), "each says which images"),
        (lambda: Pretraining("labels", only=[1], images=5), "each says which images are trained on"),
        (lambda: identify(Data("digits", batch_size=1, validation=200, only=[1197])), "place 1197: 1197 images"),
        (lambda: easiest_first(replace(BASE, data=replace(BASE.data, target="rotation")), steps(1)), "give a study"),
    ],
)
def test_bad_diets(made: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made()


def test_order_and_names() -> None:
    assert Data("digits", batch_size=1, validation=0, only=[5, 2, 9]).only == (2, 5, 9)
    many = make_plan(set_fields(BASE, {"rewind": [on(only=range(100)), on(only=range(1, 101))]}), None, None)
    first, second = (lineage.id for lineage in many.lineages)
    assert first != second
    assert max(len(first), len(second)) < 60
    assert len(SEEDS) == 10
