"""Fixtures that every layer's tests share."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lth_ray.config import Data, Study
from lth_ray.tasks import Images

IMAGES = Images(Data("digits", batch_size=1, validation=0))  # the task that evaluations of images are made by
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

# Folders whose files take longest, as they start processes or train: they come first, so that at the end of `make test`
# no core waits for the other's long file.
LONG = ("ray", "running", "lottery", "docs", "record", "studies", "training", "benchmarks", "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    place = {folder: number for number, folder in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.relative_to(here).parts[0], len(LONG)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets beside the checkout; the product itself never needs them."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Trials train with one thread; so do tests, that their figures and bits agree.

    A first backward pass starts autograd before any test exports a network: torch.export would have it start threads of
    its own, after which no process that tests fork could train.
    """
    torch.set_num_threads(1)
    torch.ones((), requires_grad=True).backward()


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


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """call(studies or None for lth-ray, *arguments) -> (exit code, all that was printed), in this process."""

    from lth_ray import cli  # not above: where the tests of a GPU run there may be neither Ray nor MLflow

    def call(studies: Study | list[Study] | None, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["study.py" if studies else "lth-ray", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.entry() if studies is None else cli.main(studies)
        printed = capsys.readouterr()
        return int(exit_.value.code or 0), printed.out + printed.err

    return call
