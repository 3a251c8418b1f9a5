"""The training recipe of a round."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import FLAG, TEXT, Config, ConfigError, many, maybe, number, one_of, option, whole
from lth_ray.config.precision import block_bits, check_block_float, precision
from lth_ray.config.units import Length, a_length, steps

OPTIMIZERS = {  # {name: what it takes beside lr and weight_decay}; lth_ray.training.optimizers has the classes
    "sgd": ("momentum", "nesterov"),
    "adam": ("betas", "eps"),
    "adamw": ("betas", "eps"),
    "rmsprop": ("alpha", "eps", "momentum"),
}


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
        given); "linear" and "cosine" go from `lr` after the warm-up to `final_lr` at T; "inverse_sqrt" falls after the
        warm-up as 1 / sqrt(step) (Vaswani et al. 2017, section 5.3).
    milestones, gamma, final_lr: see schedule.
    warmup: over this length the rate rises linearly from 0: that of step t (0 is the first) is the schedule's
        times min(1, t / warmup), milestones within it included.
    cycles: go through the schedule so many times, warm-up, milestones and all, each time in an equal part of `length`
        and with the optimizer's state going on (Gadhikar et al. 2024). 1 is the schedule itself.
    label_smoothing: of the cross entropy (Szegedy et al. 2016, section 7).
    scale_l1: this times the sign of every batch norm's scale is added to its gradient: the sub-gradient of an L1
        penalty, which makes channels sparse (Liu et al. 2017).
    clip_norm: the gradient is scaled down to this norm where it is longer; None leaves it.
    sam_radius: take the gradient of each step not at the weights, but so far from them along their gradient, where the
        loss is about highest (sharpness-aware minimisation, SAM: Foret et al. 2021; with iterative pruning Na et al.
        2022). It takes two passes of each batch. Weights that a mask prunes are not moved. None: at the weights.
    evaluate_every: validation and test sets are measured at these steps and at the last.
    batch_norm_group: images that go through the network at a time, of whom batch norm takes its statistics;
        None for the whole batch. Workers share whole groups, and a worker with several takes them one after
        another (gradient accumulation): the result is the same however many workers there are.
    ema_decay: keep a moving average of the weights, of this decay a step, which begins anew with each segment
        (unless the optimizer's state is restored); None keeps none.
    average_from: keep instead the mean of the weights at the ends of the epochs after this point, each of equal part
        (stochastic weight averaging, Izmailov et al. 2018), and measure its batch norms' statistics anew over the
        batches of each of these epochs; until then it is the weights. None keeps none.
    ema_for: what an average is used for, "evaluation" or "evaluation_and_pruning"; it is stored beside the weights.
    sync_batch_norm: batch statistics are the whole batch's, each worker having an equal share of it, and
        dropout of its own: with dropout results depend on the number of workers.
    precision: "fp32"; "bf16" autocast, slow on processors without instructions for it; or block floating point of 2
        to 16 bits, such as "bfp8", in which weights, gradients, momentum, activations and errors are rounded
        stochastically (lth_ray.training.block_float), by draws that depend on the dropout's seed and the step.
        For sgd; it imitates such arithmetic, and is slower than fp32.
    channels_last: memory layout of images and convolutions.
    compile: train through torch.compile. Like the two before it changes rounding, and so is part of the key.
    backend: "auto", the fastest that a network of its kind has, be it named or one's own: compiled steps for fully
        connected ones, sparse where few weights are left, compiled batch norm for convolutional ones in channels_last,
        autograd for all others (lth_ray.training.backends); "eager", autograd; "sparse", by which linear layers of any
        other network (Transformers, encoders, outputs of LSTMs) are computed, on a processor, from the weights that a
        mask leaves, where these are under two fifths (lth_ray.training.compiled.sparse_linear), and convolutions of
        stride 1 between compiled batch norms, where they are under three tenths; or "shrunk", which
        trains and measures, in the place of a network under a mask, the smaller one without the channels, heads and
        neurons that the mask removes whole (lth_ray.training.shrunk). What trained a segment is part of its key.
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
    optimizer: str = option("sgd", check=one_of(*OPTIMIZERS))
    lr: float = option(check=number(0, open_low=True))
    momentum: float = option(0.0, check=number(0, 1, open_high=True))
    nesterov: bool = option(False, check=FLAG)
    weight_decay: float = option(0.0, check=number(0))
    betas: tuple[float, float] = option((0.9, 0.999), check=_betas)
    eps: float = option(1e-8, check=number(0, open_low=True))
    alpha: float = option(0.99, check=number(0, 1, open_high=True))
    schedule: str = option("constant", check=one_of("constant", "milestones", "linear", "cosine", "inverse_sqrt"))
    milestones: Sequence[Length] = option((), check=many(a_length(positive=True), "give a list of lengths"))
    gamma: float = option(0.1, check=number(0, open_low=True))
    final_lr: float = option(0.0, check=number(0))
    warmup: Length = option(steps(0), check=a_length())
    cycles: int = option(1, check=whole(1, 10_000), absent_means=1)
    label_smoothing: float = option(0.0, check=number(0, 1, open_high=True))
    scale_l1: float = option(0.0, check=number(0), absent_means=0.0)
    clip_norm: float | None = option(None, check=maybe(number(0, open_low=True)))
    sam_radius: float | None = option(None, check=maybe(number(0, open_low=True)), absent_means=None)
    evaluate_every: Length = option(steps(100), check=a_length(positive=True))
    precision: str = option("fp32", check=precision)
    batch_norm_group: int | None = option(None, check=maybe(whole(1)), absent_means=None)
    sync_batch_norm: bool = option(False, check=FLAG, absent_means=False)
    ema_decay: float | None = option(None, check=maybe(number(0, 1, open_low=True, open_high=True)), absent_means=None)
    average_from: Length | None = option(None, check=maybe(a_length()), absent_means=None)
    ema_for: str = option("evaluation", check=one_of("evaluation", "evaluation_and_pruning"), absent_means="evaluation")
    channels_last: bool = option(False, check=FLAG, absent_means=False)
    compile: bool = option(False, check=FLAG, absent_means=False)
    backend: str = option("auto", check=one_of("auto", "eager", "shrunk", "sparse"), absent_means="auto")
    replicates: int = option(1, check=whole(1, 4_096), absent_means=1)
    loss: Callable[..., Any] | None = option(None, check=maybe(_function))
    step: Callable[..., Any] | None = option(None, check=maybe(_function))
    version: str | None = option(None, check=maybe(TEXT), none_means="1")

    @property
    def is_averaged(self) -> bool:
        """True where an average of the weights is kept."""
        return self.ema_decay is not None or self.average_from is not None

    @property
    def passes(self) -> int:
        """The passes of a batch, forward and backward, that a step takes."""
        return 1 if self.sam_radius is None else 2

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
        if self.nesterov and ("nesterov" not in OPTIMIZERS[self.optimizer] or self.momentum == 0):
            raise ConfigError("Train.nesterov = True: it needs optimizer='sgd' and momentum > 0")
        if self.momentum and "momentum" not in OPTIMIZERS[self.optimizer]:
            raise ConfigError(f"Train.momentum = {self.momentum}: {self.optimizer} has betas instead; leave it out")
        if self.ema_decay is not None and self.average_from is not None:
            raise ConfigError(
                f"Train.ema_decay = {self.ema_decay} and Train.average_from = {self.average_from}: one average is kept "
                "of the weights; leave one of them out"
            )
        if self.ema_for != "evaluation" and not self.is_averaged:
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
        check_block_float(self)
        self._check_shrunk()
        self._check_sparse()
        if self.loss is not None and self.step is not None:
            raise ConfigError(
                "Train.loss and Train.step are both given: each replaces the training loss; leave one out"
            )
        in_one_unit = len({point.unit for point in self.milestones}) == 1
        if in_one_unit and any(x.value >= y.value for x, y in zip(self.milestones, self.milestones[1:], strict=False)):
            given = ", ".join(map(str, self.milestones))
            raise ConfigError(f"Train.milestones = [{given}]: out of order; list them from the earliest to the latest")

    def _check_shrunk(self) -> None:
        """Raise ConfigError for what a smaller network cannot be trained with in the whole one's place."""
        others = {
            "replicates": self.replicates > 1, "ema_decay": self.ema_decay is not None,
            "average_from": self.average_from is not None, "sync_batch_norm": self.sync_batch_norm,
            "loss": self.loss is not None, "step": self.step is not None,
            "precision": block_bits(self.precision) is not None,
        }  # fmt: skip
        for name, given in others.items():
            if self.backend == "shrunk" and given:
                raise ConfigError(
                    f"Train.backend = 'shrunk' with Train.{name} = {getattr(self, name)!r}: a smaller network is not "
                    "trained with it; leave one of them out"
                )

    def _check_sparse(self) -> None:
        """Raise ConfigError for what products by few weights are not computed with."""
        others = {"replicates": self.replicates > 1, "compile": self.compile, "precision": self.precision != "fp32"}
        for name, given in others.items():
            if self.backend == "sparse" and given:
                raise ConfigError(
                    f"Train.backend = 'sparse' with Train.{name} = {getattr(self, name)!r}: sparse products are of "
                    "fp32, one network's, and not compiled by torch; leave one of them out"
                )
