"""An encoder of MiniLM's size on sentences, one thread: our loop beside a plain step of the same network.

Ours is `lth_ray.training.train` of transformers' BertForSequenceClassification as `Model("hf:PATH")` builds it, under a
mask of half of its weights. The plain step is what one would write by hand: the same class called with input_ids and an
attention_mask of two axes, tokens resident, fused AdamW, the mask put back on the weights by one multiplication of all
tensors. Weights are drawn and tokens random; there is no dropout in either, whose draws would be others.
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.masking import masked
from benchmarks.timing import Entry, Line, Skipped, Work, judged, lacks, paired
from lth_ray import models
from lth_ray.config import Folder, Model, Sentences, Train, steps
from lth_ray.data import Identity
from lth_ray.models.huggingface.tokens import FIRST, PADDING
from lth_ray.pruning import Mask
from lth_ray.tasks.resident import Held, ResidentBatches
from lth_ray.training import Recipe, Run, train

TARGET = 1.05  # x the plain step
BATCH, LENGTH, N_TRAIN, CLASSES, RATE, KEPT = 16, 64, 512, 2, 1e-6, 0.5
PAIRS_A_STEP = 20  # a step takes hundreds of times as long as one of LeNet's
MINILM = {
    "model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
    "intermediate_size": 1536, "vocab_size": 30_522, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def entries(pairs: int = 200) -> list[Line]:
    """Time a training step as a multiple of the plain one."""
    torch.set_num_threads(1)
    if importlib.util.find_spec("transformers") is None:
        return [Skipped("masked training step of an encoder", lacks("transformers", '"lth_ray[text]"'))]
    return [entry(MINILM, max(2, pairs // PAIRS_A_STEP))]


def entry(config: dict[str, Any], pairs: int) -> Entry:
    """Time a step of the encoder of a config.json."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        sentences, name = random_sentences(config["vocab_size"]), Folder(folder)
        run, plain = our_run(name, sentences), plain_step(name, sentences)
        measured = paired(lambda: train(run, run.step + 1), plain, pairs=pairs, warmups=1)
    return judged("masked training step of an encoder", "x plain", measured, target=TARGET)


def random_sentences(vocabulary: int) -> Held:
    """Return sentences of different lengths, padded."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, vocabulary, (N_TRAIN, LENGTH), generator=generator, dtype=torch.int32)
    lengths = torch.randint(8, LENGTH + 1, (N_TRAIN, 1), generator=generator)
    parts = torch.where(torch.arange(LENGTH) < lengths, FIRST, PADDING).to(torch.int32)
    inputs = torch.stack([torch.where(parts == PADDING, 0, tokens), parts], dim=1)
    return Held(inputs, torch.randint(0, CLASSES, (N_TRAIN,), generator=generator))


def network(name: Folder, kept: float = KEPT) -> tuple[torch.nn.Module, Mask]:
    """Return the encoder with a random mask on its weights."""
    model = models.build(name, CLASSES, input_shape=(2, LENGTH), seed=0)
    return model, masked(model, kept)


def our_run(name: Folder, sentences: Held, kept: float = KEPT, backend: str = "auto") -> Run:
    """Return training as a study does it."""
    model, mask = network(name, kept)
    recipe = Recipe(
        Model(name),
        Sentences("polarity", tokenizer="none", length=LENGTH, batch_size=BATCH, validation=0, test=1),
        Train(steps(30_000), optimizer="adamw", lr=RATE, weight_decay=0.01, backend=backend),
        Identity("random", len(sentences), 0, 0, (2, LENGTH), CLASSES, "int32"),
    )
    batches = ResidentBatches(sentences, BATCH, order_seed=0)
    return Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)


def plain_step(name: Folder, sentences: Held) -> Work:
    """Return the same network's step by hand: each call takes one."""
    import transformers  # an extra, which other benchmarks do without

    made, mask = network(name)
    model = transformers.BertForSequenceClassification(made.config)  # without what this library adds to a call
    model.load_state_dict(made.state_dict())
    parameters = dict(model.named_parameters())
    masked: list[torch.Tensor] = [parameters[name] for name in mask]
    kept = [keeps.to(torch.float32) for keeps in mask.values()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    ids, attended = sentences.inputs[:, 0].long(), (sentences.inputs[:, 1] != PADDING).long()
    rows = torch.arange(len(sentences)).view(-1, BATCH)
    taken = 0

    def step() -> None:
        nonlocal taken
        chosen = rows[taken % len(rows)]
        logits = model(ids.index_select(0, chosen), attended.index_select(0, chosen)).logits
        F.cross_entropy(logits, sentences.targets.index_select(0, chosen)).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_mul_(masked, kept)
        taken += 1

    return step
