"""Masked steps with sparse products, one thread: `Train(backend="sparse")` beside autograd under the same mask.

Both are `lth_ray.training.train`, of the networks and batches of `language_step` and `encoder_step`: a Transformer that
foretells text, an LSTM of which the output layer alone is sparse, and an encoder of MiniLM's size, each with 5 % of its
weights left, at random.
"""

import importlib.util
import json
import tempfile
from pathlib import Path

import torch

from benchmarks import encoder_step, language_step
from benchmarks.timing import Entry, Line, Skipped, lacks, paired, speed_up
from lth_ray.config import Folder
from lth_ray.training import Run, train
from lth_ray.training.compiled.sparse_linear import sparse_linear
from lth_ray.training.kernels.library import linear_kernels

KEPT, TARGETS = 0.05, {"transformer_lm_4_256": 1.5, "lstm_lm_2_200": 1.1, "encoder": 1.5}
PAIRS_A_STEP = 25


def entries(pairs: int = 200) -> list[Line]:
    """Time a step of each network as so many times as fast as autograd's."""
    torch.set_num_threads(1)
    if linear_kernels(torch.float32) is None:
        return [Skipped("sparse steps", "the compiled kernels were not built; install with a C++ compiler")]
    found: list[Line] = []
    for name in TARGETS:
        if name == "encoder" and importlib.util.find_spec("transformers") is None:
            found.append(Skipped("sparse step of an encoder", lacks("transformers", '"lth_ray[text]"')))
        else:
            found.append(entry(name, max(2, pairs // PAIRS_A_STEP)))
    return found


def entry(name: str, pairs: int, kept: float = KEPT) -> Entry:
    """Time one network with a share of its weights kept."""
    sparse, dense = (run_of(name, kept, backend) for backend in ("sparse", "eager"))
    sparse.stepper = sparse_linear(sparse) or sparse.stepper
    measured = paired(
        lambda: train(sparse, sparse.step + 1), lambda: train(dense, dense.step + 1), pairs=pairs, warmups=1
    )
    what = f"step of {name} at {100 * kept:g} % ({sparse.backend}) beside autograd"
    return speed_up(what, measured, target=TARGETS[name])


def run_of(name: str, kept: float, backend: str) -> Run:
    """Return training as a study does it."""
    if name != "encoder":
        return language_step.our_run(name, kept, backend)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(encoder_step.MINILM))
        sentences = encoder_step.random_sentences(int(str(encoder_step.MINILM["vocab_size"])))
        return encoder_step.our_run(Folder(folder), sentences, kept, backend)
