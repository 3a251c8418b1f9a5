"""Branches that train architectures from scratch: a ticket's own, and networks made by the pattern of its mask."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from lth_ray.config.base import FLAG, ConfigError, a, field_table, mapping, maybe, no_field, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.model import Model
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.units import Length, a_length


@dataclass(frozen=True)
class Scratch(Branch):
    """The ticket's architecture trained from scratch, as a network of its size would be (Liu et al. 2019).

    Its mask, on weights that are newly drawn as the study draws them, but by the number of inputs that a layer has
    left: fan-in, and fan-out where Model.init asks for that, are those of the small network. The training is a whole
    one, from step 0.

    budget: "epochs" trains it as long as the dense network (Scratch-E); "flops" as long as that many operations of the
        small network last (Scratch-B): int(epochs x F / F'), F the dense network's operations for an example and F' the
        small one's, with milestones at the same shares of the training, in whole epochs where lengths are stated in
        epochs; "linear" and "cosine" schedules end where it ends. F' is known when the ticket is finished: until then
        a plan counts by as many units or weights as the pruning rule leaves, which is F' itself where it counts the
        units of each layer (Prune.keep, or a fraction with scope="layer"), and else an estimate, random ones of all.
    at_most: the longest that "flops" may make it.
    initialisation: "small", or "full": weights as large as those of the dense network's start.
    copies: draws for each ticket.
    """

    is_control: ClassVar[bool] = True

    budget: str = option("epochs", check=one_of("epochs", "flops"))
    _: KW_ONLY
    at_most: Length | None = option(None, check=maybe(a_length(positive=True)))
    initialisation: str = option("small", check=one_of("small", "full"))
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_most is not None and self.budget != "flops":
            raise ConfigError(f"Scratch.at_most = {self.at_most}: only budget='flops' makes it longer; leave it out")


@dataclass(frozen=True)
class Guided(Branch):
    """Another network, on other data, pruned by the pattern of a ticket's mask and trained from scratch (Liu et al.
    2019, section 5: pruning as a search for architectures).

    pattern: "channels" keeps in each layer of a stage (of images of one size) the mean share of channels that the
        ticket's layers of that stage keep (guided pruning); "positions" keeps at each position of the kernels of a
        stage the mean share of weights that the ticket keeps there, random ones (guided sparsifying). Of stages there
        must be as many.
    uniform: the control: one share throughout, that of all the ticket's channels, or of all weights of its kernels.
    model: the network that is made; None for the study's own.
    changes: fields of the study's Data, such as {"name": "cifar100"}.
    copies: draws of weights, and of positions.
    """

    pattern: str = option(check=one_of("channels", "positions"))
    _: KW_ONLY
    uniform: bool = option(False, check=FLAG)
    model: Model | None = option(None, check=maybe(a(Model, "give a Model")))
    changes: Mapping[str, Any] = option({}, check=mapping())
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def data(self, given: TaskConfig) -> TaskConfig:
        known = field_table(type(given))
        for name in self.changes.keys() - known.keys():
            raise ConfigError(f"Guided.changes: {no_field(type(given), name)}")
        return replace(given, **self.changes)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is not None and self.model.weights is not None:
            raise ConfigError("Guided.model: it is trained from scratch, and has weights; leave these out")
