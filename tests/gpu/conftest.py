"""The device."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: torch.cuda.is_available() is False")
    return torch.device("cuda", 0)
