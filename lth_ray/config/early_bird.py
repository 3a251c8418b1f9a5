"""Early-bird tickets: the mask is drawn as soon as it stops changing (You et al. 2020)."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import Config, maybe, number, one_of, option, whole
from lth_ray.config.units import Length, a_length


@dataclass(frozen=True)
class EarlyBird(Config):
    """The first epoch of the dense training at which the masks of several epochs agree.

    Before every epoch the pruning rule gives the mask of the network as it then is. It is drawn where its distance from
    each of the masks before it, the share of channels or weights in which they differ, is small. The dense training
    ends there, unless another lineage needs the rest of it.

    window: the masks that are compared, the newest included; so many epochs less one are the earliest draw.
    distance: the largest at which masks agree.
    latest: where the mask is drawn whether masks agree or not, which the record says. None: the end of training.
    then: "continue" trains the ticket on from there, "rewind" from Study.rewind, under its mask. What it goes on with
        of the optimizer's state is said by Rewind.optimizer.
    """

    _: KW_ONLY
    window: int = option(5, check=whole(2, 1_000))
    distance: float = option(0.1, check=number(0, 1))
    latest: Length | None = option(None, check=maybe(a_length(positive=True)))
    then: str = option("continue", check=one_of("continue", "rewind"))
