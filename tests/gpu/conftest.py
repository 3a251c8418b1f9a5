"""The device, and settings under which a GPU gives the same bits twice."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: torch.cuda.is_available() is False")
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def same_bits(device: torch.device) -> Iterator[None]:
    """cuDNN takes algorithms that add up in one order."""
    was = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = was
