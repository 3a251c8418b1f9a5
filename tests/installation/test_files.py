"""An installation's files: licences, citation, the conda environment, the demo's image, and what a wheel holds."""

import hashlib
import json
import re
import runpy
import shlex
import tomllib
from typing import Any

import pytest
import setuptools
import yaml

import lth_ray
from tests.docs import forms
from tests.docs.blocks import loaded
from tests.repository import ROOT, files, has

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTRUCTIONS = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "ENTRYPOINT", "CMD"}
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # of the text as Apache publishes it


def test_the_licence_is_apache_s_whole_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= cited.keys()
    assert cited["version"] == lth_ray.__version__
    assert cited["license"] == PROJECT["license"]
    assert cited["authors"] == PROJECT["authors"]
    assert re.search(rf"^## {re.escape(lth_ray.__version__)}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    for document in ("README.md", "README.zh.md", "docs/install.md"):
        wheels = re.findall(r"lth_ray-([\d.]+)-cp", (ROOT / document).read_text())
        assert wheels == [lth_ray.__version__], document


def test_packages_under_the_gpl_are_optional() -> None:
    licences = loaded("licences")
    found = licences.packages()
    general = {one.name: one.extra for one in found if one.is_general_public}
    assert not [name for name, extra in general.items() if not extra], general
    assert set(general) <= {"ale-py"}  # another one is to be known of
    assert len([one for one in found if not one.extra]) > 60


@pytest.mark.parametrize(
    ("licence", "is_general_public"),
    [
        ("GPL-2.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("LGPL v2.1", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("MIT", False),
    ],
)
def test_a_gpl_is_known_by_its_names(licence: str, is_general_public: bool) -> None:
    assert loaded("licences").Package("one", "1", licence, "").is_general_public == is_general_public


def test_the_extra_all_has_every_other() -> None:
    optional = PROJECT["optional-dependencies"]
    [gathered] = optional["all"]
    named = set(re.fullmatch(r"lth_ray\[(.*)\]", gathered)[1].split(","))  # type: ignore[index]
    assert named == set(optional) - {"all", "dev", "docs"}


def test_a_wheel_has_every_package_and_the_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **said: given.update(said))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in files("lth_ray/**", "*.py")}
    assert set(given["packages"]) == {*folders, "lth_ray.studies"}
    assert given["package_dir"] == {"lth_ray.studies": "studies"}
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    kept = {folder: [path for glob in globs for path in folder_of(folder).glob(glob)] for folder, globs in data.items()}
    assert all(kept.values()), kept
    other = {path for path in files("lth_ray/**") if path.suffix != ".py"}
    assert other - {path for paths in kept.values() for path in paths} == set()


def folder_of(package: str) -> Any:
    return ROOT / ("studies" if package == "lth_ray.studies" else package.replace(".", "/"))


def test_the_conda_environment_has_an_admitted_python_and_installs_this() -> None:
    said = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert said["name"] == PROJECT["name"]
    assert "python=3.12" in said["dependencies"]
    assert PROJECT["requires-python"] == ">=3.11,<3.13"
    [pip] = [one["pip"] for one in said["dependencies"] if isinstance(one, dict)]
    assert pip == ["--constraint constraints.txt", "."]
    assert has(ROOT / "constraints.txt")


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_demo_s_image_is_made_of_what_there_is() -> None:
    """By rule, as no image can be built everywhere: known instructions, a version, sources, no root, no caches."""
    said = instructions((ROOT / "Dockerfile").read_text())
    assert {word for word, _ in said} <= INSTRUCTIONS
    stages = {rest.partition(" AS ")[2] for word, rest in said if word == "FROM"} - {""}
    for word, rest in said:
        words = shlex.split(rest) if word != "CMD" else []
        if word == "FROM":
            assert re.fullmatch(r"python:3\.1[12]-slim( AS \w+)?", rest)
        if word == "COPY":
            stage = [one.removeprefix("--from=") for one in words if one.startswith("--from=")]
            assert set(stage) <= stages
            for source in [] if stage else words[:-1]:
                assert has(ROOT / source), source
                assert f"!{source.removeprefix('./')}" in (ROOT / ".dockerignore").read_text().split()
        if word == "RUN" and "apt-get" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists" in rest
        if "pip install" in rest:
            assert {"--no-cache-dir", "--constraint"} <= set(words)
    order = [word for word, _ in said]
    assert "USER" in order[: order.index("ENTRYPOINT")]
    command = [*json.loads(dict(said)["ENTRYPOINT"]), *json.loads(dict(said)["CMD"])]
    assert command == ["lth-ray", "run", "digits"]
    forms.check(shlex.join(command))


def test_the_cluster_s_image_has_the_files_that_building_needs() -> None:
    needed = {"pyproject.toml", "setup.py", PROJECT["readme"], *PROJECT["license-files"]}
    copied = {name for word, rest in instructions((ROOT / "cluster" / "Dockerfile").read_text()) if word == "COPY"
              for name in rest.split()}  # fmt: skip
    assert needed <= copied
