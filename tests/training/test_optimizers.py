"""Optimizers by name: one table says what each takes, another which class it is."""

import pytest
import torch

from lth_ray.config import ConfigError, Train, steps
from lth_ray.config.train import OPTIMIZERS
from lth_ray.training.optimizers import KINDS, build_optimizer

GIVEN = {"momentum": 0.9, "nesterov": True, "betas": (0.8, 0.9), "eps": 1e-4, "alpha": 0.5}
CLASSES = {
    "sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop,
}  # fmt: skip


def test_both_tables_know_the_same_optimizers() -> None:
    assert KINDS.keys() == OPTIMIZERS.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_the_fields_of_the_recipe(name: str) -> None:
    fields = {field: GIVEN[field] for field in OPTIMIZERS[name]}
    train = Train(steps(1), optimizer=name, lr=0.3, weight_decay=0.01, **fields)
    weights = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)]
    built = build_optimizer(train, weights)
    assert type(built) is CLASSES[name]
    assert {field: built.defaults[field] for field in fields} == fields
    assert (built.defaults["lr"], built.defaults["weight_decay"]) == (0.3, 0.01)
    assert [p for group in built.param_groups for p in group["params"]] == weights[:1]


def test_a_name_that_no_table_knows_trains_nothing() -> None:
    train = Train(steps(1), lr=0.1)
    object.__setattr__(train, "optimizer", "adagrad")
    with pytest.raises(ConfigError, match=r"Train\.optimizer = 'adagrad': "):
        build_optimizer(train, [torch.nn.Parameter(torch.ones(2))])
