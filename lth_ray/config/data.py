"""The images that a study's networks learn from."""

from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import maybe, one_of, option, text, whole
from lth_ray.config.metric import ACCURACY, Metric
from lth_ray.config.task import TaskConfig


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
