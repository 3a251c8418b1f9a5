"""The files that cluster/README.md names exist, and the flags that they give to a study; its commands are tested with
those of all documents, in tests/docs."""

import re

import pytest

from tests.cluster_files.files import CLUSTER, ROOT
from tests.repository import files, has

PAGE = (CLUSTER / "README.md").read_text()


def test_the_page_shows_every_way() -> None:
    for name in ("ray-aws.yaml", "ray-onprem.yaml", "kuberay/raycluster.yaml", "kuberay/rayjob.yaml", "slurm.sbatch"):
        assert name in PAGE


def test_the_command_line_can_be_run_as_a_module() -> None:
    """A node that has only the job's upload has no `lth-ray`."""
    assert (ROOT / "lth_ray" / "__main__.py").read_text().endswith("\nentry()\n")


def test_the_flags_of_a_study_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from lth_ray import Data, Model, Prune, Study, Train, main, steps

    train = Train(steps(1), lr=0.1)
    study = Study(
        "x",
        model=Model("lenet_300_100"),
        data=Data("digits", batch_size=1, validation=0),
        train=train,
        prune=Prune(fraction=0.2, rounds=1),
        rewind=[steps(0)],
        seeds=[0],
    )
    monkeypatch.setattr("sys.argv", ["study.py", "--help"])
    with pytest.raises(SystemExit):
        main(study)
    told = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    text = PAGE.replace("\\\n", " ")
    given = re.findall(r"studies/\w+\.py([^`\n]*)", text)
    given += re.findall(r"studies/\w+\.py([^`\n]*)", (CLUSTER / "slurm.sbatch").read_text())
    given += re.findall(r"studies/\w+\.py(.*?)\n  \w", (CLUSTER / "kuberay" / "rayjob.yaml").read_text(), re.DOTALL)
    flags = {flag for text in given for flag in re.findall(r"(--[a-z][a-z-]*)", text)}
    flags |= {"--concurrent", "--checkpoint-every-s"}
    assert {"--workers", "--storage", "--tracking-uri"} <= flags
    assert flags <= told, flags - told


def test_every_file_that_is_named_exists() -> None:
    """Studies may still be missing; the cluster's own files may not."""
    for name in re.findall(r"cluster/[\w./-]+\w", PAGE + (CLUSTER / "slurm.sbatch").read_text()):
        assert has(ROOT / name), name
    for name in re.findall(r"`((?:kuberay|mlflow)/[\w.-]*|[\w-]+\.(?:yaml|md|sbatch)|Dockerfile)`", PAGE):
        assert has(CLUSTER / name) or name in ("raycluster.yaml", "rayjob.yaml"), name


def test_no_address_but_private_and_local_ones_and_no_account() -> None:
    for path in files("cluster/**"):
        text = path.read_text()
        for address in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text):
            assert address.startswith(("10.", "127.")) or address == "0.0.0.0", f"{path.name}: {address}"
        assert not re.search(r"(?<!\d)\d{12}(?!\d)|AKIA[A-Z0-9]{16}|fs-[0-9a-f]{8,}", text), path.name
