"""The store: segments and tables by key, states and masks by content, checkpoints of what is unfinished."""

from __future__ import annotations

import json
import re
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar

from torch import Tensor

from lth_ray.store import layout
from lth_ray.store.bundles import BundledFiles
from lth_ray.store.codec import Tensors, content, decode, encode, pack, unpack
from lth_ray.store.errors import DamagedFile, MissingFile
from lth_ray.store.files import TEMPORARY, Data, Files
from lth_ray.store.local import LocalFiles
from lth_ray.store.marker import mark
from lth_ray.store.patient import PATIENCE_S, PatientFiles
from lth_ray.store.records import Record, decode_record, encode_record
from lth_ray.store.states import Checkpoint, State, decode_state, encode_state
from lth_ray.store.uri import open_files
from lth_ray.store.writable import check_writable

CHECKPOINT_NAME = re.compile(r"(\d{12,})\.safetensors")
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """Everything that is kept, in a local folder or a bucket.

    It has no state: pickle it, share it among threads.

    Paths are relative to the store. A file is complete or absent; what is read is checked against its digest and
    raises DamagedFile where it differs. Every failure of the storage itself is a StorageError.
    """

    files: Files

    @classmethod
    def open(cls, uri: str, writable: bool = True, patience_s: float = PATIENCE_S, marked: bool = True) -> Store:
        """Open the store at a local path or s3://BUCKET/PREFIX; make it where it is absent, and mark it as
        one.

        Raises StorageError where it cannot be written, or does not publish exactly once.

        writable: False skips that check and makes nothing, for reading a store one may not write to.
        patience_s: how long each use of an opened, writable store waits for it where it is away; opening
            never waits.
        marked: False leaves no marker, and gives a store that never waits: for one who only tries it out.
        """
        files = open_files(uri)
        if writable:
            check_writable(files)
        if not (writable and marked):
            return cls(BundledFiles(files))
        mark(files)
        files = replace(files, marked=True) if isinstance(files, LocalFiles) else files
        return cls(PatientFiles(BundledFiles(files), patience_s))

    @property
    def impatient(self) -> Store:
        """The same store for what can do without an answer: it raises StorageAway at once."""
        return Store(self.files.files) if isinstance(self.files, PatientFiles) else self

    @property
    def bundled(self) -> BundledFiles:
        """The files by themselves and in bundles, told apart."""
        files = self.impatient.files
        return files if isinstance(files, BundledFiles) else BundledFiles(files)

    @property
    def uri(self) -> str:
        return self.files.uri

    # Files ------------------------------------------------------------------------------------------------------

    def put(self, path: str, data: Data) -> None:
        """Write or replace a file, atomically and durably."""
        self.files.put(layout.checked(path), data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write unless the path is there; of any number of writers at once exactly one gets True."""
        return self.files.put_if_absent(layout.checked(path), data)

    def get(self, path: str) -> bytes:
        """Return a file's bytes. Raise MissingFile."""
        return self.files.get(layout.checked(path))

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        """Return what `reader` makes of a file, opened at its beginning, which it may be given again."""
        return self.files.read(layout.checked(path), reader)

    def exists(self, path: str) -> bool:
        return self.files.exists(layout.checked(path))

    def list(self, folder: str = "") -> dict[str, int]:
        """Return path -> bytes for every file below a folder, sorted; empty where there is no such folder."""
        return dict(sorted((entry.path, entry.bytes) for entry in self.files.entries(folder.rstrip("/"))))

    def delete(self, *paths: str) -> None:
        """Remove files; a path that is not there is fine."""
        self.files.delete(*map(layout.checked, paths))

    def now(self) -> float:
        """Return the seconds since the epoch by the storage's own clock, which stamps every file.

        By that one alone are ages told, whatever the clocks of those who read and write. Writes a file for a
        moment.
        """
        path = f"{TEMPORARY}/clock-{uuid.uuid4().hex}"
        self.files.put(path, b"")
        try:
            return next(entry.modified for entry in self.files.entries(TEMPORARY) if entry.path == path)
        finally:
            self.files.delete(path)

    def quarantine(self, path: str) -> None:
        """Move a damaged file to damaged/PATH, so that what it held is made again and nobody trips over it
        twice.
        """
        self.files.move(layout.checked(path), f"{layout.DAMAGED}/{path}")

    # States and masks -------------------------------------------------------------------------------------------

    def save_state(
        self, trajectory: str, step: int, model: Mapping[str, Tensor], optimizer: Mapping[str, Any] | None = None
    ) -> str:
        """Keep a network, and `Optimizer.state_dict()` where given, after `step` steps; return the model's
        content.

        Writes even where the same content is there: that mends a damaged file and renews its age for collection.
        """
        about = {"kind": "state", "trajectory": trajectory, "step": str(step)}
        data, digest = encode_state(model, optimizer, about)
        self.put(layout.state_path(trajectory, step, digest, optimizer is not None), data)
        return digest

    def find_state(self, trajectory: str, step: int, with_optimizer: bool = False) -> str | None:
        """Return the path of a state at that step, of any content (in one environment all are the same), or
        None.
        """
        paths = self._states(trajectory, step)
        if with_optimizer:
            paths = [path for path in paths if path.endswith(layout.OPTIMIZER)]
        return min(paths, key=len, default=None)

    def load_state(self, trajectory: str, step: int, content: str | None = None, with_optimizer: bool = False) -> State:
        """Return the state at that step, of these very weights where `content` is given.

        Raise MissingFile, DamagedFile.

        with_optimizer: only a state that was kept with the optimizer's; else that is None, wherever it was kept.
        """
        expected = {"kind": "state", "trajectory": trajectory, "step": str(step)}
        if content is None:
            path = self.find_state(trajectory, step, with_optimizer)
        else:
            expected["content"] = content
            choices = [layout.state_path(trajectory, step, content, optimizer) for optimizer in (False, True)]
            path = next(filter(self.exists, choices[with_optimizer:]), None)
        if path is None:
            raise MissingFile(layout.state_path(trajectory, step, content or "*", with_optimizer))
        return self.read(path, lambda file: decode_state(file, path, expected, with_optimizer)[0])

    def delete_state(self, trajectory: str, step: int) -> None:
        """Remove what is kept of that step, of every content; nothing being there is fine."""
        self.delete(*self._states(trajectory, step))

    def save_mask(self, mask: Mapping[str, Tensor]) -> str:
        """Keep a mask as packed bits under its content, `codec.content(mask)`; return that."""
        digest = content(mask)
        shapes = json.dumps({name: list(tensor.shape) for name, tensor in mask.items()})
        about = {"kind": "mask", "content": digest, "shapes": shapes}
        self.put(layout.mask_path(digest), encode(pack(mask), about))
        return digest

    def load_mask(self, content: str) -> Tensors:
        """Return {name: bool}, in the order of names it was saved with. Raise MissingFile, DamagedFile."""
        path = layout.mask_path(content)
        packed, metadata = self.read(path, lambda file: decode(file, path))
        if metadata.get("kind") != "mask" or metadata.get("content") != content:
            raise DamagedFile(path, "it is not the mask that its name says")
        shapes = json.loads(metadata["shapes"])
        return unpack({name: packed[name] for name in shapes}, shapes)

    # Checkpoints of unfinished segments -------------------------------------------------------------------------

    def save_checkpoint(
        self,
        key: str,
        step: int,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Any] | None,
        journal: Mapping[str, Any],
    ) -> None:
        """Keep a checkpoint of segment `key`, its journal in the same file; then remove older ones."""
        about = {"kind": "checkpoint", "key": key, "step": str(step), "journal": json.dumps(journal)}
        self.put(layout.checkpoint_path(key, step), encode_state(model, optimizer, about)[0])
        for older, path in self._checkpoints(key):
            if older < step:
                self.delete(path)

    def newest_checkpoint(self, key: str) -> Checkpoint | None:
        """Return the furthest one that is whole. A damaged one is named in a warning and moved aside."""
        for step, path in self._checkpoints(key):
            expected = {"kind": "checkpoint", "key": key, "step": str(step)}
            try:
                state, metadata = self.read(path, partial(decode_state, path=path, expected=expected))
            except DamagedFile as error:
                warnings.warn(f"{error} (moved to {layout.DAMAGED}/ now)", stacklevel=2)
                self.quarantine(path)
            except MissingFile:  # another process has moved on
                continue
            else:
                return Checkpoint(key, step, state.model, state.optimizer, json.loads(metadata["journal"]))
        return None

    def drop_checkpoints(self, key: str) -> None:
        """Remove the checkpoints of segment `key`, once it is published."""
        self.delete(*(path for _, path in self._checkpoints(key)))

    # Records: the points of commitment --------------------------------------------------------------------------

    def publish_segment(self, key: str, record: Mapping[str, Any]) -> bool:
        """Make a finished segment count; return False where another was first.

        Then discard one's own and go on from `segment(key)`.

        What a record names is kept with it by collection: its "files" (paths in the store), and its "states" (steps)
        of its "trajectory".
        """
        return self.put_if_absent(layout.segment_path(key), encode_record("segment", key, record))

    def segment(self, key: str) -> Record | None:
        """Return the record as published; None where there is none. Raise DamagedFile."""
        return self._record("segment", key, layout.segment_path(key))

    def segments(self) -> set[str]:
        """Return the keys of all published segments, by one listing."""
        return self._keys(layout.SEGMENTS)

    def publish_table(self, key: str, table: Mapping[str, Any]) -> bool:
        """Publish a table of measurements (columns), as `publish_segment` does a segment."""
        return self.put_if_absent(layout.table_path(key), encode_record("table", key, table))

    def table(self, key: str) -> Record | None:
        """Return the table as published; None where there is none. Raise DamagedFile."""
        return self._record("table", key, layout.table_path(key))

    def tables(self) -> set[str]:
        """Return the keys of all published tables, by one listing."""
        return self._keys(layout.TABLES)

    def put_study(self, study: str, name: str, record: Mapping[str, Any]) -> None:
        """Write or replace studies/STUDY/NAME, a JSON record of the study's own (history, a cancel request)."""
        path = layout.checked(layout.study_path(study, name))
        self.put(path, encode_record("study", path, record))

    def add_study(self, study: str, name: str, record: Mapping[str, Any]) -> bool:
        """Write as `put_study` does, unless there is another record of that name; return whether this one is
        there now.
        """
        path = layout.checked(layout.study_path(study, name))
        data = encode_record("study", path, record)
        return self.put_if_absent(path, data) or self.get(path) == data

    def study(self, study: str, name: str) -> Record | None:
        """Return a record of the study's own; None where there is none. Raise DamagedFile."""
        path = layout.checked(layout.study_path(study, name))
        return self._record("study", path, path)

    # ------------------------------------------------------------------------------------------------------------

    def _states(self, trajectory: str, step: int) -> Sequence[str]:
        start = layout.state_path(trajectory, step, "").removesuffix(layout.TENSORS)
        return [path for path in self.list(layout.states_folder(trajectory)) if path.startswith(start)]

    def _checkpoints(self, key: str) -> Sequence[tuple[int, str]]:
        """Return (step, path) of each checkpoint, the furthest first."""
        paths = self.list(layout.checkpoints_folder(key))
        names = ((CHECKPOINT_NAME.fullmatch(PurePosixPath(path).name), path) for path in paths)
        return sorted(((int(match[1]), path) for match, path in names if match), reverse=True)

    def _keys(self, folder: str) -> set[str]:
        return {PurePosixPath(path).stem for path in self.list(folder) if path.endswith(".json")}

    def _record(self, kind: str, key: str, path: str) -> Record | None:
        try:
            return decode_record(self.get(path), kind, key, path)
        except MissingFile:
            return None
