"""Sums over a team in a few fixed parts, of which most are under way while the backward pass still goes on.

For GPUs, whose exchange takes time of its own: the gradients of the last layers are there first, and are sent while
those of the first are computed. The parts and their order are fixed, whatever comes when, so that all workers send the
same; and each number is summed as it would be in one exchange of all, up to the order in which a library goes through
more than two workers. A network that torch.compile has made one graph of gives all gradients at its end, and gains
nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lth_ray.training.team import Team

NUMBER = 5
Gather = Callable[[Sequence[int]], None]  # adds the gradients of the parameters at these places to the flat buffer


class Slices:
    """The parts of `flat`, in which the parameters lie first and in their order.

    gather: called once for the places of each part, in fixed order, before that is sent.
    """

    def __init__(self, team: Team, flat: Tensor, parameters: Sequence[nn.Parameter], gather: Gather, number: int):
        self.team, self.flat, self.gather = team, flat, gather
        self.places = parts([parameter.numel() for parameter in parameters], number)
        self.part_of = {place: part for part, places in enumerate(self.places) for place in places}
        self.ends = [0]
        for parameter in parameters:
            self.ends.append(self.ends[-1] + parameter.numel())
        self.missing: list[set[int]] = []
        self.sums: list[Any] = []
        self.armed = False
        for place, parameter in enumerate(parameters):
            parameter.register_post_accumulate_grad_hook(partial(self._arrived, place))

    def arm(self) -> None:
        """Send from now on what is complete: the gradients of a step's last group are about to come."""
        self.armed, self.missing, self.sums = True, [set(places) for places in self.places], []

    def settle(self) -> None:
        """Send what is left, with what lies behind the parameters, and wait for all of it."""
        self.armed = False
        while len(self.sums) < len(self.places):
            self._send()
        self.sums.append(self.team.begin_add(self.flat[self.ends[-1] :]))
        for begun in self.sums:
            self.team.finish(begun)

    def _arrived(self, place: int, _: Tensor) -> None:
        if not self.armed:
            return
        self.missing[self.part_of[place]].discard(place)
        while len(self.sums) < len(self.places) and not self.missing[len(self.sums)]:
            self._send()

    def _send(self) -> None:
        places = self.places[len(self.sums)]
        self.gather(places)
        self.sums.append(self.team.begin_add(self.flat[self.ends[places[0]] : self.ends[places[-1] + 1]]))


def parts(sizes: Sequence[int], number: int) -> list[range]:
    """Return neighbouring places, from the last to the first, in `number` parts at most of about one size."""
    found, stop, held, aim = [], len(sizes), 0, sum(sizes) / number
    for place in reversed(range(len(sizes))):
        held += sizes[place]
        if held >= aim or place == 0:
            found.append(range(place, stop))
            stop, held = place, 0
    return found
