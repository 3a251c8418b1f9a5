"""Facts that can be read on one machine.

Only the standard library is imported at once, so that a node lacking the rest still answers; the functions
travel to the nodes by value.
"""

import importlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ray", "lth_ray", "numpy", "pyarrow")
COMPILERS = ("c++", "g++", "clang++")
NVIDIA_SMI_S = 5.0
SHARING = "TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES"  # of Ray Train, which takes all but these for no


@dataclass(frozen=True)
class Facts:
    """A node as it sees itself.

    versions: package -> version, None where it is missing; "python" among them.
    torch_gpus: models that torch may use.
    driver_gpus: those that the NVIDIA driver has.
    hides_gpus: each worker of a team would see its own GPU alone.
    torch_cuda: of torch's build, None for a CPU build.
    disk_free, shm: bytes (shm None where there is no /dev/shm).
    temp_folder: Ray's.
    compiler: its path, "" for none.
    bf16: the processor's instructions for it, "none" for none; None where that is not known.
    gloo_address: what gloo would tell others to connect to, "" where the interface asked for is not there.
    """

    host: str
    versions: dict[str, str | None]
    torch_cuda: str | None
    torch_gpus: tuple[str, ...]
    driver_gpus: tuple[str, ...]
    cuda_visible: str | None
    hides_gpus: bool
    temp_folder: str
    disk_free: int
    shm: int | None
    compiler: str
    bf16: str | None
    gloo_interface: str
    gloo_address: str


def gather() -> dict[str, Any]:
    """Return the fields of Facts, as plain data: the driver's class need not be the node's."""
    interface = os.environ.get("GLOO_SOCKET_IFNAME", "")
    cuda, gpus = torch_sees()
    temp = temp_folder()
    return {
        "host": socket.gethostname(),
        "versions": {"python": platform.python_version()} | {name: version_of(name) for name in PACKAGES},
        "torch_cuda": cuda,
        "torch_gpus": gpus,
        "driver_gpus": driver_sees(),
        "cuda_visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "hides_gpus": os.environ.get(SHARING, "1").lower() not in ("1", "true"),
        "temp_folder": temp,
        "disk_free": shutil.disk_usage(temp).free,
        "shm": shutil.disk_usage("/dev/shm").total if os.path.isdir("/dev/shm") else None,
        "compiler": compiler(),
        "bf16": bf16(),
        "gloo_interface": interface,
        "gloo_address": gloo_address(interface),
    }


def version_of(package: str) -> str | None:
    """Return the version as installed; of lth_ray, which a job may bring with it, also as imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        if package != "lth_ray":
            return None
    try:
        return str(importlib.import_module(package).__version__)
    except ImportError:
        return None


def torch_sees() -> tuple[str | None, tuple[str, ...]]:
    """Return (CUDA version of the build, models of the GPUs that it may use)."""
    try:
        import torch
    except ImportError:
        return None, ()
    try:
        return torch.version.cuda, tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    except (RuntimeError, AssertionError):  # a driver that is too old, or a device in a bad state
        return torch.version.cuda, ()


def driver_sees() -> tuple[str, ...]:
    """Return the models of all GPUs of the machine, whatever CUDA_VISIBLE_DEVICES says."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = (line for line in done.stdout.splitlines() if line.startswith("GPU "))
    return tuple(line.partition(": ")[2].partition(" (UUID")[0] for line in lines)


def temp_folder() -> str:
    """Return Ray's session folder in a worker of it; else the nearest folder there is to where Ray would make
    one.
    """
    try:
        from ray._private import worker

        if worker._global_node is not None:
            return str(worker._global_node.get_session_dir_path())
    except (ImportError, AttributeError):
        pass
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
    return str(next(place for place in (folder, *folder.parents) if place.is_dir()))


def compiler() -> str:
    """Return the C++ compiler that torch.compile would take."""
    names = [name for name in (os.environ.get("CXX"), *COMPILERS) if name]
    return next((found for found in map(shutil.which, names) if found), "")


def bf16() -> str | None:
    """Return what lth_ray finds of the processor's instructions for bf16; None where it is missing."""
    try:
        return importlib.import_module("lth_ray.training.machine").bf16_instructions()  # type: ignore[no-any-return]
    except (ImportError, AttributeError):
        return None


def gloo_address(interface: str) -> str:
    """Return the address as gloo chooses it: the named interface's, else the host name's, else loopback."""
    if interface:
        import psutil

        known = psutil.net_if_addrs().get(interface.split(",")[0], [])
        return next((str(one.address) for one in known if one.family in (socket.AF_INET, socket.AF_INET6)), "")
    try:
        return str(socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return "127.0.0.1"
