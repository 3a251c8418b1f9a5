"""A user's own function in a config and in a key: a network's, a loss, a step, or whatever takes one later.

It counts by module, qualified name and source, which is its syntax tree, its defaults and the values of what it refers
to (lth_ray.config.referring). A config's stated `version` takes the source's place.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lth_ray.config.base import Config, ConfigError
from lth_ray.config.referring import Unclear, source_digest


@dataclass(frozen=True)
class OwnFunction:
    """A function with what it counts by, settled when a study is planned.

    It goes to other processes with it, and into records, from which it comes back without what it calls.

    name: module and qualified name.
    source: a digest; None where `unclear` says why there is none.
    """

    name: str
    source: str | None
    unclear: str = ""
    call: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.call is None:
            raise ConfigError(f"{short_name(self)} lives in the study's script: run that")
        return self.call(*args, **kwargs)

    @property
    def __wrapped__(self) -> Callable[..., Any] | None:
        """The function itself, so that inspect.signature tells what it takes."""
        return self.call

    def meaning(self, config: str, has_version: bool, version: Any) -> str:
        """Return what stands for it in a key; raise ConfigError where nothing tells it from others.

        config: the field it is in.
        """
        if version is not None:
            return f"function {self.name}"
        if self.source is None:
            remedy = "give version='1', and another whenever what it does changes" if has_version else "use another"
            raise ConfigError(f"{config} = {short_name(self)}: {self.unclear}; {remedy}")
        return f"function {self.name} {self.source}"


def is_function(value: Any) -> bool:
    """Return whether a config's value is a function, a class, or anything else that can be called."""
    return callable(value) and not isinstance(value, Config)


def own(value: Any) -> OwnFunction:
    """Return a function with what it counts by now."""
    if isinstance(value, OwnFunction):
        return value
    try:
        return OwnFunction(_name(value), source_digest(value), "", value)
    except Unclear as error:
        return OwnFunction(_name(value), None, str(error), value)


def short_name(value: Any) -> str:
    """Return a function's name as people read it."""
    name = _name(value)
    return name.partition(":")[2] or name


def _name(value: Any) -> str:
    """Return MODULE:QUALIFIED NAME."""
    if isinstance(value, OwnFunction):
        return value.name
    while isinstance(value, functools.partial):
        value = value.func
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def settled(value: Any) -> Any:
    """Return a config (or list, or dict) whose functions count by what they come to now, whatever changes
    later.
    """
    return _each(value, own)


def called(value: Any) -> Any:
    """Return plain functions again, for a network's options, which may be asked what they are."""
    return _each(value, lambda one: one.call if isinstance(one, OwnFunction) and one.call is not None else one)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Config):
        new = {f.name: _each(getattr(value, f.name), change) for f in fields(value) if f.init}
        changed = {name: item for name, item in new.items() if item is not getattr(value, name)}
        return replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        inner = {key: _each(item, change) for key, item in value.items()}
        return inner if any(inner[key] is not value[key] for key in inner) else value
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        items = [_each(item, change) for item in value]
        return type(value)(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return change(value) if is_function(value) else value


def functions_of(value: Any, path: str = "") -> Iterator[tuple[str, OwnFunction]]:
    """Yield (dotted field, function) for every function in a config."""
    if isinstance(value, Config):
        for f in fields(value):
            yield from functions_of(getattr(value, f.name), f"{path}.{f.name}" if path else f.name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from functions_of(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from functions_of(item, path)
    elif is_function(value):
        yield path, own(value)
