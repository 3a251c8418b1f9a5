"""Prints the licence of every package that lth_ray needs, directly or through others, and which extra asks for it.

`python docs/scripts/licences.py [EXTRA ...]` goes by what is installed; what is not is said to be missing. By default
all extras are looked at.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
GATHERING = ("all", "dev", "docs")  # extras that gather others, or serve developers
GENERAL_PUBLIC = re.compile(r"(?<!L)(?<!Lesser )\b(?:A?GPL|GNU (?:Affero )?General Public)", re.IGNORECASE)
SHOWN = 60  # characters of a licence


@dataclass(frozen=True)
class Package:
    """An installed package, or one that is missing.

    licence: an SPDX expression where the package states one, else what its metadata say.
    extra: the first of lth_ray's that asks for it, "" where none has to.
    """

    name: str
    version: str
    licence: str
    extra: str

    @property
    def is_general_public(self) -> bool:
        """True for a GPL or AGPL; not for the LGPL."""
        return GENERAL_PUBLIC.search(self.licence) is not None


def packages(wanted: Iterable[str] | None = None) -> list[Package]:
    """Return what an installation with these extras has, by name; by default with all of them."""
    optional = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name not in GATHERING}
    asked = {"": PROJECT["dependencies"]} | {name: optional[name] for name in (optional if wanted is None else wanted)}
    found: dict[str, Package] = {}
    seen: set[tuple[str, str]] = set()
    for extra, needs in asked.items():
        left = [Requirement(one) for one in needs]
        while left:
            need = left.pop()
            name = re.sub(r"[-_.]+", "-", need.name).lower()
            found.setdefault(name, package(name, extra))
            for part in {"", *need.extras} - {part for known, part in seen if known == name}:
                seen.add((name, part))
                left += _needs(name, part)
    return sorted(found.values(), key=lambda one: one.name)


def package(name: str, extra: str) -> Package:
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return Package(name, "missing", "", extra)
    return Package(name, about["Version"], licence_of(about), extra)


def licence_of(about: "metadata.PackageMetadata") -> str:
    """Return the licence that a package's metadata state: the expression, classifiers, or the first line of a text."""
    stated = about.get("License-Expression")
    classified = [
        one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or [] if one.startswith("License ::")
    ]
    text = (about.get("License") or "").strip().partition("\n")[0][:SHOWN]
    return stated or ", ".join(dict.fromkeys(classified)) or text or "not stated"


def _needs(name: str, extra: str) -> list[Requirement]:
    """Return the requirements of an installed package that hold here; of an extra, those that it adds as well."""
    try:
        stated = [Requirement(one) for one in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []
    return [one for one in stated if one.marker is None or one.marker.evaluate({"extra": extra})]


def main() -> None:
    found = packages(sys.argv[1:] or None)
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {one.version:12}  {one.extra:10}  {one.licence}")


if __name__ == "__main__":
    main()
