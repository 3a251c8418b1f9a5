"""A study's declaration in words: every field that is set, with its dotted name."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from lth_ray.config import Config, Length, Study, short_name

MOST = 40  # values of a list
LEFT_OUT = ("name", "smoke", "smoke_shows", "may_fail")  # the title, and what --smoke would change


@dataclass(frozen=True)
class Setting:
    """A field by its dotted name, its value as a script would have it, and whether that is the default."""

    name: str
    value: str
    is_default: bool


def configured(study: Study) -> list[Setting]:
    """Return every field of a study; what is None or empty is left out."""
    settled = replace(study, margin=study.matching_margin)
    found = [setting for setting in _fields(settled) if setting.name not in LEFT_OUT]
    own = study.margin is None
    return [replace(setting, is_default=own) if setting.name == "margin" else setting for setting in found]


def _fields(config: Any, prefix: str = "") -> Iterator[Setting]:
    for field in (field for field in fields(config) if field.init):
        value = getattr(config, field.name)
        if isinstance(value, Config) and not isinstance(value, Length):
            yield from _fields(value, f"{prefix}{field.name}.")
        elif value is not None and value not in ("", (), [], {}):
            yield Setting(f"{prefix}{field.name}", written(value), _is_default(field, value))


def written(value: Any) -> str:
    """Return a value as a study's script would have it: steps(500), Barrier(children=3); without the
    outermost brackets.
    """
    text = _written(value)
    return text[1:-1] if isinstance(value, (list, tuple, Mapping)) else text


def _written(value: Any) -> str:
    if isinstance(value, Length):
        return str(value)
    if isinstance(value, Config):
        changed = [field for field in fields(value) if not _is_default(field, getattr(value, field.name))]
        return f"{type(value).__name__}({', '.join(_argument(value, field) for field in changed)})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_written(item)}' for name, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        shown = [_written(one) for one in value[:MOST]]
        return f"[{', '.join([*shown, *([f'... {len(value):,} in all'] if len(value) > MOST else [])])}]"
    if callable(value):
        return short_name(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _argument(config: Any, field: Any) -> str:
    text = _written(getattr(config, field.name))
    return text if field == fields(config)[0] and not field.kw_only else f"{field.name}={text}"


def _is_default(field: Any, value: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(default is not MISSING and value == default) or value in ((), [])
