"""The weights of a network: which can be pruned, which papers count, and which are made of others at each pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return every convolution's and linear layer's weight by its name in the state dict, in order of
    registration.

    The fused or separate input projections of nn.MultiheadAttention are linear weights too, and so are those of
    transformers' Conv1D. A weight that two
    layers share is named once. Biases, embeddings, recurrent weights and the parameters of normalisations are not
    prunable, unless a module of the network says so: `also_prunable`, globs over the names of its own parameters.
    """
    found: set[int] = set()
    for module in model.modules():
        globs = getattr(module, "also_prunable", ())
        if globs:
            own = module.named_parameters()
            found.update(id(one) for name, one in own if any(fnmatchcase(name, glob) for glob in globs))
        if isinstance(module, _ConvNd) or is_linear(module):
            found.add(id(module.weight))
        elif isinstance(module, nn.MultiheadAttention):
            found.update(id(getattr(module, name)) for name in _PROJECTIONS)
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}


def is_linear(module: nn.Module) -> bool:
    """Return whether a module is a linear layer: PyTorch's, or transformers' Conv1D."""
    return isinstance(module, nn.Linear) or is_transposed(module)


def is_transposed(module: nn.Module) -> bool:
    """Return whether a module is a linear layer whose weight is [inputs, outputs]: transformers' Conv1D (GPT-2)."""
    kind = type(module)  # by its name, as the library is not to be imported for it
    return (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D")


def counted(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return every weight of convolutions, linear, recurrent and embedding layers by name, prunable or not.

    It is the denominator of Frankle & Carbin 2019. Shared weights are named once.
    """
    layers = (nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.EmbeddingBag)
    found = {id(parameter) for parameter in prunable(model).values()}
    for module in model.modules():
        if isinstance(module, layers):
            own = module.named_parameters(recurse=False)
            found.update(id(parameter) for name, parameter in own if name.startswith("weight"))
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}


@dataclass(frozen=True)
class Computed:
    """A convolution or linear layer whose weight cannot be pruned itself.

    layer: its path.
    by: what makes the weight.
    parts: the names of the parameters it is made of.
    stand_in: the one of them in which a zero is a zero weight, None where there is none.
    """

    layer: str
    by: str
    parts: tuple[str, ...]
    stand_in: str | None


# what makes a weight, by its class: the parameter in which a zero is a zero weight
STAND_INS: Mapping[str, str] = {"_WeightNorm": "original1", "_SpectralNorm": "original"}
# the same of torch.nn.utils' older functions, by the endings of the parameters that they leave
OLDER: Mapping[tuple[str, ...], tuple[str, str | None]] = {
    ("_g", "_v"): ("weight_norm", "_v"),
    ("_orig",): ("torch.nn.utils.prune or an older spectral_norm", "_orig"),
}


def computed(model: nn.Module) -> list[Computed]:
    """Return every convolution and linear layer of the network whose weight is made of other parameters."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, (_ConvNd, nn.Linear)) and "weight" not in module._parameters:
            found.append(_of(path, module))
    return found


def _of(path: str, module: nn.Module) -> Computed:
    prefix = f"{path}." if path else ""
    if is_parametrized(module, "weight"):
        chain = module.get_submodule("parametrizations.weight")
        kinds = [type(one).__name__ for one in chain.children()]
        parts = tuple(f"{prefix}parametrizations.weight.{name}" for name, _ in chain.named_parameters())
        stand_in = STAND_INS.get(kinds[0]) if len(kinds) == 1 else None
        own = f"{prefix}parametrizations.weight.{stand_in}"
        return Computed(path, ", ".join(kind.strip("_") for kind in kinds), parts, own if own in parts else None)
    for endings, (by, stand_in) in OLDER.items():
        if all(f"weight{ending}" in module._parameters for ending in endings):
            names = tuple(f"{prefix}weight{ending}" for ending in endings)
            return Computed(path, by, names, f"{prefix}weight{stand_in}")
    return Computed(path, f"{type(module).__name__} itself", (), None)
