"""Stores to test: every test that takes `store` runs on a local folder and on an S3 server."""

import importlib
import os
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lth_ray import probes
from lth_ray.store import Store

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


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


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """The URI of a bucket on a moto server of our own, with the environment set so that boto3 finds it."""
    pytest.importorskip("boto3", reason="the s3 extra is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import boto3

    server = server_module.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            environment.setenv(name, value)
        boto3.session.Session().client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket="lth")
        yield "s3://lth"
    server.stop()


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
