"""Fixtures of the data tests: a cache of their own, no network, small image sets."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lth_ray.data import catalogue
from lth_ray.data.packed import layouts
from lth_ray.data.packed.manifest import Manifest
from lth_ray.data.packed.packing import Options, finish, pack_piece, plan_packing
from lth_ray.data.sets import cifar, idx, svhn
from lth_ray.store.local import LocalFiles


@pytest.fixture(autouse=True)
def fresh_process(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder and nothing remembered; downloads fail as they do without a network."""

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(cache))
    monkeypatch.setattr(idx, "_fetch", no_network)
    monkeypatch.setattr(svhn, "_fetch", no_network)
    opened = cifar._open
    monkeypatch.setattr(cifar, "_open", lambda *args, download=False: no_network() if download else opened(*args))
    for kept in (catalogue._identify, catalogue._stored_labels, catalogue._load):
        kept.cache_clear()
    return cache


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """PNG (lossless) bytes of a uint8 [H, W] or [H, W, 3] array."""

    def to_bytes(array: np.ndarray, kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind)
        return buffer.getvalue()

    return to_bytes


@pytest.fixture
def write_parquet() -> Callable[..., Path]:
    """Writes one shard in the Hugging Face layout."""

    def write(
        path: Path,
        images: Sequence[bytes | None],
        labels: Sequence[int | None],
        image: str = "image",
        label: str = "label",
        metadata: dict[bytes, bytes] | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        rows = pa.array([{"bytes": data, "path": None} for data in images], kind)
        table = pa.table({image: rows, label: pa.array(labels, pa.int64())})
        pq.write_table(table.replace_schema_metadata(metadata), path)
        return path

    return write


@pytest.fixture
def photo() -> Callable[..., bytes]:
    """JPEG bytes of a picture with large shapes, another for each seed."""

    def make(seed: int, height: int = 40, width: int = 50) -> bytes:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    return make


@pytest.fixture
def photo_folder(photo: Callable[..., bytes]) -> Callable[..., Path]:
    """Writes train/ (7 images a class) and val/ (3) of two classes, of several shapes."""

    def write(place: Path) -> Path:
        seed = 0
        for split, n in (("train", 7), ("val", 3)):
            for name in ("cat", "dog"):
                folder = place / split / name
                folder.mkdir(parents=True)
                for i in range(n):
                    (folder / f"{i}.jpg").write_bytes(photo(seed, 30 + 7 * (seed % 4), 60 - 9 * (seed % 3)))
                    seed += 1
        return place

    return write


@pytest.fixture
def pack() -> Callable[..., Manifest]:
    """Packs a source in this process; small images make many shards of the few bytes given."""

    def packed(
        source: Path, target: Path, short_side: int | None = None, skip_corrupt: bool = False, shard_bytes: int = 5000
    ) -> Manifest:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layouts, "MB", shard_bytes)
            packing = plan_packing(source, Options(short_side, shard_mb=1))
        files = LocalFiles(str(target))
        notes = {piece.name: pack_piece(piece, files) for piece in packing.pieces}
        return finish(packing, notes, files, skip_corrupt)

    return packed


@pytest.fixture
def random_images() -> Callable[..., np.ndarray]:
    def make(n: int, height: int = 6, width: int = 6, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)

    return make
