"""Labelled sentences in files: sentence polarity, and columns of CSV, TSV and Parquet."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError, nearest

NAMES = ("polarity", "csv:PATH", "tsv:PATH", "parquet:PATH")
POLARITY = ("rt-polarity.neg", "rt-polarity.pos")  # a file for each class, a sentence a line


@dataclass(frozen=True)
class Labelled:
    """Sentences and what belongs to each, in their order.

    sentences: a tuple of one or two for each example.
    targets: as they are in the file: words or numbers.
    where: the file they are from, in messages.
    """

    sentences: Sequence[tuple[Any, ...]]
    targets: Sequence[Any]
    where: str

    def __len__(self) -> int:
        return len(self.targets)


def read_sentences(
    name: str, columns: Sequence[str], target: str, tested_on: str, data_root: str | None
) -> tuple[Labelled, Labelled | None]:
    """Return (all, None) of a file, or (those to train on, those to test on) of a folder.

    Raises ConfigError, naming file and row, for what is missing, empty or not UTF-8.
    """
    kind, _, path = name.partition(":")
    if name == "polarity":
        return _polarity(data_root), None
    if kind not in READERS or not path:
        raise ConfigError(f"Sentences.name = {name!r}: no such set; valid: {', '.join(NAMES)}")
    place = (Path(data_root or "").expanduser() / Path(path).expanduser()).absolute()
    if not place.exists():
        raise ConfigError(f"Sentences.name = {name!r}: there is no {place}; give its path, or --data-root")
    if place.is_file():
        return _read([place], kind, columns, target), None
    parts = [_files(place, part, kind) for part in ("train", tested_on)]
    for part, files in zip(("train", tested_on), parts, strict=True):
        if not files:
            raise ConfigError(
                f"Sentences.name = {name!r}: there is no {part}.{kind} in {place}; give a file, or put it there"
            )
    train, test = (_read(files, kind, columns, target) for files in parts)
    return train, test


def _files(folder: Path, part: str, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{part}*.parquet" if kind == "parquet" else f"{part}.{kind}"))


def _polarity(data_root: str | None) -> Labelled:
    folders = [Path(data_root or ".").expanduser() / inner for inner in ("", "sentence_polarity")]
    for folder in folders:
        files = [folder / one for one in POLARITY]
        if all(file.is_file() for file in files):
            break
    else:
        raise ConfigError(
            f"Sentences.name = 'polarity': there is no {' and '.join(POLARITY)} in {folders[0]} or its folder "
            "sentence_polarity; unpack them there, or give --data-root"
        )
    parts = []
    for label, file in enumerate(files):
        lines = _text(file).removesuffix("\n").split("\n")
        part = Labelled([(line.strip(),) for line in lines], [label] * len(lines), str(file))
        parts.append(_checked(part, ("sentence",), "label"))
    return _joined(parts)


def _joined(parts: Sequence[Labelled]) -> Labelled:
    sentences = [one for part in parts for one in part.sentences]
    return Labelled(sentences, [one for part in parts for one in part.targets], parts[0].where)


def _text(file: Path) -> str:
    """Return a file's text. Raise ConfigError, naming file and line, for one that is not UTF-8."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; convert it, as by iconv -t UTF-8"
        ) from None


def _read(files: Sequence[Path], kind: str, columns: Sequence[str], target: str) -> Labelled:
    parts = []
    for file in files:
        table = READERS[kind](file)
        for field, column in (*(("columns", one) for one in columns), ("target", target)):
            if column not in table:
                raise ConfigError(f"Sentences.{field} = {column!r}: no such column in {file}; {nearest(column, table)}")
        sentences = list(zip(*(table[one] for one in columns), strict=True))
        parts.append(_checked(Labelled(sentences, table[target], str(file)), columns, target))
    return _joined(parts)


def _checked(found: Labelled, columns: Sequence[str], target: str) -> Labelled:
    """Return it as it is. Raise ConfigError for the first sentence or target that is none."""
    if not found.targets:
        raise ConfigError(f"{found.where}: it holds no sentence; give at least one")
    for row, (sentences, value) in enumerate(zip(found.sentences, found.targets, strict=True)):
        for column, sentence in zip(columns, sentences, strict=True):
            if not isinstance(sentence, str) or not sentence.strip():
                raise ConfigError(f"{found.where}: {column!r} of row {row} is empty; fill it or drop the row")
        if value is None or value == "" or value != value:
            raise ConfigError(f"{found.where}: {target!r} of row {row} is missing; fill it or drop the row")
    return found


def _separated(delimiter: str, quoting: Any) -> Callable[[Path], dict[str, list[Any]]]:
    def read(file: Path) -> dict[str, list[Any]]:
        lines = _text(file).removesuffix("\n").split("\n")
        rows = list(csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, quoting=quoting))
        if not rows[0]:
            raise ConfigError(f"{file}: its first line is empty; let it name the columns")
        head, *rest = rows
        for number, row in enumerate(rest):
            if len(row) != len(head):
                raise ConfigError(
                    f"{file}: row {number} has {len(row)} columns, and the first line names {len(head)}; mend it"
                )
        return {name: [row[i] for row in rest] for i, name in enumerate(head)}

    return read


def _parquet(file: Path) -> dict[str, list[Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: not a readable Parquet file ({error}); write it anew") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}


READERS: dict[str, Callable[[Path], dict[str, list[Any]]]] = {
    "csv": _separated(",", csv.QUOTE_MINIMAL),
    "tsv": _separated("\t", csv.QUOTE_NONE),
    "parquet": _parquet,
}
