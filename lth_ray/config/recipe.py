"""The model, the data and the training recipe of a study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from lth_ray.config.base import (
    FLAG,
    TEXT,
    Config,
    ConfigError,
    a,
    many,
    mapping,
    maybe,
    number,
    one_of,
    option,
    text,
    whole,
)
from lth_ray.config.metric import ACCURACY, Metric
from lth_ray.config.perturbation import Perturbation
from lth_ray.config.task import TaskConfig
from lth_ray.config.units import Length, a_length, steps
from lth_ray.config.weights import WeightsFile, weights_file

METHODS = ("weights", "learning_rate", "fine_tune", "continue", "scratch")
PRETRAINING = ("labels", "rotation", "random_labels")
GIVEN = {  # what no option of a network may be called
    "num_classes": "the data set gives it",
    "input_shape": "the data set gives it",
    "name": "that is Model.name",
    "init": "that is Model.init",
    "seed": "weights are drawn from the study's seeds",
}
INITIALISATIONS = ("default", "glorot", "kaiming")


def _named_or_callable(value: Any) -> Any:
    return value if callable(value) else text("give a name or a function")(value)


def _initialisation(value: Any) -> str | float:
    if isinstance(value, str):
        return str(one_of(*INITIALISATIONS)(value))
    return float(number(0, open_low=True)(value))


@dataclass(frozen=True)
class Model(Config):
    """The network.

    name: one of lth_ray.models.names(), or a function that returns an nn.Module
        (called with those of num_classes, input_shape and `options` that it accepts).
    init: "default" (its paper's), "glorot" (Gaussian Glorot, zero biases), "kaiming", or a standard deviation.
    options: keyword arguments of the network, such as dropout=0.5.
    version: of one's own function, part of the key in its source's place: change it when the function changes what it
        builds. None: its source counts, with what it closes over and refers to.
    weights: the path of pretrained weights, which are then what every lineage begins with, its step 0: a safetensors
        file, or one of torch.save (.pt, .pth) that holds a state dict, by itself or as "state_dict" or "model". A
        relative path is one inside --data-root, or the working directory. It must give every tensor of this network
        and no others, of the same shape (a prefix "module." or "_orig_mod." of all names is passed over, and counts of
        batches seen may be missing); floating-point numbers become the network's. What is in it, and not its
        place, is part of the key. Controls that draw new weights, such as RandomReinit and Rewind(method="scratch"),
        draw them as a network without `weights` does. None draws all weights.
    redraw: globs over names of tensors that `weights` is not to give, and that are drawn by `init` and the lineage's
        seed, such as ["fc.*"] for an output layer of another size. What the file holds under these names is left.
    """

    name: str | Callable[..., Any] = option(check=_named_or_callable)
    _: KW_ONLY
    init: str | float = option("default", check=_initialisation)
    options: Mapping[str, Any] = option({}, check=mapping())
    version: str | None = option(None, check=maybe(TEXT), none_means="1")
    weights: str | WeightsFile | None = option(None, check=maybe(weights_file), absent_means=None)
    redraw: Sequence[str] = option((), check=many(text("give globs"), "give a list of globs"), absent_means=())

    @property
    def file(self) -> WeightsFile | None:
        """The file of its pretrained weights; None where they are newly drawn."""
        return None if self.weights is None else weights_file(self.weights)

    @property
    def drawn(self) -> "Model":
        """The same network with all of its weights newly drawn."""
        return replace(self, weights=None, redraw=()) if self.weights is not None else self

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.redraw and self.weights is None:
            raise ConfigError(f"Model.redraw = {list(self.redraw)}: without Model.weights all are drawn; leave it out")
        for name in (name for name in GIVEN if name in self.options):
            raise ConfigError(
                f"Model.options[{name!r}]: {GIVEN[name]}; leave it out, or give the parameter another name"
            )
        if isinstance(self.name, str) and self.version == "1":  # as earlier versions recorded that there is none
            object.__setattr__(self, "version", None)


@dataclass(frozen=True)
class Data(TaskConfig):
    """Images, and the class of each to predict: classification.

    name: digits, mnist, fashion_mnist, cifar10, cifar100, parquet:PATH, arrow:PATH (what Hugging Face's
        datasets has saved to disk) or folder:PATH, which are kept in memory; or imagenet or packed:PATH,
        which `lth-ray data pack` has made and which are read as they are needed. A relative PATH is one
        inside --data-root, or the working directory. EXIF's orientation is not applied.
    augment: "none", "flip" (horizontal) or "crop_flip" (pad by `augment_padding` pixels, random crop, flip);
        for packed sets "none", "flip" or "resized_crop_flip" (a box of 8 to 100 % of the image's area,
        resized, and flip; Szegedy et al. 2015).
    augment_padding: pixels on each side, for "crop_flip".
    split_seed: draws the validation set, for all lineages.
    evaluation_images: measure only the first so many images of the validation and of the test set; None for
        all.
    image_size: side in pixels to which the images of parquet:, arrow: and folder: sets are resized and
        centre-cropped; of packed sets that of the crops, by default 224 (their short side is 256 / 224 of it
        where the centre is taken).
    target: what is learned: "labels"; "rotation", by how many quarters an image is turned (training turns it
        anew each time, evaluation always by the same; Gidaris et al. 2018); "random_labels" (Zhang et al.
        2017), drawn once for each training and validation image by `split_seed`, while test images keep their
        own.
    blur: images are reduced by this factor and enlarged again, those of evaluation too; 1 leaves them sharp.
    train_images: train on so many of the training images, in the order in which `split_seed` draws them, so
        that a larger number has the smaller one's and more; None for all.
    """

    name: str = option(check=text("give a data set's name"))
    _: KW_ONLY
    augment: str = option("none", check=one_of("none", "flip", "crop_flip", "resized_crop_flip"))
    augment_padding: int = option(4, check=whole(1, 4_096))
    split_seed: int = option(0, check=whole(0))
    image_size: int | None = option(None, check=maybe(whole(1, 4_096)))
    evaluation_images: int | None = option(None, check=maybe(whole(1)), absent_means=None)
    target: str = option("labels", check=one_of("labels", "rotation", "random_labels"), absent_means="labels")
    blur: int = option(1, check=whole(1, 4_096), absent_means=1)
    train_images: int | None = option(None, check=maybe(whole(1)), absent_means=None)

    @property
    def metric(self) -> Metric:
        return ACCURACY


def _betas(value: Any) -> tuple[float, ...]:
    kept: tuple[float, ...] = many(number(0, 1, open_high=True), "give two numbers in [0, 1)", at_least=2)(value)
    if len(kept) != 2:
        raise ValueError("give two numbers in [0, 1)")
    return kept


def _function(value: Any) -> Any:
    if not callable(value):
        raise ValueError("give a function fn(model, batch) -> (loss, metrics)")
    return value


@dataclass(frozen=True)
class Train(Config):
    """The training recipe of a round. No learning rate is ever rescaled for you.

    length: steps or epochs to the end of training, T.
    optimizer: "sgd", "adam", "adamw" or "rmsprop".
    lr: its rate after the warm-up, before the schedule.
    momentum, nesterov, weight_decay, betas, eps, alpha: those of torch.optim; momentum is for sgd and
        rmsprop, betas are for adam and adamw, alpha is for rmsprop.
    schedule: "constant"; "milestones" (times `gamma` at each of `milestones`; chosen when milestones are
        given); "linear" and "cosine" go from `lr` after the warm-up to `final_lr` at T.
    milestones, gamma, final_lr: see schedule.
    warmup: over this length the rate rises linearly from 0: that of step t (0 is the first) is the schedule's
        times min(1, t / warmup), milestones within it included.
    label_smoothing: of the cross entropy (Szegedy et al. 2016, section 7).
    clip_norm: the gradient is scaled down to this norm where it is longer; None leaves it.
    evaluate_every: validation and test sets are measured at these steps and at the last.
    batch_norm_group: images that go through the network at a time, of whom batch norm takes its statistics;
        None for the whole batch. Workers share whole groups, and a worker with several takes them one after
        another (gradient accumulation): the result is the same however many workers there are.
    ema_decay: keep a moving average of the weights, of this decay a step, which begins anew with each segment
        (unless the optimizer's state is restored); None keeps none.
    ema_for: what it is used for, "evaluation" or "evaluation_and_pruning"; it is stored beside the weights.
    sync_batch_norm: batch statistics are the whole batch's, each worker having an equal share of it, and
        dropout of its own: with dropout results depend on the number of workers.
    precision: "fp32", or "bf16" autocast.
    channels_last: memory layout of images and convolutions.
    compile: train through torch.compile. Like the two before it changes rounding, and so is part of the key.
    backend: "auto", the fastest that the named network has: compiled steps for lenet_A_B..., sparse where few
        weights are left, compiled batch norm for CIFAR's deep ones in channels_last, autograd for all others
        and for one's own (lth_ray.training.backends); or "eager", autograd. What trained a segment is part of
        its key.
    replicates: train so many segments of the study as one batch of networks
        (lth_ray.training.together.replicates): those that differ in seeds, masks and starting weights alone.
        For networks that are too small to fill a GPU. A batch with fewer is filled up with copies: results
        depend on this number, which is part of the key, and not on what else there is to train. On a CPU they
        take their steps in turn, each as if by itself.
    loss, step: one's own fn(model, (inputs, labels)) -> (loss, metrics). `loss` is also what validation and
        test loss measure; `step` serves training alone, and they stay the cross entropy.
    version: of one's own loss or step, part of the key in its source's place: change it when the function
        changes. None: its source counts, with what it closes over and refers to.
    """

    length: Length = option(check=a_length(positive=True))
    _: KW_ONLY
    optimizer: str = option("sgd", check=one_of("sgd", "adam", "adamw", "rmsprop"))
    lr: float = option(check=number(0, open_low=True))
    momentum: float = option(0.0, check=number(0, 1, open_high=True))
    nesterov: bool = option(False, check=FLAG)
    weight_decay: float = option(0.0, check=number(0))
    betas: tuple[float, float] = option((0.9, 0.999), check=_betas)
    eps: float = option(1e-8, check=number(0, open_low=True))
    alpha: float = option(0.99, check=number(0, 1, open_high=True))
    schedule: str = option("constant", check=one_of("constant", "milestones", "linear", "cosine"))
    milestones: Sequence[Length] = option((), check=many(a_length(positive=True), "give a list of lengths"))
    gamma: float = option(0.1, check=number(0, open_low=True))
    final_lr: float = option(0.0, check=number(0))
    warmup: Length = option(steps(0), check=a_length())
    label_smoothing: float = option(0.0, check=number(0, 1, open_high=True))
    clip_norm: float | None = option(None, check=maybe(number(0, open_low=True)))
    evaluate_every: Length = option(steps(100), check=a_length(positive=True))
    precision: str = option("fp32", check=one_of("fp32", "bf16"))
    batch_norm_group: int | None = option(None, check=maybe(whole(1)), absent_means=None)
    sync_batch_norm: bool = option(False, check=FLAG, absent_means=False)
    ema_decay: float | None = option(None, check=maybe(number(0, 1, open_low=True, open_high=True)), absent_means=None)
    ema_for: str = option("evaluation", check=one_of("evaluation", "evaluation_and_pruning"), absent_means="evaluation")
    channels_last: bool = option(False, check=FLAG, absent_means=False)
    compile: bool = option(False, check=FLAG, absent_means=False)
    backend: str = option("auto", check=one_of("auto", "eager"), absent_means="auto")
    replicates: int = option(1, check=whole(1, 4_096), absent_means=1)
    loss: Callable[..., Any] | None = option(None, check=maybe(_function))
    step: Callable[..., Any] | None = option(None, check=maybe(_function))
    version: str | None = option(None, check=maybe(TEXT), none_means="1")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss is None and self.step is None and self.version == "1":  # earlier versions recorded none so
            object.__setattr__(self, "version", None)
        if self.milestones and self.schedule == "constant":
            object.__setattr__(self, "schedule", "milestones")
        if self.milestones and self.schedule != "milestones":
            raise ConfigError(f"Train.milestones are given but schedule = {self.schedule!r}: leave one of them out")
        if self.schedule == "milestones" and not self.milestones:
            raise ConfigError("Train.milestones = (): schedule 'milestones' needs at least one")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ConfigError("Train.nesterov = True: it needs optimizer='sgd' and momentum > 0")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise ConfigError(f"Train.momentum = {self.momentum}: {self.optimizer} has betas instead; leave it out")
        if self.ema_for != "evaluation" and self.ema_decay is None:
            raise ConfigError(f"Train.ema_for = {self.ema_for!r}: there is no average; give ema_decay, such as 0.999")
        if self.sync_batch_norm and self.batch_norm_group is not None:
            raise ConfigError(
                f"Train.batch_norm_group = {self.batch_norm_group}: with sync_batch_norm statistics are the whole "
                "batch's; leave one of them out"
            )
        if self.replicates > 1 and self.backend == "eager":
            raise ConfigError(
                f"Train.replicates = {self.replicates}: they have a backend of their own, and backend = 'eager' asks "
                "for another; leave one of them out"
            )
        if self.loss is not None and self.step is not None:
            raise ConfigError(
                "Train.loss and Train.step are both given: each replaces the training loss; leave one out"
            )
        in_one_unit = len({point.unit for point in self.milestones}) == 1
        if in_one_unit and any(x.value >= y.value for x, y in zip(self.milestones, self.milestones[1:], strict=False)):
            given = ", ".join(map(str, self.milestones))
            raise ConfigError(f"Train.milestones = [{given}]: out of order; list them from the earliest to the latest")


@dataclass(frozen=True)
class Pretraining(Config):
    """Training on another task, which stands in for the first steps of the study's own.

    task: "labels" (the study's own task), "rotation" (predict by how many quarters an image is turned) or
        "random_labels".
    blur: its images are reduced and enlarged by this factor.
    """

    task: str = option(check=one_of(*PRETRAINING))
    _: KW_ONLY
    blur: int = option(1, check=whole(1, 4_096))

    def data(self, given: TaskConfig) -> Data:
        """Return the data it trains on, `given` being the study's. Raise ConfigError unless these are images."""
        if not isinstance(given, Data):
            raise ConfigError(
                f"pretraining on {self.task}: it needs images, and Study.data is a {type(given).__name__}; leave it out"
            )
        return replace(given, target=self.task, blur=self.blur)


@dataclass(frozen=True)
class Rewind(Config):
    """The start of each round, and how the ticket is retrained.

    point: the rewind point k; winning tickets exist only at 0.
    method: "weights" (weights and schedule of step k), "learning_rate" (final weights, schedule and data
        position of k), "fine_tune" (final weights, T - k more steps at the last rate), "continue"
        (masks come from training on without rewinding; each ticket is rewound to k and trained apart) or
        "scratch" (newly drawn weights every round, schedule and data position of k).
    optimizer: its state at the start, "fresh" or "restored": that of the weights, at step k or at the end of the round
        before (Renda et al. 2020, whose code restores whole checkpoints whatever the method).
    perturbation: of the weights that each round starts from; with frozen pruned weights, for all rounds to come.
    pretraining: stands in for steps 0 to k, from initialisation and at the study's first learning rate. The dense
        network is then trained from k to T, masks are found in it, and rounds rewind to the pretrained weights; an
        output layer of other size is newly drawn (Frankle, Schwab & Morcos 2020, section 6, as their code does it).
    """

    point: Length = option(check=a_length())
    _: KW_ONLY
    method: str = option("weights", check=one_of(*METHODS))
    optimizer: str = option("fresh", check=one_of("fresh", "restored"))
    perturbation: Perturbation | None = option(
        None, check=maybe(a(Perturbation, "give a Perturbation")), absent_means=None
    )
    pretraining: Pretraining | None = option(None, check=maybe(a(Pretraining, "give a Pretraining")), absent_means=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer == "restored" and self.method == "scratch":
            raise ConfigError(
                "Rewind.optimizer = 'restored': method='scratch' draws new weights, which have none; leave it out"
            )
        if self.perturbation is not None and self.method != "weights":
            raise ConfigError(
                f"Rewind.perturbation: it is one of rewound weights; method={self.method!r} has none; leave it out"
            )
        if self.pretraining is not None and self.point.value == 0:
            raise ConfigError(
                f"Rewind.pretraining: it stands in for the steps before Rewind.point = {self.point}, and there are "
                "none; give a later point"
            )
        if self.pretraining is not None and self.optimizer == "restored":
            raise ConfigError(
                "Rewind.optimizer = 'restored': the optimizer's state after a pretraining is one of another task; "
                "leave it out"
            )
