"""images.sh names every image that a tag may change, and is content when all are pinned by digest."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.cluster_files.files import CLUSTER

IMAGE = re.compile(r"^(\s*(?:- )?(?:worker_)?image: |ARG BASE=|FROM )((?!\$)\S+)", re.MULTILINE)


def asked(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", folder / "images.sh"], capture_output=True, text=True)


def test_images_that_are_not_pinned_are_named_and_pinned_ones_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    shutil.copytree(CLUSTER, folder)
    files = [path for path in folder.rglob("*") if path.suffix == ".yaml" or path.name == "Dockerfile"]
    found = [image for path in files for _, image in IMAGE.findall(path.read_text())]
    assert {"postgres:17", "python:3.11-slim", "rayproject/ray:2.60.0-py311-gpu", "lth-ray:cpu"} <= set(found)
    run = asked(folder)
    assert run.returncode == 1
    assert sorted(re.findall(r"(?:image: |BASE=|FROM )(\S+)$", run.stdout, re.MULTILINE)) == sorted(found)
    for path in files:
        path.write_text(IMAGE.sub(lambda match: f"{match[0]}@sha256:{'0a' * 32}", path.read_text()))
    run = asked(folder)
    assert run.returncode == 0, run.stdout
    assert run.stdout == "every image is pinned by its digest\n"
