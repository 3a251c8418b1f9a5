"""Plans of what can be known to be wrong: each ends in one clear ConfigError before anything is trained."""

from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Rewind, epochs, steps
from lth_ray.lottery import make_plan


class Branching(torch.nn.Module):
    """Its path depends on numbers."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.output = torch.nn.Linear(64, num_classes)

    def forward(self, images: torch.Tensor) -> Any:
        return self.output(images.flatten(1)) * (2 if images.sum() > 0 else 1)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "rewind beyond the end": ({"rewind": [steps(41)]}, r"Study.rewind = steps\(41\): step 41 .* beyond the end"),
    "two names for one point": ({"rewind": [steps(19), epochs(1)]}, r"two lineages would be called 'k19/seed0'"),
    "a value swept twice": ({"sweep": {"train.lr": [0.1, 0.1]}}, r"two lineages would be called 'lr=0.1/k0/seed0'"),
    "unknown model": ({"model.name": "lenet_x"}, r"Model.name = 'lenet_x' is unknown"),
    "a network that cannot be made smaller": (
        {"model.name": Branching, "train.backend": "shrunk"},
        r"Train.backend = 'shrunk': Branching cannot be called without numbers .*; leave it out",
    ),
    "unknown option": ({"model.options": {"dropuot": 0.5}}, r"Model.options\['dropuot'\]"),
    "exclude matches nothing": ({"prune.exclude": ["conv*"]}, r"Prune.exclude: glob 'conv\*' matches no parameter"),
    "include matches nothing": ({"prune.include": ["fc9*"]}, r"Prune.include: glob 'fc9\*' .* fc1.weight"),
    "nothing left to prune": ({"prune.exclude": ["*"]}, "leaves nothing to prune"),
    "nothing left of a network": (
        {"prune.fraction": 0.999999999999}, r"Prune.fraction = 0.999999999999: none of [\d,]+ weights would be left",
    ),
    "fraction for no parameter": ({"prune.fraction": {"*": 0.2, "conv*": 0.1}}, r"Prune.fraction: glob 'conv\*'"),
    "no fraction for one": ({"prune.fraction": {"fc*": 0.2}}, r"Prune.fraction: 'output.weight' matches none"),
    "two fractions for one": ({"prune.fraction": {"*": 0.2, "fc*": 0.1}}, r"'fc1.weight' matches \['\*', 'fc\*'\]"),
    "wrong in one arm only": (
        {"arms": {"good": {}, "bad": {"prune.exclude": ["conv*"]}}}, r"Prune.exclude: glob 'conv\*'",
    ),
    "batch larger than the data": ({"data.batch_size": 2000}, "Data.batch_size = 2000"),
    "milestone beyond the end": ({"train.milestones": [steps(50)]}, r"Train.milestones = steps\(50\)"),
    "unknown data": ({"data.name": "digit"}, "Data.name = 'digit'.*digits"),
    "a varied field that is not there": ({"sweep": {"train.lrr": [1]}}, "no field 'lrr'.*lr"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_studies(lab: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(changes))
    assert lab.loop.take() == 0


def test_each_network_is_built_once_and_torchs_generator_left_alone(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from lth_ray.lottery import checks

    built: list[Any] = []
    original = checks.build
    monkeypatch.setattr(checks, "build", lambda *args, **named: built.append(args) or original(*args, **named))
    before = torch.get_rng_state()
    arms = {"a": {}, "b": {"prune.fraction": 0.3}, "c": {"model.name": "lenet_30_10"}}
    make_plan(lab.study(arms=arms, seeds=[0, 1, 2], rewind=[steps(0), Rewind(steps(0), method="learning_rate")]))
    assert len(built) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recorded_study_needs_neither_its_data_nor_its_functions(lab: Any) -> None:
    from lth_ray.config import declaration, restore

    def network(num_classes: int) -> Any:
        raise AssertionError("not called")

    study = lab.study({"model.name": network, "data.name": "folder:nowhere"})
    restored = restore(declaration(study))
    identity = make_plan(lab.study()).identities[lab.study().data]
    plan = make_plan(restored, None, lab.store(), {restored.data: identity})
    assert plan.unique_steps == 3 * 40
