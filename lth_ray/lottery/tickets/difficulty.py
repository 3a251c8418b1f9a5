"""Easy and hard training examples, by the errors that short trainings make on them (Paul et al. 2021)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Data, Length, Study, steps
from lth_ray.lottery.execution.dispatch import carry_out
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.plan import make_plan
from lth_ray.lottery.tickets.loading import load_ticket
from lth_ray.store import Store
from lth_ray.tasks.base import Loaded
from lth_ray.training import Recipe
from lth_ray.training.averages import averaged

SEEDS = range(1_000, 1_010)  # none that studies use, whose networks are to be compared


def easiest_first(
    study: Study,
    length: Length,
    *,
    seeds: Sequence[int] = SEEDS,
    storage: str = "./lth_storage",
    data_root: str | None = None,
) -> tuple[int, ...]:
    """Return the places of a study's training images, 0 the first, those first that are learned the most easily.

    A study's dense network is trained from each of `seeds` for `length`, by its own recipe at its first rate; an
    image's score is the L2 norm of the network's error on it, its probabilities less the label's unit vector, averaged
    over the networks (EL2N; Paul et al. 2021, definition 2.3). Of equal scores the lower place is first. They are
    trained in this process and kept in `storage`, so that a second call trains nothing.

    Places are what Data(only=) and Pretraining(only=) take. Errors: ConfigError for data without classes.
    """
    if not isinstance(study.data, Data) or study.data.target == "rotation":
        raise ConfigError(
            "easiest_first: it ranks images by the errors of classifiers; give a study whose data are Data, with labels"
        )
    scoring = replace(
        study,
        name=f"{study.name}-difficulty",
        train=replace(study.train, length=length, schedule="constant", milestones=(), cycles=1),
        prune=replace(study.prune, rounds=0, remaining=None, at=None),
        rewind=[steps(0)],
        seeds=list(seeds),
        arms={},
        sweep={},
        branches=(),
    )
    store = Store.open(storage)
    plan = make_plan(scoring, data_root, store)
    dataset = plan.lineages[0].recipe.task.load(data_root)
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, dataset, "cpu")
    found = [_errors(lineage.recipe, dataset, lineage.dense.key, store) for lineage in plan.lineages]
    return tuple(torch.stack(found).mean(0).argsort(stable=True).tolist())


@torch.inference_mode()
def _errors(recipe: Recipe, dataset: Loaded, key: str, store: Store) -> Tensor:
    """Return the norm of a trained network's error on each training image, float64 [n]."""
    state = load_ticket(key, store.uri).trained_state
    assert state is not None, "what was just trained is kept"
    model = build(recipe).eval()
    model.load_state_dict(state)
    norms = []
    with averaged(model):
        for images, labels, *_ in recipe.task.examples(dataset, dataset.train):
            shares = model(images).double().softmax(1)
            norms.append((shares - torch.nn.functional.one_hot(labels, shares.shape[1])).norm(dim=1))
    return torch.cat(norms)
