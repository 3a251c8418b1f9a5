"""Packing and verifying of texts, as `lth-ray data pack --level` and `lth-ray data verify` do it."""

from pathlib import Path

from rich.console import Console

from lth_ray.config import ConfigError, Text
from lth_ray.data.text.catalogue import WIKITEXT, find_parts
from lth_ray.data.text.lines import ENDINGS
from lth_ray.data.text.packed import PackedText, open_packed, pack, verify


def pack_text(
    source: str, target: str, level: str, vocabulary: int | None, min_count: int, column: str, console: Console
) -> PackedText:
    """Pack a text into the folder `target`, whose earlier content of the same vocabulary stands.

    source: a folder of train.txt, valid.txt and test.txt or of Parquet files, or the name of a text.
    """
    if "://" in target:
        raise ConfigError(f"TARGET = {target!r}: texts are mapped into memory, so that they are packed into a folder")
    Text("text:", batch_size=1, window=1, level=level, vocabulary=vocabulary, min_count=min_count)  # checks these
    folder, packed = Path(target).expanduser(), open_packed(Path(target).expanduser())
    parts = find_parts(_named(source), column)
    if packed is None:
        packed = pack(parts, level, vocabulary, min_count, folder)
    elif (packed.level, packed.asked, packed.min_count) != (level, vocabulary, min_count):
        raise ConfigError(
            f"{target}: a text is packed there with another vocabulary; give another folder, or remove it"
        )
    elif {name: part.digest() for name, part in parts.items()} != {n: p.digest for n, p in packed.parts.items()}:
        raise ConfigError(f"{target}: another text is packed there than {source}; give another folder, or remove it")
    else:
        console.print(f"{target} is packed already", highlight=False, markup=False, soft_wrap=True)
    console.print(described(packed), highlight=False, markup=False, soft_wrap=True)
    return packed


def described(packed: PackedText) -> str:
    """Return a packed text in a line."""
    parts = ", ".join(f"{part.tokens:,} to {_use(name)}" for name, part in packed.parts.items())
    return f"{packed.folder}: tokens ({packed.level}): {parts}; {packed.size:,} in the vocabulary; {packed.digest[:12]}"


def verify_text(packed: PackedText, console: Console) -> int:
    """Read a packed text and compare it with its manifest; return the number of files that are missing or damaged."""
    problems = verify(packed)
    for problem in problems:
        console.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    whole = f"{len(packed.parts) + 1 - len(problems)} of {len(packed.parts) + 1} files are whole"
    console.print(f"{described(packed)}\n{whole}", highlight=False, markup=False, soft_wrap=True)
    return len(problems)


def _use(part: str) -> str:
    return {"train": "train on", "validation": "validate", "test": "test"}[part]


def _named(source: str) -> str:
    """Return the name of the text in a folder, by what it holds."""
    if source in WIKITEXT:
        return source
    folder = Path(source).expanduser()
    kind = "text" if any((folder / f"train{ending}").is_file() for ending in ENDINGS) else "parquet"
    return f"{kind}:{folder}"
