"""Names that are refused."""

from pathlib import Path

import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import absolute, identify, load


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("minst", {}, r"Data.name = 'minst': no such data set; did you mean mnist"),
        ("zzz", {}, r"no such data set; valid: arrow:PATH, cifar10, cifar100, digits, fashion_mnist, folder:PATH"),
        ("parquet:", {}, r"give the folder, parquet:PATH"),
        ("parquet:PATH ", {}, r"no train-\*.parquet in PATH"),
        ("folder", {}, r"give the folder, folder:PATH"),
        ("imagenet", {}, r"no manifest.json in .*imagenet; pack the images once, `lth-ray data pack"),
        (
            "digits",
            {"image_size": 8},
            r"Data.image_size = 8: only for tiny_imagenet, parquet:, arrow:, folder: and packed sets",
        ),
        ("digits", {"validation": 1397}, r"Data.validation = 1397: there are 1397 training images in all"),
    ],
)
@pytest.mark.parametrize("ask", [identify, load])
def test_one_clear_error(ask, name: str, fields: dict[str, int], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ask(Data(name, **{"batch_size": 10, "validation": 0, **fields}))


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("folder:photos", None, ("folder:{here}/photos", None)),
        ("folder:photos", "data", ("folder:{here}/data/photos", "{here}/data")),
        ("parquet:~/photos", "data", ("parquet:/home/me/photos", "{here}/data")),
        ("packed:/photos", "~/data", ("packed:/photos", "/home/me/data")),
        ("packed:s3://photos", "data", ("packed:s3://photos", "{here}/data")),
        ("cifar10", "data", ("cifar10", "{here}/data")),
        ("cifar10", None, ("cifar10", None)),  # which is looked for in the cache, and not here
    ],
)
def test_paths_are_told_to_other_processes_whole(
    name: str, root: str | None, expected: tuple[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute(name, root) == tuple(part and part.format(here=tmp_path) for part in expected)
