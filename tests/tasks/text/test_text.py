"""Text: windows, carried state, perplexity; what is right by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lth_ray import models
from lth_ray.config import Model, Prune, Rewind, Study, Text, Train, set_fields, steps
from lth_ray.data.text.streams import IGNORED, Held, TextBatches, measured_windows
from lth_ray.lottery.execution.networks import build
from lth_ray.tasks import task_of
from lth_ray.training import Recipe, Seeds, Start, Team, evaluate, train_segment
from tests.carried_out import whole_and_killed
from tests.training.teams import together


def study(folder: Path, **changes: Any) -> Study:
    found = Study(
        "chain",
        model=Model("lstm_lm_2_8", options={"dropout": 0.2}),
        data=Text(f"text:{folder}", batch_size=4, window=10),
        train=Train(steps(50), optimizer="adam", lr=1e-2, evaluate_every=steps(25)),
        prune=Prune(fraction=0.5, rounds=1, include=["*"]),
        rewind=[Rewind(steps(7), optimizer="restored")],
        seeds=[0],
        margin=0.5,
    )
    return set_fields(found, changes)


def recipe(folder: Path, **changes: Any) -> Recipe:
    of = study(folder, **changes)
    return Recipe(of.model, of.data, of.train, task_of(of.data).identify())


def trained(given: Recipe, last: int, start: Start | None = None, team: Team | None = None) -> Any:
    model = build(given, seed=1)
    start = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    arguments = given, model, given.task.load(), None, Seeds(1, 2, 3), start, last
    return list(train_segment("", *arguments, team=team or Team()))[-1].run


def test_windows_of_an_epoch_go_around_the_text_once() -> None:
    text = Held(np.arange(107), end=999)
    batches = TextBatches(text, 5, 4, shuffled=False, order_seed=3)
    assert batches.steps_per_epoch == 5
    first = [batches.batch(step) for step in range(5)]
    rows = torch.cat([tokens for tokens, _ in first], dim=1)
    start = int(rows[0, 0])
    assert rows.flatten().tolist() == [(start + i) % 107 for i in range(100)]  # a stretch of 25 for each place
    for tokens, targets in first:
        assert torch.equal(targets, (tokens + 1) % 107)
    assert int(batches.batch(5)[0][0, 0]) != start
    part = TextBatches(text, 5, 4, shuffled=False, order_seed=3, part=range(1, 3))
    assert torch.equal(part.batch(7)[0], batches.batch(7)[0][1:3])
    shuffled = TextBatches(text, 5, 4, shuffled=True, order_seed=3)
    seen = torch.cat([shuffled.batch(step)[0] for step in range(5, 10)]).flatten()
    assert len(set(seen.tolist())) == 100


@pytest.mark.parametrize("length", [1, 31, 32, 33, 500])
@pytest.mark.parametrize("world", [1, 3])
def test_every_token_of_a_part_is_measured_once(length: int, world: int) -> None:
    seen = []
    for rank in range(world):
        for tokens, targets in measured_windows(Held(np.arange(length), end=999), 7, (rank, world)):
            assert tokens.shape == targets.shape
            real = targets != IGNORED
            assert torch.equal(tokens[real], torch.where(targets[real] > 0, targets[real] - 1, 999))
            seen += targets[real].tolist()
    assert sorted(seen) == list(range(length))


def test_a_short_part_has_something_for_each_process() -> None:
    """Ten tokens are ten rows: three processes measure three or four of them."""
    text = Held(np.arange(10), end=999)
    counts = [sum(len(targets) for _, targets in measured_windows(text, 7, (rank, 3))) for rank in range(3)]
    assert counts == [3, 3, 4]


def test_an_lstm_read_window_by_window_is_one_long_pass() -> None:
    model = models.build("lstm_lm_2_12", num_classes=17, input_shape=(5,), seed=3, dropout=0.0).double()
    tokens = torch.randint(0, 17, (3, 35), generator=torch.Generator().manual_seed(0))
    state, found = model.begin(3), []
    for window in tokens.split(5, dim=1):
        logits, state = model(window, *state)
        found.append(logits)
    assert torch.equal(model(tokens), model(tokens, *model.begin(3))[0])
    torch.testing.assert_close(torch.cat(found, dim=1), model(tokens), rtol=0, atol=1e-14)


def test_gradients_of_a_step_go_back_to_the_beginning_of_its_window(folder: Path) -> None:
    """A training step by the loop, against one by hand with what the steps before it have left."""
    given = recipe(folder, **{"model.options": {"dropout": 0.0}, "train.optimizer": "sgd", "train.lr": 0.5})
    run, loaded = trained(given, 3), given.task.load()
    model, stream = build(given, seed=1), given.task.stream(loaded, 1, 2)
    state = model.begin(4)
    for step in range(3):
        tokens, targets = stream.batch(step)
        logits, state = model(tokens, *(one.detach() for one in state))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 0.5 * gradient
    for name, value in model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(run.carried["state00"], state[0])


@pytest.mark.parametrize("name", ["lstm_lm_2_8", "transformer_lm_2_8_2"])
def test_perplexity_is_the_exponential_of_the_mean_loss_of_a_token(folder: Path, name: str) -> None:
    """A test part of one row a token apart: what precedes a token in its row is all that a network may know."""
    given = recipe(folder, **{"model.name": name, "model.options": {}})
    task, loaded, model = given.task, given.task.load(), build(given, seed=1).double()
    found = evaluate(model, task.examples(loaded, loaded.test), task, given.train)
    text = [loaded.test.end, *loaded.test.windows([0], len(loaded.test))[0].tolist()]
    length, losses = -(-len(loaded.test) // 32), []
    window = 1000 if name.startswith("lstm") else 10  # which carries on what it has read of its row
    for row in range(0, len(text) - 1, length):
        stretch = text[row : row + length + 1]
        for at in range(0, len(stretch) - 1, window):
            seen = torch.tensor(stretch[at : at + window + 1])
            losses += F.cross_entropy(model.eval()(seen[None, :-1])[0], seen[1:], reduction="none").tolist()
    assert found.n == len(losses) == len(text) - 1 == 25 * 13
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.value == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-6)
    halves = [evaluate(model, task.examples(loaded, loaded.test, (rank, 2)), task, given.train) for rank in (0, 1)]
    assert sum(half.loss * half.n for half in halves) / found.n == pytest.approx(found.loss, rel=1e-6)


def test_a_killed_training_goes_on_with_its_state(folder: Path, tmp_path: Path) -> None:
    whole, killed = whole_and_killed(study(folder), tmp_path, kills=(23, 60), every_steps=5)
    assert killed == whole


def test_workers_share_the_places_of_a_batch(folder: Path) -> None:
    given = recipe(folder, **{"train.batch_norm_group": 2})

    def work(team: Team) -> Any:
        run = trained(given, 45, team=team)
        loaded = given.task.load()
        batches = given.task.examples(loaded, loaded.test, (team.rank, team.size))
        found = evaluate(run.model, batches, given.task, given.train, team)
        return run.carried, run.model.state_dict(), found.n, found.value

    (alone, weights, number, perplexity), *_ = together(1, work)
    for carried, own, n, value in together(2, work):
        assert all(torch.allclose(carried[name], alone[name], atol=1e-5) for name in alone)
        assert all(torch.allclose(own[name], weights[name], atol=1e-5) for name in weights)
        assert (n, value) == (number, pytest.approx(perplexity, rel=1e-5))


def test_an_lstm_learns_the_chain(folder: Path) -> None:
    """A word leaves 4 of 30 possible: the perplexity of a network that has learnt it is near 4."""
    changes = {"model.name": "lstm_lm_1_24", "model.options": {"dropout": 0.0}, "train.lr": 0.03}
    given = recipe(folder, **changes, **{"train.length": steps(150)})
    run, loaded = trained(given, 150), given.task.load()
    found = evaluate(run.model, given.task.examples(loaded, loaded.test), given.task, given.train)
    assert found.value < 8


def test_an_epoch_begins_without_a_state(folder: Path) -> None:
    given = recipe(folder)
    stream = given.task.stream(given.task.load(), 1, 2)
    model = build(given, seed=1)
    stream.carry_on({"state00": torch.ones(4, 2, 8), "state01": torch.ones(4, 2, 8)})
    assert float(stream.batch(3, model)[2].sum()) == 64
    assert float(stream.batch(stream.steps_per_epoch, model)[2].sum()) == 0


def test_a_text_larger_than_memory_is_read_from_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(Text(f"text:{folder}", batch_size=4, window=10))
    resident = task.load().train.windows([-1, 1555], 12)
    monkeypatch.setattr("lth_ray.data.text.streams.RESIDENT", 100)
    assert torch.equal(task.load().train.windows([-1, 1555], 12), resident)
