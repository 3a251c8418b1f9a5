"""Batches on their way to a GPU while it trains on the one before: copies on a stream of their own."""

from collections.abc import Iterator
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def ahead(batches: Iterator[T], device: torch.device) -> Iterator[T]:
    """Yield `batches` on `device`, in their order; the copy of the next one is under way when one is yielded.

    What is no tuple of tensors, such as an error, is passed on as it is. The bytes are those that a copy on the
    device's present stream would bring.
    """
    side = torch.cuda.Stream(device)
    following: Any = None
    for made in batches:
        present, following = following, _sent(made, device, side)
        if present is not None:
            yield _arrived(present, device)
    if following is not None:
        yield _arrived(following, device)


def _sent(made: Any, device: torch.device, side: Any) -> Any:
    """Start the copies on the side stream; return them, and the event of their end."""
    if not isinstance(made, tuple):
        return made
    with torch.cuda.stream(side):
        parts = tuple(part.to(device, non_blocking=True) for part in made)
    return parts, side.record_event()


def _arrived(sent: Any, device: torch.device) -> Any:
    """Let the present stream wait for these copies, and their memory for the present stream."""
    if not isinstance(sent, tuple):
        return sent
    parts, copied = sent
    present = torch.cuda.current_stream(device)
    present.wait_event(copied)
    for part in parts:
        part.record_stream(present)
    return parts
