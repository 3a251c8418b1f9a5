"""The common parts of networks that translate pairs of sentences."""

from torch import Tensor

from lth_ray.config import ConfigError

State = dict[str, Tensor]  # of a translation so far: the first axis of each runs over the sentences


def check_pairs(name: str, input_shape: tuple[int, ...] | None) -> None:
    """Raise ConfigError for inputs that are no pairs of sentences."""
    if input_shape is not None and (len(input_shape) != 2 or input_shape[0] != 2):
        raise ConfigError(
            f"Model.name = {name!r}: it translates pairs of sentences, and inputs are of shape {tuple(input_shape)}; "
            "give it data=Translation(...), or another network"
        )
