"""Small recipes on the embedded digits."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lth_ray import models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Identity, identify, load
from lth_ray.training import Recipe
from lth_ray.training.kernels import library
from tests.training.setups import Setting, SmallNet, clone, half_mask


@pytest.fixture
def setting() -> Callable[..., Setting]:
    """setting(model=..., masked=..., data fields, **train fields): everything for a run on digits."""

    def make(
        model: Any = SmallNet,
        options: dict[str, Any] | None = None,
        masked: bool = True,
        batch_size: int = 40,
        validation: int = 100,
        augment: str = "crop_flip",
        evaluation_images: int | None = None,
        **given: Any,
    ) -> Setting:
        data = Data(
            "digits", batch_size=batch_size, validation=validation, augment=augment, augment_padding=1,
            evaluation_images=evaluation_images,
        )  # fmt: skip
        fields: dict[str, Any] = {"length": steps(12), "lr": 0.05, "evaluate_every": steps(4), **given}
        recipe = Recipe(Model(model, options=options or {}), data, Train(**fields), identify(data))
        network = models.build(model, 10, (1, 8, 8), seed=0, **(options or {}))
        return Setting(recipe, load(data), half_mask(network) if masked else None, clone(network.state_dict()))

    return make


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """recipe(n_train, batch_size, **train fields): a recipe over data that need not exist."""

    def make(n_train: int = 100, batch_size: int = 10, **given: Any) -> Recipe:
        fields: dict[str, Any] = {"length": steps(100), "lr": 1.0, **given}
        data = Data("digits", batch_size=batch_size, validation=0)
        return Recipe(Model("lenet_8_4"), data, Train(**fields), Identity("0" * 64, n_train, 0, 10, (1, 8, 8), 10))

    return make


@pytest.fixture
def instruction_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Chooses one, or "off"."""

    def choose(name: str) -> None:
        monkeypatch.setenv(library.VARIABLE, name)
        library.found.cache_clear()

    yield choose
    monkeypatch.undo()
    library.found.cache_clear()
