"""Scores: what each criterion ranks by."""

import pytest
import torch

from lth_ray import models, pruning
from lth_ray.config import ConfigError


@pytest.fixture
def model():
    return models.build("lenet_6_4", input_shape=(1, 3, 3), seed=0)


@pytest.mark.parametrize("criterion", pruning.CRITERIA)
def test_scores_have_the_masks_names_and_shapes_and_leave_the_model_alone(model, criterion):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = pruning.dense_mask(model)
    del mask["fc2.weight"]
    scores = pruning.score(criterion, model, mask, seed=5)
    assert [(name, score.shape) for name, score in scores.items()] == [
        (name, keeps.shape) for name, keeps in mask.items()
    ]
    assert not any(score.requires_grad for score in scores.values())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_magnitude_is_the_absolute_weight(model):
    scores = pruning.score("magnitude", model, pruning.dense_mask(model))
    assert all(torch.equal(score, model.get_parameter(name).abs()) for name, score in scores.items())


def test_random_scores_depend_on_seed_and_name_alone(model):
    mask = pruning.dense_mask(model)
    scores = pruning.score("random", model, mask, seed=1)
    alone = pruning.score("random", model, {"fc2.weight": mask["fc2.weight"]}, seed=1)
    assert torch.equal(scores["fc2.weight"], alone["fc2.weight"])
    other = pruning.score("random", model, mask, seed=2)
    assert not torch.equal(scores["fc2.weight"], other["fc2.weight"])
    assert not torch.equal(scores["fc1.weight"].flatten()[:24], scores["fc2.weight"].flatten())


def test_random_scores_are_uniform_and_pinned():
    model = models.build("lenet_300_100")
    score = pruning.score("random", model, pruning.dense_mask(model), seed=0)["fc1.weight"].flatten()
    assert score.dtype is torch.float64
    assert 0 <= score.min() < score.max() < 1
    assert score.mean().item() == pytest.approx(0.5, abs=0.003)
    assert (score * 10).long().bincount(minlength=10).float().std() < 5 * (len(score) * 0.09) ** 0.5
    assert score[:3].tolist() == [0.9844628049820847, 0.9975245088048029, 0.7922729244422158]


def test_an_unknown_criterion_or_parameter(model):
    with pytest.raises(ConfigError, match="magnitude"):
        pruning.score("magnitud", model, pruning.dense_mask(model))
    with pytest.raises(ConfigError, match=r"fc9\.weight"):
        pruning.score("magnitude", model, {"fc9.weight": torch.ones(1).bool()})
