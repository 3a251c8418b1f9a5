"""The records of finished segments and tables, as they are read for MLflow: the recent ones are kept in memory."""

from dataclasses import replace

from lth_ray.lottery.kept.records import Record, SegmentRecord, TableRecord
from lth_ray.lottery.kept.stored import finished
from lth_ray.store import Store

RECENT = 64  # records that are kept in memory


class UnfinishedError(LookupError):
    """An attempt to record a ticket or branch result whose segment has no record in the store."""


class Records:
    """A reader of a store's records."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._costs: dict[str, SegmentRecord] = {}
        self._recent: dict[str, Record] = {}

    def cost(self, key: str) -> SegmentRecord | None:
        """Return a segment's record without what is long, which costs do without; read once."""
        if key not in self._costs:
            record = self.trained(key)
            if record is None:
                return None
            self._costs[key] = replace(record, journal={}, usage=None, looks=None, mask_history=None)
        return self._costs[key]

    def segment(self, key: str) -> SegmentRecord:
        """Return a finished segment's record. Raise UnfinishedError."""
        record = self.finished(key)
        assert isinstance(record, SegmentRecord)
        return record

    def finished(self, key: str) -> Record:
        """Return a finished record. Raise UnfinishedError."""
        record = self._read(key)
        if record is None:
            raise UnfinishedError(f"{key} has no record in {self._store.uri}: it is not finished")
        return record

    def trained(self, key: str) -> SegmentRecord | None:
        """Return a segment's record; None where it is not finished."""
        record = self._read(key)
        return record if isinstance(record, SegmentRecord) else None

    def table(self, key: str) -> TableRecord | None:
        """Return a table's record; None where it is not finished."""
        record = self._read(key)
        return record if isinstance(record, TableRecord) else None

    def _read(self, key: str) -> Record | None:
        """Return a finished record; the copies of a control, and what leads to a ticket, are asked for by turns."""
        found = self._recent.get(key) or finished(self._store, key)
        if found is not None:
            self._recent[key] = found
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
        return found
