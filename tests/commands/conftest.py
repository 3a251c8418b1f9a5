"""Finished studies whose tickets are shown and sent elsewhere, and what their networks make of the digits."""

import pytest
import torch
from torch import nn

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, data, load_ticket, models, steps
from lth_ray.data import evaluation_batches
from lth_ray.lottery import Plan
from lth_ray.running.history import recorded_plan
from lth_ray.store import Store
from tests.running.conftest import declared, train_here

NAME = "small"


class Own(nn.Module):
    """A user's: it has batch norm and a size that is taken from its input."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(input_shape[0], 4, 3), nn.BatchNorm2d(4)
        self.output = nn.Linear(4 * 6 * 6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.relu(self.norm(self.conv(x))).reshape(x.shape[0], -1))
        return logits


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the finished study, which tests only read."""
    folder = str(tmp_path_factory.mktemp("finished"))
    train_here(declared(), Store.open(folder))
    return folder


@pytest.fixture(scope="session")
def plan(storage: str) -> Plan:
    return recorded_plan(Store.open(storage, writable=False), NAME)


@pytest.fixture(scope="session")
def own_storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("own"))
    study = Study(
        "own", model=Model(Own), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(20), lr=0.1, ema_decay=0.9), prune=Prune(fraction=0.5, rounds=1), rewind=[steps(0)],
        seeds=[0], keep="rewind", branches=[RandomReinit()],
    )  # fmt: skip
    train_here(study, Store.open(folder))
    return folder


def images() -> torch.Tensor:
    """The digits of the test set, as networks take them."""
    dataset = data.load(declared().data)
    return torch.cat([inputs for inputs, _ in evaluation_batches(dataset.test, dataset.mean, dataset.std)])


def network(state: dict[str, torch.Tensor] | None = None) -> nn.Module:
    made = models.build("lenet_20_10", input_shape=(1, 8, 8), seed=9)
    if state is not None:
        made.load_state_dict(state)
    return made.eval()


def recorded_accuracy(key: str, storage: str) -> float:
    accuracy: float = load_ticket(key, storage).provenance["journal"]["test_accuracy"][-1]
    return accuracy
