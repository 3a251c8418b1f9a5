"""Packing: every layout, the same bytes however it went, and what is damaged by name."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lth_ray.config import ConfigError, Data
from lth_ray.data import MissingDataset, identify, load
from lth_ray.data.cropping import decode
from lth_ray.data.packed import layouts
from lth_ray.data.packed.manifest import MANIFEST
from lth_ray.data.packed.manifest import decode as decode_manifest
from lth_ray.data.packed.packing import NOTES, Options, finish, pack_piece, packed_already, plan_packing, stored
from lth_ray.data.packed.reading import PackedSplit, open_packed
from lth_ray.data.packed.shards import verify_shard
from lth_ray.store.local import LocalFiles


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(target: Path, split: str) -> list[tuple[bytes, int, str]]:
    found = open_packed(str(target))
    assert found is not None
    shards = found.split(split, 8).shards
    return [(bytes(shards.row(i).data), shards.row(i).label, shards.name(i)) for i in range(len(shards))]


def files_of(source: Path, split: str) -> list[tuple[bytes, int, str]]:
    paths = sorted((source / split).glob("*/*.jpg"))
    return [(p.read_bytes(), ("cat", "dog").index(p.parent.name), f"{split}/{p.parent.name}/{p.name}") for p in paths]


def test_folders_are_packed_as_they_are(photo_folder, pack, tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "source")
    (source / "train" / "cat" / "notes.txt").write_text("not an image")
    manifest = pack(source, tmp_path / "target")
    assert len(manifest.train) > 2
    assert (manifest.classes, manifest.source) == (("cat", "dog"), "folder per class")
    assert rows(tmp_path / "target", "train") == files_of(source, "train")
    assert rows(tmp_path / "target", "test") == files_of(source, "val")
    shards = {shard.name for shard in manifest.train + manifest.test}
    assert content(tmp_path / "target").keys() == {MANIFEST, *shards}


def test_torchvisions_imagenet_has_its_classes_names(photo_folder, pack, tmp_path: Path) -> None:
    source = photo_folder(tmp_path)
    for split in ("train", "val"):
        for name, wnid in (("cat", "n02"), ("dog", "n01")):
            (source / split / name).rename(source / split / wnid)
    torch.save(({"n02": ("cat",), "n01": ("dog", "hound")}, ["n01", "n02"]), source / "meta.bin")
    manifest = pack(source, tmp_path / "target")
    assert (manifest.classes, manifest.source) == (("dog, hound", "cat"), "torchvision ImageNet")
    assert [name for _, label, name in rows(tmp_path / "target", "test") if label == 0] == [
        f"val/n01/{i}.jpg" for i in range(3)
    ]


@pytest.mark.parametrize("row_group", [1, 3, 100])
def test_parquet_rows_are_packed_in_their_order(write_parquet, photo, pack, tmp_path: Path, row_group: int) -> None:
    import pyarrow.parquet as pq

    photos = [photo(seed, 90, 120) for seed in range(11)]
    labels = [seed % 3 for seed in range(11)]
    for number, part in enumerate((slice(0, 6), slice(6, 11))):
        path = write_parquet(tmp_path / "data" / f"train-0000{number}-of-00002.parquet", photos[part], labels[part])
        pq.write_table(pq.read_table(path), path, row_group_size=row_group)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", photos[:2], [-1, -1])
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", photos[:3], [2, 1, 0])
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\ndog\n")
    manifest = pack(tmp_path, tmp_path / "target", shard_bytes=10_000)
    assert len(manifest.train) > 3
    assert (manifest.classes, manifest.source) == (("ant", "bee", "cat", "dog"), "Hugging Face Parquet")
    found = rows(tmp_path / "target", "train")
    assert [(data, label) for data, label, _ in found] == list(zip(photos, labels, strict=True))
    assert found[7][2] == "train-00001-of-00002.parquet, row 1"
    assert [label for _, label, _ in rows(tmp_path / "target", "test")] == [2, 1, 0]


def test_real_photographs(shared_data: Path, pack, tmp_path: Path) -> None:
    manifest = pack(shared_data / "imagenet_sample", tmp_path / "target", 64, shard_bytes=8_000_000)
    assert (manifest.rows("train"), manifest.rows("test"), len(manifest.classes)) == (350, 100, 1000)
    assert manifest.mean == pytest.approx((0.485, 0.456, 0.406), abs=0.02)  # all of ImageNet's
    data, label, name = rows(tmp_path / "target", "train")[17]
    assert min(decode(data, name).shape[1:]) == 64
    assert manifest.classes[label].endswith(name.rpartition("_")[2].removesuffix(".JPEG"))


def test_large_images_are_made_smaller_and_small_ones_are_kept(photo, encode, random_images) -> None:
    options = Options(short_side=32)
    small, large = photo(0, 32, 50), photo(1, 90, 60)
    assert stored(small, "small", options)[0] == small
    data, pixels = stored(large, "large", options)
    assert pixels.shape == (3, 48, 32)
    assert (decode(data, "large").float() - pixels.float()).abs().mean() < 3  # JPEG
    png = encode(random_images(1, 20, 30)[0])
    assert stored(png, "png", options)[0] == png
    assert len(stored(large, "large", replace(options, quality=30))[0]) < len(data)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP", "GIF"])
def test_what_training_does_not_decode_becomes_jpeg(encode, random_images, kind: str) -> None:
    smooth = np.repeat(np.repeat(random_images(1, 4, 5)[0], 8, axis=0), 8, axis=1)
    data, pixels = stored(encode(smooth, kind), kind, Options())
    assert data.startswith(b"\xff\xd8")
    assert decode(data, kind).shape == pixels.shape == (3, 32, 40)


def test_statistics_are_those_of_the_training_pixels(photo_folder, pack, tmp_path: Path) -> None:
    manifest = pack(photo_folder(tmp_path / "source"), tmp_path / "target")
    pixels = torch.cat([decode(data, "").flatten(1) for data, _, _ in rows(tmp_path / "target", "train")], 1).double()
    assert manifest.mean == pytest.approx((pixels / 255).mean(1).tolist(), abs=1e-6)
    assert manifest.std == pytest.approx((pixels / 255).std(1, correction=0).tolist(), abs=1e-6)
    dataset = load(Data(f"packed:{tmp_path / 'target'}", batch_size=2, validation=3))
    assert (dataset.mean, dataset.std) == (manifest.mean, manifest.std)


def test_identity_is_of_what_is_packed_not_of_places(photo_folder, pack, tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "source")
    pack(source, tmp_path / "one")
    (source / "train" / "cat" / "0.jpg").touch()  # another date
    pack(source.rename(tmp_path / "moved"), tmp_path / "two")
    pack(tmp_path / "moved", tmp_path / "three", short_side=20)

    def identity(name: str):
        return identify(Data(f"packed:{name}", batch_size=2, validation=2), tmp_path)

    assert identity("one") == identity("two")
    assert identity("one").digest != identity("three").digest
    assert (identity("one").n_train, identity("one").n_validation, identity("one").n_test) == (12, 2, 6)
    assert identity("one").input_shape == (3, 224, 224)
    dataset = load(Data("packed:two", batch_size=2, validation=0), tmp_path)
    assert dataset.digest == identity("one").digest
    assert isinstance(dataset.train, PackedSplit)


def test_the_same_bytes_after_any_interruption(photo_folder, pack, tmp_path: Path, monkeypatch) -> None:
    source = photo_folder(tmp_path / "source")
    pack(source, tmp_path / "straight")
    monkeypatch.setattr(layouts, "MB", 5000)
    packing, files = plan_packing(source, Options(shard_mb=1)), LocalFiles(str(tmp_path / "torn"))
    for piece in packing.pieces[2:4]:
        pack_piece(piece, files)
    (tmp_path / "torn" / packing.pieces[2].name).write_bytes(b"damaged since")
    (tmp_path / "torn" / "train-00099.arrow").write_bytes(b"of an attempt with other options")
    whole = tmp_path / "torn" / packing.pieces[3].name
    before = whole.stat().st_mtime_ns
    notes = {piece.name: pack_piece(piece, files) for piece in reversed(packing.pieces)}
    assert whole.stat().st_mtime_ns == before  # not packed again
    finish(packing, notes, files, skip_corrupt=False)
    assert content(tmp_path / "torn") == content(tmp_path / "straight")


KILLED = """
import sys, time
from pathlib import Path
from lth_ray.data.packed import layouts
from lth_ray.data.packed.packing import Options, pack_piece, plan_packing
from lth_ray.store.local import LocalFiles
layouts.MB = 5000
for piece in plan_packing(Path(sys.argv[1]), Options(shard_mb=1)).pieces:
    pack_piece(piece, LocalFiles(sys.argv[2]))
    time.sleep(0.2)
"""


def test_a_killed_packing_goes_on(photo_folder, pack, tmp_path: Path) -> None:
    source, target = photo_folder(tmp_path / "source"), tmp_path / "target"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(source), str(target)])
    deadline = time.monotonic() + 60
    while len(list((target / NOTES).glob("*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: (target / path.stem).stat().st_mtime_ns for path in (target / NOTES).glob("*.json")}
    assert not (target / MANIFEST).exists()
    with pytest.raises(MissingDataset, match=r"no manifest.json in"):
        identify(Data(f"packed:{target}", batch_size=2, validation=0))
    manifest = pack(source, target)
    assert {name: (target / Path(name).stem).stat().st_mtime_ns for name in done} == done
    assert len(manifest.train + manifest.test) > len(done)
    pack(source, tmp_path / "straight")
    assert content(target) == content(tmp_path / "straight")


def test_every_damaged_image_is_named(photo_folder, pack, tmp_path: Path) -> None:
    source, target = photo_folder(tmp_path / "source"), tmp_path / "target"
    truncated, empty, foreign = (source / f for f in ("train/cat/3.jpg", "train/dog/5.jpg", "val/dog/1.jpg"))
    truncated.write_bytes(truncated.read_bytes()[:-200])
    empty.write_bytes(b"")
    foreign.write_bytes(b"<html>404</html>")
    with pytest.raises(ConfigError, match="3 of 20 images cannot be read") as caught:
        pack(source, target)
    for name in ("train/cat/3.jpg", "train/dog/5.jpg", "val/dog/1.jpg"):
        assert name in str(caught.value)
    assert "--skip-corrupt" in str(caught.value)
    assert not (target / MANIFEST).exists()

    done = {path.name: path.stat().st_mtime_ns for path in target.glob("*.arrow")}
    manifest = pack(source, target, skip_corrupt=True)
    assert {path.name: path.stat().st_mtime_ns for path in target.glob("*.arrow")} == done
    assert [line.partition(":")[0] for line in manifest.left_out] == [
        "train/cat/3.jpg", "train/dog/5.jpg", "val/dog/1.jpg",
    ]  # fmt: skip
    assert decode_manifest((target / MANIFEST).read_bytes(), "").left_out == manifest.left_out
    left = {name for _, _, name in rows(target, "train") + rows(target, "test")}
    assert len(left) == 17
    assert not left & {"train/cat/3.jpg", "train/dog/5.jpg", "val/dog/1.jpg"}


def test_a_mended_image_is_packed_the_next_time(photo_folder, photo, pack, tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "source")
    (source / "train/cat/3.jpg").write_bytes(photo(3)[:-100])
    with pytest.raises(ConfigError, match="1 of 20 images"):
        pack(source, tmp_path / "target")
    (source / "train/cat/3.jpg").write_bytes(photo(3))
    pack(source, tmp_path / "target")
    assert rows(tmp_path / "target", "train") == files_of(source, "train")


def test_nothing_left(photo_folder, pack, tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "source")
    for path in source.glob("val/*/*"):
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match="no test image is left: all are damaged"):
        pack(source, tmp_path / "target", skip_corrupt=True)


def test_a_target_holds_one_set(photo_folder, pack, tmp_path: Path) -> None:
    source, files = photo_folder(tmp_path / "source"), LocalFiles(str(tmp_path / "target"))
    assert packed_already(plan_packing(source, Options()), files) is None
    manifest = pack(source, tmp_path / "target", shard_bytes=10**6)
    assert packed_already(plan_packing(source, Options()), files) == manifest
    with pytest.raises(ConfigError, match=r"target: holds another set, or .* with other options; .* remove manifest"):
        packed_already(plan_packing(source, Options(short_side=20)), files)


def test_verification_finds_what_is_damaged_or_missing(photo_folder, pack, tmp_path: Path) -> None:
    manifest, files = pack(photo_folder(tmp_path / "source"), tmp_path / "target"), LocalFiles(str(tmp_path / "target"))
    assert all(verify_shard(files, shard) is None for shard in manifest.train + manifest.test)
    first, second, third = (tmp_path / "target" / shard.name for shard in manifest.train[:3])
    whole = first.read_bytes()
    first.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    second.write_bytes(second.read_bytes()[:-1])
    third.unlink()
    problems = [verify_shard(files, shard) or "" for shard in manifest.train[:3]]
    for found, why in zip(problems, ("its sha256", "the manifest says", "is missing"), strict=True):
        assert why in found
        assert "train-0000" in found
