"""Stores to test: every test that takes `store` runs on a local folder and on an S3 server."""

import importlib
import os
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from lth_ray import probes
from lth_ray.store import Store
from tests.store.trained import TRAINED, finish


@pytest.fixture
def fork() -> Callable[..., int]:
    """fork(action, kill_at="point:count") runs the action in a child process; its exit status, -9 if it was killed."""

    def run(action: Callable[[], object], kill_at: str = "") -> int:
        child = os.fork()
        if child == 0:
            os.environ["LTH_RAY_KILL_AT"] = kill_at
            importlib.reload(probes)
            try:
                action()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}"


@pytest.fixture
def store(uri: str) -> Store:
    return Store.open(uri)


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def filled(store: Store) -> Store:
    for number in range(TRAINED):
        assert finish(store, number)
    return store
