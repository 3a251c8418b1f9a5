"""A trial of a study's own network and loss on made-up images, so that what they return is known before
anything starts.
"""

import torch
from torch import Tensor, nn

from lth_ray import pruning
from lth_ray.config import ConfigError, Prune
from lth_ray.config.blame import in_one_line, named
from lth_ray.lottery.execution.ranking import Ranking
from lth_ray.models import coupled
from lth_ray.models.detection import is_detector
from lth_ray.tasks import Detection, Images, LanguageModelling
from lth_ray.tasks.boxes import try_detector
from lth_ray.tasks.own import own_function
from lth_ray.tasks.text import try_reader
from lth_ray.training import Recipe
from lth_ray.training.backends import SHRUNK

FEW_NUMBERS = 2_000_000  # in the images of a group, of which a loss is tried


def try_network(network: nn.Module, recipe: Recipe) -> None:
    """Raise ConfigError, naming Model or Train.loss and the user's line, for a network or loss that is of no
    use.

    That is where the network's outputs are no logits or the loss is none that could be trained by. A named
    network without options is known to be right; networks of other tasks than images are not tried.

    The network is left in training mode; torch's global generator as it was.
    """
    own, name = own_function(recipe.train) is not None, recipe.model.name
    if recipe.train.backend == SHRUNK:
        _try_to_read(network, recipe)
    if isinstance(name, str) and is_detector(name) != isinstance(recipe.task, Detection):
        kind = "detectors, such as fasterrcnn_resnet50_fpn" if isinstance(recipe.task, Detection) else "Boxes"
        raise ConfigError(
            f"Model.name = {name!r} with Study.data = {type(recipe.data).__name__}(...): detectors alone are "
            f"trained on Boxes; give {kind}"
        )
    if isinstance(recipe.task, Detection):
        if not isinstance(name, str):
            with torch.random.fork_rng(devices=[]):
                try_detector(network, recipe.identity, named("Model.name", name))
        return
    if isinstance(recipe.task, LanguageModelling):
        with torch.random.fork_rng(devices=[]):
            try_reader(network, recipe.identity, named("Model.name", name))
        return
    known = isinstance(recipe.model.name, str) and not recipe.model.options and not own
    if known or not isinstance(recipe.task, Images):  # what others are called with and give is their own business
        return
    with torch.random.fork_rng(devices=[]):
        _check_logits(network.eval(), recipe, "evaluation")
        network.train()
        if own:
            _check_loss(network, recipe)
        else:
            _check_logits(network, recipe, "training")


def _try_to_read(network: nn.Module, recipe: Recipe) -> None:
    """Raise ConfigError for a network of which it cannot be said what a smaller one is without."""
    try:
        coupled(network, recipe.task.example(recipe.identity))
    except ConfigError as error:
        raise ConfigError(f"Train.backend = 'shrunk': {error}; leave it out") from error


def try_criterion(network: nn.Module, recipe: Recipe, prune: Prune, ranks: Ranking) -> None:
    """Raise ConfigError where a criterion by gradients cannot be tried.

    That is where it has no examples of the asked kind, or no path by which gradients of a network or a loss
    of the study's own come to the weights.
    """
    if prune.criterion == pruning.BN_SCALE and prune.structure is not None:
        ranks.score(prune.criterion, network, ranks.everything)  # there may be layers without a batch norm
    if "batch" not in pruning.needs(prune.criterion):
        return
    pruning.check_sample(recipe.task, recipe.identity, prune.scoring)
    (example,) = recipe.task.example(recipe.identity)
    of_shapes = pruning.criterion_of(prune.criterion).of_shapes
    own = own_function(recipe.train) if not of_shapes else None
    thinet = prune.criterion == "thinet"  # of whose layers some may be read by what it knows no parts of
    if isinstance(recipe.model.name, str) and own is None and example.is_floating_point() and not thinet:
        return
    if not of_shapes and not isinstance(recipe.task, Images):
        return
    labels = torch.arange(2) % recipe.identity.num_classes
    loss = recipe.task.step(recipe.train) if own is not None else None
    try:
        with torch.random.fork_rng(devices=[]):
            ranks.score(
                prune.criterion,
                network,
                ranks.everything,
                batch=(torch.cat([example, example]), labels),
                loss=loss,
                mode=prune.scoring.mode,
            )
    except ConfigError:
        raise
    except Exception as error:
        if of_shapes:  # whose inputs are known: ones
            raise ConfigError(
                f"Prune.criterion = {prune.criterion!r}: the network fails on an input of ones in float64: "
                f"{in_one_line(error)}; mend it, or give another criterion"
            ) from error


def _check_logits(network: nn.Module, recipe: Recipe, mode: str) -> None:
    identity, what = recipe.identity, named("Model.name", recipe.model.name)
    images = torch.zeros(2, *identity.input_shape)
    try:
        with torch.no_grad():
            found = network(images)
    except Exception as error:
        raise ConfigError(
            f"{what}: its forward pass fails on images of shape {tuple(images.shape)} in {mode}: {in_one_line(error)}"
        ) from error
    needed = f"a tensor of logits, [images, {identity.num_classes} classes]"
    if not isinstance(found, Tensor):
        raise ConfigError(
            f"{what}: its forward pass returns {_kind(found)} in {mode}, and {needed}, is needed; return that "
            "alone, or wrap the network in one that does"
        )
    if found.dim() != 2 or len(found) != 2 or found.shape[1] < identity.num_classes or not found.is_floating_point():
        raise ConfigError(
            f"{what}: its forward pass makes {found.dtype} {list(found.shape)} of 2 images in {mode}, and {needed}, is "
            "needed; mend its last layer"
        )


def _check_loss(network: nn.Module, recipe: Recipe) -> None:
    """Try the loss on zeros, as many as go through the network at a time.

    What such images alone are to blame for is let through.
    """
    identity = recipe.identity
    images = torch.zeros(recipe.group, *identity.input_shape, device="meta")
    if images.numel() > FEW_NUMBERS:
        return
    labels = torch.arange(recipe.group) % identity.num_classes
    try:
        recipe.task.step(recipe.train)(network, (torch.zeros(images.shape), labels))
    except ConfigError:
        raise
    except (TypeError, NameError, AttributeError) as error:
        raise ConfigError(f"{own_function(recipe.train)}: it fails on made-up images: {in_one_line(error)}") from error
    except Exception:
        return  # of these images or this process, perhaps: the training itself will tell


def _kind(found: object) -> str:
    if isinstance(found, dict):
        return f"a {type(found).__name__} of {', '.join(map(str, found))}"
    size = f" of {len(found)}" if isinstance(found, (tuple, list)) else ""
    return f"a {type(found).__name__}{size}"
