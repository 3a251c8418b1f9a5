"""Images and the boxes of what is in them, declared: detection."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import ConfigError, many, maybe, one_of, option, text, whole
from lth_ray.config.tasks.base import TaskConfig
from lth_ray.config.tasks.metric import Metric
from lth_ray.printing import enumerated

OWN = "own"
MAP = Metric(
    "map", "higher", 0.0, 1.0, scale=100.0, unit="%", decimals=2, margin=0.01, words="mAP@[.5:.95]",
    comparative="of higher mAP",
)  # fmt: skip
MAP50 = Metric(
    "map50", "higher", 0.0, 1.0, scale=100.0, unit="%", decimals=2, margin=0.01, words="mAP@.5",
    comparative="of higher mAP",
)  # fmt: skip
METRICS = {"map": MAP, "map50": MAP50}
KINDS = ("voc", "coco", "yolo")


def _validation(value: Any) -> int | str:
    if value == OWN:
        return OWN
    try:
        return int(whole(0)(value))
    except ValueError as error:
        raise ValueError(f"{error}, or 'own' for the set's own validation list") from None


def _name(value: Any) -> str:
    given = text(f"give {', '.join(f'{kind}:PATH' for kind in KINDS)}")(value)
    kind, _, path = given.partition(":")
    if kind not in KINDS or not path:
        raise ValueError(f"give {enumerated(f'{kind}:PATH' for kind in KINDS)}, PATH being the set's folder")
    return str(given)


@dataclass(frozen=True)
class Boxes(TaskConfig):
    """Images, and the boxes and classes of the things in them to find: detection.

    The network is one of torchvision's detectors by name, or a function that returns a module which is called as those
    are. It is given `num_classes`, in which the background counts as one, and `input_shape`, of square images with
    values in [0, 1]. What is in the images and about them, and not its place or format, is part of the key: the same
    boxes as VOC, COCO or YOLO files are one data set. They are kept in memory.

    name: voc:PATH (Annotations/*.xml, JPEGImages and the lists ImageSets/Main/{train,val,test}.txt), coco:PATH
        (annotations/instances_{train,val,test}*.json) or yolo:PATH (images/ and labels/ with a folder for each of
        train, val and test, and a data.yaml or classes.txt). A relative PATH is one inside --data-root, or the working
        directory. A set without a list to test on is tested on its validation list.
    validation: "own": the set's own validation list; or how many are drawn, by `split_seed`, from the images to train
        on, which are those of the train and the validation list then; 0 for none.
    image_size: the side in pixels of what the network is given.
    resize: "fit": the longer side is resized to it, and what is missing on the right or below is black; "stretch":
        both sides are.
    augment: "none" or "flip" (horizontal, boxes as well).
    score: what networks are judged by: "map", the mean average precision over overlaps of .5 to .95, or "map50", at an
        overlap of .5, of 100 detections an image at most, as COCO counts them (faster-coco-eval).
    classes: the names of all classes, where the set does not say so or another set's are meant; None for those
        that its files name. They are numbered from 1 in the order of their names.
    split_seed: draws what `validation` and `train_images` are, for all lineages.
    train_images: train on so many of the training images, as they are drawn; None for all.
    evaluation_images: measure only the first so many images of the validation and of the test set; None for all.
    """

    name: str = option(check=_name)
    _: KW_ONLY
    validation: Any = option(check=_validation)
    image_size: int = option(check=whole(16, 4_096))
    resize: str = option("fit", check=one_of("fit", "stretch"))
    augment: str = option("none", check=one_of("none", "flip"))
    score: str = option("map", check=one_of(*METRICS))
    classes: Sequence[str] | None = option(
        None, check=maybe(many(text("give names"), "give a list of names", at_least=1, distinct=True))
    )
    split_seed: int = option(0, check=whole(0))
    train_images: int | None = option(None, check=maybe(whole(1)))
    evaluation_images: int | None = option(None, check=maybe(whole(1)))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None:
            if "" in self.classes:
                raise ConfigError(f"Boxes.classes = {list(self.classes)}: a class has no name; give one")
            object.__setattr__(self, "classes", tuple(sorted(self.classes)))

    @property
    def metric(self) -> Metric:
        return METRICS[self.score]
