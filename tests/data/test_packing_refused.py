"""Refusals: what cannot be packed, or is no packed set, is named with the remedy."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import DamagedDataset, MissingDataset, identify
from lth_ray.data.packed.manifest import MANIFEST, Manifest
from lth_ray.data.packed.packing import Options, plan_packing


def test_what_is_no_layout_is_said(photo_folder, photo, write_parquet, tmp_path: Path) -> None:
    with pytest.raises(MissingDataset, match=r"nothing to pack; looked for train/ and one of test, validation, val"):
        plan_packing(tmp_path, Options())
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(ConfigError, match=r"archives are not packed .* torchvision unpacks them .*ImageNet"):
        plan_packing(tmp_path, Options())
    source = photo_folder(tmp_path / "source")
    (source / "val" / "dog").rename(source / "val" / "wolf")
    with pytest.raises(DamagedDataset, match="val: classes not in train: wolf"):
        plan_packing(source, Options())
    (source / "val").rename(source / "held_out")
    with pytest.raises(
        MissingDataset, match=r"nothing to pack: looked for .*train and one of .*val, each with one folder"
    ):
        plan_packing(source, Options())
    write_parquet(tmp_path / "p" / "train-0.parquet", [photo(0)], [0])
    with pytest.raises(MissingDataset, match=r"neither test-\*.parquet nor validation-\*.parquet"):
        plan_packing(tmp_path / "p", Options())
    write_parquet(tmp_path / "p" / "test-0.parquet", [photo(0)], [-1])
    with pytest.raises(DamagedDataset, match="label -1"):
        plan_packing(tmp_path / "p", Options())


@pytest.mark.parametrize("fields", [{"short_side": 0}, {"quality": 101}, {"shard_mb": 0}])
def test_options_are_checked(fields: dict[str, int]) -> None:
    name, value = next(iter(fields.items()))
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}: give a number from 1 to"):
        Options(**fields)


NO_NAME = "is not a manifest of a packed set .* is no name of a shard"


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose digest is right, whatever it says: anybody can compute it."""
    names = ("classes", "mean", "std", "short_side", "quality", "source", "plan", "left_out")
    shards = {split: [SimpleNamespace(**one) for one in document[split]] for split in ("train", "test")}
    given = SimpleNamespace(**{name: document[name] for name in names}, split=shards.__getitem__)
    return document | {"digest": Manifest.digest.fget(given)}  # type: ignore[attr-defined]


def shard(document: dict[str, Any], **fields: object) -> dict[str, Any]:
    """The manifest with fields of its first shard changed."""
    first, *others = document["train"]
    return signed(document | {"train": [first | fields, *others]})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d | {"version": 2}, "is lth_ray packed images version 2"),
        (lambda d: d | {"format": "other"}, "is other version 1"),
        (lambda d: d | {"mean": [0.5] * 3}, "does not match its own digest"),
        (lambda d: {k: v for k, v in d.items() if k != "train"}, "is not a manifest of a packed set"),
        (lambda d: shard(d, name="../../train-00000.arrow"), NO_NAME),
        (lambda d: shard(d, name="/etc/passwd"), NO_NAME),
        (lambda d: shard(d, name="train-00000.arrow\n"), NO_NAME),
        (lambda d: shard(d, name="test-00000.arrow"), "is not .*twice|is not .* others' shards"),
        (lambda d: shard(d, sha256="../../../outside"), "is not a manifest of a packed set .* is no sha256"),
        (lambda d: shard(d, rows=-1), "is not a manifest of a packed set .* is no number of rows or bytes"),
        (lambda d: shard(d, bytes="many"), "is not a manifest of a packed set .* is no number of rows or bytes"),
        (lambda d: signed(d | {"train": []}), "is not a manifest of a packed set .*train has no rows"),
        (lambda d: signed(d | {"mean": [0.5]}), "is not a manifest of a packed set .*no three means"),
        (lambda d: signed(d | {"std": [0, 0, 0]}), "is not a manifest of a packed set .*no three means"),
        (lambda d: signed(d | {"classes": [1]}), "is not a manifest of a packed set .*must be names"),
        (lambda d: [d], "is not a manifest of a packed set"),
    ],
)
def test_a_manifest_that_is_not_right(photo_folder, pack, tmp_path: Path, change, why: str) -> None:
    pack(photo_folder(tmp_path / "source"), tmp_path / "target")
    path = tmp_path / "target" / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DamagedDataset, match=rf"{MANIFEST}: {why}"):
        identify(Data(f"packed:{tmp_path / 'target'}", batch_size=2, validation=0))
