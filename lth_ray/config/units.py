"""Lengths of training: steps and epochs as one type."""

from dataclasses import dataclass

from lth_ray.config.base import Check, Config, ConfigError, number, one_of, option

MOST = 10**12


@dataclass(frozen=True)
class Length(Config):
    """A length of training or a point in it; make one with `steps` or `epochs`.

    value: how many.
    unit: "steps" or "epochs".
    """

    value: float = option(check=number(0, MOST))
    unit: str = option("steps", check=one_of("steps", "epochs"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit == "steps":
            if self.value != int(self.value):
                raise ConfigError(f"steps({self.value}): give a whole number of steps, or epochs(...) for a fraction")
            object.__setattr__(self, "value", int(self.value))

    def to_steps(self, steps_per_epoch: int) -> int:
        """Return its steps, given floor(n_train / batch) steps an epoch; fractions of an epoch become int().

        steps_per_epoch: 0 where nothing is an epoch. Raise ConfigError for a length in epochs then.
        """
        if self.unit == "epochs" and not steps_per_epoch:
            raise ConfigError(f"{self}: what is learned here has no epochs; say it in optimizer steps, steps(...)")
        return int(self.value if self.unit == "steps" else self.value * steps_per_epoch)

    @property
    def plain(self) -> str:
        """Its value in full, so that two lengths never look the same: 90, 0.5, 1234567."""
        return str(int(self.value) if self.value == int(self.value) else self.value)

    def __str__(self) -> str:
        return f"{self.unit}({self.plain})"


def steps(n: int) -> Length:
    """Return a length of n optimizer steps."""
    return Length(n, unit="steps")


def epochs(n: float) -> Length:
    """Return a length of n passes over the training set, each of floor(n_train / batch) steps."""
    return Length(n, unit="epochs")


def a_length(*, positive: bool = False) -> Check:
    """Return a check for a field that holds a Length."""

    def check(value: object) -> Length:
        if not isinstance(value, Length):
            raise ValueError(f"say the unit: steps({value}) or epochs({value})")
        if positive and value.value <= 0:
            raise ValueError("give a length above 0")
        return value

    return check
