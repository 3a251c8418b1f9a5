"""Curvature: how steep the valley is in which a ticket ends."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from lth_ray.config.base import ConfigError, number, option, whole
from lth_ray.config.branches.base import Branch


@dataclass(frozen=True)
class Curvature(Branch):
    """The largest eigenvalues of the Hessian of the training loss where a ticket's training ended, and its trace.

    The Hessian is that in the weights that the mask keeps (of a dense network, those that may be pruned), of the
    network in evaluation mode, without weight decay.

    eigenvalues: how many, from the largest, by Lanczos' method.
    vectors: of Hutchinson's estimate of the trace; 0 leaves that out.
    batches: of training examples without augmentation; a batch of the study's each or, of images, ten a class where
        that is more.
    iterations, tolerance: of Lanczos' method: multiplications at most, each of which holds a vector as long as the
        weights, and the share of the largest eigenvalue that its error may be.
    """

    of_dense: ClassVar[bool] = True

    eigenvalues: int = option(1, check=whole(1, 1_000))
    _: KW_ONLY
    vectors: int = option(30, check=whole(0, 100_000))
    batches: int = option(10, check=whole(1, 100_000))
    iterations: int = option(50, check=whole(1, 10_000))
    tolerance: float = option(1e-3, check=number(0, 1, open_high=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eigenvalues > self.iterations:
            raise ConfigError(
                f"Curvature.eigenvalues = {self.eigenvalues}: {self.iterations} multiplications find no more than as "
                "many; give fewer, or more iterations"
            )
