"""The examples that networks learn from: images by the name of their set, or examples of one's own."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from lth_ray.config.base import FLAG, TEXT, ConfigError, many, maybe, number, one_of, option, text, whole
from lth_ray.config.functions import OwnFunction, short_name
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import ACCURACY, R2, RMSE, Metric


def places(value: Any) -> tuple[int, ...]:
    """Check a list of places of examples; their order counts for nothing."""
    given = list(value) if isinstance(value, range) else value
    return tuple(sorted(many(whole(0), "give a list of places, 0 the first", at_least=1, distinct=True)(given)))


@dataclass(frozen=True)
class Data(TaskConfig):
    """Images, and the class of each to predict: classification.

    name: digits, mnist, fashion_mnist, cifar10, cifar100, svhn, tiny_imagenet, parquet:PATH, arrow:PATH (what
        Hugging Face's datasets has saved to disk) or folder:PATH, which are kept in memory; or imagenet,
        places365 or packed:PATH, which `lth-ray data pack` has made and which are read as they are needed. A
        relative PATH is one inside --data-root, or the working directory. EXIF's orientation is not applied.
    augment: "none", "flip" (horizontal) or "crop_flip" (pad by `augment_padding` pixels, random crop, flip);
        for packed sets "none", "flip" or "resized_crop_flip" (a box of 8 to 100 % of the image's area,
        resized, and flip; Szegedy et al. 2015).
    augment_padding: pixels on each side, for "crop_flip".
    split_seed: draws the validation set, for all lineages.
    evaluation_images: measure only the first so many images of the validation and of the test set; None for
        all.
    image_size: side in pixels to which the images of tiny_imagenet, parquet:, arrow: and folder: sets are
        resized and centre-cropped; of packed sets that of the crops, by default 224 (their short side is 256 /
        224 of it where the centre is taken).
    target: what is learned: "labels"; "rotation", by how many quarters an image is turned (training turns it
        anew each time, evaluation always by the same; Gidaris et al. 2018); "random_labels" (Zhang et al.
        2017), drawn once for each training and validation image by `split_seed`, while test images keep their
        own.
    blur: images are reduced by this factor and enlarged again, those of evaluation too; 1 leaves them sharp.
    train_images: train on so many of the training images, in the order in which `split_seed` draws them, so
        that a larger number has the smaller one's and more; None for all.
    only: train on these alone of the images that would be trained on without it, by their places, 0 the first: a subset
        of one's own, such as the easy ones (easiest_first). None for all.
    classes: train and test on the images of these classes alone, numbered from 0 in this order; None for all.
    part: "a" or "b": one of two halves of the training images, each with half of every class, as `split_seed`
        draws them (CIFAR-10a and CIFAR-10b of Morcos et al. 2019). The test set is whole. None for all.
    channels: 3 gives grey images three equal channels, for a network that sees colours, too; None leaves them.
    standardise: take the training images' mean from each channel and divide it by their standard deviation; where not,
        channels are between 0 and 1.
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
    only: Sequence[int] | None = option(None, check=maybe(places), absent_means=None)
    classes: Sequence[int] | None = option(
        None, check=maybe(many(whole(0), "give a list of classes", at_least=2, distinct=True)), absent_means=None
    )
    part: str | None = option(None, check=maybe(one_of("a", "b")), absent_means=None)
    channels: int | None = option(None, check=maybe(whole(3, 3)), absent_means=None)
    standardise: bool = option(True, check=FLAG, absent_means=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only is not None and self.train_images is not None:
            raise ConfigError(
                f"Data.only and Data.train_images = {self.train_images}: each says which images are trained on; leave "
                "one of them out"
            )

    @property
    def metric(self) -> Metric:
        return ACCURACY


SCORES = {"accuracy": ACCURACY, "r2": R2, "rmse": RMSE}
MOST_CLASSES = 2**20
WHAT = "a torch Dataset that has a length, a pair (train, test) of them, or a function that returns either"


def check_variance(kind: str, score: str, **held_out: int | None) -> None:
    """Raise ConfigError where a share of variance is asked of one example. held_out: {field: examples}."""
    for name, examples in held_out.items():
        if score == "r2" and examples == 1:
            raise ConfigError(
                f"{kind}.{name} = 1: one example has no variance to explain; hold out more, or judge by 'rmse'"
            )


@dataclass(frozen=True)
class Given:
    """A data set as the function that returns it, the same one in every process it is sent to."""

    token: str
    source: Any = field(compare=False, repr=False)

    def __call__(self) -> Any:
        return self.source


def is_dataset(value: Any) -> bool:
    """Return whether items can be asked of it by number, or it is a pair of such."""
    if isinstance(value, tuple):
        return len(value) == 2 and all(map(is_dataset, value))
    return hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict, type))


def _source(value: Any) -> Callable[..., Any]:
    """Return a function as it is, and a data set as one, so that configs and records hold no examples."""
    if not is_dataset(value):
        if callable(value):
            return value  # type: ignore[no-any-return]
        raise ValueError(f"give {WHAT}")
    kind = type(value[0] if isinstance(value, tuple) else value)
    source = "a data set counts by its content"
    return OwnFunction(f"{kind.__module__}:{kind.__qualname__}", None, source, Given(uuid.uuid4().hex, value))


@dataclass(frozen=True)
class Examples(TaskConfig):
    """One's own examples, pairs of an input and a target: classification, or regression by least squares.

    The network is given `input_shape` of one input and `num_classes`, or how many numbers a target has.

    source: a torch Dataset that has a length, whose items are (input, target); a pair (train, test) of them;
        or a function that returns either, which may take `data_root`. Inputs are tensors of one shape, arrays
        or PIL images, targets numbers or tensors. All are read once, in their order, and kept in memory: what
        is drawn at random by an item would be drawn once, and is refused. A data set that is no function
        travels with each job to its process: beyond 16 MB give a function, which makes it there.
    score: what networks are judged by: "accuracy", of targets that are classes numbered from 0, by cross
        entropy; "r2" or "rmse", of numbers, by least squares, in the targets' own units.
    test: examples held out to test on where the source is one data set, drawn by `split_seed` as those of
        `validation` are; None where it is a pair.
    mean, std: of each channel, or one for all. uint8 inputs are divided by 255, then have `mean` taken off
        and are divided by `std`; floats become float32 and other whole numbers int64 as they are.
    split_seed: draws the examples that are held out, for all lineages.
    classes: the network's outputs, where not all classes need to be seen; None for the highest target's.
    version: part of the key in the content's place, beside the source's name: change it when the examples
        change. None: all inputs and targets count, and neither the source nor its place.
    """

    source: Any = option(check=_source, means=False)
    _: KW_ONLY
    score: str = option("accuracy", check=one_of(*SCORES))
    test: int | None = option(None, check=maybe(whole(1)))
    mean: Sequence[float] = option((0.0,), check=many(number(), "give a list of numbers", at_least=1))
    std: Sequence[float] = option((1.0,), check=many(number(0, open_low=True), "give a list of numbers", at_least=1))
    classes: int | None = option(None, check=maybe(whole(1, MOST_CLASSES)))
    split_seed: int = option(0, check=whole(0))
    version: str | None = option(None, check=maybe(TEXT), means=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"Examples.mean has {len(self.mean)} numbers, Examples.std {len(self.std)}; give as many of both"
            )
        check_variance("Examples", self.score, validation=self.validation, test=self.test)
        if self.score != "accuracy" and self.classes is not None:
            raise ConfigError(f"Examples.classes = {self.classes}: {self.score} judges numbers; leave it out")

    @property
    def metric(self) -> Metric:
        return SCORES[self.score]

    @property
    def called(self) -> str:
        return short_name(self.source)
