"""Other starts: a ticket trained from weights that were perturbed, or pretrained on another task."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import FLAG, maybe, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.rewind import PRETRAINING, Perturbation, Pretraining
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.images import Data
from lth_ray.config.units import Length, a_length


@dataclass(frozen=True)
class Perturb(Perturbation, Branch):
    """The ticket trained from perturbed weights.

    What the mask does not cover (biases, batch norm, excluded layers) stays as it is in the weights that are
    perturbed.

    copies: draws for each ticket.
    at: the step of the dense training whose weights these are (None: the ticket's own start).
    trained: False only evaluates m * W as perturbed.
    """

    _: KW_ONLY
    at: Length | None = option(None, check=maybe(a_length()), absent_means=None)
    trained: bool = option(True, check=FLAG)
    copies: int = option(1, check=whole(1, 10_000), means=False)


@dataclass(frozen=True)
class Pretrain(Branch):
    """The ticket's mask, found without pretraining, on weights that another task gave.

    After Frankle, Schwab & Morcos 2020, section 6, whose own experiment, in which the mask is found from the
    pretrained weights, is Rewind(pretraining=...). The training that follows is a whole one, from step 0; an
    output layer of another size is newly drawn.

    task: "labels" (the study's own task), "rotation" (predict by how many quarters an image is turned) or
        "random_labels".
    blur: images of the pretraining are reduced and enlarged by this factor.
    length: of the pretraining, from initialisation, at the study's learning rate.
    sparse: pretrain under the ticket's mask.
    """

    task: str = option(check=one_of(*PRETRAINING))
    _: KW_ONLY
    length: Length = option(check=a_length(positive=True))
    blur: int = option(1, check=whole(1, 4_096))
    sparse: bool = option(False, check=FLAG)

    def data(self, given: TaskConfig) -> Data:
        return Pretraining(self.task, blur=self.blur).data(given)
