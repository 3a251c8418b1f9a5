"""The base of every config: a frozen dataclass whose fields are checked when it is made."""

import math
import re
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any, ClassVar, dataclass_transform

from lth_ray.config.suggesting import meant, nearest

Check = Callable[[Any], Any]  # returns the value as it is kept, or raises ValueError with the remedy


INT64 = 2**63 - 1  # the most that a column of a table holds
WORD = 400  # characters of a value that a message repeats


class ConfigError(ValueError):
    """Something a user wrote is wrong: the message names the field, the value and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(rf"\S{{{WORD},}}", _cut, str(message)))


def _cut(word: "re.Match[str]") -> str:
    return f"{word[0][: WORD // 4]}... ({len(word[0]):,} characters)"


class _Meta(ABCMeta):
    """A metaclass that turns Python's TypeErrors for unknown, unnamed and missing fields into errors that
    name the fields there are.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        declared = {f.name: f for f in fields(cls) if f.init} if is_dataclass(cls) else {}
        for name in kwargs.keys() - declared.keys():
            raise ConfigError(no_field(cls, name, _parts_of_studies()))
        positional = [f.name for f in declared.values() if not f.kw_only]
        if len(args) > len(positional):
            raise ConfigError(f"{cls.__name__}(..., {args[len(positional)]!r}): name the field, such as field=value")
        required = [f.name for f in declared.values() if f.default is MISSING and f.default_factory is MISSING]
        given = {*positional[: len(args)], *kwargs}
        for name in required:
            if name not in given:
                raise ConfigError(f"{cls.__name__} needs the field {name!r}")
        return super().__call__(*args, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Config(metaclass=_Meta):
    """The base of every config. Subclasses are `@dataclass(frozen=True)`; fields made by `option` are checked
    at construction.
    """

    __dataclass_fields__: ClassVar[dict[str, "Field[Any]"]]  # so that a Config is known to be a dataclass

    def __post_init__(self) -> None:
        for f in fields(self):
            check = f.metadata.get("check")
            if check is None:
                continue
            value = getattr(self, f.name)
            try:
                object.__setattr__(self, f.name, check(value))
            except (ValueError, TypeError) as error:
                if isinstance(error, ConfigError):
                    raise
                said = repr(value)
                said = said if len(said) <= WORD else f"{said[:WORD]}... ({len(said):,} characters)"
                raise ConfigError(f"{type(self).__name__}.{f.name} = {said}: {error}") from None


def derived() -> Any:
    """Declare a config field that nobody gives: `__post_init__` sets it by others, which the key has."""
    return field(init=False, default=None, metadata={"means": False})


def option(
    default: Any = MISSING,
    *,
    check: Check | None = None,
    means: bool = True,
    absent_means: Any = MISSING,
    none_means: Any = None,
) -> Any:
    """Declare a config field.

    check: normalises the value, or raises ValueError saying what is valid.
    means: False for what does not change a result (it stays out of every key).
    absent_means: for a field added after a release, the value that stands for its absence: at that value it
        is left out of the key, so that earlier keys do not move.
    none_means: what stands in a key for None.
    """
    metadata: dict[str, Any] = {"means": means, "none_means": none_means}
    if check is not None:
        metadata["check"] = check
    if absent_means is not MISSING:
        metadata["absent_means"] = absent_means
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def number(
    low: float | None = None, high: float | None = None, *, open_low: bool = False, open_high: bool = False
) -> Check:
    """Return a check for a finite float between two bounds, each included unless said to be open."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError("give a finite number")
        below = low is not None and (value <= low if open_low else value < low)
        above = high is not None and (value >= high if open_high else value > high)
        if below or above:
            left, right = "(" if open_low else "[", ")" if open_high else "]"
            raise ValueError(
                f"give a number in {left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
            )
        return float(value)

    return check


def whole(low: int = 0, high: int = INT64) -> Check:
    """Return a check for an int from `low` to `high`, by default the largest that a table can hold."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"give a whole number of at least {low}")
        if value > high:
            raise ValueError(f"give a whole number of at most {'2**63 - 1' if high == INT64 else format(high, ',')}")
        return value

    return check


def one_of(*valid: str) -> Check:
    """Return a check for one of the given names."""

    def check(value: Any) -> str:
        if value not in valid:
            raise ValueError(nearest(str(value), valid))
        return str(value)

    return check


def a(kind: type | tuple[type, ...], remedy: str) -> Check:
    """Return a check for an instance of `kind`."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(remedy)
        return value

    return check


def maybe(check: Check) -> Check:
    """Return a check for None, or what `check` takes."""
    return lambda value: None if value is None else check(value)


def many(check: Check | None, remedy: str = "give a list", *, at_least: int = 0, distinct: bool = False) -> Check:
    """Return a check for a list or tuple of what `check` takes (None: of anything); it is kept as a tuple."""

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(remedy)
        kept = tuple(value) if check is None else tuple(map(check, value))  # of a tuple that is the same one again
        if len(kept) < at_least:
            raise ValueError(f"{remedy} of at least {at_least}")
        if distinct and _has_twice(kept):
            raise ValueError("an entry is given twice: remove one")
        return kept

    return check_all


def _has_twice(values: tuple[Any, ...]) -> bool:
    """Return whether two of some values are equal."""
    try:
        return len(set(values)) < len(values)
    except TypeError:  # a config that holds a dict or a list cannot be put in a set
        return any(value in values[:place] for place, value in enumerate(values))


def mapping(check: Check = lambda value: value, remedy: str = "give a dict from names to values") -> Check:
    """Return a check for a dict whose keys are strings and whose values pass `check`."""

    def check_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(remedy)
        return {key: check(item) for key, item in value.items()}

    return check_all


def no_field(cls: type, name: str, elsewhere: Iterable[str] = ()) -> str:
    """Return what is said of a field that a class has not, with the one that may be meant.

    elsewhere: as in `meant`.
    """
    return f"{cls.__name__} has no field {name!r}: {meant(name, field_table(cls), elsewhere)}"


def _parts_of_studies() -> list[str]:
    """Return "Train.lr" and its like: the fields of what a study consists of."""
    known = {cls.__name__: cls for cls in Config.__subclasses__()}
    parts = [known[name] for name in ("Study", "Model", "Train", "Prune") if name in known]
    return [f"{part.__name__}.{field}" for part in parts for field in field_table(part)]


def field_table(cls: type) -> dict[str, "Field[Any]"]:
    """Return the fields of a config class that are given, by name."""
    return {f.name: f for f in fields(cls) if f.init}


def text(remedy: str = "give a string") -> Check:
    """Return a check for a string that can be written to a file and be part of a path: no NUL, no half
    characters.
    """

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(remedy)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it holds bytes that are no UTF-8; give a name without them") from None
        if "\0" in value:
            raise ValueError("it holds a NUL character, which no file has in its name; remove it")
        return value

    return check


TEXT = text()
FLAG = a(bool, "give True or False")
