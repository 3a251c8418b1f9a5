"""The lab is built once for all tests of this folder, where it can be."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster.hosts import why_not
from tests.cluster.lab import Lab, a_lab, checkout


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    began = time.monotonic()
    with a_lab(tmp_path_factory.mktemp("lab")) as lab:
        print(f"5 hosts up in {time.monotonic() - began:.1f} s")
        checkout(lab.desk)
        yield lab
