"""Packing image sets over Ray: a task makes a shard, wherever a core is free."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lth_ray.config import ConfigError, Launch
from lth_ray.data.packed.manifest import Manifest, Shard
from lth_ray.data.packed.packing import (
    Note,
    Options,
    Packing,
    Piece,
    clean,
    finish,
    pack_piece,
    packed_already,
    plan_packing,
    total_images,
)
from lth_ray.data.packed.reading import open_packed
from lth_ray.data.packed.shards import verify_shard
from lth_ray.running.machine.scratch import Scratch
from lth_ray.running.machine.signals import Signals
from lth_ray.running.tuning import connected
from lth_ray.running.watch import Interrupted
from lth_ray.store.files import Files
from lth_ray.store.uri import open_files

VERIFIED_AT_ONCE = 4  # shards, each wholly in memory
STOPPING = "stopping; a second Ctrl-C or SIGTERM ends everything at once"
AHEAD = 2  # tasks a core that Ray is given at a time


def pack(
    source: str,
    target: str,
    options: Options,
    skip_corrupt: bool,
    address: str | None,
    cpus: int | None,
    console: Console,
) -> Manifest:
    """Pack the images in the folder `source` into `target`, a folder that every node sees or
    s3://BUCKET/PREFIX.

    What an earlier, interrupted call has packed is not packed again. ConfigError names what is missing or damaged.
    """
    packing, files = plan_packing(Path(source).expanduser().absolute(), options), open_files(target)
    manifest = packed_already(packing, files)
    if manifest is None:
        try:
            notes = _packed(packing, files, address, cpus, console)
        except Interrupted:
            console.print("stopped: what is packed stays, and the same command goes on from there", highlight=False)
            raise
        manifest = finish(packing, notes, files, skip_corrupt)
    else:
        clean(files, manifest)
        console.print(f"{target} is packed already", highlight=False, markup=False, soft_wrap=True)
    console.print(described(manifest, target), highlight=False, markup=False, soft_wrap=True)
    return manifest


def described(manifest: Manifest, target: str) -> str:
    """Return a packed set in a few lines."""
    size = sum(shard.bytes for shard in manifest.train + manifest.test)
    left_out = "".join(f"\n  left out: {line}" for line in manifest.left_out)
    return (
        f"{target}: {manifest.rows('train')} training and {manifest.rows('test')} test images of "
        f"{len(manifest.classes)} classes in {len(manifest.train + manifest.test)} shards, {size / 1e9:.3g} GB; "
        f"digest {manifest.digest[:12]}{left_out}"
    )


def verify(target: str, console: Console) -> int:
    """Read every shard and compare it with the manifest; return the number of those that are missing or
    damaged.
    """
    found = open_packed(target)
    if found is None:
        raise ConfigError(f"{target}: no packed set is there; `lth-ray data pack SOURCE {target}` makes one")
    shards = found.manifest.train + found.manifest.test
    problems = 0
    with _progress(console) as progress, ThreadPoolExecutor(VERIFIED_AT_ONCE) as pool:
        bar = progress.add_task("checked", total=len(shards))

        def checked(shard: Shard) -> str | None:
            return verify_shard(found.files, shard)

        for problem in pool.map(checked, shards):
            progress.advance(bar)
            if problem is not None:
                problems += 1
                console.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    whole = f"{len(shards) - problems} of {len(shards)} shards are whole"
    console.print(f"{described(found.manifest, target)}\n{whole}", highlight=False, markup=False, soft_wrap=True)
    return problems


def _packed(packing: Packing, files: Files, address: str | None, cpus: int | None, console: Console) -> dict[str, Note]:
    """Return every piece's note, by its name."""
    launch = Launch(address=address, cpus=cpus)
    notes: dict[str, Note] = {}
    with (
        Scratch() as scratch,
        Signals(lambda text: console.print(text, highlight=False), scratch.end, STOPPING),
        connected(launch, scratch.folder),
        _progress(console) as progress,
    ):
        bar = progress.add_task("images", total=total_images(packing.pieces))
        for piece, note in _each(packing.pieces, files):
            notes[piece.name] = note
            progress.advance(bar, len(piece.images))
            for line in note.damaged:
                console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return notes


def _each(pieces: tuple[Piece, ...], files: Files) -> Iterator[tuple[Piece, Note]]:
    """Yield the pieces as they are done. Ray holds few at a time: a piece lists thousands of files."""
    task = ray.remote(pack_piece)
    left = deque(pieces)
    running: dict[ray.ObjectRef, Piece] = {}
    while left or running:
        at_once = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))  # a cluster may grow
        while left and len(running) < at_once:
            piece = left.popleft()
            running[task.remote(piece, files)] = piece
        (done,), _ = ray.wait(list(running))
        piece = running.pop(done)
        try:
            note: Note = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, ConfigError) else error from None
        yield piece, note


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)
