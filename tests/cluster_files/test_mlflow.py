"""The MLflow server's files: a compose file that is valid and holds no password, and one way to start the server."""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.cluster_files.files import ABSENT, CLUSTER, SCHEMAS, changed, documents, pinned

START = CLUSTER / "mlflow" / "start.sh"


def check(compose: dict[str, Any]) -> None:
    """The schema, and what compose itself checks: that names of services, secrets and volumes are declared."""
    Draft202012Validator(yaml.safe_load((SCHEMAS / "compose.yaml").read_text())).validate(compose)
    for name, service in compose["services"].items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in compose["services"], f"{name} depends on {needed}"
            healthy = how["condition"] == "service_healthy"
            assert not healthy or "healthcheck" in compose["services"][needed], f"{needed} has no healthcheck"
        assert set(service.get("secrets", ())) <= set(compose.get("secrets", {})), f"secrets of {name}"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith((".", "/")) or source in compose.get("volumes", {}), f"volume {volume} of {name}"
        for port in service.get("ports", ()):
            assert re.fullmatch(r"(\$\{[^}]+\}|[0-9.]+):[0-9]+:[0-9]+", port), f"{name} publishes {port} everywhere"


FAULTS = [
    ("services", ABSENT),
    ("service", {}),
    ("name", "LTH MLflow"),
    ("services/mlflow/image", "lth-mlflow:3"),
    ("services/mlflow/build", ABSENT),
    ("services/mlflow/port", ["5000:5000"]),
    ("services/mlflow/ports", ["5000:5000"]),
    ("services/mlflow/ports", [5000]),
    ("services/mlflow/restart", "sometimes"),
    ("services/mlflow/environment/MLFLOW_HOST", ["0.0.0.0"]),
    ("services/mlflow/depends_on/postgres/condition", "healthy"),
    ("services/mlflow/depends_on/database", {"condition": "service_started"}),
    ("services/mlflow/secrets", ["postgres", "postgres"]),
    ("services/postgres/image", "postgres"),
    ("services/postgres/healthcheck", ABSENT),
    ("services/postgres/healthcheck/test", "pg_isready"),
    ("services/postgres/healthcheck/interval", "5 s"),
    ("services/postgres/volumes", ["database:/var/lib/postgresql/data"]),
    ("secrets/minio/file", ABSENT),
    ("secrets/minio", ABSENT),
    ("volumes/minio", ABSENT),
]


def test_the_compose_file_is_valid() -> None:
    (compose,) = documents("mlflow/compose.yaml")
    check(compose)


@pytest.mark.parametrize(("path", "value"), FAULTS)
def test_a_faulty_copy_is_refused(path: str, value: Any) -> None:
    (compose,) = documents("mlflow/compose.yaml")
    with pytest.raises((ValidationError, AssertionError)):
        check(changed(compose, path, value))


def test_only_mlflow_is_published_and_no_password_is_written_down() -> None:
    (compose,) = documents("mlflow/compose.yaml")
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["mlflow"]
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in ("PASSWORD", "SECRET")):
                assert name.endswith("_FILE"), name
                assert value.startswith("/run/secrets/"), value
    assert not re.search(r"://[^/@\s]*:[^/@\s]+@", (CLUSTER / "mlflow" / "compose.yaml").read_text())


def test_the_image_has_the_mlflow_that_is_pinned() -> None:
    version = pinned("mlflow")
    assert f"'mlflow[auth]=={version}' " in (CLUSTER / "mlflow" / "Dockerfile").read_text()
    assert f"image: lth-mlflow:{version}" in (CLUSTER / "mlflow" / "kubernetes.yaml").read_text()


SETTINGS = {
    "MLFLOW_HOST": "10.0.0.20",
    "MLFLOW_BACKEND_STORE_URI": "postgresql://mlflow@postgres:5432/mlflow",
    "MLFLOW_ARTIFACTS": "s3://mlflow/",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a login",
}


@pytest.fixture
def started(tmp_path: Path) -> Any:
    """Runs start.sh with an `mlflow` that tells how it was called."""
    fake = tmp_path / "mlflow"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    def start(**settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **settings}
        return subprocess.run(["sh", START], env=environment, capture_output=True, text=True)

    return start


def test_the_server_starts_with_passwords_from_files(started: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a secret\n")
    (tmp_path / "key").write_text("another")
    run = started(
        **SETTINGS, PGPASSWORD_FILE=str(tmp_path / "password"), AWS_SECRET_ACCESS_KEY_FILE=str(tmp_path / "key")
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert {"PGPASSWORD=a secret", "AWS_SECRET_ACCESS_KEY=another"} <= set(lines)
    assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in lines
    arguments = lines[: lines.index("--artifacts-destination") + 2]
    assert arguments == [
        "server", "--host", "10.0.0.20", "--port", "5000", "--workers", "2",
        "--backend-store-uri", "postgresql://mlflow@postgres:5432/mlflow", "--artifacts-destination", "s3://mlflow/",
    ]  # fmt: skip
    assert lines[len(arguments) : len(arguments) + 2] == ["--app-name", "basic-auth"]


def test_passwords_may_come_from_the_environment(started: Any) -> None:
    run = started(**SETTINGS, PGPASSWORD="a secret", MLFLOW_WORKERS="4", MLFLOW_PORT="5001")
    assert run.returncode == 0
    assert "PGPASSWORD=a secret" in run.stdout
    assert "--port\n5001\n--workers\n4\n" in run.stdout


@pytest.mark.parametrize("missing", SETTINGS)
def test_a_setting_that_is_missing_is_named(started: Any, missing: str) -> None:
    run = started(**{name: value for name, value in SETTINGS.items() if name != missing})
    assert run.returncode != 0
    assert missing in run.stderr
    assert "server" not in run.stdout


def test_the_server_asks_for_a_password_unless_it_is_told_not_to(started: Any, tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("from a secret")
    (tmp_path / "tmp").mkdir()
    given = {name: value for name, value in SETTINGS.items() if name != "MLFLOW_AUTH_ADMIN_PASSWORD"}
    run = started(**given, MLFLOW_AUTH_ADMIN_PASSWORD_FILE=str(tmp_path / "admin"), TMPDIR=str(tmp_path / "tmp"))
    assert run.returncode == 0, run.stderr
    told = dict(line.partition("=")[::2] for line in run.stdout.splitlines())
    assert told["MLFLOW_AUTH_ADMIN_PASSWORD"] == "from a secret"
    assert re.fullmatch(r"[0-9a-f]{64}", told["MLFLOW_FLASK_SERVER_SECRET_KEY"])
    settings = Path(told["MLFLOW_AUTH_CONFIG_PATH"])
    assert settings.stat().st_mode & 0o777 == 0o600
    assert settings.read_text() == (
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        "database_uri = postgresql://mlflow@postgres:5432/mlflow\n"
    )
    open_one = started(**given, MLFLOW_LOGIN="none")
    assert open_one.returncode == 0
    assert "--app-name" not in open_one.stdout
    assert "MLFLOW_AUTH_CONFIG_PATH" not in open_one.stdout


def test_the_flags_of_the_start_command_exist() -> None:
    from mlflow.cli import cli

    known = {option for parameter in cli.commands["server"].params for option in parameter.opts}
    flags = set(re.findall(r"(--[a-z-]+)", START.read_text()))
    assert flags
    assert flags <= known
