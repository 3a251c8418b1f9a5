"""Iterative magnitude pruning of linear models against its closed form: every round's normal equations, in NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lth_ray import Study
from lth_ray.config import set_fields
from lth_ray.lottery import load_ticket
from lth_ray.store import Store
from studies.linear_tickets import RIDGE, Linear, components, pixels, study
from tests.carried_out import carried_out, rows_of

ROUNDS = 2
Solution = tuple[np.ndarray, np.ndarray]


def design(source: Any) -> tuple[np.ndarray, np.ndarray]:
    inputs, digits = (tensor.numpy() for tensor in source()[0].tensors)
    return inputs.astype(np.float64), np.eye(10)[digits]


def solved(inputs: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> Solution:
    """Weights [10, features] and biases [10]: each output by its own kept features and a bias, ridge on all of them."""
    weights, biases = np.zeros(mask.shape), np.zeros(len(mask))
    for output, kept in enumerate(mask):
        columns = np.column_stack([inputs[:, kept], np.ones(len(inputs))])
        left = columns.T @ columns / len(inputs) + RIDGE * np.eye(columns.shape[1])
        *found, biases[output] = np.linalg.solve(left, columns.T @ targets[:, output] / len(inputs))
        weights[output, kept] = found
    return weights, biases


def pruned(weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask without the fifth of its weights that are the smallest."""
    size = np.where(mask, abs(weights), np.inf).ravel()
    left = mask.ravel().copy()
    left[np.argsort(size, kind="stable")[: round(0.2 * mask.sum())]] = False
    return left.reshape(mask.shape)


def in_closed_form(source: Any, one_shot: bool) -> list[tuple[np.ndarray, Solution]]:
    inputs, targets = design(source)
    mask = np.ones((10, inputs.shape[1]), bool)
    found = [(mask, solved(inputs, targets, mask))]
    for _ in range(ROUNDS):
        weights, _ = found[0][1] if one_shot else found[-1][1]
        mask = pruned(weights, found[-1][0])
        found.append((mask, solved(inputs, targets, mask)))
    return found


def declared(*arms: str) -> Study:
    kept = {name: {**study.arms[name], "branches": []} for name in arms}
    return replace(set_fields(study, {"prune.rounds": ROUNDS, "seeds": [1]}), arms=kept, smoke={})


@pytest.mark.parametrize("arm", ["pixels", pytest.param("pixels_one_shot", marks=pytest.mark.slow), "components"])
def test_every_round_is_its_closed_form(arm: str, tmp_path: Any) -> None:
    store = Store.open(str(tmp_path))
    plan = carried_out(declared(arm), store)
    expected = in_closed_form(components if "components" in arm else pixels, "one_shot" in arm)
    for one, (mask, (weights, biases)) in zip(plan.lineages[0].rounds, expected, strict=True):
        ticket = load_ticket(one.segment.key, store.uri)
        state = ticket.trained_state
        assert state["layer.weight"].dtype == torch.float64
        if one.number:
            assert np.array_equal(ticket.mask["layer.weight"].numpy(), mask)
        np.testing.assert_allclose(state["layer.weight"].numpy(), weights, rtol=0, atol=1e-10)
        np.testing.assert_allclose(state["layer.bias"].numpy(), biases, rtol=0, atol=1e-10)


def test_uncorrelated_features_are_pruned_by_their_projections_all_at_once_or_in_rounds() -> None:
    inputs, targets = design(components)
    projections = abs(inputs.T @ targets).T
    order = np.argsort(projections.ravel(), kind="stable")
    for (iterative, _), (at_once, _) in zip(*(in_closed_form(components, one) for one in (False, True)), strict=True):
        assert np.array_equal(iterative, at_once)
        assert not iterative.ravel()[order[: (~iterative).sum()]].any()
    iterative, at_once = (in_closed_form(pixels, one)[-1][0] for one in (False, True))
    assert not np.array_equal(iterative, at_once)


def test_any_initialisation_wins_and_random_masks_do_not(tmp_path: Any) -> None:
    made = declared("pixels")
    arms = {"pixels": {"branches": [replace(one, rounds=[ROUNDS]) for one in study.arms["pixels"]["branches"]]}}
    store = Store.open(str(tmp_path))
    tickets, branches = rows_of(replace(made, arms=arms), store)
    own = load_ticket(tickets[-1]["key"], store.uri).trained_state["layer.weight"]
    distances = {
        row["branch"]: float((load_ticket(row["key"], store.uri).trained_state["layer.weight"] - own).abs().max())
        for row in branches
    }
    assert distances["random_reinit"] < 1e-10 < distances["random_mask"]
    losses = {row["branch"]: row["test_loss"] for row in branches}
    assert losses["random_reinit"] == pytest.approx(tickets[-1]["test_loss"])
    assert losses["random_mask"] > 1.1 * tickets[-1]["test_loss"]


def test_the_network_is_one_linear_model_a_class() -> None:
    assert sum(one.numel() for one in Linear(10, (64,)).parameters()) == 650
