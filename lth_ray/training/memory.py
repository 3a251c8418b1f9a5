"""The memory of a process that trains."""

import ctypes
import os

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
