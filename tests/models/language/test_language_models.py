"""Language models: sizes, what a token sees, tied weights."""

import pytest
import torch

from lth_ray import models
from lth_ray.config import ConfigError


def build(name: str, window: int = 12, **options: object) -> torch.nn.Module:
    return models.build(name, num_classes=50, input_shape=(window,), seed=0, **options)


@pytest.mark.parametrize(
    ("name", "options", "parameters", "prunable"),
    [
        # embedding, two LSTM layers with the two biases of torch's, output and its bias
        ("lstm_lm_2_16", {}, 50 * 16 + 2 * (2 * 64 * 16 + 128) + 50 * 16 + 50, 1600 + 4 * 64 * 16),
        ("lstm_lm_2_16", {"tied": True}, 50 * 16 + 2 * (2 * 64 * 16 + 128) + 50, 800 + 4 * 64 * 16),
        ("lstm_lm_1_16", {"embedding": 8}, 50 * 8 + 64 * 24 + 128 + 50 * 16 + 50, 400 + 64 * 24 + 800),
        # embedding and positions; a block of 12 x width^2 weights, 9 x width biases and two norms; the last norm
        ("transformer_lm_3_16_2", {}, 62 * 16 + 3 * (12 * 256 + 9 * 16 + 64) + 32, 62 * 16 + 3 * 12 * 256),
        ("transformer_lm_3_16_2", {"tied": False}, 112 * 16 + 3 * (3072 + 208) + 32, 112 * 16 + 3 * 12 * 256),
    ],
)
def test_sizes(name: str, options: dict[str, object], parameters: int, prunable: int) -> None:
    model = build(name, **options)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in models.prunable(model).values()) == prunable
    assert models.prunable(model).keys() == models.counted(model).keys()


@pytest.mark.parametrize("name", ["lstm_lm_2_16", "transformer_lm_2_16_4"])
def test_a_token_sees_none_behind_it_and_all_before(name: str) -> None:
    model, tokens = build(name).eval(), torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[:, 6] = (other[:, 6] + 1) % 50
    first, second = model(tokens), model(other)
    assert torch.equal(first[:, :6], second[:, :6])
    assert (first[:, 6:] != second[:, 6:]).any(2).all()


def test_tied_weights_learn_by_both_of_their_uses() -> None:
    model = build("transformer_lm_1_16_2")
    assert models.tied(model) == {"output.weight": "embedding.weight"}
    tokens = torch.zeros(1, 4, dtype=torch.int64)
    model(tokens).logsumexp(2).sum().backward()
    assert (model.get_parameter("embedding.weight").grad != 0).any(1).all()  # of tokens that were not read as well


def test_dropout_of_the_lstm_is_drawn_from_the_global_generator() -> None:
    """So that it depends on the step alone, on GPUs as well, where nn.LSTM keeps a state of its own for it."""
    model, tokens = build("lstm_lm_2_16"), torch.zeros(2, 12, dtype=torch.int64)

    def drawn() -> torch.Tensor:
        torch.manual_seed(3)
        return model(tokens)

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), model(tokens))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer_lm_2_16_3", {}, "a width of 16 cannot be shared by 3 heads"),
        ("lstm_lm_2_16", {"embedding": 8, "tied": True}, r"\['tied'\] = True: the output's weight is \[50, 16\]"),
        ("lstm_lm_2_16", {"dropout": 1.0}, r"\['dropout'\] = 1.0: give a share in \[0, 1\)"),
        ("lstm_lm_2_16", {"depth": 1}, "lstm_lm_2_16 has no such option; did you mean dropout"),
    ],
)
def test_what_cannot_be_built_is_told(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name", ["lstm_lm_1_8", "transformer_lm_1_8_1"])
def test_images_are_no_tokens(name: str) -> None:
    with pytest.raises(ConfigError, match=r"reads tokens, and examples of shape \(3, 32, 32\) are given; give Text"):
        models.build(name, input_shape=(3, 32, 32))
