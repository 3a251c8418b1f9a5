"""Scores: what each criterion ranks by."""

import pytest
import torch

from lth_ray import config, models, pruning
from lth_ray.config import ConfigError
from lth_ray.config.prune import CRITERIA


@pytest.fixture
def model():
    return models.build("lenet_6_4", input_shape=(1, 3, 3), seed=0)


@pytest.fixture
def given():
    """Arguments that suit every criterion: another initialisation, and four images."""
    initial = models.build("lenet_6_4", input_shape=(1, 3, 3), seed=1).state_dict()
    images = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    return {"initial": initial, "batch": (images, torch.tensor([0, 3, 9, 3]))}


def test_a_study_can_name_every_criterion():
    assert set(CRITERIA) == pruning.CRITERIA.keys()
    assert len(CRITERIA) == len(pruning.CRITERIA) == 32
    assert all(config.Prune(criterion, fraction=0.2, rounds=1).criterion == criterion for criterion in CRITERIA)


@pytest.mark.parametrize("criterion", pruning.CRITERIA)
def test_scores_have_the_masks_names_and_shapes_and_leave_the_model_alone(model, given, criterion):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = pruning.dense_mask(model)
    del mask["fc2.weight"]
    scores = pruning.score(criterion, model, mask, **given, seed=5)
    assert [(name, score.shape) for name, score in scores.items()] == [
        (name, keeps.shape) for name, keeps in mask.items()
    ]
    assert not any(score.requires_grad for score in scores.values())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    again = pruning.score(criterion, model, mask, **given, seed=5)
    assert all(torch.equal(score, again[name]) for name, score in scores.items())


@pytest.mark.parametrize("criterion", pruning.CRITERIA)
def test_a_criterion_asks_for_what_it_needs_and_takes_no_more_than_it_says(model, given, criterion):
    mask = pruning.dense_mask(model)
    needs, uses = pruning.needs(criterion), pruning.uses(criterion)
    assert needs <= uses <= given.keys()
    scores = pruning.score(criterion, model, mask, **given)
    for argument in given:
        without = given | {argument: None}
        if argument in needs:
            with pytest.raises(ConfigError, match=rf"'{criterion}': {argument} = None"):
                pruning.score(criterion, model, mask, **without)
        else:
            same = all(map(torch.equal, scores.values(), pruning.score(criterion, model, mask, **without).values()))
            assert same == (argument not in uses)


@pytest.mark.parametrize("criterion", [name for name in pruning.CRITERIA if "initial" in pruning.uses(name)])
def test_the_initial_state_of_another_network(model, given, criterion):
    mask = pruning.dense_mask(model)
    lacking = {name: value for name, value in given["initial"].items() if name != "fc2.weight"}
    with pytest.raises(ConfigError, match=r"initial\['fc2\.weight'\] is missing"):
        pruning.score(criterion, model, mask, initial=lacking, batch=given["batch"])
    other = models.build("lenet_5_4", input_shape=(1, 3, 3)).state_dict()
    with pytest.raises(ConfigError, match=r"initial\['fc1\.weight'\] has shape \(5, 9\), \(6, 9\) is needed"):
        pruning.score(criterion, model, mask, initial=other, batch=given["batch"])


@pytest.mark.parametrize("criterion", [name for name in pruning.CRITERIA if name != "random"])
def test_diverged_weights_score_nan_so_that_they_are_refused(model, given, criterion):
    mask = pruning.dense_mask(model)
    for state in (model.state_dict(), given["initial"]):
        state["fc1.weight"].fill_(torch.nan)
    with pytest.raises(pruning.ScoreError, match="fc1"):
        pruning.prune(pruning.score(criterion, model, mask, **given), mask, 0.5)


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
