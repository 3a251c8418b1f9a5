"""Several processes that train together over gloo, forked from the test's own."""

import faulthandler
import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lth_ray.training import Team


def together(size: int, work: Callable[[Team], Any], timeout_s: float = 120, last_words: bool = True) -> list[Any]:
    """Return what `work` returns in each of `size` processes, by rank; plain data or tensors.

    last_words: each waits for the others before it ends; else it leaves them, as one does that is killed.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        members = [
            context.Process(target=_member, args=(rank, size, folder, work, last_words, timeout_s))
            for rank in range(size)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join(timeout_s)
        for member in members:
            if member.is_alive():
                member.kill()
        found = [torch.load(Path(folder, f"{rank}.pt")) for rank in range(size) if Path(folder, f"{rank}.pt").exists()]
        stacks = [path.read_text() for path in sorted(Path(folder).glob("*.stack"))]
        errors = [path.read_text() for path in sorted(Path(folder).glob("*.error"))]
        assert len(found) == size, "\n".join(
            errors or [f"{size - len(found)} of {size} processes never answered", *stacks]
        )
        return found


def _member(rank: int, size: int, folder: str, work: Callable[[Team], Any], last_words: bool, timeout_s: float) -> None:
    torch.set_num_threads(1)
    with Path(folder, f"{rank}.stack").open("w") as stack:
        faulthandler.dump_traceback_later(0.9 * timeout_s, file=stack)  # where it hangs, should it
        _work(rank, size, folder, work, last_words)
        faulthandler.cancel_dump_traceback_later()


def _work(rank: int, size: int, folder: str, work: Callable[[Team], Any], last_words: bool) -> None:
    try:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
        torch.save(work(Team.present()), Path(folder, f"{rank}.pt"))
        if last_words:
            dist.barrier()
    except BaseException:
        Path(folder, f"{rank}.error").write_text(traceback.format_exc())
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
