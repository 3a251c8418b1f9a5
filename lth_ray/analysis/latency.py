"""The time that networks take for a batch: in turn, as on a shared machine only times taken close together compare."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WARMUPS = 3


@dataclass(frozen=True)
class Latency:
    """Seconds that a network took for a batch, one a round."""

    seconds: tuple[float, ...]

    @property
    def ms(self) -> float:
        """The median, in milliseconds."""
        return 1e3 * statistics.median(self.seconds)

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return 1e3 * low, 1e3 * high

    def speed_up_over(self, other: "Latency") -> float:
        """Return how many times as fast it is as `other`: the median of the rounds' ratios."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


@torch.inference_mode()
def latencies(networks: Mapping[str, nn.Module], inputs: Tensor | Sequence[Tensor], rounds: int) -> dict[str, Latency]:
    """Time one call of each network in each round, beginning with another one each time.

    inputs: what each is called with. Networks are called in evaluation mode, where they are, with the threads that
    torch has.
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    names = list(networks)
    for network in networks.values():
        network.eval()
        for _ in range(WARMUPS):
            network(*given)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(_seconds(networks[name], given))
    return {name: Latency(tuple(seconds)) for name, seconds in taken.items()}


def _seconds(network: nn.Module, given: tuple[Tensor, ...]) -> float:
    on_gpu = given[0].is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    network(*given)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began
