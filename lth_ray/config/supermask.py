"""The rule by which a supermask is learned: a mask over weights that are never trained."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import FLAG, Config, ConfigError, number, one_of, option

DEFAULT_KEEP = 0.5


@dataclass(frozen=True)
class SupermaskRule(Config):
    """A rule for learning scores s, one for each weight; the weights w stay at their values.

    method: "bernoulli" (Zhou et al. 2019, section 5): a weight is kept with probability sigmoid(s), drawn anew in every
        forward pass, in training and in evaluation; s starts at 0. "edge_popup" (Ramanujan et al. 2020, section 3):
        the highest |s| of each layer are kept; s starts Kaiming-uniform. Both pass the gradient straight through.
    rescale: multiplies each layer's weights by size / number kept (dynamic weight rescaling, Zhou et al.).
    values: "init" (the weights as they are) or "signed_constant" (sign(w) times the layer's standard deviation).
    keep: the share of each layer that edge_popup keeps; bernoulli learns its own.
    """

    method: str = option(check=one_of("bernoulli", "edge_popup"))
    _: KW_ONLY
    rescale: bool = option(False, check=FLAG)
    values: str = option("init", check=one_of("init", "signed_constant"))
    keep: float = option(DEFAULT_KEEP, check=number(0, 1, open_low=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method == "bernoulli" and self.keep != DEFAULT_KEEP:
            raise ConfigError(
                f"{type(self).__name__}.keep = {self.keep}: method='bernoulli' learns what share it keeps; "
                "leave keep out, or use method='edge_popup'"
            )
