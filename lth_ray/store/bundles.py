"""Bundles: many small files of a storage in one, which are listed and read as if each were still by itself.

A bundle is never changed. A file by itself goes before what a bundle holds under the same path; where one is removed
from a bundle, another is written without it. bundles/NAME.bundle: 8 bytes that give the length of an index, the index
(a JSON record, {path: [begin, bytes, modified]}), and the files one after another. NAME is a digest of both.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar

from lth_ray import probes
from lth_ray.store.errors import DamagedFile, MissingFile
from lth_ray.store.files import BUNDLES, Data, Entry, Files
from lth_ray.store.known_bundles import KNOWN, Known, Member
from lth_ray.store.records import decode_record, encode_record

ENDING, KIND = ".bundle", "bundle"
LENGTH_BYTES, FIRST_BYTES, LONGEST_INDEX = 8, 2**18, 2**30
READERS = 16  # indices read at once
LISTINGS = 8  # until two agree
HELD = ("segments/", "tables/", "masks/", "states/")  # the folders of what is ever put into one
T = TypeVar("T")


@dataclass(frozen=True)
class BundledFiles:
    """Files, of which some lie in bundles. Stateless: what is known of bundles is kept for each storage's URI."""

    files: Files

    @property
    def uri(self) -> str:
        return self.files.uri

    def put(self, path: str, data: Data) -> None:
        """Write or replace a file, atomically and durably."""
        self.files.put(path, data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write unless the path is there, by itself or in a bundle.

        A record lies by itself until it is in a bundle, so whoever finds it in neither, and in no bundle afterwards,
        was first.
        """
        if not path.startswith(HELD):
            return self.files.put_if_absent(path, data)
        if path in self.members() or not self.files.put_if_absent(path, data):
            return False
        if path in self.members():
            self.files.delete(path)
            return False
        return True

    def get(self, path: str) -> bytes:
        """Return a file's bytes. Raise MissingFile."""
        return self.read(path, lambda file: file.read())

    def part(self, path: str, begin: int, size: int) -> bytes:
        """Return some of a file's bytes. Raise MissingFile."""
        return self.get(path)[begin : begin + size]

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        """Return what `reader` makes of a file. Raise MissingFile."""
        try:
            return self.files.read(path, reader)
        except MissingFile:
            data = self.in_bundle(path)
            if data is None:
                raise
            return reader(io.BytesIO(data))

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        return self.files.exists(path) or (path.startswith(HELD) and path in self.members())

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below the folder, those in bundles among them; bundles where their folder is named."""
        alone = [
            entry
            for entry in self.files.entries(folder)
            if folder == BUNDLES or not entry.path.startswith(f"{BUNDLES}/")
        ]
        yield from alone
        if folder and not f"{folder}/".startswith(HELD):
            return
        self.members()
        there = {entry.path for entry in alone}
        for path, member in self._known.below(folder).items():
            if path not in there:
                yield Entry(path, member.bytes, member.modified)

    def delete(self, *paths: str) -> None:
        """Remove files; a path that is not there is fine. Bundles that hold some are written anew, each once."""
        self.files.delete(*paths)
        gone = {path for path in paths if path.startswith(HELD)}
        if gone & (self.members() if gone else {}).keys():
            for bundle in [name for name, members in self._known.bundles.items() if gone & members.keys()]:
                self._without(bundle, gone)

    def move(self, path: str, to: str) -> None:
        """Move a file, in place of what is at `to`; a path that is not there is fine."""
        held = self.in_bundle(path)
        if held is None or self.files.exists(path):
            self.files.move(path, to)
        else:
            self.files.put(to, held)
        if held is not None:
            self.delete(path)

    # Bundles ----------------------------------------------------------------------------------------------------

    def in_bundle(self, path: str) -> bytes | None:
        """Return a file's bytes as a bundle has them; None where none does."""
        known = self._known
        while path.startswith(HELD) and (member := known.members.get(path) or self.members().get(path)) is not None:
            try:
                return self.files.part(member.bundle, member.begin, member.bytes)
            except MissingFile:  # another one has taken its place
                known.forget({member.bundle})
        return None

    def members(self) -> Mapping[str, Member]:
        """Return {path: where it lies} of all that the bundles hold now.

        A listing may miss both a bundle that is removed while it is made and the one written in that one's place. So
        they are listed until two listings agree.
        """
        known = self._known
        for _ in range(LISTINGS):
            turn = known.next_turn()
            there = frozenset(entry.path for entry in self.files.entries(BUNDLES) if entry.path.endswith(ENDING))
            new, found = sorted(there - known.bundles.keys()), dict[str, Mapping[str, Member]]()
            if new:
                with ThreadPoolExecutor(READERS) as readers:
                    each = zip(new, readers.map(self._index, new), strict=True)
                    found = {bundle: members for bundle, members in each if members is not None}
            if known.take_in(turn, there, found):
                break
        return known.members

    def check(self) -> None:
        """Raise DamagedFile where the index of a bundle cannot be read, so that what it holds is not known."""
        self.members()
        for bundle in [bundle for bundle, held in self._known.bundles.items() if not held]:
            with suppress(MissingFile):
                read_index(self.files, bundle)

    def _index(self, bundle: str) -> dict[str, Member] | None:
        """Return what a bundle holds: nothing where it is damaged; None where another one has taken its place."""
        try:
            return read_index(self.files, bundle)
        except MissingFile:
            return None
        except DamagedFile as error:
            warnings.warn(f"{bundle} is damaged ({error.why}): what it held is made again", stacklevel=2)
            return {}

    def bundle(self, contents: Mapping[Entry, bytes]) -> str | None:
        """Write a bundle of these files, which stay by themselves as well; return its path."""
        if not contents:
            return None
        index, begin = dict[str, list[float]](), 0
        for entry, data in contents.items():
            index[entry.path] = [begin, len(data), entry.modified]
            begin += len(data)
        digest = hashlib.sha256(json.dumps(index).encode())
        for data in contents.values():
            digest.update(data)
        name = digest.hexdigest()[:32]
        header = encode_record(KIND, name, index)
        path = f"{BUNDLES}/{name}{ENDING}"
        self.files.put(path, [len(header).to_bytes(LENGTH_BYTES, "little") + header, *contents.values()])
        return path

    def _without(self, bundle: str, gone: set[str]) -> None:
        """Put one without what is gone in a bundle's place. A kill in between leaves both, and nothing is lost."""
        try:
            held, whole = read_index(self.files, bundle), self.files.get(bundle)
        except MissingFile:  # another process is doing the like
            return
        kept = {path: one for path, one in held.items() if path not in gone}
        if len(kept) == len(held):
            return
        self.bundle(
            {
                Entry(path, one.bytes, one.modified): whole[one.begin : one.begin + one.bytes]
                for path, one in kept.items()
            }
        )
        probes.point("rebundled")
        self.files.delete(bundle)

    @property
    def _known(self) -> Known:
        return KNOWN.of(self.uri)


def read_index(files: Files, path: str) -> dict[str, Member]:
    """Return {path: member} of a bundle. Raise MissingFile, DamagedFile."""
    start = files.part(path, 0, FIRST_BYTES)
    length = LENGTH_BYTES + int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > len(start):
        start += files.part(path, len(start), length - len(start)) if length < LONGEST_INDEX else b""
    index = decode_record(start[LENGTH_BYTES:length], KIND, PurePosixPath(path).stem, path)
    return {
        name: Member(path, length + int(begin), int(size), modified) for name, (begin, size, modified) in index.items()
    }
