"""The data sets of studies, with a tiny encoder where no pretrained one is at hand."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.studies.plans import TINY
from tests.tiny_bert import save_bert


@pytest.fixture(scope="session")
def shared_data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets, with a tiny encoder where the real one is not at hand: its study plans as with it."""
    if (shared_data / "minilm").is_dir() or find_spec("transformers") is None:
        return shared_data
    folder = tmp_path_factory.mktemp("data")
    for one in shared_data.iterdir():
        (folder / one.name).symlink_to(one)
    save_bert(folder / "minilm", max_position_embeddings=128)
    (folder / "minilm" / TINY).touch()
    return folder
