"""Bad values of the fields of configs, and what their messages must advise; bad_tasks.py has those of other tasks."""

from typing import Any

from lth_ray.config import (
    Data,
    Dynamic,
    EarlyBird,
    Examples,
    Launch,
    Model,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    Scoring,
    ShuffledMask,
    Study,
    Subseeds,
    SupermaskRule,
    TicketOf,
    Train,
    epochs,
    steps,
)
from tests.config.bad_tasks import BAD_TASKS, Make

NAN, INF = float("nan"), float("inf")


def model(**given: Any) -> Model:
    return Model(**{"name": "lenet_300_100", **given})


def examples(**given: Any) -> Examples:
    return Examples(**{"source": list, "batch_size": 32, "validation": 60, "test": 60, **given})


def data(**given: Any) -> Data:
    return Data(**{"name": "digits", "batch_size": 60, "validation": 200, **given})


def train(**given: Any) -> Train:
    return Train(**{"length": steps(500), "lr": 0.1, **given})


def prune(**given: Any) -> Prune:
    return Prune(**{"fraction": 0.2, "rounds": 3, **given})


def ladder(**given: Any) -> Prune:
    return Prune(**{"remaining": [0.5, 0.1], "scope": "layer", **given})


def early_bird(**given: Any) -> EarlyBird:
    return EarlyBird(**given)


def dynamic(**given: Any) -> Dynamic:
    return Dynamic(**{"method": "rigl", **given})


def rewind(**given: Any) -> Rewind:
    return Rewind(**{"point": steps(0), **given})


def supermaskrule(**given: Any) -> SupermaskRule:
    return SupermaskRule(**{"method": "edge_popup", **given})


def ticketof(**given: Any) -> TicketOf:
    return TicketOf(**{"study": study(), **given})


def study(**given: Any) -> Study:
    parts = {"model": model(), "data": data(), "train": train(), "prune": prune(), "rewind": [steps(0)], "seeds": [0]}
    return Study(**{"name": "digits", **parts, **given})


BAD_VALUES: list[tuple[Make, str, Any, str]] = [
    *BAD_TASKS,
    (model, "name", 3, "give a name or a function"),
    (model, "init", "golrot", "did you mean glorot?"),
    (model, "init", 0.0, "give a number in (0, inf]"),
    (model, "init", True, "give a finite number"),
    (model, "options", [1], "give a dict"),
    (model, "options", {1: 2}, "give a dict"),
    (model, "version", 2, "give a string"),
    (model, "weights", 3, "give the path of a safetensors, .pt or .pth file"),
    (model, "redraw", "fc.*", "give a list of globs"),
    (data, "only", 3, "give a list of places"),
    (data, "name", 3, "give a data set's name"),
    (data, "batch_size", 0, "at least 1"),
    (data, "batch_size", 60.0, "give a whole number"),
    (data, "batch_size", True, "give a whole number"),
    (data, "validation", -1, "at least 0"),
    (examples, "source", "mnist", "give a torch Dataset that has a length"),
    (examples, "batch_size", 0, "at least 1"),
    (examples, "validation", -1, "at least 0"),
    (examples, "score", "r3", "did you mean r2"),
    (examples, "test", 0, "at least 1"),
    (examples, "mean", [NAN], "give a finite number"),
    (examples, "std", [0], "give a number in (0, inf]"),
    (examples, "classes", 0, "at least 1"),
    (examples, "split_seed", -1, "at least 0"),
    (examples, "version", 2, "give a string"),
    (data, "augment", "crop_filp", "did you mean crop_flip"),
    (data, "augment_padding", 0, "at least 1"),
    (data, "split_seed", -1, "at least 0"),
    (data, "image_size", 0, "at least 1"),
    (data, "evaluation_images", 0, "at least 1"),
    (data, "target", "rotate", "did you mean rotation?"),
    (data, "blur", 0, "at least 1"),
    (data, "train_images", 0, "at least 1"),
    (data, "classes", [3], "a list of classes of at least 2"),
    (data, "part", "c", "valid: a, b"),
    (data, "channels", 1, "3"),
    (data, "standardise", "no", "give True or False"),
    (supermaskrule, "method", "bernouli", "did you mean bernoulli?"),
    (supermaskrule, "rescale", 2.0, "give True or False"),
    (supermaskrule, "values", "signed", "did you mean signed_constant?"),
    (supermaskrule, "keep", 0, "give a number in (0, 1]"),
    (study, "ticket", "imported", "give a ticket's whole key"),
    (train, "length", 500, "say the unit: steps(500) or epochs(500)"),
    (train, "length", steps(0), "give a length above 0"),
    (train, "optimizer", "addam", "did you mean adam"),
    (train, "lr", 0, "give a number in (0, inf]"),
    (train, "lr", NAN, "give a finite number"),
    (train, "lr", INF, "give a finite number"),
    (train, "lr", "0.1", "give a finite number"),
    (train, "momentum", 1.0, "give a number in [0, 1)"),
    (train, "nesterov", 1, "give True or False"),
    (train, "weight_decay", -1e-4, "give a number in [0, inf]"),
    (train, "betas", (0.9,), "give two numbers in [0, 1)"),
    (train, "betas", (0.9, 0.99, 0.999), "give two numbers in [0, 1)"),
    (train, "betas", (0.9, 1.0), "give a number in [0, 1)"),
    (train, "eps", 0, "give a number in (0, inf]"),
    (train, "alpha", 1, "give a number in [0, 1)"),
    (train, "schedule", "cosin", "did you mean cosine?"),
    (train, "milestones", [5], "say the unit: steps(5) or epochs(5)"),
    (train, "milestones", steps(5), "give a list of lengths"),
    (train, "milestones", [steps(0)], "give a length above 0"),
    (train, "batch_norm_group", 0, "at least 1"),
    (train, "ema_decay", 1, "give a number in (0, 1)"),
    (train, "ema_for", "evaluations", "did you mean evaluation"),
    (train, "sync_batch_norm", 1, "give True or False"),
    (train, "channels_last", 1, "give True or False"),
    (train, "compile", "yes", "give True or False"),
    (train, "backend", "eagre", "did you mean eager or sparse?"),
    (train, "replicates", 0, "at least 1"),
    (train, "gamma", 0, "give a number in (0, inf]"),
    (train, "final_lr", -1, "give a number in [0, inf]"),
    (train, "warmup", 5, "say the unit: steps(5) or epochs(5)"),
    (train, "label_smoothing", 1, "give a number in [0, 1)"),
    (train, "clip_norm", 0, "give a number in (0, inf]"),
    (train, "evaluate_every", epochs(0), "give a length above 0"),
    (train, "precision", "bf61", "give 'fp32', 'bf16', or block floating point"),
    (train, "loss", "cross_entropy", "give a function"),
    (train, "step", 3, "give a function"),
    (train, "version", 1, "give a string"),
    (train, "scale_l1", -1e-4, "give a number in [0, inf]"),
    (train, "cycles", 0, "at least 1"),
    (train, "sam_radius", 0, "give a number in (0, inf]"),
    (train, "average_from", 10, "say the unit"),
    (early_bird, "window", 1, "give a whole number of at least 2"),
    (early_bird, "distance", 1.5, "give a number in [0, 1]"),
    (early_bird, "latest", steps(0), "give a length"),
    (early_bird, "then", "go on", "valid: continue, rewind"),
    (dynamic, "method", "rig", "did you mean rigl"),
    (dynamic, "every", steps(0), "give a length"),
    (dynamic, "fraction", 1, "give a number in (0, 1)"),
    (dynamic, "until", 0, "give a number in (0, 1]"),
    (prune, "structure", "channel", "did you mean channels"),
    (prune, "coupled", "means", "did you mean mean"),
    (prune, "in_turn", 1, "give True or False"),
    (prune, "rescale", "yes", "give True or False"),
    (prune, "keep", 3, "valid: resnet110_a"),
    (prune, "may_empty_layers", 1, "give True or False"),
    (ticketof, "study", 3, "give the study that finds the ticket"),
    (ticketof, "round", -1, "at least 0"),
    (ticketof, "seed", "0", "give a whole number"),
    (ticketof, "arm", 3, "give an arm's name"),
    (ticketof, "branch", 3, "give a branch's name"),
    (ticketof, "key", 3, "leave it out"),
    (study, "ticket_part", 3, "give how its tensors' names begin"),
    (prune, "dynamic", "rigl", "give a Dynamic"),
    (prune, "search_precision", "bf61", "give 'fp32', 'bf16', or block floating point"),
    (prune, "criterion", "magnitud", "did you mean magnitude, magnitude_increase or small_init?"),
    (prune, "scope", "layers", "did you mean layer?"),
    (prune, "fraction", 1.0, "give a number in (0, 1)"),
    (prune, "fraction", 0, "give a number in (0, 1)"),
    (prune, "fraction", {}, "give at least one glob"),
    (prune, "fraction", {"fc*": 2}, "give a number in (0, 1)"),
    (prune, "rounds", -1, "at least 0"),
    (prune, "include", "fc*", "give a list"),
    (prune, "exclude", [1], "give globs"),
    (prune, "one_shot", "yes", "give True or False"),
    (prune, "ties", "lowst", "did you mean lowest?"),
    (prune, "at", 0, "say the unit: steps(0) or epochs(0)"),
    (prune, "whole_dense", 1, "give True or False"),
    (prune, "remaining", [0.5, 0], "give a number in (0, 1]"),
    (prune, "remaining", [], "give a list of densities of at least 1"),
    (prune, "remaining", [0.5, 0.5], "given twice"),
    (prune, "iterations", 0, "at least 1"),
    (prune, "scoring", "train", "give a Scoring"),
    (ladder, "densities", "erd", "did you mean erk?"),
    (ladder, "densities", {"*": 0}, "give a number in (0, inf]"),
    (ladder, "densities", {}, "give at least one glob"),
    (prune, "densities", 0.5, "valid: erk, smart_ratio"),
    (Scoring, "mode", "evaluation", "did you mean eval?"),
    (Scoring, "per_class", 0, "at least 1"),
    (Scoring, "batches", 0, "at least 1"),
    (Scoring, "data", "random", "did you mean random_pixels or random_labels?"),
    (Scoring, "invert", 1, "give True or False"),
    (rewind, "point", 0, "say the unit: steps(0) or epochs(0)"),
    (rewind, "method", "weight", "did you mean weights"),
    (rewind, "masks", "weight", "did you mean weights"),
    (rewind, "batch_norm", "fresh", "valid: rewound, trained"),
    (rewind, "optimizer", "restore", "did you mean restored"),
    (study, "name", "", "give a name of letters"),
    (study, "name", "a/b", "give a name of letters"),
    (study, "name", ".hidden", "give a name of letters"),
    (study, "model", "conv2", "give a Model"),
    (study, "data", None, "give a Data"),
    (study, "train", {}, "give a Train"),
    (study, "prune", 0.2, "give a Prune"),
    (study, "rewind", [], "at least 1"),
    (study, "rewind", [0], "give rewind points: steps(n), epochs(n) or Rewind(...)"),
    (study, "rewind", [steps(0), Rewind(steps(0))], "given twice"),
    (study, "rewind", steps(0), "give a list of rewind points"),
    (study, "seeds", 3, "give a list of seeds"),
    (study, "seeds", [], "at least 1"),
    (study, "seeds", [0, 0], "given twice"),
    (study, "seeds", [-1], "at least 0"),
    (study, "subseeds", 3, "give a Subseeds"),
    (study, "arms", {"a": 3}, "give a dict"),
    (study, "arms", {"a b": {}}, "give a name of letters"),
    (study, "sweep", {"train.lr": 0.1}, "give a list of values"),
    (study, "sweep", {"train.lr": []}, "at least 1"),
    (study, "branches", [RandomReinit], "give branches, such as RandomReinit()"),
    (study, "keep", "none", "valid: all, rewind, tickets"),
    (study, "margin", 0.0, "give a number in (0, 1)"),
    (study, "margin", 1.0, "give a number in (0, 1)"),
    (study, "stop_below", 10, "accuracy lies between 0 and 1"),
    (study, "smoke", 3, "give a dict"),
    (study, "smoke_shows", "pipelin", "did you mean pipeline?"),
    (study, "may_fail", ["other"], "no such arm"),
    (study, "against", 3, "give the name of a group of targets"),
    (study, "otherwise", [3], "give sentences"),
    (Subseeds, "init", -1, "at least 0"),
    (RandomReinit, "copies", 0, "at least 1"),
    (RandomMask, "rounds", [1, 1], "given twice"),
    (ShuffledMask, "scope", "layers", "did you mean layer"),
    (RandomMask, "branches", [3], "give branches, such as RandomReinit()"),
    (Launch, "storage", 3, "give a string"),
    (Launch, "name", "a/b", "give a name of letters"),
    (Launch, "cpus", 0, "at least 1"),
    (Launch, "gpus_per_worker", -1, "give a number in [0, inf]"),
    (Launch, "max_gpu_hours", 0, "give a number in (0, inf]"),
    (Launch, "set", "train.lr=1", "give a list"),
    (Launch, "plan", 1, "give True or False"),
    (Launch, "dry_run", "no", "give True or False"),
    (Launch, "quiet", 1, "give True or False"),
    (Launch, "verbose", 1, "give True or False"),
]
