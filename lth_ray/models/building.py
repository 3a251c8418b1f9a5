"""Building a network: from a name, or one's own function, to an initialised network."""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lth_ray.config import ConfigError, Folder, nearest, short_name
from lth_ray.models.detection import PATTERNS, build_detector, detectors, is_detector
from lth_ray.models.families import FAMILIES
from lth_ray.models.huggingface.networks import build_from_folder
from lth_ray.models.initial import Scheme, initialise
from lth_ray.models.zoo import build_classifier, classifiers
from lth_ray.printing import enumerated

Shape = tuple[int, ...]
Factory = Callable[..., nn.Module]


def names() -> list[str]:
    """Return the names that `build` takes, as patterns: capitals stand for numbers, brackets for optional
    parts.
    """
    return [name for family in FAMILIES for name in family.names] + classifiers() + PATTERNS + detectors()


def build(
    name: str | Factory | Folder,
    num_classes: int = 10,
    input_shape: Shape | None = None,
    init: Scheme = "default",
    seed: int | None = None,
    vocabulary: int | None = None,
    **options: Any,
) -> nn.Module:
    """Return a network on the CPU.

    name: one of `names()`, a function that returns an nn.Module, or a Hugging Face folder. A function is given those of
        num_classes, input_shape and vocabulary that it accepts, and every option.
    input_shape: (C, H, W) of the images, or the shape of one example of other tasks. None: (1, 28, 28) for lenets,
        (3, 32, 32) for our other networks.
    init: "default" (the family's paper: Gaussian Glorot for lenet and conv, Kaiming normal for the CIFAR nets,
        their own for torchvision and functions), "glorot", "kaiming", "orthogonal", "sparse", a standard deviation or
        a function: see `initialise`.
    seed: equal seeds give equal weights, and torch's global generator is left as it was. None: draws from it.

    Errors: ConfigError for an unknown name, option, initialisation or an image shape the network cannot take.
    """
    with _drawing_from(seed):
        offered = {"num_classes": num_classes, "input_shape": input_shape}
        offered |= {} if vocabulary is None else {"vocabulary": vocabulary}
        model, default_init = _construct(name, offered, options)
        chosen = default_init if init == "default" else init
        if chosen is not None:
            # Anew from the seed, so that the weights do not depend on what the constructor happened to draw.
            initialise(model, chosen, None if seed is None else torch.Generator().manual_seed(seed), offered)
    return model


def build_without_numbers(
    name: str | Factory | Folder, num_classes: int, input_shape: Shape, **options: Any
) -> nn.Module:
    """Return what `build` returns on torch's meta device: its layers and shapes alone."""
    with _drawing_from(0), torch.device("meta"):
        return _construct(name, {"num_classes": num_classes, "input_shape": input_shape}, options)[0]


def initialisation_of(name: object, init: Scheme) -> Scheme | None:
    """Return what `build` draws a network's weights by; None for its own way."""
    if init != "default":
        return init
    families = (family for family in FAMILIES if isinstance(name, str) and family.match(name) is not None)
    return next((family.init for family in families), None)


def _check_sizes(label: str, model: nn.Module) -> None:
    lazy = [name for name, value in (*model.named_parameters(), *model.named_buffers()) if is_lazy(value)]
    if lazy:
        raise ConfigError(
            f"{label}: {', '.join(lazy)} have no shape until the network is called once (a lazy module); give these "
            "layers their sizes, or call the network in the function: network(torch.zeros(1, *input_shape))"
        )


@contextlib.contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Seed torch's global CPU generator, from which constructors draw, then put its state back."""
    with torch.device("cpu"):
        if seed is None:
            yield
            return
        with torch.random.fork_rng(devices=[]):  # and torch.manual_seed would reseed every GPU as well
            torch.default_generator.manual_seed(seed)
            yield


def _construct(
    name: str | Factory | Folder, offered: dict[str, Any], options: dict[str, Any]
) -> tuple[nn.Module, str | None]:
    """Return the network and the initialisation of its family (None: it has initialised itself)."""
    if isinstance(name, Folder):
        return build_from_folder(name, offered, options), None
    if callable(name):
        return _from_function(name, offered, options), None
    num_classes, input_shape = offered["num_classes"], offered["input_shape"]
    shape = {} if input_shape is None else {"input_shape": tuple(input_shape)}
    for family in FAMILIES:
        stated = family.match(name)
        if stated is not None:
            family.check_shape(name, input_shape)
            _check_options(name, family.network, options, stated)
            with torch.device("meta"):
                _check_room(name, family.network(num_classes=num_classes, **shape, **stated, **options))
            return family.network(num_classes=num_classes, **shape, **stated, **options), family.init
    if is_detector(name):
        return build_detector(name, num_classes, input_shape, options), None
    if name in classifiers():
        return build_classifier(name, num_classes, input_shape, options), None
    raise ConfigError(f"Model.name = {name!r} is unknown: {nearest(name, names())}")


def _check_room(name: str, network: nn.Module) -> None:
    """Raise ConfigError where a network's weights are more than this machine's memory.

    network: its shapes alone.
    """
    needed = sum(value.nbytes for value in (*network.parameters(), *network.buffers()))
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ConfigError(
            f"Model.name = {name!r}: its weights take {needed / 1e9:.3g} GB, and this machine has {there / 1e9:.3g}; "
            "give a smaller network"
        )


def _check_options(name: str, network: Factory, options: dict[str, Any], stated: dict[str, Any]) -> None:
    fixed = {"self", "num_classes", "input_shape", *stated}
    valid = [parameter for parameter in inspect.signature(network).parameters if parameter not in fixed]
    for option in options:
        if option not in valid:
            remedy = nearest(option, valid) if valid else "it takes none"
            raise ConfigError(f"Model.options[{option!r}]: {name} has no such option; {remedy}")


def _is_needed(parameter: inspect.Parameter) -> bool:
    collects = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not collects


def _from_function(function: Factory, offered: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    label = f"Model.name = {short_name(function)}"
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ConfigError(f"{label} does not say what it takes: give a def that calls it") from None
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for option in options:
        if not takes_all and option not in parameters:
            raise ConfigError(f"{label} has no parameter for the option {option!r}: add it or remove it")
    given = {key: value for key, value in offered.items() if takes_all or key in parameters} | options
    missing = [name for name, one in parameters.items() if name not in given and _is_needed(one)]
    if missing:
        keys = ", ".join(f"{name!r}: ..." for name in missing)
        raise ConfigError(
            f"{label} needs {enumerated(map(repr, missing), 'and')}, which nobody gives: give "
            f"Model(options={{{keys}}}), or a default; num_classes, input_shape and vocabulary are given by the data"
        )
    model = function(**given)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{label} returned a {type(model).__name__}: return an nn.Module")
    _check_sizes(label, model)
    return model
