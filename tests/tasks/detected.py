"""Made-up detections, and the boxes that are there."""

import torch
from torch import Tensor

Detections = list[dict[str, Tensor]]


def random_detections(images: int) -> tuple[Detections, Tensor, Tensor]:
    """Boxes that are there, and guesses near some of them and elsewhere, of three classes."""
    generator = torch.Generator().manual_seed(0)

    def drawn(n: int) -> Tensor:
        corner = torch.rand(n, 2, generator=generator) * 60
        return torch.cat([corner, corner + 5 + 30 * torch.rand(n, 2, generator=generator)], 1)

    labels = torch.randint(1, 4, (images, 6), generator=generator)
    boxes = torch.stack([drawn(6) for _ in range(images)])
    guesses = []
    for own, kinds in zip(boxes, labels, strict=True):
        near = own[:4] + torch.randn(4, 4, generator=generator) * 2
        scores = torch.rand(8, generator=generator)
        more = torch.randint(1, 4, (4,), generator=generator)
        guesses.append({"boxes": torch.cat([near, drawn(4)]), "scores": scores, "labels": torch.cat([kinds[:4], more])})
    return guesses, boxes, labels
