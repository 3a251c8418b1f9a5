"""Names that are refused."""

import pytest

from lth_ray.config import ConfigError, Data
from lth_ray.data import identify, load


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("minst", {}, r"Data.name = 'minst': no such data set; did you mean mnist"),
        ("zzz", {}, r"no such data set; valid: cifar10, cifar100, digits, fashion_mnist, folder:PATH, imagenet, mnist"),
        ("parquet:", {}, r"give the folder, parquet:PATH"),
        ("parquet:PATH ", {}, r"no train-\*.parquet in PATH"),
        ("folder", {}, r"give the folder, folder:PATH"),
        ("imagenet", {}, r"no manifest.json in .*imagenet; pack the images once, `lth-ray data pack"),
        ("digits", {"image_size": 8}, r"Data.image_size = 8: only for parquet:, folder: and packed sets"),
        ("digits", {"validation": 1397}, r"Data.validation = 1397: there are 1397 training images in all"),
    ],
)
@pytest.mark.parametrize("ask", [identify, load])
def test_one_clear_error(ask, name: str, fields: dict[str, int], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ask(Data(name, **{"batch_size": 10, "validation": 0, **fields}))
