"""The start of a process that trains: the memory it keeps, and the imports it does without."""

import ctypes
import inspect
import os
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 1 << 30
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # of torch, which reads it at its first large tensor


def keep_memory() -> None:
    """Have the C library keep what is freed, and huge pages made of what is large, for as long as the process
    lives.

    A step of training frees its activations and asks for the same again. By default large pieces go back to the system
    each time, and thousands of pages are cleared anew at every step. It changes no result; where the C library is
    another, nothing happens. For a process that was started to train, before it has made large tensors.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, LARGE)
        mallopt(MMAP_THRESHOLD, LARGE)


GUARDED: tuple[Callable[..., Any], ...] = (
    Optimizer.add_param_group,
    Optimizer.load_state_dict,
    Optimizer.state_dict,
    Optimizer.zero_grad,
)


def spare_dynamo() -> None:
    """Keep torch.optim from importing torch._dynamo, which takes as long as torch, as soon as an optimizer is
    made.

    Its methods are kept out of graphs by `torch._dynamo.disable`, which matters to nobody here (torch.compile is given
    the model alone). torch/_compile.py looks for the guarded method in an attribute of the bare one before it imports;
    where a version of torch does not, this changes nothing. Autograd's path imports it all the same, at its first step.
    """
    for method in GUARDED:
        bare = inspect.unwrap(method)
        setattr(bare, "__dynamo_disable", bare)
