"""Networks that translate: their sizes, steps that equal the whole, filled-up sentences, and what may be pruned."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.config.tasks.translation import BEGIN, END, PAD
from lth_ray.models.language.translating import translated

TRANSLATORS = {
    "transformer_2_16": {"heads": 2},
    "transformer_1_16": {"norm": "pre"},
    "gnmt_3_8": {},
    "gnmt_2_8": {"tied": True},
}
SOURCES = torch.tensor([[5, 6, 7, 8, END], [9, 4, END, PAD, PAD], [3, END, PAD, PAD, PAD]])
TARGETS = torch.tensor([[BEGIN, 7, 8, 4, 4], [BEGIN, 3, 3, 9, PAD], [BEGIN, 5, PAD, PAD, PAD]])


def network(name: str, seed: int = 0, **options: Any) -> Any:
    return models.build(name, 11, (2, 8), seed=seed, **TRANSLATORS.get(name, {}) | options).eval().double()


@pytest.mark.parametrize(
    ("name", "tokens", "number"),
    [
        # attention 4 d^2 each, feed-forward 8 d^2 + 5 d, norms 2 d each; the paper says 65 million
        ("transformer_base", 37_000, 37_000 * 512 + 6 * (28 * 512**2 + (5 + 4 + 5 + 6) * 512)),
        ("gnmt", 32_320, 160_671_297),  # as the reference implementation counts
    ],
)
def test_the_papers_sizes(name: str, tokens: int, number: int) -> None:
    with torch.device("meta"):
        family = next(one for one in models.families.FAMILIES if one.match(name) is not None)
        made = family.network(num_classes=tokens, **(family.match(name) or {}))
    assert sum(p.numel() for p in made.parameters()) == number


@torch.no_grad()
@pytest.mark.parametrize("name", TRANSLATORS)
def test_steps_one_by_one_say_what_the_whole_does(name: str) -> None:
    model = network(name)
    whole, state = model(torch.stack([SOURCES, TARGETS], 1)), model.begin(SOURCES)
    for place in range(TARGETS.shape[1]):
        logits, attention, state = model.step(TARGETS[:, place], state)
        there = TARGETS[:, place] != PAD
        assert torch.allclose(logits[there], whole[there, place], atol=1e-12)
        assert attention.sum(1).tolist() == pytest.approx([1, 1, 1])
        assert not attention[SOURCES == PAD].any()


@torch.no_grad()
@pytest.mark.parametrize("name", TRANSLATORS)
def test_what_is_filled_up_changes_nothing_and_what_comes_later_is_not_seen(name: str) -> None:
    model = network(name)
    whole = model(torch.stack([SOURCES, TARGETS], 1))
    alone = model(torch.stack([SOURCES[1:2, :3], TARGETS[1:2, :3]], 1))
    assert torch.allclose(whole[1, :3], alone[0], atol=1e-12)
    other = TARGETS.clone()
    other[0, 3:] = 9
    assert torch.allclose(model(torch.stack([SOURCES, other], 1))[0, :3], whole[0, :3], atol=1e-12)


class Plain(nn.Module):
    """The same without steps of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pairs)
        return logits


@torch.no_grad()
@pytest.mark.parametrize("name", TRANSLATORS)
def test_greedy_search_is_the_argmax_and_needs_no_steps(name: str) -> None:
    model, options = network(name, seed=2, init=0.3), {"length_penalty": 0.6, "coverage_penalty": 0.0}
    greedy = translated(model, SOURCES, beam=1, **options)
    for row, longest in enumerate([20, 16, 14]):
        said = [BEGIN]
        while said[-1] != END and len(said) <= longest:
            source = torch.nn.functional.pad(SOURCES[row], (0, max(0, len(said) - 5)), value=PAD)
            target = torch.nn.functional.pad(torch.tensor(said), (0, len(source) - len(said)), value=PAD)
            logits = model(torch.stack([source, target])[None])[0, len(said) - 1]
            logits[[BEGIN, PAD]] = -torch.inf
            said.append(int(logits.argmax()) if len(said) < longest else END)
        assert [token for token in greedy[row].tolist() if token != PAD] == said[1:]
    for beam in (1, 4):
        stepped = translated(model, SOURCES, beam=beam, **options)
        assert torch.equal(translated(Plain(model), SOURCES, beam=beam, **options), stepped)
    with pytest.raises(ConfigError, match="Plain has no step that says what it attends to"):
        translated(Plain(model), SOURCES, beam=4, length_penalty=0.6, coverage_penalty=0.1)


def test_tied_tables_are_pruned_once_and_recurrent_weights_too() -> None:
    transformer = models.prunable(network("transformer_2_16"))
    assert "embedding.weight" in transformer
    assert "output.weight" not in transformer
    assert {name.rpartition(".")[2] for name in transformer} == {"weight"}
    gnmt = network("gnmt_3_8")
    assert {*dict(gnmt.named_parameters())} - {*models.prunable(gnmt)} == {
        *(name for name, _ in gnmt.named_parameters() if "bias" in name), "attention.scale"
    }  # fmt: skip
    assert models.tied(network("gnmt_2_8")) == {"output.weight": "embedding.weight"}


def test_a_seed_gives_the_weights_and_images_are_refused() -> None:
    first, second, third = (network("gnmt_2_8", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["encoder_backward.weight_hh_l0"], third["encoder_backward.weight_hh_l0"])
    assert max(float(value.abs().max()) for name, value in first.items() if name != "attention.scale") <= 0.1
    with pytest.raises(ConfigError, match="it translates pairs of sentences, and inputs are of shape"):
        models.build("transformer_2_16", 10, (3, 32, 32))
    with pytest.raises(ConfigError, match="give heads that divide the width 10"):
        models.build("transformer_2_10", 10, heads=3)
    with pytest.raises(ConfigError, match="give a share in"):
        models.build("gnmt_2_8", 10, dropout=1.0)
