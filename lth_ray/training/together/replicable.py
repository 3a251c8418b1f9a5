"""The limits of training together (lth_ray.training.together.replicates), and the reason where something
cannot be.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import stack_module_state, vmap

from lth_ray.config import ConfigError
from lth_ray.models import functional
from lth_ray.store import Tensors
from lth_ray.training.backends import UPDATES
from lth_ray.training.loop import Run
from lth_ray.training.recipe import Recipe
from lth_ray.training.supermask import Supermask


def check_replicable(recipe: Recipe) -> None:
    """Raise ConfigError for a recipe whose runs cannot be trained together."""
    train = recipe.train
    given = {
        "Train.loss": train.loss,
        "Train.step": train.step,
        "Train.clip_norm": train.clip_norm,
        "Train.scale_l1": train.scale_l1 or None,
        "Train.sam_radius": train.sam_radius,
        "Train.ema_decay": train.ema_decay,
        "Train.average_from": train.average_from,
        "Train.compile": train.compile or None,
        "Train.sync_batch_norm": train.sync_batch_norm or None,
        "Train.batch_norm_group": train.batch_norm_group if recipe.group != recipe.data.batch_size else None,
        "Train.optimizer": None if train.optimizer in UPDATES else train.optimizer,
        "Model.options['dropout']": recipe.model.options.get("dropout") or None,
    }
    if recipe.task.carries:
        raise ConfigError(
            f"Train.replicates = {train.replicates}: {type(recipe.data).__name__} carries a state from step to step, "
            "and networks cannot be trained together with one; train each by itself (Train.replicates = 1)"
        )
    if recipe.task.searches:
        raise ConfigError(
            f"Train.replicates = {train.replicates}: what networks say of {type(recipe.data).__name__} is searched for "
            "in many calls, which those of several networks together are not; train each by itself"
        )
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{name} = {value!r}: networks cannot be trained together with it; leave it out, or train each by "
                "itself (Train.replicates = 1)"
            )


def check_network_replicable(network: torch.nn.Module, recipe: Recipe) -> None:
    """Check as `check_replicable` does, and the network: one that draws, say, or asks a tensor's value cannot
    be mapped over.
    """
    check_replicable(recipe)
    call, (parameters, buffers) = functional(network), stack_module_state([network])  # copies

    def forward(parameters: Tensors, buffers: Tensors, inputs: Tensor) -> object:
        called: object = call(parameters | buffers, (inputs,))
        return called

    try:
        vmap(forward)(parameters, buffers, torch.zeros(1, 2, *recipe.identity.input_shape))
    except RuntimeError as error:
        why = str(error).partition("\n")[0].partition(". ")[0]
        raise ConfigError(
            f"Model.name = {recipe.model.name!r}: several of it cannot be trained together ({why}); train each by "
            "itself (Train.replicates = 1)"
        ) from None


def check_alike(runs: Sequence[Run]) -> None:
    """Raise ConfigError for runs that are not of one recipe, step and device, or are more than plain
    networks.
    """
    first = runs[0]
    for run in runs:
        if run.recipe != first.recipe or run.step != first.step or run.device != first.device:
            raise ConfigError(
                f"{run.key} is of another recipe, step or device than {first.key}: only runs that are alike in these "
                "are trained together; put it with others, or train it by itself"
            )
        if run.frozen or run.team.size > 1 or isinstance(run.model, Supermask):
            raise ConfigError(
                f"{run.key}: frozen weights, learned masks and runs of several workers are not trained with others; "
                "train it by itself"
            )


def check_steps(states: list[dict[str, Tensor]]) -> None:
    """Raise ConfigError for optimizers' states of one parameter in each run that have taken different numbers
    of steps.
    """
    if len({float(state["step"]) for state in states if "step" in state}) > 1:
        raise ConfigError(
            "runs whose optimizers have taken different numbers of steps are not trained together; train each by itself"
        )
