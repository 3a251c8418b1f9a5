"""The changes made to a ticket's weights before it is trained."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import Config, number, one_of, option

WEIGHTS = (
    "rewound",
    "init",
    "redrawn",
    "shuffle_global",
    "shuffle_layer",
    "shuffle_filter",
    "constant",
    "grown",
    "shrunk",
)
SIGNS = ("own", "rewound", "init")
PRUNED = ("zero", "init", "grown", "shrunk")


@dataclass(frozen=True)
class Perturbation(Config):
    """New values for the weights that a mask keeps, and for those that it prunes.

    weights: of the kept ones: "rewound" (as they are), "init" (at initialisation), "redrawn" (normal, with the standard
        deviation s of the layer's initial weights), "shuffle_global", "shuffle_layer" or "shuffle_filter" (kept values
        permuted), "constant" (+-s), "grown" (what the training that the mask was found by set out from, and 0 where
        |w| became smaller in it), "shrunk" (0 where |w| became larger). What became 0 stays 0 in later rounds.
    signs: "own" come with these values; "rewound" or "init" take those that the weights have there.
    noise: adds normal noise of so many s.
    pruned: what pruned weights are frozen at: "zero", "init", or the initial value only where the weight had "grown" or
        "shrunk".
    Sources: mask-1 and mask-0 actions of Zhou et al. 2019, sections 4 and 3; the perturbations of Frankle, Schwab &
    Morcos 2020, section 5.
    """

    weights: str = option("rewound", check=one_of(*WEIGHTS))
    _: KW_ONLY
    signs: str = option("own", check=one_of(*SIGNS))
    noise: float = option(0.0, check=number(0))
    pruned: str = option("zero", check=one_of(*PRUNED))

    @property
    def goes_on(self) -> bool:
        """True where kept weights are what the round before set out from, changed further."""
        return self.weights in ("grown", "shrunk")

    @property
    def draws(self) -> bool:
        """True where anything is left to chance, so that copies differ."""
        return self.noise > 0 or self.weights in ("redrawn", "constant") or self.weights.startswith("shuffle")
