"""Supermasks: networks whose weights are never trained; what is learned is which of them take part."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import SupermaskRule
from lth_ray.data.order import uniform
from lth_ray.models import functional
from lth_ray.pruning.masks import Mask, named
from lth_ray.pruning.selection import lowest

NETWORK, SCORES = "network.", "scores."


class Supermask(nn.Module):
    """`network` under a mask that is learned: its only trainable parameters are scores of the weights `mask`
    covers.

    Every forward pass of method "bernoulli" draws a mask from torch's global generator, in evaluation too (a
    new one for each batch): lth_ray.training seeds it before each step and each evaluation, and so must any
    other caller that wants a result twice. Where all scores are +inf the network is bit for bit itself.

    mask: {parameter: bool}; where it is False the weight is out altogether. Parameters it does not cover take
        part unmasked and, as every parameter of the network, unchanged; running statistics of batch norm are
        kept up.
    rule: how scores make a mask, see config.SupermaskRule. Its `values` and the initial scores are the
        business of `supermask_state`: a Supermask is built with whatever weights and then given that state.
    """

    def __init__(self, network: nn.Module, mask: Mapping[str, Tensor], rule: SupermaskRule) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.rule, self._call = rule, functional(network)
        parameters = dict(network.named_parameters())
        self.names = tuple(mask)
        self.scores = nn.ParameterDict({_key(name): torch.zeros_like(named(parameters, name)) for name in mask})
        self.removed = nn.Module()  # buffers, which follow the network to its device; the mask is stored elsewhere
        for name, allowed in mask.items():
            self.removed.register_buffer(_key(name), ~allowed, persistent=False)
        self._sizes = {name: int(allowed.count_nonzero()) for name, allowed in mask.items()}

    def forward(self, *inputs: Tensor) -> Any:
        masked = {name: self._masked_weight(name) for name in self.names}
        return self._call(masked, inputs)

    def density(self) -> float:
        """Return the share of all covered weights that takes part; for "bernoulli" its expectation."""
        covered = sum(self._score(name).numel() for name in self.names)
        return sum(self._expected(name) for name in self.names) / covered

    @torch.no_grad()
    def final_mask(self) -> Mask:
        """Return the one mask that the scores settle on: for "bernoulli" what is more likely in than out (s >
        0).

        For "edge_popup" it is the mask that was trained and evaluated. For "bernoulli" it is not: those were draws, so
        that its accuracy is another quantity.
        """
        if self.rule.method == "edge_popup":
            return {name: self._top(name) for name in self.names}
        return {name: (self._score(name) > 0) & ~self._removed(name) for name in self.names}

    def _masked_weight(self, name: str) -> Tensor:
        weight = self.network.get_parameter(name)
        if self.rule.method == "bernoulli":
            probability = self._score(name).sigmoid().masked_fill(self._removed(name), 0.0)
            drawn = torch.rand_like(probability) < probability
            kept = _StraightThrough.apply(drawn, probability)
            number = kept.sum().clamp(min=1.0)  # passes a gradient on, as the authors' code does
        else:
            magnitude = self._score(name).abs().masked_fill(self._removed(name), 0.0)
            kept = _StraightThrough.apply(self._top(name), magnitude)
            number = max(1, self._number_kept(name))
        masked: Tensor = weight * kept
        return masked * (self._sizes[name] / number) if self.rule.rescale else masked

    def _top(self, name: str) -> Tensor:
        """Mark exactly round(keep x size) weights (bool), those of the highest |s|; of equal ones the last."""
        score, removed = self._score(name), self._removed(name)
        ranked = score.detach().abs().masked_fill(removed, -1.0)
        out = lowest(ranked, score.numel() - self._number_kept(name))
        return ~out.view(score.shape).to(score.device)

    def _number_kept(self, name: str) -> int:
        return round(self.rule.keep * self._sizes[name])

    def _expected(self, name: str) -> float:
        if self.rule.method == "edge_popup":
            return self._number_kept(name)
        return float(self._score(name).detach().double().sigmoid()[~self._removed(name)].sum())

    def _score(self, name: str) -> Tensor:
        score: Tensor = self.scores[_key(name)]
        return score

    def _removed(self, name: str) -> Tensor:
        return self.removed.get_buffer(_key(name))


class _StraightThrough(torch.autograd.Function):
    """A step function that gradients pass through.

    forward: gives `mask` as numbers.
    backward: as if they were `soft` (Bengio et al. 2013).
    """

    @staticmethod
    def forward(ctx: Any, mask: Tensor, soft: Tensor) -> Tensor:
        return mask.to(soft.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def supermask_state(
    network_state: Mapping[str, Tensor], mask: Mapping[str, Tensor], rule: SupermaskRule, seed: int
) -> dict[str, Tensor]:
    """Return the state dict that learning starts from: the network's weights, or their signed constants, and
    initial scores.

    network_state: of the network before it is wrapped, nothing in it pruned yet.
    mask: as in Supermask, by which only names count here.
    seed: of edge-popup's scores.
    """
    state = {NETWORK + name: value for name, value in network_state.items()}
    for name in mask:
        weight = network_state[name]
        if rule.values == "signed_constant":
            state[NETWORK + name] = signed_constant(weight)
        state[SCORES + _key(name)] = initial_score(name, weight, rule, seed)
    return state


def signed_constant(weight: Tensor) -> Tensor:
    """Return sign(w) times the (population) standard deviation of w, a whole layer at initialisation (Zhou et
    al. 2019).
    """
    return weight.sign() * weight.double().std(correction=0).to(weight.dtype)


def initial_score(name: str, weight: Tensor, rule: SupermaskRule, seed: int) -> Tensor:
    """Return zeros for "bernoulli"; for "edge_popup" uniform in +-1/sqrt(fan in), drawn from (seed, name)."""
    if rule.method == "bernoulli":
        return torch.zeros_like(weight)
    fan_in = weight[0].numel()
    drawn = uniform(seed, f"supermask/{name}", weight.numel()).mul_(2).sub_(1).div_(math.sqrt(fan_in))
    return drawn.view(weight.shape).to(weight)


def _key(name: str) -> str:
    """Return a parameter's name as that of a parameter of one module, which holds no dots."""
    return name.replace(".", "/")
