"""Layers of units that may be pruned as wholes: channels, heads of attention, neurons, with all that belongs to each.

They are read off the one dependency graph (lth_ray.models.graph): what a shortcut adds, a group of a grouped
convolution shares, or a head consists of, is one unit; a concatenation's parts stay layers of their own.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from lth_ray.config import ConfigError
from lth_ray.models.graph import called_without_numbers, coupled, tensors_without_numbers
from lth_ray.models.scales import scale_parameters
from lth_ray.models.tied import evaluating
from lth_ray.models.weights import computed, counted, is_transposed
from lth_ray.printing import enumerated

KINDS = ("channels", "heads", "neurons")
EVERY = "units"  # units of all kinds


@dataclass(frozen=True)
class Slices:
    """The places of units along one axis of a parameter.

    at: int64 [units, places of each].
    """

    name: str
    axis: int
    at: Tensor

    def of(self, tensor: Tensor) -> Tensor:
        """Return what of a parameter belongs to each unit: [units, places x the rest]."""
        at = self.at.to(tensor.device)
        return tensor.movedim(self.axis, 0)[at.flatten()].reshape(len(at), -1)

    def fill(self, tensor: Tensor, units: Tensor, value: Any) -> None:
        """Set the slices of some units (bool [units]) in place."""
        tensor.movedim(self.axis, 0)[self.at[units].flatten()] = value


@dataclass(frozen=True)
class UnitLayer:
    """A layer of units, any of which can go.

    name: of the first weight that makes them, as in the state dict.
    kind: one of KINDS.
    size: the number of its units.
    stage: height and width of the images that they are channels of; () for others.
    weights: the weights that make them (rows of a convolution or linear layer, gates of a recurrent one, columns of an
        embedding); a shortcut's units are made by several.
    own: what else is theirs alone: biases, scales and biases of normalisations, an embedding of places.
    scales: those of `own` that are scales of batch norms.
    read: the weights that take them in, along the axes of their inputs.
    """

    name: str
    kind: str
    size: int
    stage: tuple[int, ...]
    weights: tuple[Slices, ...]
    own: tuple[Slices, ...]
    scales: tuple[Slices, ...]
    read: tuple[Slices, ...]

    @property
    def slices(self) -> tuple[Slices, ...]:
        """Everything that goes with a unit."""
        return (*self.weights, *self.own, *self.read)


def unit_layers(model: nn.Module, example: tuple[Any, ...], kind: str = EVERY) -> tuple[UnitLayer, ...]:
    """Return the layers of a network's units, of one kind or all, in the order of registration.

    A layer of one unit is none, and neither is what is given in and out. Errors: ConfigError for a network that
    cannot be read, naming the layer, and for one without units of the kind.
    example: what the model is called with for one example.
    """
    parameters = dict(model.named_parameters())
    along, makes = _outputs(model), _makers(model)
    found: dict[int, dict[str, list[Slices]]] = {}
    sizes: dict[int, int] = {}
    coupling = coupled(model, example)
    for name in (name for name in parameters if name in coupling.units):
        for axis, groups in enumerate(coupling.places(name)):
            for group, at in groups.items():
                role = "own" if name not in makes else "weights" if along.get(name, 0) == axis else "read"
                roles = found.setdefault(group, {"weights": [], "own": [], "read": []})
                roles[role].append(Slices(name, axis, at))
                sizes[group] = len(at)
    images, scales = image_sizes(model, example), set(scale_parameters(model))
    layers = [
        UnitLayer(
            roles["weights"][0].name,
            _kind(roles, parameters),
            sizes[group],
            images.get(roles["weights"][0].name, ()),
            **{role: tuple(some) for role, some in roles.items()},
            scales=tuple(one for one in roles["own"] if one.name in scales),
        )
        for group, roles in found.items()
        if sizes[group] > 1 and roles["weights"]
    ]
    return of_kind(tuple(_named_apart(layers)), kind)


def of_kind(layers: tuple[UnitLayer, ...], kind: str) -> tuple[UnitLayer, ...]:
    """Return those of some layers whose units are of a kind. Raise ConfigError where there are none."""
    chosen = tuple(one for one in layers if kind in (EVERY, one.kind))
    if not chosen:
        there = sorted({one.kind for one in layers})
        raise ConfigError(
            f"Prune.structure = {kind!r}: the network has no layer of such units"
            + (f"; it has {enumerated(there, 'and')}" if there else ", and none of any other kind")
        )
    return chosen


def _outputs(model: nn.Module) -> dict[str, int]:
    """Return the axis of outputs of the parameters in which it is not the first."""
    second = (_ConvTransposeNd, nn.Embedding, nn.EmbeddingBag)
    modules = [path for path, module in model.named_modules() if isinstance(module, second) or is_transposed(module)]
    return {f"{path}.weight" if path else "weight": 1 for path in modules}


def _makers(model: nn.Module) -> set[str]:
    """Return the names of weights that units go into and come out of; a stand-in's where others compute one."""
    stand_ins = {one.stand_in for one in computed(model) if one.stand_in}
    return {*counted(model), *stand_ins}


def _kind(slices: Mapping[str, list[Slices]], parameters: Mapping[str, Tensor]) -> str:
    """Return what units are: a head's places among the inputs of the layer behind attention are several."""
    every = [*slices["weights"], *slices["read"]]
    if any(parameters[one.name].dim() > 2 for one in every):
        return "channels"
    rows, columns = (any(one.at.shape[1] > 1 for one in slices[role]) for role in ("weights", "read"))
    return "heads" if rows and columns else "neurons"


def _named_apart(layers: list[UnitLayer]) -> Iterator[UnitLayer]:
    """Yield layers by different names: one weight's outputs may go different ways (a split of channels)."""
    taken: dict[str, int] = {}
    for one in layers:
        number = taken[one.name] = taken.get(one.name, 0) + 1
        yield one if number == 1 else replace(one, name=f"{one.name}#{number}")


def image_sizes(model: nn.Module, example: tuple[Any, ...]) -> dict[str, tuple[int, ...]]:
    """Return the height and width of what each module puts out, by the names of its parameters.

    Raise ConfigError for a network that cannot be called without numbers.
    """
    found: dict[str, tuple[int, ...]] = {}
    hooks = []
    for path, module in model.named_modules():

        def look(module: nn.Module, inputs: Any, output: Any, path: str = path) -> None:
            if isinstance(output, Tensor):
                for name, one in module.named_parameters(path, recurse=False):
                    if one.dim() > 2:
                        found.setdefault(name, tuple(output.shape[2:]))

        hooks.append(module.register_forward_hook(look))
    try:
        with evaluating(model):
            called_without_numbers(model, tensors_without_numbers(model), example, nullcontext())
    finally:
        for hook in hooks:
            hook.remove()
    return found
