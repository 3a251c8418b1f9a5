"""`lth-ray data pack --level`, and `verify`, of texts."""

import gzip
import shutil
from pathlib import Path

from lth_ray.config import Text
from lth_ray.tasks import task_of
from tests.conftest import Call
from tests.tasks.text.chained import chain


def test_a_text_is_packed_and_checked(call: Call, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for seed, name in enumerate(("train", "valid", "test")):
        (source / f"{name}.txt.gz").write_bytes(gzip.compress(chain(40 - 10 * seed, seed).encode()))
    flags = "--level", "word", "--vocabulary", "20"
    code, said = call(None, "data", "pack", source, target, *flags)
    assert code == 0, said
    assert "520 to train on, 390 to validate, 260 to test; 20 in the vocabulary" in " ".join(said.split())
    code, said = call(None, "data", "pack", source, target, *flags)
    assert "is packed already" in said
    code, said = call(None, "data", "pack", source, target, "--level", "byte")
    assert code == 2
    assert "packed there with another vocabulary" in " ".join(said.split())
    other = tmp_path / "other"
    shutil.copytree(source, other)
    (other / "valid.txt.gz").write_bytes(gzip.compress(b"another"))
    code, said = call(None, "data", "pack", other, target, *flags)
    assert code == 2
    assert f"another text is packed there than {other}" in " ".join(said.split())
    code, said = call(None, "data", "verify", target)
    assert (code, "4 of 4 files are whole" in said) == (0, True)
    data = Text(f"packed:{target}", batch_size=2, window=5, vocabulary=20)
    assert task_of(data).identify().num_classes == 20
    whole = (target / "test.tokens").read_bytes()
    (target / "test.tokens").write_bytes(whole[:-1] + b"\x03")
    code, said = call(None, "data", "verify", target)
    assert code == 1
    assert "test.tokens: missing or damaged" in " ".join(said.split())


def test_a_text_goes_into_a_folder(call: Call, tmp_path: Path) -> None:
    code, said = call(None, "data", "pack", tmp_path, "s3://bucket/text", "--level", "byte")
    assert code == 2
    assert "they are packed into a folder" in " ".join(said.split())
