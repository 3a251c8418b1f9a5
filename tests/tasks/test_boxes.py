"""Detection: torchvision's own losses, what is measured, resuming, teams, tickets, and what is refused."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray import load_small, load_ticket, models
from lth_ray.commands.tickets import export_ticket
from lth_ray.config import (
    Barrier,
    Boxes,
    ConfigError,
    Data,
    Model,
    Prune,
    RandomReinit,
    Study,
    Train,
    set_fields,
    steps,
)
from lth_ray.data.boxes import PictureSet
from lth_ray.lottery import branch_rows, carry_out, make_plan, ticket_rows
from lth_ray.running.history import remember
from lth_ray.store import Store
from lth_ray.tasks import Detection, Task, task_of
from lth_ray.tasks.boxes import losses
from lth_ray.training import Clock, Pause, Recipe, Seeds, Start, Team, evaluate, train_segment
from lth_ray.training.loop import seed_dropout
from tests.data.boxes.made import CONTENT, as_voc
from tests.tasks.detected import random_detections
from tests.training.setups import everything, restart
from tests.training.teams import together

pytest.importorskip("faster_coco_eval", reason="it counts mean average precision")
SMALL = "fasterrcnn_cifar_resnet8_4"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    content = {**CONTENT, "test": CONTENT["test"] | CONTENT["val"]}
    place = as_voc(tmp_path_factory.mktemp("boxes") / "set", content)
    return Boxes(f"voc:{place}", batch_size=2, validation="own", image_size=32, augment="flip")


def prepared(data: Boxes, **given: Any) -> tuple[Recipe, PictureSet]:
    fields: dict[str, Any] = {"length": steps(6), "lr": 0.02, "momentum": 0.9, "evaluate_every": steps(3), **given}
    task: Task[Any] = task_of(data)
    train = Train(fields.pop("length"), **fields)
    return Recipe(Model(SMALL), data, train, task.identify()), task.load()


def network(recipe: Recipe) -> nn.Module:
    identity = recipe.identity
    return models.build(recipe.model.name, identity.num_classes, identity.input_shape, seed=0)


def trained(recipe: Recipe, loaded: PictureSet, start: Start | None, last: int, team: Team | None = None) -> Pause:
    *_, end = pauses(recipe, loaded, start, last, team)
    return end


def pauses(
    recipe: Recipe, loaded: PictureSet, start: Start | None, last: int, team: Team | None = None, **more: Any
) -> Iterator[Pause]:
    model = network(recipe)
    begin = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    seeds = Seeds(order=1, augmentation=2, dropout=3)
    more |= {} if team is None else {"team": team}
    return train_segment("key", recipe, model, loaded, None, seeds, begin, last, first=0, **more)


def test_training_is_torchvisions_own_loop(data: Boxes) -> None:
    """The same losses and weights as by the lines that torchvision's tutorial has."""
    recipe, loaded = prepared(data)
    end = trained(recipe, loaded, None, 3)
    model = network(recipe)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    stream = recipe.task.stream(loaded, 1, 2)
    total = 0.0
    for step in range(3):
        images, boxes, labels, _ = stream.batch(step)
        targets = [
            {"boxes": own[kinds > 0], "labels": kinds[kinds > 0]} for own, kinds in zip(boxes, labels, strict=True)
        ]
        seed_dropout(3, step, torch.device("cpu"))
        loss = sum(model(list(images), targets).values())
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
    assert end.journal["train_loss"][-1] == pytest.approx(total / 3, rel=1e-6)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(end.run.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    names = {"train_loss_classifier", "train_loss_box_reg", "train_loss_objectness", "train_loss_rpn_box_reg"}
    assert names | {"test_map", "validation_map", "validation_loss"} <= end.journal.keys()


def test_resuming_is_bit_for_bit(data: Boxes) -> None:
    recipe, loaded = prepared(data)
    found = {
        pause.step: (restart(pause), everything(pause)) for pause in pauses(recipe, loaded, None, 6, clock=Clock(0.0))
    }
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for k in (2, 3, 5):
        assert everything(trained(recipe, loaded, found[k][0], 6)) == found[6][1]


def test_two_workers_train_what_one_does(data: Boxes) -> None:
    recipe, loaded = prepared(data, batch_norm_group=1)

    def work(team: Team) -> dict[str, Any]:
        end = trained(recipe, loaded, None, 3, team)
        return {"journal": end.journal, "model": end.run.model.state_dict(), "bits": str(everything(end))}

    alone = trained(recipe, loaded, None, 3)
    workers = together(2, work)
    assert workers[0]["bits"] == workers[1]["bits"]
    for name in ("train_loss", "validation_loss", "test_loss"):
        assert workers[0]["journal"][name] == pytest.approx(alone.journal[name], rel=1e-5)
    assert workers[0]["journal"]["validation_map"] == pytest.approx(alone.journal["validation_map"], abs=1e-6)
    for name, value in alone.run.model.state_dict().items():
        torch.testing.assert_close(workers[0]["model"][name], value, rtol=1e-4, atol=2e-6)


def test_a_team_measures_what_one_process_does(data: Boxes) -> None:
    """Shares of unequal size are gathered in their order, and no image's loss depends on others'."""
    recipe, loaded = prepared(data)
    model, task = network(recipe), recipe.task
    split = loaded.train.first(3)

    def measured(team: Team) -> list[float]:
        found = evaluate(model, task.examples(loaded, split, (team.rank, team.size)), task, recipe.train, team)
        return [found.loss, found.value, found.n]

    before = torch.random.get_rng_state()
    expected = measured(Team())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert together(4, measured) == [pytest.approx(expected, rel=1e-12)] * 4  # one of them has none
    assert expected[2] == 3


class Said(nn.Module):
    """Says of each image, known by its mean, what it was told to find there."""

    def __init__(self, answers: Mapping[float, dict[str, Tensor]]) -> None:
        super().__init__()
        self.weight, self.answers = nn.Parameter(torch.zeros(())), answers

    def forward(self, images: list[Tensor], targets: Any = None) -> Any:
        if self.training:
            return {"loss": self.weight + len(targets[0]["boxes"])}
        return [self.answers[float(image.mean())] for image in images]


def test_the_metric_does_not_depend_on_how_images_are_batched(data: Boxes) -> None:
    recipe, loaded = prepared(data)
    split = loaded.train
    whole = (split.images.float().div(255), *split.tensors[1:])
    guesses, _, _ = random_detections(len(split))
    model = Said({float(image.mean()): one for image, one in zip(whole[0], guesses, strict=True)})
    by_one = evaluate(model, recipe.task.examples(loaded, split), recipe.task, recipe.train)
    at_once = evaluate(model, [whole], recipe.task, recipe.train)
    assert by_one.value == at_once.value
    assert by_one.loss == 1.0  # boxes an image: 1, 2, 1 and 0
    assert by_one.n == at_once.n == 4


def test_a_diverged_network_is_a_result(data: Boxes) -> None:
    recipe, loaded = prepared(data, lr=1e12)
    end = trained(recipe, loaded, None, 3)
    assert not end.finite
    assert end.journal["validation_loss"][-1] is None


STUDY = Study(
    "boxes",
    model=Model(SMALL),
    data=Boxes("voc:nowhere", batch_size=2, validation="own", image_size=32),
    train=Train(steps(2), lr=0.01),
    prune=Prune(scope="global", fraction=0.5, rounds=1),
    rewind=[steps(0)],
    seeds=[0],
    branches=[RandomReinit(), Barrier(children=2, points=3, rounds=[1])],
)


def carried_out(study: Study, store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    plan = make_plan(study, None, store)
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu", Clock(60.0))
    return ticket_rows(plan, store), branch_rows(plan, store)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*")
def test_tickets_and_branches_of_a_whole_detector(data: Boxes, tmp_path: Path) -> None:
    tickets, branches = carried_out(set_fields(STUDY, {"data": data}), Store.open(str(tmp_path)))
    assert [row["round"] for row in tickets] == [0, 1]
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=1e-4)
    assert all(0 <= row["test_map"] <= 1 for row in tickets)
    assert {row["branch"] for row in branches} == {"random_reinit", "barrier"}


def test_a_detector_without_whole_channels_is_trained_and_written_as_a_smaller_one(data: Boxes, tmp_path: Path) -> None:
    prune = Prune("l1", structure="channels", fraction=0.3, rounds=1)
    study = set_fields(STUDY, {"data": data, "branches": [], "prune": prune})
    store, file = Store.open(str(tmp_path / "store")), tmp_path / "small.safetensors"
    tickets, _ = carried_out(study, store)
    assert [row["backend"] for row in tickets] == ["eager-fp32", "shrunk-fp32"]
    remember(store, make_plan(study, None, store), "Asked by a test.")
    export_ticket(tickets[1]["key"], file, shrink=True, storage=store.uri)
    whole, small = network(prepared(data)[0]).eval(), load_small(file)
    ticket = load_ticket(tickets[1]["key"], store.uri)
    assert ticket.trained_state is not None
    assert ticket.mask is not None
    whole.load_state_dict(ticket.trained_state)
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in (whole, small)]
    assert sizes[0] - sizes[1] == sum(int((~keeps).sum()) for keeps in ticket.mask.values())
    with torch.no_grad():
        images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))]
        (ours,), (theirs,) = small(images), whole(images)
    assert len(theirs["boxes"])
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("criterion", ["snip", "synflow"])
def test_masks_are_found_before_training(data: Boxes, tmp_path: Path, criterion: str) -> None:
    study = set_fields(STUDY, {"data": data, "branches": [], "prune.criterion": criterion, "prune.at": steps(0)})
    tickets, _ = carried_out(study, Store.open(str(tmp_path)))
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=1e-4)


class NoDetector(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, num_classes)

    def forward(self, images: list[Tensor], targets: Any = None) -> Tensor:
        logits: Tensor = self.layer(torch.stack([image.mean((1, 2)) for image in images]))
        return logits


def test_what_is_no_detector_is_found_by_a_plan(data: Boxes) -> None:
    for fields, why in {
        ("model.name", "resnet18"): "detectors alone are trained on Boxes; give detectors, such as",
        ("model.name", NoDetector): "in training it gives a Tensor, and no dict of losses; let it return a dict",
        ("train.loss", lambda model, batch: (model(batch).sum(), {})): r"Train.loss = .*give Train\(step=",
        ("train.label_smoothing", 0.1): "Train.label_smoothing = 0.1: a detector's losses are its own",
        ("train.sync_batch_norm", True): "Train.sync_batch_norm = True",
        ("train.replicates", 2): "Train.replicates = 2: detectors cannot be trained together",
    }.items():
        with pytest.raises(ConfigError, match=why):
            make_plan(set_fields(STUDY, {"data": data, fields[0]: fields[1], "branches": []}), None)
    with pytest.raises(
        ConfigError, match=r"with Study.data = Data.*: detectors alone are trained on Boxes; give Boxes"
    ):
        make_plan(set_fields(STUDY, {"data": Data("digits", batch_size=10, validation=10), "branches": []}), None)


def test_boxes_of_other_images_are_exchanged_whole(data: Boxes) -> None:
    from lth_ray.config import Scoring
    from lth_ray.pruning import sample

    recipe, loaded = prepared(replace(data, batch_size=4))
    plain, exchanged = (
        sample(recipe.task, recipe.identity, loaded, Scoring(data=kind), 1, 5)[0] for kind in ("all", "random_labels")
    )
    assert torch.equal(plain[0], exchanged[0])
    assert ((exchanged[2] > 0).sum(1) == exchanged[3]).all()
    assert sorted(plain[3].tolist()) == sorted(exchanged[3].tolist())


def test_losses_measured_leave_statistics_and_modes_alone(data: Boxes) -> None:
    recipe, loaded = prepared(data)
    model = network(recipe).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        losses(model, recipe.task.stream(loaded, 0, 0).batch(0))
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_mean_precision_needs_its_package(data: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.tasks.mean_precision.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "lth_ray\[detection\]"'):
        Detection(data).identify()
