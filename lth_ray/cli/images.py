"""The commands of `lth-ray data`: large image sets, packed and checked."""

import sys

import click
from rich.console import Console

from lth_ray.cli.options import ADDRESS, CPUS, Commands


@click.group(cls=Commands)
def data() -> None:
    """Pack large image sets into shards for training, and check them."""


@data.command()
@click.argument("source")
@click.argument("target")
@click.option("--short-side", type=int, help="Shrink larger images to a short side of so many pixels; by default none.")
@click.option(
    "--quality", type=int, default=90, show_default=True, help="Encode images that are made anew at this quality."
)
@click.option("--skip-corrupt", is_flag=True, help="Leave out what cannot be read; it is named in the manifest.")
@click.option(
    "--shard-mb",
    type=int,
    default=128,
    show_default=True,
    help="Put so many megabytes of SOURCE's images into a shard.",
)
@ADDRESS
@CPUS
def pack(
    source: str,
    target: str,
    short_side: int | None,
    quality: int,
    skip_corrupt: bool,
    shard_mb: int,
    address: str | None,
    cpus: int | None,
) -> None:
    """Pack the images in SOURCE into TARGET, a folder or s3://BUCKET/PREFIX.

    SOURCE has train/ and val/ with a folder per class, or Hugging Face Parquet files. After an interruption
    the same command goes on.
    """
    from lth_ray.data.packed.packing import Options
    from lth_ray.running import packing

    options = Options(short_side, quality, shard_mb)
    packing.pack(source, target, options, skip_corrupt, address, cpus, Console(stderr=True))


@data.command()
@click.argument("target")
def verify(target: str) -> None:
    """Read every shard of the packed set TARGET and compare it with the manifest."""
    from lth_ray.running import packing

    sys.exit(1 if packing.verify(target, Console(stderr=True)) else 0)


COMMANDS = (data,)
