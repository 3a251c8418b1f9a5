"""Segments trained together pause, are measured, diverge and resume as they do one by one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_ray.config import steps
from lth_ray.data import Split
from lth_ray.training import Clock, Lane, Pause, Seeds, Start, train_segment, train_segments_together
from tests.training.setups import Setting, clone, everything, half_mask, restart

Make = Callable[..., Setting]
KEYS = ("a", "b", "c")
SEEDS = dict(zip(KEYS, (Seeds(1, 2, 3), Seeds(4, 5, 6), Seeds(7, 8, 9)), strict=True))
LENET: dict[str, Any] = {"model": "lenet_16_8", "momentum": 0.9, "backend": "eager", "masked": False}


def masks_of(made: Setting) -> dict[str, Any]:
    """One has no mask."""
    return {"a": None, "b": half_mask(made.model()), "c": half_mask(made.model())}


def initial(made: Setting) -> dict[str, Start]:
    """Each begins with weights of its own."""
    scales = zip(KEYS, (1.0, 0.9, 1.1), strict=True)
    return {key: Start(0, {name: value * scale for name, value in made.initial.items()}) for key, scale in scales}


def pauses_of(
    made: Setting, starts: dict[str, Start], last: int, keys: tuple[str, ...] = KEYS, **options: Any
) -> Iterator[dict[str, Pause]]:
    masks = masks_of(made)
    segments = [Lane(key, made.model(), masks[key], SEEDS[key], starts[key]) for key in keys]
    return train_segments_together(segments, made.recipe, made.dataset, last, **options)


def ends_of(made: Setting, starts: dict[str, Start], last: int, **options: Any) -> dict[str, Pause]:
    """The last pause of each."""
    found: dict[str, Pause] = {}
    for pauses in pauses_of(made, starts, last, **options):
        found |= pauses
    return found


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
@pytest.mark.parametrize("evaluation_images", [None, 150])
def test_they_pause_and_measure_as_one_by_one(setting: Make, augment: str, evaluation_images: int | None) -> None:
    made = setting(**LENET, augment=augment, evaluation_images=evaluation_images)
    asked = frozenset({3, 5})
    together = list(pauses_of(made, initial(made), 10, pauses=asked))
    assert all(tuple(pauses) == KEYS for pauses in together)
    for key in KEYS:
        mask = masks_of(made)[key]
        alone = train_segment(
            key, made.recipe, made.model(), made.dataset, mask, SEEDS[key], initial(made)[key], 10, pauses=asked
        )
        singles = [(pause.step, pause.due, pause.finite, clone(pause.journal)) for pause in alone]
        ours = [(pauses[key].step, pauses[key].due, pauses[key].finite) for pauses in together]
        assert ours == [single[:3] for single in singles]
        for name, column in singles[-1][3].items():
            tolerance = {"abs": 0.02} if name.endswith("accuracy") else {"rel": 1e-3}
            assert together[-1][key].journal[name] == pytest.approx(column, **tolerance)
        assert together[-1][key].run.backend == "replicated"


def test_wherever_they_stop_no_bit_changes(setting: Make) -> None:
    made = setting(**LENET)
    whole = ends_of(made, initial(made), 12)
    saved = list(pauses_of(made, initial(made), 12, clock=Clock(every_steps=5)))
    assert [pauses["a"].due for pauses in saved] == [False, True, False, True, False]
    kept = []
    for pauses in pauses_of(made, initial(made), 12, clock=Clock(every_steps=5)):
        kept.append({key: restart(pause) for key, pause in pauses.items()})
    for starts in kept[:-1]:
        resumed = ends_of(made, starts, 12, first=0)
        assert [everything(resumed[key]) for key in KEYS] == [everything(whole[key]) for key in KEYS]


def test_a_segment_of_no_steps_is_measured(setting: Make) -> None:
    made = setting(**LENET)
    ends = ends_of(made, initial(made), 0)
    for key in KEYS:
        assert ends[key].journal["step"] == [0]
        assert ends[key].journal["train_loss"] == [None]
        assert not ends[key].run.optimizer.state


def test_unmeasured_ones_have_no_journal(setting: Make) -> None:
    made = setting(**LENET)
    ends = ends_of(made, initial(made), 6, measured=False)
    assert [(ends[key].step, ends[key].journal) for key in KEYS] == [(6, {})] * 3


def test_one_that_diverges_ends_and_changes_no_bit_of_the_others(setting: Make) -> None:
    made = setting(**LENET, evaluate_every=steps(4))
    starts = initial(made)
    starts["b"] = replace(starts["b"], model={name: value * torch.inf for name, value in starts["b"].model.items()})
    found = list(pauses_of(made, starts, 12, pauses=frozenset({2, 6})))
    assert [tuple(pauses) for pauses in found] == [("a", "c"), KEYS, ("a", "c"), ("a", "c"), ("a", "c")]
    assert (found[1]["b"].step, found[1]["b"].finite) == (4, False)
    last = found[1]["b"]
    assert last.journal["step"] == [4]  # whatever was trained beside it, its record ends with it
    assert everything(last) == everything(ends_of(made, dict.fromkeys(KEYS, starts["b"]), 12)["b"])
    whole = ends_of(made, initial(made), 12)
    assert [everything(found[-1][key]) for key in ("a", "c")] == [everything(whole[key]) for key in ("a", "c")]
    alone = {key: starts[key] for key in KEYS} | dict.fromkeys(("a", "c"), starts["b"])
    assert [tuple(pauses) for pauses in pauses_of(made, alone, 12)] == [KEYS]


def test_all_have_one_data_set(setting: Make) -> None:
    made = setting(**LENET, augment="none")
    run = ends_of(made, initial(made), 2)["a"].run
    assert isinstance(made.dataset.train, Split)
    assert run.batches.split is made.dataset.train  # type: ignore[attr-defined]
