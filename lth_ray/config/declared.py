"""A config as plain JSON data and back, for records: a study can be read again without its script."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from lth_ray.config.base import Config, ConfigError
from lth_ray.config.functions import OwnFunction, is_function, own

KIND, FUNCTION = "kind", "function"


def declaration(value: Any) -> Any:
    """Return every field of a config as plain JSON data, also those that no key holds."""
    if isinstance(value, Config):
        inner: dict[str, Any] = {f.name: declaration(getattr(value, f.name)) for f in fields(value) if f.init}
        return {KIND: type(value).__name__, **inner}
    if isinstance(value, Mapping):
        return {str(key): declaration(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [declaration(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if is_function(value):
        return {KIND: FUNCTION, "name": own(value).name, "source": own(value).source}
    raise ConfigError(f"{value!r} cannot be recorded: use numbers, strings, lists, dicts, configs and functions")


def restore(document: Any) -> Any:
    """Return the config that `declaration` was made from."""
    if isinstance(document, list):
        return [restore(item) for item in document]
    if not isinstance(document, dict):
        return document
    kind = document.get(KIND)
    inner: dict[str, Any] = {key: restore(item) for key, item in document.items() if key != KIND}
    if kind is None:
        return inner
    if kind == FUNCTION:  # which earlier versions recorded by its qualified name alone
        return OwnFunction(inner["name"], inner.get("source"), "only its record is at hand")
    classes = {cls.__name__: cls for cls in _subclasses(Config)}
    if kind not in classes:
        raise ConfigError(f"a {kind} is recorded, which this installation does not know: import what defines it")
    cls = classes[kind]
    positional = next(iter(fields(cls))).name
    return cls(inner.pop(positional), **inner) if not _keyword_only(cls, positional) else cls(**inner)


def differences(before: Any, after: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return {dotted field: (before, after)} of two declarations, None standing for a field that one of them
    lacks.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*before, *after}):
            found |= differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return found
    return {} if before == after else {path: (before, after)}


def _keyword_only(cls: type, name: str) -> bool:
    return any(f.name == name and f.kw_only for f in fields(cls))


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for inner in cls.__subclasses__():
        yield inner
        yield from _subclasses(inner)
