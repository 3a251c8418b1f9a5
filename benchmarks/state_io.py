"""The time to store a state and to read it again, beside what no copy of one can do without.

Beside ours: safetensors' own `save_file` and `load_file`, and one sha256 over the tensors' bytes, by which a state is
named and checked. Both write as durably (the file and its name are synced) and read what lies in the system's cache.
A state is a network with its optimizer's momentum, as a training goes on with.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.timing import Entry, judged, paired
from lth_ray import models
from lth_ray.store import Store, flatten_optimizer

NETWORKS = {"resnet50": (1000, 33), "lenet_300_100": (10, 2)}  # classes; of so many pairs asked for one is measured
TARGET = 1.5


def entries(pairs: int = 200) -> list[Entry]:
    """Measure a large state of many tensors, and a small one."""
    return [
        one for name, (classes, share) in NETWORKS.items() for one in measured(name, classes, max(2, pairs // share))
    ]


def measured(name: str, classes: int, pairs: int) -> list[Entry]:
    """Measure storing and reading a network of this name."""
    model = models.build(name, classes, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    state, beside = model.state_dict(), optimizer.state_dict()
    tensors = {**state, **{f"optimizer.{place}": one for place, one in flatten_optimizer(beside)[0].items()}}
    size = sum(tensor.nbytes for tensor in tensors.values())
    with tempfile.TemporaryDirectory() as folder:
        store, file = Store.open(f"{folder}/store"), Path(folder, "theirs.safetensors")
        works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "stored": (lambda: store.save_state("t", 1, state, beside), lambda: _save(file, tensors)),
            "read": (lambda: store.load_state("t", 1, with_optimizer=True), lambda: _load(file)),
        }
        return [
            judged(
                f"{name} with momentum, {size / 1e6:.1f} MB, {what}",
                "x safetensors and sha256",
                paired(ours, theirs, pairs=pairs, warmups=2),
                target=TARGET,
            )
            for what, (ours, theirs) in works.items()
        ]


def _save(file: Path, tensors: Mapping[str, Tensor]) -> str:
    temporary = file.with_suffix(".tmp")
    save_file(dict(tensors), temporary)
    _sync(temporary)
    temporary.replace(file)
    _sync(file.parent)
    return _digest(tensors)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _load(file: Path) -> str:
    return _digest(load_file(file))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
