"""The environment of a result: equal content is promised only within one."""

import os
import platform
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from lth_ray import __version__
from lth_ray.training.kernels import library


@lru_cache(maxsize=16)
def environment(device: str, world_size: int = 1) -> dict[str, Any]:
    """Return device model, instruction set, threads, world size and library versions, as plain data."""
    packages = {}
    for name in ("torch", "torchvision", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "unknown"
    packages["lth_ray"] = __version__  # of the code that is run, whatever was installed last
    is_cuda = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else _processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "kernels": library.instruction_set(),
        "threads": torch.get_num_threads(),
        "world_size": world_size,
        "python": platform.python_version(),
        "platform": sys.platform,
        "packages": packages,
    }


def _processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
