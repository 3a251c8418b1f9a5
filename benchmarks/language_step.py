"""Language models on 20 x 50 and 16 x 64 tokens, one thread: our loop beside a plain step.

Ours is `lth_ray.training.train` of a masked network on windows of a text in memory, with the state carried on where the
network has one. The plain step is what one would write by hand: windows cut from one resident tensor, autograd, fused
Adam, the mask put back on the weights by one multiplication of all tensors. The Transformer is the same module on both
sides; beside the library's LSTM, whose layers are a torch.nn.LSTM each, stands one torch.nn.LSTM of two layers.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.masking import masked
from benchmarks.timing import Entry, Work, judged, paired
from lth_ray import models
from lth_ray.config import Model, Text, Train, steps
from lth_ray.data import Identity
from lth_ray.data.text.streams import Held, TextBatches
from lth_ray.pruning import Mask
from lth_ray.training import Recipe, Run, train

TOKENS, VOCABULARY, KEPT, RATE = 200_000, 4_000, 0.21, 1e-6
SHAPES = {"transformer_lm_4_256": (16, 64), "lstm_lm_2_200": (20, 50)}  # batch, window
TARGETS = {"transformer_lm_4_256": 1.05, "lstm_lm_2_200": 1.05}  # x the plain step
PAIRS_A_STEP = 12


def entries(pairs: int = 200) -> list[Entry]:
    """Time a training step of each network as a multiple of the plain one."""
    torch.set_num_threads(1)
    return [entry(name, max(2, pairs // PAIRS_A_STEP)) for name in SHAPES]


def entry(name: str, pairs: int) -> Entry:
    run = our_run(name)
    measured = paired(lambda: train(run, run.step + 1), plain_step(name), pairs=pairs, warmups=2)
    return judged(f"masked training step of {name}", "x plain", measured, target=TARGETS[name])


def text() -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(0).integers(0, VOCABULARY, TOKENS, dtype=np.int32)


def network(name: str, kept: float = KEPT) -> tuple[nn.Module, Mask]:
    """Return a network with a random mask that keeps a share of its weights."""
    model = models.build(name, VOCABULARY, (SHAPES[name][1],), seed=0, dropout=0.0)
    return model, masked(model, kept)


def our_run(name: str, kept: float = KEPT, backend: str = "auto") -> Run:
    """Return training as a study does it."""
    (batch, window), (model, mask) = SHAPES[name], network(name, kept)
    shuffled = name.startswith("transformer")
    recipe = Recipe(
        Model(name, options={"dropout": 0.0}),
        Text("text:", batch_size=batch, window=window, order="shuffled" if shuffled else "contiguous"),
        Train(steps(30_000), optimizer="adam", lr=RATE, backend=backend),
        Identity("random", TOKENS // window, 0, 0, (window,), VOCABULARY, "int64"),
    )
    batches = TextBatches(Held(text(), 0), window, batch, shuffled, order_seed=0)
    return Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)


class PlainLSTM(nn.Module):
    """An embedding, one torch.nn.LSTM of two layers, and an output layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        x, (hidden, cell) = self.lstm(self.embedding(tokens), self.state)
        self.state = hidden.detach(), cell.detach()
        logits: Tensor = self.output(x)
        return logits


def plain_step(name: str) -> Work:
    """Return the step by hand: each call takes one."""
    batch, window = SHAPES[name]
    if name.startswith("transformer"):
        model, mask = network(name)
    else:
        model = PlainLSTM(200)
        mask = masked(model, KEPT)
        mask |= {name: torch.rand(p.shape) < KEPT for name, p in model.named_parameters() if name.startswith("lstm.w")}
    parameters = dict(model.named_parameters())
    weights: list[Tensor] = [parameters[name] for name in mask]
    kept = [keeps.to(torch.float32) for keeps in mask.values()]
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    tokens = torch.from_numpy(text()).long()
    rows = tokens[: len(tokens) // batch * batch].view(batch, -1)
    taken = 0

    def step() -> None:
        nonlocal taken
        at = taken * window % (rows.shape[1] - window - 1)
        logits = model(rows[:, at : at + window])
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, at + 1 : at + window + 1].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_mul_(weights, kept)
        taken += 1

    return step
