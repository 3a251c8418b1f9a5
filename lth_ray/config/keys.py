"""Keys: the identity of a computation is a digest of its meaning.

A key is derived from what a thing was made from, its fields, and a revision of how that kind of thing is made.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lth_ray.config.base import Config, ConfigError
from lth_ray.config.units import Length

# Bumped when the same meaning would give another result, so that what is stored is not mistaken for it.
# The first are whole kinds of things that are digested; the others parts, which only what has them is revised by.
REVISIONS = {
    "init": 1,
    "order": 1,
    "mask": 1,
    "trajectory": 1,
    "segment": 1,
    "ticket": 1,
    "branch": 1,
    "table": 1,
    "perturbed": 1,
    "transplanted": 1,
    "imported": 1,
    "warmup": 2,  # 2: the rate of step t is lr * min(1, t / warmup), and milestones within it count
}


def meaning(value: Any) -> Any:
    """`value` as plain JSON data that says what it means and nothing else.

    Fields marked means=False are left out, and so is a later field at the value that stands for its absence.
    A function is named by its qualified name: its config's `version` says when it changes.
    """
    if isinstance(value, Length):
        return str(value)
    if isinstance(value, Config):
        kept: dict[str, Any] = {}
        for f in fields(value):
            item = getattr(value, f.name)
            if not f.metadata.get("means", True):
                continue
            if "absent_means" in f.metadata and item == f.metadata["absent_means"]:
                continue
            kept[f.name] = meaning(item)
        return kept
    if isinstance(value, Mapping):
        return {str(key): meaning(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [meaning(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value) and hasattr(value, "__qualname__"):
        return f"function {value.__qualname__}"
    raise ConfigError(
        f"{value!r} cannot be part of a key: use numbers, strings, lists, dicts, configs and def functions"
    )


def revised(part: str) -> dict[str, int]:
    """What a part of REVISIONS adds to the meaning of what has it; at revision 1 nothing, as before there was one."""
    return {f"{part}_revision": REVISIONS[part]} if REVISIONS[part] > 1 else {}


def told(config: Config) -> tuple[str, ...]:
    """What tells a config from others of its kind, in few words: its first field, and the others as name=value where
    they are not at their defaults."""
    found = []
    for f in fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("means", True) and not f.kw_only:
            found.append(_brief(meaning(value)))
        elif f.metadata.get("means", True) and value != f.default and value != {}:
            found.append(f"{f.name}={_brief(meaning(value))}")
    return tuple(found)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={item}" for name, item in value.items())
    return str(value).replace(" ", "")


def digest(kind: str, content: Any) -> str:
    """32 hex digits that identify `content` (plain JSON data) as a `kind` of REVISIONS."""
    document = {"kind": kind, "revision": REVISIONS[kind], "content": content}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def subseed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one named use of `seed`."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
