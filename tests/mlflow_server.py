"""An MLflow server of a test's own."""

import os
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Server:
    """An MLflow server of its own database."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "served.db"

    def start(self) -> None:
        """Without waiting: it takes ten seconds to be up."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)

    def answers(self) -> bool:
        with suppress(OSError), closing(urllib.request.urlopen(f"{self.uri}/health", timeout=2)):
            return True
        return False

    def end(self) -> None:
        if self.process is not None:
            first = psutil.Process(self.process.pid)
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.Error):
                    process.kill()
            self.process.wait(20)
        self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
