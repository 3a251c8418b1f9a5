"""A lab's own step, in a module of its own beside the study; as slow as that of a larger network."""

import os
import time
from typing import Any

import torch.nn.functional as F

PAUSE_S = float(os.environ.get("PAUSE_S", "0"))


def slowly(model: Any, batch: Any) -> Any:
    """For each group of a batch."""
    inputs, labels = batch
    time.sleep(PAUSE_S)
    return F.cross_entropy(model(inputs), labels), {}
