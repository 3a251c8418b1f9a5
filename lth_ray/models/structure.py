"""The structure of a network, read off its own graph, so that what trains it is chosen by that and not by its name.

A graph is read without numbers. What cannot be read, or not for certain, is `OTHER`: networks whose path depends on
what they see, that draw by themselves, that do another thing in evaluation than in training, or that have hooks.
"""

import hashlib
import operator
import random
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from lth_ray.config import Model, called, functions_of, meaning
from lth_ray.config.keys import CANONICAL
from lth_ray.models.building import build_without_numbers
from lth_ray.models.shrinking.draws import DrawnAsWhole

FULLY_CONNECTED, DROPPING, NORMALISED, OTHER = "fully_connected", "dropping", "normalised", "other"
NAMED = {  # of which it is known without reading them
    FULLY_CONNECTED: re.compile(r"lenet(_\d+)+"),
    NORMALISED: re.compile(r"cifar_(resnet|vgg)\d+(_\d+)?"),
}
RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_", nn.ReLU)
ACTIVATIONS = {  # between linear layers; "gelu_tanh" is GELU by its approximation
    "relu": RELUS,
    "tanh": (torch.tanh, torch.tanh_, "tanh", "tanh_", nn.Tanh),
    "sigmoid": (torch.sigmoid, torch.sigmoid_, "sigmoid", "sigmoid_", nn.Sigmoid),
    "gelu": (F.gelu, nn.GELU),
}
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
RESHAPES = (torch.flatten, torch.reshape, "flatten", "view", "reshape", nn.Flatten)
SIZES = ("size", "dim")
MOST_READ = 1024  # networks of a process whose structure is remembered


@dataclass(frozen=True)
class Link:
    """A linear layer of a chain, by its path in the network.

    activation: what follows, one of ACTIVATIONS or "gelu_tanh"; None for the last layer.
    dropout: the share of its inputs that Dropout sets to zero; None without.
    """

    path: str
    activation: str | None = None
    dropout: float | None = None


def structure_of(model: Model, input_shape: tuple[int, ...], num_classes: int) -> str:
    """Return what a network of images is made of: FULLY_CONNECTED, DROPPING, NORMALISED or OTHER.

    FULLY_CONNECTED: the flattened image through linear layers with activations between them, and nothing else.
    DROPPING: the same, with nn.Dropout before some of the layers.
    NORMALISED: its graph can be taken in the network's place, and most of its batch norms have ReLU or an addition
        behind them, which the compiled ones do with them.
    """
    if (named := known_by_name(model)) is not None:
        return named
    return _read(_Asked(name_of(model, input_shape, num_classes), model, input_shape, num_classes))


def known_by_name(model: Model) -> str | None:
    """Return what a network is made of that is known by its name; None for another."""
    name = model.name
    return next((found for found, names in NAMED.items() if isinstance(name, str) and names.fullmatch(name)), None)


def name_of(model: Model, input_shape: tuple[int, ...], num_classes: int) -> str:
    """Name a network and what it is called with, in records of what is read."""
    sources = [(path, function.source) for path, function in functions_of(model)]
    content = [meaning(model), sources, list(input_shape), num_classes]
    return hashlib.sha256(CANONICAL.encode(content).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Asked:
    """A network that is asked after, told from others by its name."""

    name: str
    model: Model
    input_shape: tuple[int, ...]
    num_classes: int

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.name == other.name


@lru_cache(maxsize=MOST_READ)
def _read(asked: _Asked) -> str:
    model = asked.model
    if not (isinstance(model.name, str) or callable(model.name)):
        return OTHER  # a folder's
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):  # whoever asks
            network = build_without_numbers(model.name, asked.num_classes, asked.input_shape, **called(model.options))
            return read(network, asked.input_shape, asked.num_classes)
    except Exception:  # whatever the network's own code raises: a plan tries it with numbers, and says so
        return OTHER


def read(network: nn.Module, input_shape: tuple[int, ...], num_classes: int) -> str:
    """Return what a network on torch's meta device is made of."""
    graph = certain_graph(network)
    if graph is None:
        return OTHER
    links, normalised = chain(network, graph), _pays(graph)
    if not (links or normalised):
        return OTHER
    obeys = all(module.training for module in network.modules())  # as it was traced last
    network.eval()
    shapes = _shapes(graph, 2, input_shape)
    given = next(node for node in graph.graph.nodes if node.op == "output").args[0]
    with torch.no_grad(), torch.device("meta"):
        own = network(torch.empty(2, *input_shape))
    obeys = obeys and not any(module.training for module in network.modules())
    if not isinstance(given, fx.Node) or shapes[given] != tuple(own.shape) or len(own.shape) != 2:
        return OTHER
    if not links:
        return NORMALISED
    drops = any(link.dropout is not None for link in links)
    if own.shape[1] < num_classes or not _flattens(graph, input_shape) or (drops and not obeys):
        return OTHER  # one that keeps its Dropout on in evaluation, say
    return DROPPING if drops else FULLY_CONNECTED


def certain_graph(network: nn.Module) -> fx.GraphModule | None:
    """Return the graph of a network of which it is certain that it does what the network does, in both modes; None
    where there is none.
    """
    if any(_is_uncertain(module) for module in network.modules()):
        return None
    before = _state(network)
    graphs = [fx.GraphModule(network, _CertainTracer().trace(network.train(mode))) for mode in (False, True)]
    nodes = list(graphs[1].graph.nodes)
    if graphs[0].code != graphs[1].code or _state(network) != before:
        return None
    own = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    constants = [node for node in nodes if node.op == "get_attr" and node.target not in own]  # made anew by its code
    return graphs[1] if not constants and [node.op for node in nodes].count("placeholder") == 1 else None


def graph_of(network: nn.Module) -> fx.GraphModule:
    """Return the graph of a network whose structure is known, or of the smaller one that a mask leaves of it."""
    return fx.GraphModule(network, _Tracer().trace(network))


class _Tracer(fx.Tracer):
    """A tracer for which a dropout that draws as a whole network's is one operation, as a plain one is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, DrawnAsWhole) or super().is_leaf_module(m, module_qualified_name)


class _CertainTracer(_Tracer):
    """A tracer that fails where a network enters what its graph would not: a context without gradients, or autocast."""

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            raise fx.proxy.TraceError("a graph keeps no context")
        return super().create_node(*args, **kwargs)


def chain(network: nn.Module, graph: fx.GraphModule) -> tuple[Link, ...]:
    """Return the linear layers of a network that is nothing but these, with one of ACTIVATIONS between each two, and
    Dropout before them; none of another.

    What comes before the first is taken to flatten the image. Dropout of images that are not flattened yet draws in the
    order in which they lie in memory, and is none of these.
    """
    nodes = [node for node in graph.graph.nodes if not _is_size(node)]
    at, found, dropout = nodes[0], list[Link](), None
    for node in nodes[1:]:
        if [one for one in node.all_input_nodes if not _is_size(one)] != [at]:
            return ()
        is_last, layer, at = node.op == "output", _layer(graph, node), node
        is_open, is_whole = bool(found) and found[-1].activation is None, not found and dropout is None
        if type(layer) is nn.Linear and len(node.args) == 1 and not node.kwargs:
            if is_open:
                return ()
            found.append(Link(str(node.target), dropout=dropout))
            dropout = None
        elif (activation := _activation(graph, node)) and is_open:
            found[-1] = replace(found[-1], activation=activation)
        elif type(layer) is nn.Dropout and not (layer.inplace or dropout is not None or is_open):
            dropout = layer.p
        elif not (is_last or type(layer) is nn.Identity or (is_whole and is_a(graph, node, RESHAPES))):
            return ()
    return tuple(found) if found and found[-1].activation is None and _owns_all(network, found) else ()


def replaceable(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node is a batch norm that the compiled one does the work of."""
    layer = _layer(graph, node)
    if not isinstance(layer, nn.BatchNorm2d) or type(layer) is not nn.BatchNorm2d:
        return False
    counted = layer.track_running_stats and layer.momentum is not None  # None: a mean over all batches so far
    return layer.affine and counted and len(node.args) == 1


def _pays(graph: fx.GraphModule) -> bool:
    """Return whether most batch norms are followed by what saves a pass through memory (benchmarks/README.md)."""
    norms = [node for node in graph.graph.nodes if replaceable(graph, node)]
    followed = [all(is_a(graph, user, (*RELUS, *ADDITIONS)) for user in node.users) for node in norms]
    return 2 * sum(followed) > len(norms)


def is_a(graph: fx.GraphModule, node: fx.Node, kinds: tuple[Any, ...]) -> bool:
    """Return whether a node calls one of these functions, methods (by name) or plain layers."""
    if node.op == "call_module":
        return type(_layer(graph, node)) in kinds
    return node.op in ("call_function", "call_method") and node.target in kinds


def _activation(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Return what of ACTIVATIONS a node is, or "gelu_tanh"; None for anything else."""
    found = next((name for name, kinds in ACTIVATIONS.items() if is_a(graph, node, kinds)), None)
    by = getattr(_layer(graph, node), "approximate", node.kwargs.get("approximate", "none"))
    return found if found != "gelu" or by == "none" else f"gelu_{by}"


def _layer(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def writes_into(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node writes what it gives into what it is given."""
    if getattr(_layer(graph, node), "inplace", False) or node.kwargs.get("inplace", False):
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.target is operator.iadd or (node.op != "call_module" and name.endswith("_"))


def _is_size(node: fx.Node) -> bool:
    """Return whether a node is the size of a tensor, or a part of it."""
    if node.op == "call_method":
        return node.target in SIZES
    if node.op != "call_function" or node.target not in (getattr, operator.getitem, operator.mul):
        return False
    if node.target is getattr:
        return bool(node.args[1] == "shape")
    return all(map(_is_size, node.all_input_nodes))


def _owns_all(network: nn.Module, links: list[Link]) -> bool:
    """Return whether the layers, each called once, have all that the network has, to be trained as one type."""
    layers = [network.get_submodule(link.path) for link in links]
    theirs = [id(parameter) for layer in layers for parameter in layer.parameters()]
    every = list(network.parameters())
    alike = len({(parameter.dtype, parameter.requires_grad) for parameter in every}) == 1 and every[0].requires_grad
    return alike and sorted(theirs) == sorted(map(id, every)) and not list(network.buffers())


def _flattens(graph: fx.GraphModule, input_shape: tuple[int, ...]) -> bool:
    """Return whether the first linear layer sees each image flattened, however many there are."""
    first = next(node for node in graph.graph.nodes if isinstance(_layer(graph, node), nn.Linear))
    return all(_shapes(graph, n, input_shape)[first.all_input_nodes[0]] == (n, prod(input_shape)) for n in (2, 3))


def _shapes(graph: fx.GraphModule, images: int, input_shape: tuple[int, ...]) -> dict[fx.Node, tuple[int, ...]]:
    """Return the shapes of all tensors between a network's layers, which are called without numbers."""
    found = dict[fx.Node, tuple[int, ...]]()

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                found[n] = tuple(result.shape)
            return result

    with torch.no_grad(), torch.device("meta"):
        Recorder(graph).run(torch.empty(images, *input_shape))
    return found


def _is_uncertain(module: nn.Module) -> bool:
    """Return whether a module has hooks, which a graph may lose, or a generator of its own."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    generators = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
    has_own = any(isinstance(one, generators) for one in vars(module).values())
    return has_own or any(getattr(module, kind) for kind in kinds)


def _state(network: nn.Module) -> Any:
    """Return what a call of a network may move beside its tensors: attributes, and the generators of all."""
    attributes = [(name, id(one)) for module in network.modules() for name, one in vars(module).items()]
    _, numbers, place, *_ = np.random.get_state()
    drawn = random.getstate(), bytes(torch.default_generator.get_state().tolist()), np.asarray(numbers).tobytes(), place
    return [one for one in attributes if one[0] != "training"], drawn
