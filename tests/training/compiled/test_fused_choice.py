"""The recipes and networks that have compiled steps, and the installations and processors that run them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Data, Model, Train, steps
from lth_ray.data import Identity
from lth_ray.training import Recipe, backend_of
from lth_ray.training.kernels import library
from tests.training.compiled.test_fused import CAN, LENET, Make
from tests.training.setups import everything


def test_without_kernels_it_is_eager_and_says_so_once(
    setting: Make, instruction_set: Callable[[str], None], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    eager = setting(LENET, masked=False, backend="eager")
    monkeypatch.setattr(library, "MODULE", "there_is_no_such_module")
    library.found.cache_clear()
    made = setting(LENET, masked=False)
    ends = [made.trained(made.begin(), 12) for _ in range(2)]
    assert ends[0].run.backend == "eager"
    assert everything(ends[0]) == everything(eager.trained(eager.begin(), 12))
    assert sum("C++ compiler" in message for message in caplog.messages) == 1


def test_other_sources_are_refused(
    instruction_set: Callable[[str], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if CAN == "none":
        pytest.skip("the compiled kernels were not built")
    monkeypatch.setattr(library, "source_digest", lambda: "another")
    library.found.cache_clear()
    assert library.kernels(torch.float32) is None
    assert "install lth_ray again" in caplog.text


@pytest.mark.parametrize("name", ["avx1024", "on"])
def test_an_unknown_instruction_set_is_refused(instruction_set: Callable[[str], None], name: str) -> None:
    instruction_set(name)
    with pytest.raises(ConfigError, match=f"{library.VARIABLE}={name}: give one of portable, avx2, avx512 or off"):
        library.kernels(torch.float32)


IDENTITY = Identity("0" * 64, 1000, 0, 100, (1, 8, 8), 10)


EAGER: dict[str, dict[str, Any]] = {
    "asked for": {"backend": "eager"},
    "bf16": {"precision": "bf16"},
    "rmsprop": {"optimizer": "rmsprop"},
    "clipping": {"clip_norm": 1.0},
    "an average": {"ema_decay": 0.9},
    "groups": {"batch_norm_group": 30},
    "synchronised": {"sync_batch_norm": True},
    "compiled": {"compile": True},
    "an own loss": {"loss": lambda model, batch: (model(batch[0]).sum(), {})},
}


def recipe_of(model: str = LENET, **given: Any) -> Recipe:
    return Recipe(
        Model(model), Data("digits", batch_size=60, validation=0), Train(steps(10), lr=1.0, **given), IDENTITY
    )


@pytest.mark.parametrize("given", EAGER.values(), ids=EAGER)
def test_what_the_kernels_cannot_do_is_eager(given: dict[str, Any]) -> None:
    assert backend_of(recipe_of(**given)) == "eager"


@pytest.mark.parametrize("model", ["conv2", "cifar_resnet20", "resnet18"])
def test_other_networks_are_eager(model: str) -> None:
    assert backend_of(recipe_of(model)) == "eager"


def test_fully_connected_networks_are_fused_unless_masks_are_learned_or_pruned_weights_frozen() -> None:
    recipe = recipe_of()
    assert backend_of(recipe) == "fused"
    assert backend_of(recipe, frozen=True) == backend_of(recipe, learned=True) == "eager"
