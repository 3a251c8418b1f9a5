"""The studies of studies/ as they are declared, planned and run."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from math import prod
from pathlib import Path

import pytest

from lth_ray import Launch, Study
from lth_ray.config import launched
from lth_ray.lottery import Plan, make_plan
from lth_ray.lottery.branch_tree import other_data
from lth_ray.running.assumed import KNOWN, apart
from tests.repository import ROOT, files

SCRIPTS = files("studies", "*.py")
NEEDED = {
    "atari_tickets": "ale_py",
    "bert_tickets": "transformers",
    "control_tickets": "Box2D",
}  # packages of optional extras
TINY = "tiny"  # a file in the folder of an encoder that is no pretrained one


def declared(script: Path) -> list[Study]:
    if script.stem in NEEDED:
        pytest.importorskip(NEEDED[script.stem], reason='pip install "lth_ray[rl,atari,text]"')
    spec = spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.study] if hasattr(module, "study") else module.studies


def start(script: Path, folder: Path, *flags: object) -> "subprocess.CompletedProcess[str]":
    """Runs a study as a reader does who works in `folder`."""
    command = [sys.executable, str(script), *map(str, flags), "--cpus", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=folder)


def number_of_lineages(study: Study) -> int:
    rewinds = sum(len(fields.get("rewind", study.rewind)) for fields in (study.arms or {"": {}}).values())
    return len(study.seeds) * rewinds * prod(map(len, study.sweep.values()))


@cache
def plan_of(script: Path, number: int, data_root: Path, smoke: bool = False, seeds: int | None = 1) -> Plan:
    """Of a script's study, for so many of its seeds."""
    asked = launched(declared(script)[number], Launch(smoke=smoke))
    data = (asked.data, *other_data(asked.branches, asked.data))
    known = {one: KNOWN[one.called] for one in data if one.called in KNOWN} or None
    return make_plan(replace(asked, seeds=asked.seeds[:seeds]), str(data_root), None, known)


def total(script: Path, number: int, data_root: Path, smoke: bool) -> int:
    """Steps of all seeds, which share none unless they are crossed."""
    seeds, times = apart(launched(declared(script)[number], Launch(smoke=smoke)))
    return times * int(plan_of(script, number, data_root, smoke, len(seeds)).unique_steps)


def planned(script: str, name: str, data_root: Path, seeds: int | None = None) -> Plan:
    path = ROOT / "studies" / f"{script}.py"
    names = [study.name for study in declared(path)]
    return plan_of(path, names.index(name), data_root, seeds=seeds)
