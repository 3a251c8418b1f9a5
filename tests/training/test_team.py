"""Several workers train what one would, and resume bit for bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError
from lth_ray.training import Recipe, Start, Team
from tests.training.setups import Setting, SmallNet, everything, restart
from tests.training.teams import together

Make = Callable[..., Setting]
SIZES = (1, 2, 4)


def grouped(setting: Make, **given: Any) -> Setting:
    """A network with batch norm and dropout, with momentum and four groups a batch."""
    fields = {"batch_size": 48, "batch_norm_group": 12, "momentum": 0.9, "weight_decay": 1e-3}
    return setting(**{**fields, **given})


def results(made: Setting, size: int, last: int = 8, begin: Start | None = None) -> list[dict[str, Any]]:
    """Return what each of `size` workers has at step `last`."""

    def work(team: Team) -> dict[str, Any]:
        end = made.trained(begin or made.begin(), last, team=team)
        return {"journal": end.journal, "model": end.run.model.state_dict(), "bits": str(everything(end))}

    return together(size, work)


def alone(made: Setting, last: int = 8) -> dict[str, Any]:
    end = made.trained(made.begin(), last)
    return {"journal": end.journal, "model": end.run.model.state_dict()}


def agree(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 2e-6) -> None:
    for name in ("train_loss", "validation_loss", "test_loss"):
        assert found["journal"][name] == pytest.approx(expected["journal"][name], rel=tolerance)
    assert found["journal"]["test_accuracy"] == expected["journal"]["test_accuracy"]
    for name, value in expected["model"].items():
        torch.testing.assert_close(found["model"][name], value, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("size", [2, 4])
def test_losses_do_not_depend_on_the_number_of_workers(setting: Make, size: int) -> None:
    made = grouped(setting)
    expected = alone(made)
    found = results(made, size)
    agree(found[0], expected)
    assert all(worker["bits"] == found[0]["bits"] for worker in found)  # all hold the very same weights


def test_groups_of_statistics_are_another_recipe_than_the_whole_batch(setting: Make) -> None:
    whole, parts = alone(grouped(setting, batch_norm_group=None)), alone(grouped(setting))
    assert whole["journal"]["train_loss"] != pytest.approx(parts["journal"]["train_loss"], rel=1e-4)


def test_a_network_without_batch_norm_and_dropout_has_no_groups_to_speak_of(setting: Make) -> None:
    """Accumulated gradients are those of the whole batch."""
    whole = alone(setting("lenet_20_10", batch_size=48, validation=100))
    parts = alone(setting("lenet_20_10", batch_size=48, validation=100, batch_norm_group=6))
    agree(parts, whole)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_resumed_team_goes_on_bit_for_bit(setting: Make, size: int) -> None:
    made = grouped(setting, batch_norm_group=4, optimizer="sgd")

    def work(team: Team) -> tuple[str, str]:
        straight = made.trained(made.begin(), 10, team=team)
        half = restart([*made.pauses(made.begin(), 5, team=team)][-1])
        resumed = made.trained(half, 10, first=0, team=team)
        return _end(straight), _end(resumed)

    for straight, resumed in together(size, work):
        assert straight == resumed


def _end(pause: Any) -> str:
    return str(everything(pause)[:3])


def test_a_team_may_go_on_with_another_number_of_workers(setting: Make) -> None:
    made = grouped(setting)

    def first_half(team: Team) -> Any:
        start = restart([*made.pauses(made.begin(), 4, team=team)][-1])
        return [start.step, start.model, start.optimizer, start.journal, start.loss_sum, start.loss_steps]

    half = Start(*together(4, first_half)[0])
    agree(results(made, 2, begin=half)[0], alone(made))


def test_synchronised_statistics_are_those_of_the_whole_batch(setting: Make) -> None:
    made = setting(batch_size=48, options={"dropout": 0.0}, sync_batch_norm=True)
    expected = alone(setting(batch_size=48, options={"dropout": 0.0}))
    agree(alone(made), expected)
    agree(results(made, 3)[0], expected, tolerance=2e-5)


def test_pruned_weights_stay_at_zero_in_a_team(setting: Make) -> None:
    made = grouped(setting)
    for worker in results(made, 2):
        assert made.mask is not None
        for name, kept in made.mask.items():
            assert not worker["model"][name][~kept].any()


BAD_SIZES = [
    (None, False, 2, ["--workers 2", "1 group of 48", "batch_norm_group"]),
    (12, False, 3, ["--workers 3", "4 groups of 12", "divisor of 4"]),
    (None, True, 5, ["--workers 5", "Data.batch_size = 48"]),
]


@pytest.mark.parametrize(("group", "synchronised", "workers", "parts"), BAD_SIZES)
def test_a_number_of_workers_that_would_change_the_science_is_refused(
    recipe: Callable[..., Recipe], group: int | None, synchronised: bool, workers: int, parts: list[str]
) -> None:
    made = recipe(batch_size=48, batch_norm_group=group, sync_batch_norm=synchronised)
    assert made.admits(1)
    with pytest.raises(ConfigError) as caught:
        made.check_workers(workers)
    for part in parts:
        assert part in str(caught.value)


def test_groups_divide_the_batch(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ConfigError, match=r"Train.batch_norm_group = 7: it does not divide Data.batch_size = 48"):
        recipe(batch_size=48, batch_norm_group=7)


def test_memory_layout_changes_rounding_alone(setting: Make) -> None:
    agree(alone(setting(channels_last=True)), alone(setting()))


def test_a_resumed_channels_last_training_goes_on_bit_for_bit(setting: Make) -> None:
    made = grouped(setting, channels_last=True)
    straight = made.trained(made.begin(), 10)
    half = restart([*made.pauses(made.begin(), 5)][-1])
    assert _end(made.trained(half, 10, first=0)) == _end(straight)


def test_running_statistics_without_momentum_do_not_depend_on_the_number_of_workers(setting: Make) -> None:
    def network(num_classes: int) -> torch.nn.Module:
        built = SmallNet(num_classes)
        built.norm.momentum = None
        return built

    made = grouped(setting, model=network)
    agree(results(made, 2)[0], alone(made))


@pytest.mark.slow
@pytest.mark.parametrize("group", [None, 12])
def test_a_compiled_training_changes_rounding_alone_and_resumes_bit_for_bit(setting: Make, group: int | None) -> None:
    given: dict[str, Any] = {"batch_size": 48, "options": {"dropout": 0.0}, "batch_norm_group": group, "momentum": 0.9}
    made = setting(compile=True, **given)
    straight = made.trained(made.begin(), 10)
    assert straight.journal["train_loss"] == pytest.approx(
        alone(setting(**given), 10)["journal"]["train_loss"], rel=1e-5
    )
    half = restart([*made.pauses(made.begin(), 5)][-1])
    assert _end(made.trained(half, 10, first=0)) == _end(straight)


class Stateful(torch.nn.Module):
    """Layers that keep state other than batch norm's, one that stands still, and a parameter nobody uses."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 6, 3)
        self.norm = torch.nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
        self.hidden = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(6 * 36, 16))
        self.output, self.spare = torch.nn.Linear(16, num_classes), torch.nn.Linear(4, 4)
        self.register_buffer("constant", torch.tensor([0.1, 1 / 3, 7e-9]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.hidden(self.norm(self.conv(images)).relu().flatten(1)).relu())
        return logits


@pytest.mark.parametrize("size", [2, 3])
def test_state_other_than_batch_norms_does_not_depend_on_the_number_of_workers(setting: Make, size: int) -> None:
    made = grouped(setting, model=Stateful, batch_norm_group=8)
    expected, found = alone(made), results(made, size)
    agree(found[0], expected, tolerance=2e-5)
    assert all(worker["bits"] == found[0]["bits"] for worker in found)
    began = made.initial
    for name in ("norm.running_mean", "hidden.parametrizations.weight.0._u"):
        assert not torch.equal(expected["model"][name], began[name])
    for worker in (expected, *found):
        assert torch.equal(worker["model"]["constant"], began["constant"])


def test_what_nobody_uses_is_not_decayed_with_groups_either(setting: Make) -> None:
    given: dict[str, Any] = {"model": Stateful, "batch_size": 48, "momentum": 0.9, "weight_decay": 0.1}
    whole, groups = setting(**given, masked=False), setting(**given, masked=False, batch_norm_group=12)
    for found in (alone(whole), alone(groups), results(groups, 2)[1]):
        assert torch.equal(found["model"]["spare.weight"], whole.initial["spare.weight"])
        assert not torch.equal(found["model"]["output.weight"], whole.initial["output.weight"])


def test_what_takes_part_in_some_steps_alone_is_refused_in_a_team(setting: Make) -> None:
    class Sometimes(Stateful):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            logits: torch.Tensor = super().forward(images)
            return logits + self.spare.weight.sum() if self.training and self.calls > 9 else logits

    made = grouped(setting, model=Sometimes, masked=False)

    def work(team: Team) -> str:
        try:
            made.trained(made.begin(), 8, team=team)
        except ConfigError as error:
            return str(error)
        return ""

    assert all("--workers 2: spare.weight of the network" in told for told in together(2, work))
