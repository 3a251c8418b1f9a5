"""The catalogue of texts, from the fields of config.Text: names, places, and their packed form in the cache."""

import hashlib
import json
import tempfile
import urllib.request
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError, Text, nearest
from lth_ray.data.cache import cache_dir
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.sets.download import download, places
from lth_ray.data.sets.parquet import shards
from lth_ray.data.text.given import LEVEL, Given
from lth_ray.data.text.lines import ENDINGS, STEMS, Part
from lth_ray.data.text.packed import PackedText, open_packed, pack
from lth_ray.data.text.vocabulary import UNKNOWN, Words

NAMES = ("wikitext2", "wikitext103", "text:PATH", "parquet:PATH", "packed:PATH")
WIKITEXT = {"wikitext2": "wikitext-2-v1", "wikitext103": "wikitext-103-v1"}  # Merity et al. 2017, as on the Hub
HUB = "https://huggingface.co/datasets/Salesforce/wikitext/resolve/main"
WIKITEXT_FILES = {
    "wikitext2": [f"{part}-00000-of-00001.parquet" for part in ("train", "validation", "test")],
    "wikitext103": [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        *(f"{part}-00000-of-00001.parquet" for part in ("validation", "test")),
    ],
}


def find_text(config: Text, data_root: str | Path | None = None, given: Given | None = None) -> PackedText:
    """Return a text in its packed form, which is made once and kept in the user's cache.

    given: the vocabulary of config.tokenizer, where there is one.

    Errors: ConfigError for an unknown name, another vocabulary than a packed text has, and words of the test part for
    which there is no number; MissingDataset; DamagedDataset.
    """
    return _found(
        config.name,
        config.level,
        config.vocabulary,
        config.min_count,
        config.column,
        None if data_root is None else Path(data_root).expanduser(),
        given,
    )


@lru_cache(maxsize=4)
def _found(
    name: str, level: str, size: int | None, min_count: int, column: str, data_root: Path | None, given: Given | None
) -> PackedText:  # fmt: skip
    kind, _, path = name.partition(":")
    if kind == "packed" and path:
        place = (data_root or Path()) / Path(path).expanduser()
        packed = open_packed(place)
        if packed is None:
            raise MissingDataset(f"Text.name = {name!r}: no packed text in {place}; `lth-ray data pack` makes one")
        for field, asked, there in (
            ("level", level, packed.level),
            ("vocabulary", size, packed.asked),
            ("min_count", min_count, packed.min_count),
        ):
            if asked != there:
                raise ConfigError(
                    f"Text.{field} = {asked!r}: {place} was packed with {there!r}; give that, or pack it anew"
                )
        _check_unknown(packed)
        return packed
    parts = find_parts(name, column, data_root)
    packed = _kept(parts, level, size, min_count, given)
    _check_unknown(packed, parts)
    return packed


def find_parts(name: str, column: str = "text", data_root: Path | None = None) -> dict[str, Part]:
    """Return the parts of a text by its name: "train", "test" and, where there is one, "validation"."""
    kind, _, path = name.partition(":")
    if name in WIKITEXT:
        return _wikitext(name, data_root)
    if kind not in ("text", "parquet") or not path:
        raise ConfigError(f"Text.name = {name!r} is unknown: {nearest(name, NAMES)}")
    place = (data_root or Path()) / Path(path).expanduser()
    found = _in_folder(place) if kind == "text" else _in_parquet(place, column)
    missing = [part for part in ("train", "test") if part not in found]
    if missing:
        ending = ".txt (or .txt.gz)" if kind == "text" else "-*.parquet"
        what = "is a file" if place.is_file() else f"there is no {missing[0]}{ending}"
        raise MissingDataset(
            f"Text.name = {name!r}: {place}: {what}; give a folder with {' and '.join(f'{m}{ending}' for m in missing)}"
            f"{'' if data_root else ', or --data-root'}"
        )
    return found


def _in_folder(folder: Path) -> dict[str, Part]:
    there = {
        part: [path for stem in stems for ending in ENDINGS if (path := folder / f"{stem}{ending}").is_file()]
        for part, stems in STEMS.items()
    }
    for paths in there.values():
        if len(paths) > 1:
            raise DamagedDataset(folder, f"has both {paths[0].name} and {paths[1].name}", "remove one of them")
    return {part: Part((paths[0],)) for part, paths in there.items() if paths}


def _in_parquet(path: Path, column: str) -> dict[str, Part]:
    folder = next((f for f in (path, path / "data") if f.is_dir() and shards(f, "train")), path)
    found = {part: next((s for stem in stems if (s := _shards(folder, stem))), []) for part, stems in STEMS.items()}
    return {part: Part(tuple(paths), column) for part, paths in found.items() if paths}


def _shards(folder: Path, stem: str) -> Sequence[Path]:
    return shards(folder, stem) if folder.is_dir() else []


def _wikitext(name: str, data_root: Path | None) -> dict[str, Part]:
    """Return WikiText, found under the data root or the cache, or downloaded there."""
    looked: list[Path] = []
    for place in places(data_root):
        for folder in (place / WIKITEXT[name], place / name, place / "wikitext" / WIKITEXT[name]):
            found = (_in_folder(folder) or _in_parquet(folder, "text")) if folder.is_dir() else {}
            if {"train", "test"} <= found.keys():
                return found
            looked.append(folder)
    why = download(WIKITEXT[name], data_root, lambda place: _fetch(name, Path(place)))
    if why is None:
        return _wikitext(name, data_root)
    raise MissingDataset(
        f"Text.name = {name!r}: not in {', '.join(map(str, looked[:3]))}, and it cannot be downloaded ({why}); put "
        f"train.txt, valid.txt and test.txt, or the Parquet files of {WIKITEXT[name]}, into the first of these folders"
    )


def _fetch(name: str, place: Path) -> None:
    folder = place / WIKITEXT[name]
    folder.mkdir()
    for file in WIKITEXT_FILES[name]:
        urllib.request.urlretrieve(f"{HUB}/{WIKITEXT[name]}/{file}", folder / file)


def _kept(
    parts: dict[str, Part], level: str, size: int | None, min_count: int, given: Given | None
) -> PackedText:  # fmt: skip
    """Return the packed form from the cache, made there where it is not yet; elsewhere where it cannot be written."""
    asked: list[Any] = [level, size, min_count, _library(level)]
    asked += [{name: part.digest() for name, part in sorted(parts.items())}, *([given.document] if given else [])]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]
    folder = cache_dir() / "text" / key
    try:
        return open_packed(folder) or pack(parts, level, size, min_count, folder, given)
    except OSError as error:
        warnings.warn(
            f"a text's tokens could not be kept in {folder.parent} ({error}): each process makes them anew",
            stacklevel=2,
        )
        return pack(parts, level, size, min_count, Path(_elsewhere().name) / key, given)


@lru_cache(maxsize=1)
def _elsewhere() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="lth_ray-text-")  # as long as the process lives


def _library(level: str) -> str:
    """Return the version of what makes a vocabulary, where that is another library."""
    if level not in ("bpe", LEVEL):
        return ""
    from lth_ray.data.text.bpe import tokenizers

    return str(tokenizers().__version__)


def _check_unknown(packed: PackedText, parts: Mapping[str, Part] = {}) -> None:
    """Raise ConfigError for words that stand for nothing: measured, but never in the text to train on.

    parts: the text that was packed, where it is at hand; one of the words is named then.
    """
    if packed.level != "word" or packed.parts["train"].unknown:
        return
    for name, tokens in packed.parts.items():
        number = tokens.unknown
        if number:
            where, words = f"{packed.folder}, {name} part", f"words ({number:,} in all)"
            if name in parts:
                known = packed.vocabulary
                assert isinstance(known, Words)
                lines, more = parts[name].lines(), f" and {number - 1:,} more" if number > 1 else ""
                word = next(w for line in lines for w in line.split() if w not in known.numbers or w == UNKNOWN)
                where, words = parts[name].called, f"the word {word!r}{more}"
            raise ConfigError(
                f"{where}: {words} do not occur in the text to train on, which has no {UNKNOWN} "
                "that could stand for them; give Text(min_count=2), by which rare words are learned as such"
            )
