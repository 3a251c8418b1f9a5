"""Masks that are found while weights are trained: changed all along, or drawn as soon as they stop changing."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import Config, ConfigError, maybe, number, one_of, option, whole
from lth_ray.config.units import Length, a_length, steps


@dataclass(frozen=True)
class Dynamic(Config):
    """The change of a round's mask while the round is trained; the number of weights in each layer stays.

    At each update every layer drops int(f x kept) weights, those of the lowest magnitude, and grows as many among
    all that are not kept then. What grows begins at zero, as does its optimizer state; what is dropped and grown
    in one update was never gone, and keeps both. An update takes the place of that step's optimizer step.

    method: "rigl" grows the weights of the highest gradient (Evci et al. 2020, section 3), "set" random ones
        (Mocanu et al. 2018).
    every: an update takes place at each step that is a multiple of this, step 0 included, as in the code of Evci
        et al.
    fraction: f at step 0, which falls to zero by a cosine.
    until: the share of training after which the mask stays, where f would be zero.
    """

    method: str = option(check=one_of("rigl", "set"))
    _: KW_ONLY
    every: Length = option(steps(100), check=a_length(positive=True))
    fraction: float = option(0.3, check=number(0, 1, open_low=True, open_high=True))
    until: float = option(0.75, check=number(0, 1, open_low=True))

    def in_steps(self, steps_per_epoch: int, total_steps: int) -> tuple[int, int]:
        """Return the steps between two updates, and the step from which on there are none.

        Raises ConfigError where updates would follow each other within a step.
        """
        every = self.every.to_steps(steps_per_epoch)
        if every == 0:
            raise ConfigError(
                f"Dynamic.every = {self.every}: no step at all with {steps_per_epoch} steps an epoch; give a longer one"
            )
        return every, int(self.until * total_steps)


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
