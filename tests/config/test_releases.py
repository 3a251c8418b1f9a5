"""The version moves with whatever makes a storage's results be trained again."""

import hashlib
import itertools
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import lth_ray
from lth_ray.config import RAISED, RELEASES, REVISIONS, Data, Model, Train, steps
from lth_ray.data import Identity
from lth_ray.training import Recipe, backend_of

ROOT = Path(__file__).parents[2]
MOVED = """
Results in storages have another meaning than in the last release: a raised number in REVISIONS, or another backend by
Train(backend="auto"), has studies trained again that are stored. If that is meant:
 1. raise lth_ray.__version__;
 2. add a row (version, revisions above 1) to RELEASES in lth_ray/config/keys.py, and leave the rows before it alone;
 3. say why in RAISED, where a number was raised;
 4. add "VERSION": "{digest}" to MEANINGS here, and leave those before it alone."""
MEANINGS = {
    "0.2.0": "cf7d351384af95f8",
    "0.3.0": "6aa2345263e75344",
    "0.4.0": "d1507193f4542135",
    "0.5.0": "38d588062ac8b212",
    "0.6.0": "cf84158d3333f48e",
}


def own(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 20), nn.ReLU(), nn.Linear(20, num_classes))


def chosen() -> list[str]:
    """The automatic backend of each of many recipes."""
    names: tuple[Any, ...] = ("lenet_300_100", "lenet5", "conv6", "cifar_resnet20", "cifar_vgg16", "resnet50", own)
    options = {
        "optimizer": ("sgd", "adam", "rmsprop"), "precision": ("fp32", "bf16"), "channels_last": (True, False),
        "clip_norm": (None, 1.0), "ema_decay": (None, 0.9),
    }  # fmt: skip
    found = []
    for name, *values in itertools.product(names, *options.values()):
        train = Train(steps(9), lr=0.1, evaluate_every=steps(9), **dict(zip(options, values, strict=True)))
        shape = (1, 28, 28) if str(name).startswith("lenet") else (3, 32, 32)
        recipe = Recipe(
            Model(name), Data("digits", batch_size=60, validation=0), train, Identity("d" * 64, 600, 0, 60, shape, 10)
        )
        found += [backend_of(recipe, frozen=frozen) for frozen in (False, True)]
    return found


def test_the_version_moves_with_what_results_mean() -> None:
    above = {part: number for part, number in REVISIONS.items() if number > 1}
    digest = hashlib.sha256(json.dumps([sorted(above.items()), chosen()]).encode()).hexdigest()[:16]
    told = MOVED.format(digest=digest)
    assert RELEASES[-1] == (lth_ray.__version__, above), told
    assert MEANINGS.get(lth_ray.__version__) == digest, told
    assert above.keys() == RAISED.keys(), told


def test_releases_are_in_order_and_end_with_those_that_are_pinned() -> None:
    numbers = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    assert numbers == sorted(numbers)
    later = [version for version, _ in RELEASES if version != "0.1.0"]  # within which numbers still moved
    assert later == list(MEANINGS)


def test_there_is_one_place_of_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lth_ray.__version__"}


@pytest.mark.parametrize("part", REVISIONS)
def test_every_revision_is_part_of_some_key(part: str) -> None:
    """A number that no key holds could be raised to no effect."""
    sources = [path.read_text() for path in (ROOT / "lth_ray").rglob("*.py")]
    assert any(f'digest("{part}", ' in text or f'revised("{part}")' in text for text in sources)
