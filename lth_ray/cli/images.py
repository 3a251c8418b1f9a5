"""The commands of `lth-ray data`: large image sets and texts, packed and checked."""

import sys
from pathlib import Path

import click
from rich.console import Console

from lth_ray.cli.options import ADDRESS, CPUS, Commands
from lth_ray.config.tasks.text import MADE


@click.group(cls=Commands)
def data() -> None:
    """Pack large image sets into shards and texts into tokens for training, and check them."""


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
@click.option("--level", type=click.Choice(MADE), help="SOURCE is a text, to be cut into these tokens.")
@click.option("--vocabulary", type=int, help="Of a text: the most tokens, for words and byte pairs.")
@click.option("--min-count", type=int, default=1, show_default=True, help="Of a text: rarer words are <unk>.")
@click.option(
    "--column", default="text", show_default=True, help="Of a text in Parquet files: the column that holds it."
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
    level: str | None,
    vocabulary: int | None,
    min_count: int,
    column: str,
    address: str | None,
    cpus: int | None,
) -> None:
    """Pack the images in SOURCE into TARGET, a folder or s3://BUCKET/PREFIX.

    SOURCE has train/ and val/ with a folder per class, or Hugging Face Parquet files. After an interruption
    the same command goes on. With --level SOURCE is a text: a folder of train.txt, valid.txt and test.txt
    (or .txt.gz), one of Hugging Face Parquet files, or wikitext2 or wikitext103; TARGET is a folder.
    """
    if level is not None:
        from lth_ray.commands.packed_text import pack_text

        pack_text(source, target, level, vocabulary, min_count, column, Console(stderr=True))
        return
    from lth_ray.data.packed.packing import Options
    from lth_ray.running import packing

    options = Options(short_side, quality, shard_mb)
    packing.pack(source, target, options, skip_corrupt, address, cpus, Console(stderr=True))


@data.command()
@click.argument("target")
def verify(target: str) -> None:
    """Read every file of the packed set or text TARGET and compare it with the manifest."""
    from lth_ray.commands.packed_text import verify_text
    from lth_ray.data.text.packed import is_packed_text, open_packed
    from lth_ray.running import packing

    if is_packed_text(Path(target)):
        text = open_packed(Path(target))
        assert text is not None
        sys.exit(1 if verify_text(text, Console(stderr=True)) else 0)

    sys.exit(1 if packing.verify(target, Console(stderr=True)) else 0)


COMMANDS = (data,)
