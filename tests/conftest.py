"""Fixtures that every layer's tests share."""

from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets beside the checkout; the product itself never needs them."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Trials train with one thread; so do tests, that their figures and bits agree."""
    torch.set_num_threads(1)
