"""Keys: the identity of a computation is a digest of its meaning.

A key is derived from what a thing was made from, its fields, and a revision of how that kind of thing is made.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from typing import Any

from lth_ray.config.base import Config, ConfigError
from lth_ray.config.functions import is_function, own, short_name
from lth_ray.config.model import Folder, WeightsFile
from lth_ray.config.units import Length

# Raised when the same meaning would give another result, so that what is stored is not mistaken for it.
# The first are whole kinds of things that are digested; the others parts, which only what has them is revised by.
# Whoever raises one says why in RAISED, and moves the version: a row of its own in RELEASES.
REVISIONS = {
    "init": 1,
    "mask": 1,
    "trajectory": 1,
    "ticket": 1,
    "branch": 1,
    "table": 1,
    "perturbed": 1,
    "transplanted": 1,
    "imported": 1,
    "pretrained": 1,
    "early_bird": 1,
    "small": 2,
    "rescaled": 1,
    "order": 1,
    "kept_alike": 2,
    "warmup": 2,
    "replicated": 2,
    "constants": 2,
    "biases": 2,
}
RAISED = {
    "kept_alike": "kept weights that are 'grown' or 'shrunk' go on from the round before",
    "warmup": "the rate of step t is lr * min(1, t / warmup), and milestones within it count",
    "replicated": "a CPU takes the steps of several networks in turn",
    "small": "what reads nothing but zeros behind a batch norm is no part of the small network's fans and operations",
    "constants": "'redrawn' and 'constant' scales of batch norms are 1 as they were drawn, and no longer 0",
    "biases": "the compiled steps of fully connected networks keep pruned biases at zero",
}
# (version, the revisions above 1) that storages may have been filled by, oldest first; the last are the present ones.
RELEASES: tuple[tuple[str, dict[str, int]], ...] = (
    ("0.1.0", {}),
    ("0.1.0", {"warmup": 2}),
    ("0.1.0", {"warmup": 2, "replicated": 2}),
    ("0.1.0", {"warmup": 2, "replicated": 2, "kept_alike": 2}),
    ("0.2.0", {"warmup": 2, "replicated": 2, "kept_alike": 2}),
    ("0.3.0", {"warmup": 2, "replicated": 2, "kept_alike": 2, "constants": 2}),
    ("0.4.0", {"warmup": 2, "replicated": 2, "kept_alike": 2, "constants": 2, "small": 2}),
    ("0.5.0", {"warmup": 2, "replicated": 2, "kept_alike": 2, "constants": 2, "small": 2, "biases": 2}),
    ("0.6.0", {"warmup": 2, "replicated": 2, "kept_alike": 2, "constants": 2, "small": 2, "biases": 2}),
)
MOST_TOLD = 16  # items of a list in a name; of a longer one their number and a digest
_then: ContextVar[Mapping[str, int] | None] = ContextVar("then", default=None)


def revision(part: str) -> int:
    """Return the number of a part of REVISIONS: the present one, or that of the time `as_of` goes back to."""
    then = _then.get()
    return REVISIONS[part] if then is None else then.get(part, 1)


@contextmanager
def as_of(revisions: Mapping[str, int]) -> Iterator[None]:
    """Make keys what they were under other revisions.

    revisions: those above 1, as RELEASES has them.
    """
    token = _then.set(revisions)
    try:
        yield
    finally:
        _then.reset(token)


def meaning(value: Any) -> Any:
    """Return `value` as plain JSON data that says what it means and nothing else.

    Fields marked means=False are left out, and so is a later field at the value that stands for its absence.
    A function counts by its name and source, or by its name and what the config it is in states as `version`.
    """
    return _meaning(value, "", False, None)


def _meaning(value: Any, path: str, has_version: bool, version: Any) -> Any:
    """Return `meaning` of a value at `path`.

    version: that of the config in which the value lies.
    """
    if isinstance(value, Length):
        return str(value)
    if isinstance(value, Config):
        kept: dict[str, Any] = {}
        stated = hasattr(value, "version"), getattr(value, "version", None)
        for f in fields(value):
            item = getattr(value, f.name)
            if not f.metadata.get("means", True):
                continue
            if "absent_means" in f.metadata and item == f.metadata["absent_means"]:
                continue
            none_means = f.metadata.get("none_means")
            kept[f.name] = none_means if item is None else _meaning(item, f"{type(value).__name__}.{f.name}", *stated)
        return kept
    if isinstance(value, Mapping):
        return {str(key): _meaning(item, f"{path}[{key!r}]", has_version, version) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_meaning(item, path, has_version, version) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path or 'a value'} = {value}: no key holds it; give a finite number")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if is_function(value):
        return own(value).meaning(path or "a function", has_version, version)
    raise ConfigError(f"{value!r} cannot be part of a key: use numbers, strings, lists, dicts, configs and functions")


def revised(part: str) -> dict[str, int]:
    """Return what a part of REVISIONS adds to the meaning of what has it: at revision 1 nothing, as before
    there was one.
    """
    return {f"{part}_revision": number} if (number := revision(part)) > 1 else {}


def told(config: Config) -> tuple[str, ...]:
    """Return what tells a config from others of its kind, in few words.

    That is its first field, and the others as name=value where they are not at their defaults.
    """
    found = []
    for f in (f for f in fields(config) if f.init):
        value = getattr(config, f.name)
        if f.metadata.get("means", True) and not f.kw_only:
            found.append(_brief(value))
        elif f.metadata.get("means", True) and value != f.default and value != {}:
            found.append(f"{f.name}={_brief(value)}")
    return tuple(found)


def in_few_words(value: Any) -> str:
    """Return a varied value as a part of a name: a function by its own, a config by what tells it from
    others.
    """
    if is_function(value):
        return short_name(value)
    if isinstance(value, Config) and not isinstance(value, (Folder, Length, WeightsFile)):
        given = "-".join(in_few_words(getattr(value, f.name)) for f in fields(value) if not f.kw_only)
        return "-".join([given, *told(value)[1:]]) if given else type(value).__name__
    return str(value)


def _brief(value: Any) -> str:
    """Return a field's value in few words; a whole config in a dict by what tells it from others."""
    if isinstance(value, (list, tuple)) and len(value) > MOST_TOLD:
        return f"{len(value)}-{hashlib.sha256(json.dumps(meaning(value)).encode()).hexdigest()[:8]}"
    if isinstance(value, Mapping):
        inner = {
            name: in_few_words(item) if isinstance(item, Config) else meaning(item) for name, item in value.items()
        }
        return ",".join(f"{name}={item}" for name, item in inner.items()).replace(" ", "")
    value = meaning(value)
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={item}" for name, item in value.items())
    return str(value).replace(" ", "")


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(kind: str, content: Any) -> str:
    """Return 32 hex digits that identify `content` (plain JSON data) as a `kind` of REVISIONS."""
    document = {"kind": kind, "revision": revision(kind), "content": content}
    return hashlib.sha256(CANONICAL.encode(document).encode()).hexdigest()[:32]


def subseed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for one named use of `seed`."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
