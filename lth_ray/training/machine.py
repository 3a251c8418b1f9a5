"""The machine that trains: what it is, as the environment of a result, and how it is used, sampled beside training."""

import logging
import platform
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lth_ray import __version__
from lth_ray.training import accelerator
from lth_ray.training.kernels import library

BF16 = ("amx_bf16", "avx512_bf16", "bf16")  # the instructions for it, by name; the widest first, ARM's last
CPUINFO = Path("/proc/cpuinfo")
EVERY_S, MOST = 5.0, 120  # between samples at first; so many are kept, and every other one goes where there are more
MEGABYTE = 1e6


class Usage:
    """A sampler in a thread while it is entered, every EVERY_S seconds at first, and once more at the end.

    columns: {name: a value for each sample}, by MLflow's names for system metrics, which describe the machine; those
    of this process begin with system/process. "moment": milliseconds since 1970.
    A GPU's utilisation is there only where NVIDIA's management library is.
    """

    def __init__(self, device: str) -> None:
        import psutil

        self._machine, self._process, self._device = psutil, psutil.Process(), torch.device(device)
        self._rows: list[dict[str, float]] = []
        self._every_s = EVERY_S
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lth_ray-usage", daemon=True)

    def __enter__(self) -> "Usage":
        with suppress(Exception):
            self._machine.cpu_percent()  # both measure since the last call, this one since the same thread's
            self._process.cpu_percent()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join(EVERY_S)  # a device that hangs holds up nobody
        self._add()

    @property
    def columns(self) -> dict[str, list[float]]:
        names = [name for name in self._rows[-1] if all(name in row for row in self._rows)] if self._rows else []
        return {name: [row[name] for row in self._rows] for name in names}

    def _run(self) -> None:
        with suppress(Exception):
            self._machine.cpu_percent()
        while not self._ended.wait(self._every_s):
            self._add()
            if len(self._rows) >= MOST:
                self._rows, self._every_s = self._rows[1::2], 2 * self._every_s

    def _add(self) -> None:
        with suppress(Exception):  # of whatever library: no training is lost for want of a sample
            self._rows.append(self.sample())

    def sample(self) -> dict[str, float]:
        memory = self._machine.virtual_memory()
        return {
            "moment": int(time.time() * 1000),
            "system/cpu_utilization_percentage": self._machine.cpu_percent(),
            "system/system_memory_usage_megabytes": round(memory.used / MEGABYTE, 1),
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_usage_megabytes": round(self._process.memory_info().rss / MEGABYTE, 1),
            **self._gpu(),
        }

    def _gpu(self) -> dict[str, float]:
        if self._device.type != "cuda":
            return {}
        index: int | None = self._device.index  # None: whichever is current
        number = torch.cuda.current_device() if index is None else index
        free, total = torch.cuda.mem_get_info(number)
        used = total - free
        found = {
            "memory_usage_megabytes": used / MEGABYTE,
            "memory_usage_percentage": 100 * used / total,
        }
        with suppress(Exception):  # there is no management library, or it cannot say that of this GPU: NVMLError
            found["utilization_percentage"] = float(torch.cuda.utilization(number))
        return {f"system/gpu_{number}_{name}": round(value, 1) for name, value in found.items()}


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
        "bf16": None if is_cuda else bf16_instructions(),
        "threads": torch.get_num_threads(),
        "world_size": world_size,
        "python": platform.python_version(),
        "platform": sys.platform,
        "packages": packages,
        **({"gpu": accelerator.facts(torch.device(device))} if is_cuda else {}),
    }


def bf16_instructions() -> str | None:
    """Return the name of this processor's instructions for bf16, "none" for none; None where it does not say."""
    stated = (_stated("flags") or _stated("Features") or "").split()
    return next((name for name in BF16 if name in stated), "none") if stated else None


def slow_in(precision: str, device: str) -> str | None:
    """Return in words why training in a precision is slow on this machine, None where it is not.

    device: its type, "cpu" or another.
    """
    if precision != "bf16" or device != "cpu" or bf16_instructions() != "none":
        return None
    return (
        "Train.precision = 'bf16': this processor has no instructions for it (avx512_bf16 or amx_bf16), so that a step "
        "takes several times as long as in 'fp32'"
    )


@lru_cache(maxsize=1)
def warn_once(what: str) -> None:
    """Say to the log what is the same for every training of a process."""
    logging.getLogger("lth_ray").warning("%s.", what)


def _processor() -> str:
    return _stated("model name") or platform.processor() or platform.machine()


def _stated(name: str) -> str | None:
    """Return what the system says of its first processor under a name."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
