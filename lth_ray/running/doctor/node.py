"""Questions to a node: the methods of an actor that runs on it, or of a plain object on this machine."""

import importlib
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from lth_ray.running.doctor.facts import gather
from lth_ray.running.doctor.mounted import MOUNTS, file_system

Server = tuple[str, int]  # address, port
REACH_S = 3.0
LARGE = 25_000_000  # floats, 100 MB: as much as a step of ResNet-50 exchanges
ALL = "all-"  # what the groups over all nodes are called
ENFORCED = re.compile(r"\[enforce fail at .*?\] (ifa != nullptr\. )?")  # where in its source gloo gave up


class Probe:
    """A probe that answers in plain data; lth_ray is imported only by what needs it, since a node may lack
    it.
    """

    def __init__(self) -> None:
        self._kept: list[Any] = []  # servers of rendezvous, which end with this process
        self._speeds: dict[str, float] = {}  # of process groups: 10**9 bytes a second

    def facts(self) -> dict[str, Any]:
        return gather()

    def clock(self) -> float:
        return time.time()

    def storage(self, uri: str, folder: str, nonce: str, name: str) -> str:
        """Read the driver's note and leave one of its own; return "written", "absent" or "other"."""
        from lth_ray.store import MissingFile, Store

        store = Store.open(uri, writable=False)
        try:
            if store.get(f"{folder}/driver") != nonce.encode():
                return "other"
        except MissingFile:
            return "absent"
        store.put(f"{folder}/{name}", nonce.encode())
        return "written"

    def data(self, name: str, data_root: str | None) -> str:
        """Return the digest of a data set as this node finds it. Raise ConfigError."""
        from lth_ray.config import Data
        from lth_ray.data import identify

        size = 224 if name.startswith(("parquet:", "arrow:", "folder:")) else None  # images of any size are looked up
        return identify(Data(name, batch_size=1, validation=0, image_size=size), data_root).digest

    def shards(self, name: str, data_root: str | None) -> str:
        """Return the kind of file system that a packed set lies on here; "" for another set, or with a cache."""
        from lth_ray.data.packed.reading import find_packed, is_packed
        from lth_ray.data.packed.shard_cache import FOLDER

        if not is_packed(name) or os.environ.get(FOLDER) or not MOUNTS.exists():
            return ""
        found = find_packed(name, Path(data_root) if data_root else None).files.uri
        return "" if "://" in found else file_system(str(Path(found).resolve()), MOUNTS.read_text())

    def open_rendezvous(self) -> int:
        """Start a server here through which process groups find each other; return its port."""
        store = _c10d().TCPStore("0.0.0.0", 0, is_master=True, wait_for_workers=False)
        self._kept.append(store)
        return int(store.port)

    def join(self, backend: str, server: Server, group: str, rank: int, size: int, timeout_s: float) -> str:
        """Sum a few numbers over a process group of `size`; return "" where that worked, else why not."""
        try:
            socket.create_connection(server, REACH_S).close()  # TCPStore would try for twice its time limit
        except OSError as error:
            return f"no connection to {server[0]}, port {server[1]}: {error}"
        import torch

        try:
            numbers = torch.full((4,), float(rank + 1), device="cuda" if backend == "nccl" else "cpu")
            members = _process_group(backend, server, group, rank, size, timedelta(seconds=timeout_s))
            members.allreduce([numbers]).wait(timedelta(seconds=timeout_s))
            total = numbers.tolist()
        except Exception as error:  # torch raises many kinds, and each is what was to be found out
            return ENFORCED.sub("", next(iter(str(error).splitlines()), "")) or type(error).__name__
        self._kept.append(members)
        self._time(members, group, backend, size, timeout_s)
        return "" if total == [size * (size + 1) / 2] * 4 else f"a sum over {size} ranks gave {total}"

    def speed(self, group: str) -> float | None:
        """Return the 10**9 bytes a second at which a process group summed 100 MB; None where it did not."""
        return self._speeds.get(group)

    def _time(self, members: Any, group: str, backend: str, size: int, timeout_s: float) -> None:
        """Sum 100 MB by the clock. That it takes too long is no fault."""
        import torch

        if size == 1 or not group.startswith(ALL):
            return
        with suppress(Exception):
            numbers = torch.zeros(LARGE, device="cuda" if backend == "nccl" else "cpu")
            began = time.monotonic()
            members.allreduce([numbers]).wait(timedelta(seconds=timeout_s))
            float(numbers[0])  # which waits for a GPU
            self._speeds[group] = 4e-9 * LARGE / (time.monotonic() - began)

    def pairs(self, groups: list[tuple[str, Server, int]], timeout_s: float) -> dict[str, str]:
        """Join by gloo groups of two, [(name, server, rank)], all at once; return {name: "" or why not}."""

        def talk(group: tuple[str, Server, int]) -> str:
            name, server, rank = group
            return self.join("gloo", server, name, rank, 2, timeout_s)

        with ThreadPoolExecutor(max(1, len(groups))) as threads:
            return dict(zip((name for name, _, _ in groups), threads.map(talk, groups), strict=True))


def _process_group(backend: str, server: Server, group: str, rank: int, size: int, timeout: timedelta) -> Any:
    """Return a process group that is no process-wide default, so that a failed one leaves nothing behind."""
    c10d = _c10d()
    store = c10d.PrefixStore(group, c10d.TCPStore(*server, is_master=False, timeout=timeout))
    if backend == "gloo":
        return c10d.ProcessGroupGloo(store, rank, size, timeout)
    options = c10d.ProcessGroupNCCL.Options()
    options._timeout = timeout
    return c10d.ProcessGroupNCCL(store, rank, size, options)


def _c10d() -> Any:
    """Return torch.distributed, which does not declare the names it has from C++."""
    return importlib.import_module("torch.distributed")
