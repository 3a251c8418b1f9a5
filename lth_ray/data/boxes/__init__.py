"""Images with boxes: three formats of files, one content."""

from lth_ray.data.boxes.loading import Pictures, PictureSet, identify, load
from lth_ray.data.boxes.streaming import PictureBatches

__all__ = ["PictureBatches", "PictureSet", "Pictures", "identify", "load"]
