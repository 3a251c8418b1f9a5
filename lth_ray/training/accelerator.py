"""A GPU that trains: settings under which it gives the same bits twice, what it is, and when it is beyond use."""

import os
import sys
from contextlib import suppress
from typing import Any

import torch

from lth_ray.config import ConfigError

# What libraries read when they begin. NCCL's other algorithms, and sums in the switches, add up in an order of their
# own; Inductor chooses among kernels by timing them, so that two nodes may choose otherwise.
FIXED = {"NCCL_ALGO": "Ring", "NCCL_NVLS_ENABLE": "0", "TORCHINDUCTOR_DETERMINISTIC": "1"}
INDUCTOR = "torch._inductor.config"
COMPILING = "TORCHINDUCTOR_COMPILE_THREADS"


def same_bits(device: torch.device) -> None:
    """Have libraries add up in one order on a GPU, and compute what is called fp32 in it; nothing elsewhere.

    For the whole process, before its first step and its first exchange. Variables of the environment that are set
    already stay as they are.
    """
    if device.type != "cuda":
        return
    for name, value in FIXED.items():
        os.environ.setdefault(name, value)
    if INDUCTOR in sys.modules and hasattr(sys.modules[INDUCTOR], "deterministic"):
        sys.modules[INDUCTOR].deterministic = os.environ["TORCHINDUCTOR_DETERMINISTIC"] == "1"  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # True by default: convolutions of 10 bits under the name of fp32
    torch.backends.cuda.matmul.allow_tf32 = False


def compile_by(processes: int) -> None:
    """Have torch.compile work with so many processes at most: by default it starts as many as the node has cores, up to
    32, in each worker on it.

    A variable of the environment that is set already stays as it is.
    """
    os.environ.setdefault(COMPILING, str(processes))
    if INDUCTOR in sys.modules:
        sys.modules[INDUCTOR].compile_threads = int(os.environ[COMPILING])  # type: ignore[attr-defined]


def check_there(asked: float) -> None:
    """Raise ConfigError where a process was given GPUs and torch sees none: it would train on the CPU in silence.

    asked: GPUs of a worker.
    """
    if asked and not torch.cuda.is_available():
        raise ConfigError(
            f"--gpus-per-worker {asked:g}: Ray gave this process a GPU, and torch.cuda.is_available() is False on "
            f"node {os.uname().nodename}: torch {torch.__version__} was built for CUDA {torch.version.cuda}; install "
            "one that fits the node's driver, or leave the flag out to train on CPUs"
        )


def facts(device: torch.device) -> dict[str, Any]:
    """Return versions and flags that decide a GPU's bits, as plain data; nothing of another device."""
    if device.type != "cuda":
        return {}
    found: dict[str, Any] = {
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "tf32": torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
        **{name.lower(): os.environ.get(name) for name in FIXED},
    }
    with suppress(Exception):  # a torch without NCCL
        found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
    with suppress(Exception):  # NVIDIA's management library is an extra, `gpu`
        import pynvml

        pynvml.nvmlInit()
        found["driver"] = str(pynvml.nvmlSystemGetDriverVersion())
    return found


def is_beyond_use(error: BaseException) -> bool:
    """Return whether an error leaves the process no GPU: every later call would raise it too.

    That memory is short does not: the next training may need less.
    """
    accelerator = getattr(torch, "AcceleratorError", None)  # since torch 2.8
    return accelerator is not None and isinstance(error, accelerator) and not isinstance(error, torch.OutOfMemoryError)
