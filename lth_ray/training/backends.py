"""The choice of the backend that trains a segment: a rule on its recipe and on what its network is made of, never a
timing, and so a part of its key.
"""

from lth_ray.config import Data, block_bits
from lth_ray.models.structure import DROPPING, FULLY_CONNECTED, NORMALISED
from lth_ray.training.recipe import Recipe

EAGER, FUSED, SPARSE, FUSED_NORM, REPLICATED = "eager", "fused", "sparse", "fused_norm", "replicated"
SHRUNK = "shrunk"
UPDATES = ("sgd", "adam", "adamw")
SPARSE_BELOW = 0.5  # a layer with fewer of its weights left than this is trained as a sparse one


def backend_of(
    recipe: Recipe,
    *,
    frozen: bool = False,
    learned: bool = False,
    changing: bool = False,
    masked: bool = False,
    structured: bool = False,
) -> str:
    """Return the backend of a recipe, by name.

    "fused": the compiled steps of fully connected networks, whose layers are sparse where their density is
    under SPARSE_BELOW. "fused_norm": autograd in which batch norm, addition and ReLU of convolutional networks are
    compiled, in channels_last. "replicated": several networks as one, where `Train(replicates=...)` asks
    for it. "shrunk": the smaller network that a structured mask leaves, or any mask where `Train(backend="shrunk")`
    asks for it; what has no mask is trained as without it. "sparse": autograd in which products by few weights are
    compiled, where `Train(backend="sparse")` asks for it and a mask is held at zero. "eager": autograd, for everything
    else and where `Train(backend="eager")` asks for it.

    changing: the mask changes on the way.
    masked: it is trained under a mask. structured: whose rule removes whole units.
    """
    train = recipe.train
    if train.replicates > 1:
        return REPLICATED
    asked = train.backend == SHRUNK or (structured and train.backend == "auto" and _can_be_smaller(recipe))
    if masked and asked and not (frozen or learned or changing):
        return SHRUNK
    found = _whole(recipe, frozen=frozen, learned=learned, changing=changing)
    sparse = found in (EAGER, FUSED_NORM) and train.backend == SPARSE and masked
    return SPARSE if sparse and not (frozen or learned or changing) else found


def _whole(recipe: Recipe, *, frozen: bool, learned: bool, changing: bool) -> str:
    """Return the backend of a recipe in which products are computed as the network has them, or whole steps are."""
    train = recipe.train
    alike = train.precision in ("fp32", "bf16") and not train.compile and not train.sync_batch_norm
    own = train.loss is not None or train.step is not None
    images = type(recipe.data) is Data  # compiled kernels know images, their cross entropy and accuracy alone
    if train.backend == EAGER or learned or own or not alike or not images:
        return EAGER
    simple = train.clip_norm is None and train.sam_radius is None and not train.is_averaged
    whole = recipe.group == recipe.data.batch_size and not (frozen or changing)
    plain = simple and whole and train.optimizer in UPDATES and train.precision == "fp32"
    if not (plain or train.channels_last):
        return EAGER  # whatever the network is
    if recipe.structure == NORMALISED:
        return FUSED_NORM if train.channels_last else EAGER
    return FUSED if plain and recipe.structure in (FULLY_CONNECTED, DROPPING) else EAGER


def _can_be_smaller(recipe: Recipe) -> bool:
    """Return whether a smaller network may be trained in the whole one's place: what else a recipe has to do with its
    tensors would be done to fewer.
    """
    train = recipe.train
    own = train.loss is not None or train.step is not None
    rounds = block_bits(train.precision) is not None
    return not (own or rounds or train.is_averaged or train.sync_batch_norm or recipe.task.carries)
