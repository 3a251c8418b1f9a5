"""One's own examples: what counts, what is refused, batches, and whole studies of a data set and of a function."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from lth_ray.config import ConfigError, Examples, Model, Prune, Study, Train, declaration, restore, set_fields, steps
from lth_ray.lottery import carry_out, make_plan, ticket_rows
from lth_ray.store import Store
from lth_ray.tasks import examples, task_of
from lth_ray.training import Clock, evaluate

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(400, 6, generator=GENERATOR)
CLASSES = (INPUTS[:, 0] + INPUTS[:, 1] > 0).long() + (INPUTS[:, 2] > 1).long()
NUMBERS = INPUTS @ torch.tensor([[1.0, 2.0, 0, 0, 0, 0], [0, 0, 3.0, 0, 0, -1.0]]).T


def linear_classes() -> TensorDataset:
    return TensorDataset(INPUTS, CLASSES)


def study(data: Examples) -> Study:
    return Study(
        "own-examples",
        model=Model("lenet_20_10"),
        data=data,
        train=Train(steps(150), optimizer="adam", lr=1e-2, evaluate_every=steps(50)),
        prune=Prune(scope="layer", fraction=0.5, rounds=2),
        rewind=[steps(0)],
        seeds=[0],
    )


def one(source: Any, **fields: Any) -> Examples:
    return Examples(source, **{"batch_size": 20, "validation": 80, "test": 100, **fields})


def rows_of(given: Study, store: Store) -> list[dict[str, Any]]:
    plan = make_plan(given, None, store)
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu", Clock(60.0))
    return ticket_rows(plan, store)


SOURCES: dict[str, Any] = {
    "a data set": TensorDataset(INPUTS, CLASSES),
    "a function": linear_classes,
    "items": [(x.double().numpy(), int(y)) for x, y in zip(INPUTS, CLASSES, strict=True)],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_study_of_tickets(source: Any, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    rows = rows_of(study(one(source)), store)
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert all(row["test_accuracy"] > 0.8 for row in rows)  # always the commonest class: about .5
    again = rows_of(study(one(linear_classes)), store)
    assert [row["key"] for row in again] == [row["key"] for row in rows]  # whatever the object, its content counts


def test_a_study_of_numbers_resumes_bit_for_bit(tmp_path: Path) -> None:
    given = study(one(TensorDataset(INPUTS, NUMBERS), score="r2"))
    whole, cut = Store.open(str(tmp_path / "whole")), Store.open(str(tmp_path / "cut"))
    rows = rows_of(given, whole)
    assert rows[0]["test_r2"] > 0.8
    rows_of(set_fields(given, {"prune.rounds": 1}), cut)
    assert [row["content"] for row in rows_of(given, cut)] == [row["content"] for row in rows]


@pytest.mark.parametrize("score", ["r2", "rmse"])
def test_two_numbers_an_example_by_hand(score: str) -> None:
    task = task_of(one(TensorDataset(INPUTS, NUMBERS), score=score))
    assert task.identify().num_classes == 2
    test, network = task.load().test, nn.Linear(6, 2)
    with torch.no_grad():
        errors = (network(test.inputs) - test.targets).square().double().numpy()
    spread = test.targets.double().numpy().var(0).mean()
    measured = evaluate(network, task.examples(task.load(), test), task, Train(steps(1), lr=0.1))
    assert measured.loss == pytest.approx(errors.mean(), rel=1e-5)
    wanted = 1 - errors.mean() / spread if score == "r2" else errors.mean() ** 0.5
    assert measured.value == pytest.approx(wanted, rel=1e-5)


def test_a_pair_and_a_data_root() -> None:
    def halves(data_root: str | None) -> tuple[Dataset[Any], Dataset[Any]]:
        assert data_root == "here"
        return TensorDataset(INPUTS[:300], CLASSES[:300]), TensorDataset(INPUTS[300:], CLASSES[300:])

    task = task_of(one(halves, test=None))
    identity, loaded = task.identify("here"), task.load("here")
    assert (identity.n_train, identity.n_validation, identity.n_test, identity.num_classes) == (220, 80, 100, 3)
    assert torch.equal(loaded.test.inputs, INPUTS[300:])
    assert loaded.validation is not None
    found = torch.cat([loaded.train.inputs, loaded.validation.inputs])
    assert torch.equal(found.sum(1).sort().values, INPUTS[:300].sum(1).sort().values)


def test_pixels_become_numbers_as_stated() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
    photographs = [(PIL.Image.fromarray(image), i % 2) for i, image in enumerate(pixels)]
    fields: dict[str, Any] = {"batch_size": 8, "validation": 0, "test": 10}
    task = task_of(Examples(photographs, mean=[0.5, 0.4, 0.3], std=[0.5, 0.25, 0.2], **fields))
    assert task.identify().input_shape == (3, 4, 5)
    loaded = task.load()
    assert loaded.test.inputs.dtype == torch.uint8
    (found, _), *_ = task.examples(loaded, loaded.test)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.5, 0.25, 0.2])
    wanted = (loaded.test.inputs.numpy().transpose(0, 2, 3, 1) / 255 - mean) / std
    assert found.numpy().transpose(0, 2, 3, 1) == pytest.approx(wanted, abs=1e-5)
    as_given = task_of(Examples(photographs, **fields))
    assert as_given.stream(as_given.load(), 0, 0).batch(0)[0].amax() <= 1
    assert as_given.identify().digest == task.identify().digest


def test_batches_are_a_function_of_the_step_and_workers_share_them() -> None:
    task = task_of(one(linear_classes))
    loaded = task.load()
    whole = task.stream(loaded, 5, 0)
    assert whole.steps_per_epoch == 11
    later = [whole.batch(step)[0] for step in range(12)]
    assert torch.equal(whole.batch(3)[0], later[3])
    parts = [task.stream(loaded, 5, 0, part).batch(11)[0] for part in (range(10), range(10, 20))]
    assert torch.equal(torch.cat(parts), later[11])
    assert len(torch.cat(later[:11]).unique(dim=0)) == 220  # none twice in an epoch


def test_tokens_stay_whole_numbers() -> None:
    tokens = TensorDataset(torch.arange(60).view(20, 3) % 7, torch.arange(20) % 2)
    task = task_of(Examples(tokens, batch_size=4, validation=0, test=5))
    network = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2))
    assert network(*task.example(task.identify())).shape == (1, 2)
    assert task.stream(task.load(), 0, 0).batch(0)[0].dtype == torch.int64


def test_a_version_stands_for_the_content() -> None:
    def grown(by: float) -> Any:
        return lambda: TensorDataset(INPUTS + by, CLASSES)

    def digest(by: float, version: str | None) -> str:
        return task_of(one(grown(by), version=version)).identify().digest

    assert digest(0, None) == task_of(one(linear_classes)).identify().digest != digest(1, None)
    assert digest(0, "1") == digest(1, "1") != digest(0, "2")


def test_it_goes_to_other_processes_and_into_records() -> None:
    given = one(SOURCES["a data set"])
    sent = pickle.loads(pickle.dumps(given))  # what Ray does, with functions of a script besides
    assert sent == given
    assert hash(sent) == hash(given)
    assert torch.equal(task_of(sent).load().train.inputs, task_of(given).load().train.inputs)
    recorded = restore(declaration(given))
    assert (recorded.called, recorded.batch_size, recorded.test) == ("TensorDataset", 20, 100)
    with pytest.raises(ConfigError, match="lives in the study's script"):
        task_of(recorded).identify()


class Endless(IterableDataset[Any]):
    """Items without number."""

    def __iter__(self) -> Any:
        return iter(SOURCES["items"])


class Jittered(Dataset[Any]):
    """Augments as it is asked."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> Any:
        return INPUTS[i] + torch.rand(6), CLASSES[i]


class Broken(Jittered):
    """Fails in the middle."""

    def __getitem__(self, i: int) -> Any:
        return INPUTS[i], [CLASSES[0], CLASSES[1]][i]


def _tensors(inputs: Any, targets: Any) -> Any:
    return TensorDataset(torch.as_tensor(inputs), torch.as_tensor(targets))


HOLED = torch.where(torch.arange(400)[:, None] == 7, torch.nan, INPUTS)
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no length": (Endless(), {}, r"Endless: it has no length; give a map-style data set"),
    "empty": ([], {}, "it is empty"),
    "no pairs": ([INPUTS[0]] * 300, {}, r"item 0 is a Tensor; return \(input, target\)"),
    "dicts": ([{"image": 1, "label": 2}] * 300, {}, r"item 0 is a dict of 2; return \(input, target\)"),
    "words": ([("a sentence", 1)] * 300, {}, "the input of item 0 is a str; return a tensor"),
    "shapes": ([(torch.zeros(3), 0), (torch.zeros(4), 0)] * 150, {}, r"item 1 has the shape \(4,\), that of item 0 "),
    "kinds": ([(torch.zeros(3), 0), (torch.zeros(3).byte(), 0)] * 150, {}, "item 1 is torch.uint8, that of item 0 tor"),
    "NaN": (_tensors(HOLED, CLASSES), {}, "the input of item 7 is not finite"),
    "NaN targets": (_tensors(INPUTS, HOLED), {"score": "r2"}, "the target of item 7 is not finite"),
    "numbers for classes": (_tensors(INPUTS, INPUTS[:, 0]), {}, r"item 0 is .*; give a class numbered from 0, or"),
    "one-hot": (_tensors(INPUTS, INPUTS > 0), {}, r"torch.bool of shape \(6,\); give a class"),
    "negative": (_tensors(INPUTS, CLASSES - 1), {}, "is -1; number the classes from 0"),
    "few classes": (linear_classes, {"classes": 2}, "the highest target is 2; give at least 3"),
    "chance": (Jittered(), {"test": 10, "validation": 0}, "item 0 is another each time"),
    "failure": (Broken(), {"test": 10, "validation": 0}, r"item 2 cannot be read: IndexError.*test_examples.py, line"),
    "no test": (linear_classes, {"test": None}, "Examples.test = None: linear_classes is one data set; say how many"),
    "two tests": ((SOURCES["items"], SOURCES["items"]), {}, "Examples.test = 100: the source has examples to test on"),
    "all held out": (linear_classes, {"validation": 300}, "there are 400 examples to take them from; hold out fewer"),
    "nothing": (lambda: None, {}, "returned a NoneType; let it return a torch Dataset that has a length, a pair"),
    "means of floats": (linear_classes, {"mean": [0.5], "std": [1.0]}, "for uint8 inputs, and these are torch.float32"),
    "failing": (lambda: [][0], {}, r"<lambda> failed: IndexError: .*test_examples.py, line"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "fields", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_one_clear_error(source: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(one(source, **fields)).identify()


def test_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "MOST_BYTES", 10_000)
    with pytest.raises(ConfigError, match=r"would be sent with each job.*give a function that returns it"):
        task_of(one(TensorDataset(INPUTS, CLASSES))).identify()
    assert task_of(one(lambda: TensorDataset(INPUTS, CLASSES))).identify().n_train == 220
    huge = [(torch.zeros(1).expand(10**13), 0)] * 200
    with pytest.raises(ConfigError, match=r"inputs take 8e\+06 GB, and are kept in memory"):
        task_of(one(huge)).identify()


@pytest.mark.parametrize("data", [TensorDataset(INPUTS, CLASSES), linear_classes])
def test_a_data_set_alone_says_no_batch_size(data: Any) -> None:
    with pytest.raises(ConfigError, match=r"give Examples\(..., batch_size=...\)"):
        replace(study(one(linear_classes)), data=data)
