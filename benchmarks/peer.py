"""`python -m benchmarks.peer CHECKOUT [--pairs N]`: our training loop beside open_lth's own.

CHECKOUT is a folder with https://github.com/facebookresearch/open_lth as published, of May 2020. It does not begin
under today's torch and numpy; no line of it is changed, but two things are laid in its way: `numpy.product`, which
numpy 2 has no more, and for the import a stand-in for torch's DistributedDataParallel, whose bases it cannot join. Its
loop reads each image by PIL in the training process, which is its default (--num_workers 0), masks weights before
every forward pass, and steps torch's Adam. Both train LeNet-300-100 in one thread on the same random images of MNIST's
shape, batch 60, at falling shares of the weights, in turn.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.lenet_step import BATCH, RATE, lenet, our_run, random_images, steps_of
from benchmarks.timing import Paired, Work, in_turn
from lth_ray.data import Dataset, Split
from lth_ray.training import environment
from lth_ray.training.process import keep_memory

SHARES = (1.0, 0.21, 0.036, 0.012)
STEPS = 100  # a turn


def their_steps(checkout: Path, dataset: Dataset, kept: float, number: int, output: str) -> Work:
    """Return what trains so many steps by open_lth's loop at each call, from its step 0."""
    if not (checkout / "open_lth.py").is_file():
        raise SystemExit(f"{checkout}: there is no open_lth.py; give a checkout of open_lth")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    if not hasattr(numpy, "product"):
        numpy.product = numpy.prod  # type: ignore[attr-defined]
    parallel = torch.nn.parallel.DistributedDataParallel
    torch.nn.parallel.DistributedDataParallel = type("Unused", (torch.nn.Module,), {})  # type: ignore[assignment, misc]
    _module("cli.runner_registry")  # first, as its own command does: its modules import each other in circles
    mnist, base = _module("datasets.mnist"), _module("datasets.base")
    torch.nn.parallel.DistributedDataParallel = parallel  # type: ignore[misc]
    platform, local = _module("platforms.platform"), _module("platforms.local")
    hparams, step = _module("foundations.hparams"), _module("foundations.step")
    training, initializers = _module("training.train"), _module("models.initializers")
    model_class, pruned = _module("models.mnist_lenet").Model, _module("pruning.pruned_model").PrunedModel
    mask_class = _module("pruning.mask").Mask
    platform._PLATFORM = local.Platform()
    model = model_class.get_model_from_name("mnist_lenet_300_100", initializers.kaiming_normal)
    _, mask = lenet(kept)
    if mask is not None:
        theirs = mask_class()
        for name, part in zip(model.prunable_layer_names, mask.values(), strict=True):
            theirs[name] = part.float()
        model = pruned(model, theirs)
    assert isinstance(dataset.train, Split)
    loader = base.DataLoader(mnist.Dataset(dataset.train.images[:, 0], dataset.train.labels), BATCH, 0)
    recipe = hparams.TrainingHparams("adam", RATE, f"{number}it", data_order_seed=0)
    end = step.Step.from_iteration(number, loader.iterations_per_epoch)
    return lambda: training.train(recipe, model, loader, output, [], end_step=end)


def _module(name: str) -> Any:
    from importlib import import_module

    return import_module(name)


def main() -> None:
    """Print, for each share of the weights, both loops' milliseconds a step and the ratio with its quartiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pairs", type=int, default=20, help="rounds in which all take turns (default 20)")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    dataset = random_images()
    with tempfile.TemporaryDirectory() as output:
        works = {f"ours {kept}": steps_of(our_run(dataset, kept), STEPS) for kept in SHARES}
        works |= {f"theirs {kept}": their_steps(arguments.checkout, dataset, kept, STEPS, output) for kept in SHARES}
        times = in_turn(works, rounds=arguments.pairs, units=dict.fromkeys(works, STEPS))
    where = environment("cpu")
    print(f"{where['device']}, {where['instruction_set']}, torch {where['packages']['torch']}, one thread")
    for kept in SHARES:
        measured = Paired(times[f"ours {kept}"], times[f"theirs {kept}"])
        low, middle, high = statistics.quantiles([1 / ratio for ratio in measured.ratios], n=4)
        print(
            f"{kept:6.1%} of the weights: {measured.ours_ms:.3f} ms against {measured.theirs_ms:.3f} ms a step, "
            f"{middle:.1f} x as fast ({low:.1f} - {high:.1f}, n = {measured.n})"
        )


if __name__ == "__main__":
    main()
