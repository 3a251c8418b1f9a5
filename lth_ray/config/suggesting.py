"""Suggestions for a name that there is not: of a field the words that others use for it, of anything the nearest."""

import difflib
from collections.abc import Iterable

from lth_ray.printing import enumerated

LONGEST = 400  # characters of a name that are looked at
# {another library's word, or another paper's: ours}; without case and underscores.
SYNONYMS = {
    "learningrate": "lr", "rate": "lr", "eta": "lr",
    "batch": "batch_size", "batchsize": "batch_size", "bs": "batch_size", "minibatch": "batch_size",
    "numseeds": "seeds", "nseeds": "seeds", "seed": "seeds", "randomseed": "seeds", "repeats": "seeds",
    "epochs": "length", "numepochs": "length", "nepochs": "length", "steps": "length", "maxsteps": "length",
    "iterations": "length", "trainingsteps": "length", "duration": "length",
    "wd": "weight_decay", "decay": "weight_decay", "l2": "weight_decay", "optim": "optimizer", "optimiser": "optimizer",
    "scheduler": "schedule", "lrschedule": "schedule", "lrscheduler": "schedule", "warmupsteps": "warmup",
    "lrmilestones": "milestones", "lrgamma": "gamma", "gradclip": "clip_norm", "clip": "clip_norm",
    "maxgradnorm": "clip_norm", "amp": "precision", "dtype": "precision", "evalevery": "evaluate_every",
    "evalinterval": "evaluate_every", "ema": "ema_decay", "smoothing": "label_smoothing",
    "dataset": "name", "path": "name", "arch": "name", "architecture": "name", "network": "model", "net": "model",
    "val": "validation", "valsize": "validation", "holdout": "validation", "augmentation": "augment",
    "transform": "augment", "imagesize": "image_size", "resolution": "image_size",
    "levels": "rounds", "numrounds": "rounds", "prunerounds": "rounds", "pruneiterations": "rounds",
    "prunerate": "fraction", "pruningrate": "fraction", "prunefraction": "fraction", "pruneratio": "fraction",
    "amount": "fraction", "sparsity": "remaining", "density": "remaining", "densities": "remaining",
    "method": "criterion", "score": "criterion", "pruningmethod": "criterion", "globalpruning": "scope",
    "rewindstep": "rewind", "rewindsteps": "rewind", "rewindepoch": "rewind", "rewindto": "rewind",
    "grid": "sweep", "experiments": "arms", "variants": "arms", "controls": "branches", "pruning": "prune",
    "training": "train", "hparams": "train", "hyperparameters": "train", "config": "train",
    "pretrained": "weights", "checkpoint": "weights", "initialization": "init", "initialisation": "init",
}  # fmt: skip


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the end of an error message for an unknown name: the nearest valid ones, else all of them."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name[:LONGEST], valid, n=3, cutoff=0.5)
    return f"did you mean {enumerated(close)}?" if close else f"valid: {', '.join(valid)}"


def meant(name: str, valid: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """Return the end of an error message for an unknown field: what people mean by it, else as `nearest`.

    elsewhere: dotted fields of other parts, one of which may be meant.
    """
    valid, dotted = sorted(valid), list(elsewhere)
    for word in dict.fromkeys((name, SYNONYMS.get(_bare(name), name))):
        found = [word] if word in valid else [path for path in dotted if path.rpartition(".")[2] == word]
        if found:
            return f"did you mean {enumerated(found)}?"
    return nearest(name, valid)


def _bare(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
