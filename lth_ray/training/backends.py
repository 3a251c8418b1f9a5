"""Which backend trains a segment: a rule on its recipe, never a timing, and so a part of its key."""

import re

from lth_ray.training.recipe import Recipe

EAGER, FUSED, SPARSE, REPLICATED = "eager", "fused", "sparse", "replicated"
FULLY_CONNECTED = re.compile(r"lenet(_\d+)+")  # lth_ray.models.lenet
UPDATES = ("sgd", "adam", "adamw")
SPARSE_BELOW = 0.5  # a layer with fewer of its weights left than this is trained as a sparse one


def backend_of(recipe: Recipe, *, frozen: bool = False, learned: bool = False) -> str:
    """ "fused": the compiled steps of fully connected networks, whose layers are sparse where their density is under
    SPARSE_BELOW. "eager": autograd, for everything else and where `Train(backend="eager")` asks for it.
    """
    train = recipe.train
    plain = train.loss is None and train.step is None and train.clip_norm is None and train.ema_decay is None
    alike = train.precision == "fp32" and not train.compile and not train.sync_batch_norm
    whole = recipe.group == recipe.data.batch_size
    network = isinstance(recipe.model.name, str) and FULLY_CONNECTED.fullmatch(recipe.model.name) is not None
    if train.backend == "auto" and network and train.optimizer in UPDATES and plain and alike and whole:
        return EAGER if frozen or learned else FUSED
    return EAGER
