"""Images and the boxes in them: the losses of torchvision's detectors, mean average precision."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from lth_ray.config import Boxes, ConfigError, Train
from lth_ray.config.blame import in_one_line
from lth_ray.data import Identity
from lth_ray.data.batches import shared_out
from lth_ray.data.boxes import PictureBatches, Pictures, PictureSet, identify, load
from lth_ray.data.boxes.streaming import batch_of
from lth_ray.models.tied import evaluating
from lth_ray.tasks.base import Batch, Evaluation, Step, Stream, Task
from lth_ray.tasks.mean_precision import check_counter, mean_precision, rows_of

Found = tuple[Tensor, list[dict[str, Tensor]]]  # a mean loss, and what is found in each image
SEED = 0  # of what detectors draw where their loss is measured
CALL = "return a dict of losses for (images, targets) in training, and a list of dicts of boxes, labels and scores else"


class Detection(Task[Boxes]):
    """Detection (config.Boxes). A batch is (images float32 [B, 3, S, S], boxes [B, m, 4], labels [B, m], counts [B]).

    Networks are called as torchvision's detectors are. An image goes through them by itself where they are measured, so
    that nothing that is measured of it depends on others.
    """

    def check(self, train: Train) -> None:
        """Raise ConfigError for what detectors, whose losses are their own, have no place for."""
        wrong = {
            "loss": (train.loss, "a detector gives its losses itself; give Train(step=...) to weigh them"),
            "label_smoothing": (train.label_smoothing, "a detector's losses are its own; leave it out"),
            "sync_batch_norm": (
                train.sync_batch_norm,
                "losses are means over what is sampled of a group's images; give Train(batch_norm_group=...)",
            ),
        }
        for name, (value, why) in wrong.items():
            if value:
                raise ConfigError(f"Train.{name} = {value!r}: {why}")
        if train.replicates > 1:
            raise ConfigError(
                f"Train.replicates = {train.replicates}: detectors cannot be trained together; train each by itself"
            )

    def identify(self, data_root: str | Path | None = None) -> Identity:
        check_counter()
        return identify(self.config, data_root)

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> PictureSet:
        return load(self.config, data_root, device)

    def stream(self, loaded: PictureSet, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        config = self.config
        return PictureBatches(
            loaded.train, config.batch_size, order_seed, augmentation_seed, augment=config.augment, part=part
        )

    def splits(self, loaded: PictureSet) -> Mapping[str, Pictures]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: self.measured(part) for name, part in found.items() if part is not None}

    def measured(self, split: Pictures) -> Pictures:
        n = self.config.evaluation_images
        return split if n is None else split.first(n)

    def examples(self, loaded: PictureSet, split: Pictures, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for i in shared_out(len(split), share):
            yield batch_of(Pictures(*(tensor[i : i + 1] for tensor in split.tensors)))

    def evidence(self, loaded: PictureSet, order: int, number: int = 0) -> Batch:
        """Return a batch in the training order."""
        return PictureBatches(loaded.train, self.config.batch_size, order, 0).batch(number)

    def loss(self, train: Train) -> Step:
        return losses

    def caller(self, model: Callable[..., Any]) -> Callable[[Batch], Found]:
        """Return what gives a batch's mean loss, with the statistics of evaluation, and what is found in its images."""

        def call(batch: Batch) -> Found:
            device, found = batch[0].device, detections(model, batch[0])
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(SEED)  # what is sampled for an image's loss is the same whenever it is measured
                return losses(model, batch)[0], found

        return call

    def sums(self, outputs: Found, batch: Batch) -> Tensor:
        """Return [sum of losses, images]."""
        n = len(batch[0])
        loss = outputs[0].double() * n
        return torch.stack([loss, torch.full_like(loss, n)])

    def kept(self, outputs: Found, batch: Batch) -> Tensor:
        return rows_of(outputs[1], batch[1], batch[2])

    def judged(self, sums: Tensor, kept: Tensor) -> Evaluation:
        loss, n = sums.tolist()
        whole, half = mean_precision(kept)
        return Evaluation(loss / n, whole if self.config.score == "map" else half, int(n))

    def evaluation(self, sums: Tensor) -> Evaluation:
        raise NotImplementedError("mean average precision is made from no sums: see `judged`")

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape),)

    def chance(self, identity: Identity) -> float:
        return 0.0


def targets_of(batch: Batch) -> list[dict[str, Tensor]]:
    """Return the boxes and labels of each image, as torchvision's detectors take them: none that is passed over."""
    _, boxes, labels, counts = batch
    return [
        {"boxes": own[:n], "labels": kinds[:n]} for own, kinds, n in zip(boxes, labels, counts.tolist(), strict=True)
    ]


def losses(model: Callable[..., Any], batch: Batch) -> tuple[Tensor, dict[str, Any]]:
    """Return the sum of a detector's losses, and each of them by its name."""
    with _giving_losses(model):
        found = model(list(batch[0]), targets_of(batch))
    is_dict = isinstance(found, Mapping) and bool(found)
    if not is_dict or not all(isinstance(loss, Tensor) and loss.dim() == 0 for loss in found.values()):
        raise ConfigError(f"Model: in training it gives {_kind(found)}, and no dict of losses; let it {CALL}")
    total: Tensor = sum(found.values())
    return total, {name: loss.detach() for name, loss in found.items()}


def detections(model: Callable[..., Any], images: Tensor) -> list[dict[str, Tensor]]:
    """Return what a detector in evaluation mode finds in each image."""
    found: Any = model(list(images))
    is_list = isinstance(found, list) and len(found) == len(images)
    if not is_list or not all(
        isinstance(one, Mapping) and {"boxes", "labels", "scores"} <= one.keys() for one in found
    ):
        raise ConfigError(f"Model: in evaluation it gives {_kind(found)}, and not what it finds; let it {CALL}")
    checked: list[dict[str, Tensor]] = found
    return checked


def try_detector(model: nn.Module, identity: Identity, what: str) -> None:
    """Raise ConfigError for a network that is called otherwise than detectors are. It is left in training mode."""
    side = identity.input_shape[-1]
    images = torch.full((2, *identity.input_shape), 0.5)
    boxes = torch.tensor([[[0.25, 0.25, 0.75, 0.75]]] * 2) * side
    batch = (images, boxes, torch.ones(2, 1, dtype=torch.int64), torch.ones(2, dtype=torch.int64))
    try:
        losses(model.train(), batch)
        with torch.no_grad():
            detections(model.eval(), images)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{what}: it fails on made-up images and boxes ({in_one_line(error)}); let it {CALL}"
        ) from error
    finally:
        model.train()


@contextmanager
def _giving_losses(model: Any) -> Iterator[None]:
    """Put a network that is in evaluation mode in the one in which detectors give losses; norms and dropout stay in
    theirs.
    """
    if model.training:
        yield
        return
    others = [one for one in model.modules() if one.training or not isinstance(one, (_NormBase, _DropoutNd))]
    with evaluating(model, others):
        yield


def _kind(found: object) -> str:
    named = f" of {', '.join(map(str, found))}" if isinstance(found, Mapping) else ""
    return f"a {type(found).__name__}{named}"
