"""ThiNet: the units whose removal the next layer can be rebuilt without (Luo et al. 2017).

X[m, c] is unit c's part of the m-th sampled number y[m] that the next layer puts out, less its bias: of each example
POSITIONS numbers, each of a place and an output unit drawn at random. Greedily that unit is removed next with which
those removed add up to least, ||sum of X over them||^2. What is left is multiplied by least squares, w = (X'X)^-1 X'y,
in the weights of the next layer, where a study asks for it (Prune.rescale). As y is the sum of all columns of X, X'X is
all that either takes of it.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lth_ray.config import ConfigError
from lth_ray.data.order import uniform
from lth_ray.models import Slices, UnitLayer, functional
from lth_ray.models.tied import evaluating
from lth_ray.pruning.evidence import Evidence
from lth_ray.pruning.structured.masks import with_units

POSITIONS = 10  # of each example (the authors' code)


def greedy_orders(
    evidence: Evidence, layers: Sequence[UnitLayer], kept: Mapping[str, Tensor]
) -> dict[str, Tensor]:  # fmt: skip
    """Return {layer: the number of units that are removed before each}; higher ones are kept."""
    grams = grams_of_outputs(evidence, layers)
    return {layer.name: greedy_order(grams[layer.name], kept[layer.name]) for layer in layers}


def greedy_order(gram: Tensor, kept: Tensor) -> Tensor:
    """Return the place of each unit in the order of removal, float64 [units]; 0 for those that are gone.

    gram: X'X, float64 [units, units].
    """
    order, removed = torch.zeros(len(gram), dtype=torch.float64), torch.zeros(len(gram), dtype=torch.float64)
    left = kept.cpu().clone()
    for place in range(int(left.count_nonzero())):
        added = (2 * (gram @ removed) + gram.diagonal()).masked_fill(~left, torch.inf)
        if added.isnan().any():
            return added  # pruning refuses it
        best = int(added.argmin())
        order[best], removed[best], left[best] = place, 1.0, False
    return order


def rescales(gram: Tensor, kept: Tensor) -> Tensor:
    """Return the factor of each unit by least squares, (X'X)^-1 X'y over the units that stay; float64 [units], 1 for
    those that do not.

    gram: X'X of the whole layer, float64 [units, units]. Units that the others make up for anyhow get the least
    factors.
    """
    stays = kept.cpu()
    factors = torch.ones(len(gram), dtype=torch.float64)
    factors[stays] = torch.linalg.pinv(gram[stays][:, stays], hermitian=True) @ gram[stays].sum(1)
    return factors


def rebuilt(
    evidence: Evidence,
    layers: Sequence[UnitLayer],
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    in_turn: bool = False,
) -> dict[str, Tensor]:
    """Return the network's state dict, in which the next layers' weights of each unit are multiplied by its factor.

    before, after: {layer: bool [units]}, those that were there and those that are left; layers that have lost none are
    not rescaled. in_turn: each layer by the network without what has gone of those before it, which are rescaled
    already; else all of them by the network as it was.
    """
    model, now = copy.deepcopy(evidence.model), dict(before)
    changed = [one for one in layers if not torch.equal(before[one.name].cpu(), after[one.name].cpu())]
    parameters = dict(model.named_parameters())
    for some in [[one] for one in changed] if in_turn else [changed] if changed else []:
        given = replace(evidence, model=model, mask=with_units(now, layers, parameters))
        grams = grams_of_outputs(given, some)
        for layer in some:
            factors = rescales(grams[layer.name], after[layer.name])
            for one in layer.read:
                _multiply(parameters[one.name], one, factors)
        now |= {layer.name: after[layer.name] for layer in some}
    return model.state_dict()


@torch.no_grad()
def _multiply(weight: Tensor, one: Slices, factors: Tensor) -> None:
    """Multiply what a weight reads of each unit by its factor, in place."""
    along = torch.ones(weight.shape[one.axis], dtype=torch.float64)
    along[one.at.flatten()] = factors.repeat_interleave(one.at.shape[1])
    shape = [-1 if axis == one.axis else 1 for axis in range(weight.dim())]
    weight.copy_(weight.double() * along.view(shape).to(weight.device))


def grams_of_outputs(evidence: Evidence, layers: Sequence[UnitLayer]) -> dict[str, Tensor]:
    """Return X'X of each layer of units, float64 [units, units], X being of all layers that read it.

    The network is called in evaluation mode, with pruned weights at zero. Errors: ConfigError for a layer that others
    than ordinary convolutions and linear layers read.
    """
    if evidence.batches is None:
        raise ConfigError("batch = None: give (inputs, labels)")
    model = evidence.model
    unread = [layer.name for layer in layers if not layer.read]
    if unread:
        raise ConfigError(
            f"Prune.criterion = 'thinet': no layer reads the units of {', '.join(unread)}, so that nothing can be "
            "rebuilt; leave them out by Prune(exclude=...)"
        )
    readers = {layer.name: [(one, *_reader(model, layer, one)) for one in layer.read] for layer in layers}
    found = {layer.name: torch.zeros(layer.size, layer.size, dtype=torch.float64) for layer in layers}
    calls = dict.fromkeys(found, 0)
    hooks = []
    for layer in layers:
        for one, path, module in readers[layer.name]:

            def look(
                module: nn.Module,
                inputs: Any,
                output: Tensor,
                one: Slices = one,
                name: str = layer.name,
                path: str = path,
            ) -> None:
                use = f"thinet/{name}/{path}/{calls[name]}"
                calls[name] += 1
                parts = sampled_parts(module, inputs[0], output, one, evidence.seed, use)
                found[name] += parts.T @ parts

            hooks.append(module.register_forward_hook(look))
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers()), **evidence.masked()}
    device = next(model.parameters()).device
    try:
        with evaluating(model), torch.no_grad():
            for batch in evidence.batches:
                functional(model)(tensors, (batch[0].to(device),))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def sampled_parts(module: nn.Module, inputs: Tensor, output: Tensor, one: Slices, seed: int, use: str) -> Tensor:
    """Return the parts of sampled outputs of a layer that each unit it reads has, float64 [numbers, units]."""
    if isinstance(module, _ConvNd):
        values = _conv_parts(module, inputs, output, seed, use)
    else:
        assert isinstance(module, nn.Linear)
        rows = inputs.reshape(-1, inputs.shape[-1])
        number = len(inputs) * POSITIONS
        places, outputs = _drawn(seed, use, number, len(rows), len(module.weight))
        values = rows[places].double() * module.weight[outputs].double()
    at = one.at.to(values.device)
    return values[:, at.flatten()].view(len(values), *at.shape).sum(2).cpu()


def _conv_parts(module: _ConvNd, inputs: Tensor, output: Tensor, seed: int, use: str) -> Tensor:
    """Return [numbers, input channels]: each number's kernel times the patch that it looks at, summed over places."""
    images = torch.arange(len(inputs), device=inputs.device).repeat_interleave(POSITIONS)
    sizes = output.shape[2:]
    flat, filters = _drawn(seed, use, len(images), sizes.numel(), module.out_channels)
    flat, filters = flat.to(inputs.device), filters.to(inputs.device)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = F.pad(inputs, module._reversed_padding_repeated_twice, mode=mode).movedim(1, -1)
    index: list[Tensor] = [images.view(-1, *[1] * len(sizes))]
    places = torch.unravel_index(flat, sizes)
    for axis, place in enumerate(places):
        reach = torch.arange(module.kernel_size[axis], device=inputs.device) * module.dilation[axis]
        along = place[:, None] * module.stride[axis] + reach
        index.append(along.view(len(place), *[-1 if other == axis else 1 for other in range(len(sizes))]))
    patches = padded[tuple(index)].double()  # [numbers, kernel..., input channels]
    kernels = module.weight[filters].double().movedim(1, -1)
    return (patches * kernels).flatten(1, -2).sum(1)


def _drawn(seed: int, use: str, number: int, places: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Draw a place and an output unit for each number."""
    drawn = uniform(seed, use, 2 * number).view(2, number)
    return (drawn[0] * places).long(), (drawn[1] * outputs).long()


def _reader(model: nn.Module, layer: UnitLayer, one: Slices) -> tuple[str, nn.Module]:
    path = one.name.removesuffix(".weight")
    module = dict(model.named_modules()).get(path)
    fits = isinstance(module, nn.Linear) or (
        isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd) and module.groups == 1
    )
    if module is None or not fits or one.axis != 1:
        raise ConfigError(
            f"Prune.criterion = 'thinet': {one.name!r} reads the units of {layer.name!r}, and parts of outputs are "
            "known of ordinary convolutions and linear layers; leave the layer out by Prune(exclude=...), or use "
            "another criterion"
        )
    return path, module
