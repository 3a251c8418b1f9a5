"""Tickets in language models: what is pruned, criteria, barriers, controls, a learned mask."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from lth_ray import pruning
from lth_ray.commands.reporting import least_learnt
from lth_ray.config import (
    Barrier,
    ConfigError,
    Model,
    Prune,
    RandomMask,
    RandomReinit,
    Scoring,
    Study,
    Supermask,
    Text,
    Train,
    set_fields,
    steps,
)
from lth_ray.data.text import catalogue
from lth_ray.lottery import branch_rows, load_ticket, make_plan, ticket_rows
from lth_ray.lottery.execution.networks import build, eligible
from lth_ray.record.report.comparisons import comparisons
from lth_ray.store import Store
from lth_ray.tasks import task_of
from tests.carried_out import carried_out
from tests.tasks.text.chained import chain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("text")
    for seed, (name, lines) in enumerate({"train": 150, "valid": 10, "test": 12}.items()):
        (place / f"{name}.txt").write_text(chain(lines, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "cache_dir", lambda: place / "cache")
        catalogue._found.cache_clear()
        yield place
    catalogue._found.cache_clear()


def study(folder: Path, model: str, **changes: Any) -> Study:
    order = "contiguous" if model.startswith("lstm") else "shuffled"
    found = Study(
        "language",
        model=Model(model, options={"dropout": 0.1, "tied": True}),
        data=Text(f"text:{folder}", batch_size=8, window=8, order=order),
        train=Train(steps(40), optimizer="adam", lr=0.02, evaluate_every=steps(20)),
        prune=Prune(fraction=0.5, rounds=1),
        rewind=[steps(10)],
        seeds=[0],
        margin=0.5,
    )
    return set_fields(found, changes)


def done(of: Study, place: Path) -> tuple[Any, Store]:
    store = Store.open(str(place))
    return carried_out(of, store), store


MODELS = ["lstm_lm_1_12", "transformer_lm_1_12_2"]


@pytest.mark.parametrize("model", MODELS)
def test_everything_is_pruned_together_and_tied_weights_once(model: str, folder: Path, tmp_path: Path) -> None:
    """As Yu et al. 2019 do; half of all parameters go, biases and normalisations among them."""
    plan, store = done(study(folder, model, **{"prune.include": ["*"]}), tmp_path)
    ticket = load_ticket(plan.lineages[0].rounds[1].segment.key, store.uri)
    state, mask = ticket.trained_state, ticket.mask
    assert state is not None
    assert mask is not None
    assert "output.weight" not in mask
    total = sum(keeps.numel() for keeps in mask.values())
    assert total == sum(value.numel() for name, value in state.items() if name != "output.weight")
    assert sum(int(keeps.sum()) for keeps in mask.values()) == total - round(total / 2)
    assert all(bool((state[name][~keeps] == 0).all()) for name, keeps in mask.items())
    assert torch.equal(state["output.weight"], state["embedding.weight"])


def test_a_ticket_s_perplexity_is_that_of_plain_torch(folder: Path, tmp_path: Path) -> None:
    """The text read, numbered and foretold again by torch.nn.LSTM, from the weights of the ticket alone."""
    plan, store = done(study(folder, "lstm_lm_1_12", **{"model.options": {"dropout": 0.0}}), tmp_path)
    row = ticket_rows(plan, store)[-1]
    ticket = load_ticket(row["key"], str(tmp_path))
    state, mask = ticket.trained_state, ticket.mask
    assert state is not None
    assert mask is not None
    read = {part: (folder / f"{part}.txt").read_text().splitlines() for part in ("train", "test")}
    counts = Counter(word for line in read["train"] for word in line.split())
    words = ["<unk>", "<eos>", *sorted(counts, key=lambda word: (-counts[word], word))]
    tokens = torch.tensor([words.index(w) for line in read["test"] for w in [*line.split(), "<eos>"]])
    lstm = torch.nn.LSTM(12, 12, batch_first=True)
    lstm.load_state_dict({name.removeprefix("lstm.0."): v for name, v in state.items() if name.startswith("lstm.0.")})
    length, losses = -(-len(tokens) // 32), []  # 32 stretches, each of which begins without a state
    for at in range(0, len(tokens), length):
        before = torch.cat([tokens[at - 1 : at] if at else torch.tensor([1]), tokens[at : at + length - 1]])
        before = before[: len(tokens[at : at + length])]
        hidden, _ = lstm(torch.nn.functional.embedding(before, state["embedding.weight"])[None])
        logits = hidden[0] @ state["output.weight"].T + state["output.bias"]
        losses.append(torch.nn.functional.cross_entropy(logits, tokens[at : at + length], reduction="none"))
    mean = torch.cat(losses).double().mean()
    assert len(torch.cat(losses)) == len(tokens)
    assert row["test_perplexity"] == pytest.approx(float(mean.exp()), rel=1e-5)
    assert row["test_perplexity"] < len(words) / 1.5
    kept = sum(int(state[name].count_nonzero()) for name in mask)
    assert kept == sum(int(keeps.sum()) for keeps in mask.values())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("criterion", ["snip", "grad", "grasp"])
def test_criteria_by_gradients_look_at_windows(model: str, criterion: str, folder: Path, tmp_path: Path) -> None:
    rule = Prune(criterion, at=steps(0), fraction=0.4, rounds=1, scoring=Scoring(batches=2))
    of = study(folder, model, prune=rule, **{"rewind": [steps(0)], "train.length": steps(2)})
    plan, store = done(of, tmp_path)
    mask = load_ticket(plan.lineages[0].rounds[1].segment.key, store.uri).mask
    assert mask is not None
    total = sum(keeps.numel() for keeps in mask.values())
    assert sum(int(keeps.sum()) for keeps in mask.values()) == total - round(0.4 * total)


@pytest.mark.parametrize("model", MODELS)
def test_snip_is_the_gradient_of_the_loss_of_tokens_times_the_weight(model: str, folder: Path) -> None:
    of = study(folder, model)
    task, recipe = task_of(of.data), make_plan(of).lineages[0].recipe
    network, batch = build(recipe, seed=0).eval(), task.evidence(task.load(), 3)
    mask = eligible(network, {"include": [], "exclude": []})
    found = pruning.score("snip", network, mask, batch=batch, loss=task.step(of.train))
    loss = torch.nn.functional.cross_entropy(network(batch[0]).flatten(0, 1), batch[1].flatten())
    weights = [network.get_parameter(name) for name in mask]
    for (name, score), weight, gradient in zip(found.items(), weights, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(score, (weight * gradient).abs(), msg=name)


def test_branches_and_barriers_of_a_transformer(folder: Path, tmp_path: Path) -> None:
    branches = [
        RandomMask(),
        RandomReinit(),
        Barrier(children=2, points=3),
        Supermask("edge_popup", rounds=[1]),
    ]
    plan, store = done(study(folder, MODELS[1], branches=branches), tmp_path)
    tickets = pd.DataFrame(ticket_rows(plan, store))
    found = pd.DataFrame(branch_rows(plan, store))
    barriers = found[found["branch"] == "barrier"]
    assert barriers["lmc_error_barrier"].tolist() == pytest.approx(barriers["lmc_loss_barrier"].tolist(), abs=1e-6)
    assert (barriers["l2_distance"] > 0).all()  # the children part: their windows are in other orders
    assert tickets["test_error"].tolist() == pytest.approx(tickets["test_loss"].tolist(), rel=1e-6)
    assert found.loc[found["branch"] == "supermask", "test_perplexity"].notna().all()


def test_a_mask_is_learned_over_an_lstm_that_carries_its_state(folder: Path, tmp_path: Path) -> None:
    plan, store = done(
        study(folder, MODELS[0], branches=[Supermask("edge_popup", rounds=[1])]),
        tmp_path,
    )
    (found,) = branch_rows(plan, store)
    assert 1 < found["test_perplexity"] < 60


def test_the_lower_perplexity_is_the_better(folder: Path) -> None:
    metric = study(folder, MODELS[0]).data.metric
    dense, fewer, more = (10.0, 10.2, 10.1), (9.0, 9.3, 9.1), (11.0, 11.3, 11.1)
    common = {"rewind_step": 0, "method": "weights", "arm": "", "early_stop_step": None, "metric": metric.document}

    def rows(number: int, values: tuple[float, ...]) -> list[dict[str, Any]]:
        level = {**common, "round": number, "remaining_weights": 0.5**number}
        return [
            {**level, "lineage": f"k0/seed{seed}", "seed": seed, "test_perplexity": value}
            for seed, value in enumerate(values)
        ]

    for ticket, matches, gain in ((fewer, True, 0.97), (more, False, -1.03)):
        (said,) = comparisons([*rows(0, dense), *rows(1, ticket)], [], margin=0.5, metric=metric).to_dict("records")
        assert (said["matching"] == "matching", said["difference"]) == (matches, pytest.approx(gain, abs=0.01))
    assert least_learnt(metric, 2000.0, times_chance=3.0, n_test=100) == pytest.approx(2000 / 3)
    assert (metric.title, metric.barrier) == ("perplexity, lower is better", "barrier of the log-perplexity")
    assert metric.error(math.e) == 1.0


class Classifier(torch.nn.Module):
    """Reads tokens, and says one thing of all of them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.table, self.output = torch.nn.Embedding(num_classes, 4), torch.nn.Linear(4, num_classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.table(tokens).mean(1))
        return logits


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lenet_8", r"'lenet_8': its forward pass fails on tokens int64 \[2, 8\]: .*; give a language model, such as"),
        (Classifier, r"Classifier .*: it makes \[2, 32\] of tokens \[2, 8\], and logits \[2, 8, 32\] are needed"),
    ],
)
def test_a_network_that_foretells_no_tokens_is_told_by_the_plan(model: Any, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(replace(study(folder, MODELS[0]), model=Model(model)))


def test_whole_heads_of_a_transformer_are_pruned(folder: Path, tmp_path: Path) -> None:
    rule = Prune(structure="heads", fraction=0.3, rounds=1)
    of = study(folder, "transformer_lm_1_16_4", prune=rule, **{"train.length": steps(10), "rewind": [steps(0)]})
    plan, store = done(of, tmp_path)
    mask = load_ticket(plan.lineages[0].rounds[1].segment.key, store.uri).mask
    assert mask is not None
    query = mask["blocks.0.attention.query.weight"].view(4, -1)
    assert query.all(1).sum() == 3  # of four heads, of four rows each
    assert (query.any(1) == query.all(1)).all()
    out = mask["blocks.0.attention.out.weight"].view(16, 4, 4)
    assert torch.equal(out.all(0).all(1), query.all(1))
