"""The commands of cluster/README.md exist, with the flags and the files that it gives them."""

import re
import shlex
from typing import Any

import click
import pytest

from tests.cluster_files.files import CLUSTER, ROOT

PAGE = (CLUSTER / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]
INLINE = re.findall(r"`((?:ray|lth-ray|python) [^`]*)`", PAGE.replace("\n", " "))
ANYTHING = {"--help", "-h"}


def commands(program: str) -> list[list[str]]:
    """The words after `program`, wherever it is called; in `ray job submit ... -- python x.py` both are."""
    found = []
    for line in [*LINES, *INLINE]:
        if "..." in line:
            continue
        words = shlex.split(line, comments=True)
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)]
        calls = [words, words[words.index("--") + 1 :]] if "--" in words else [words]
        for call in calls:
            if call[: len(program.split())] == program.split():
                end = call.index("--") if "--" in call else len(call)
                found.append(call[len(program.split()) : end])
    return found


def check(command: Any, words: list[str]) -> None:
    """Follows subcommands, then asserts that every flag is one of the command's."""
    while isinstance(command, click.Group):
        assert words, command.name
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"{command.name} has no {word}"


def test_the_page_shows_every_way() -> None:
    assert len(commands("ray")) > 10
    assert len(commands("python -m lth_ray.cli")) == 2
    for name in ("ray-aws.yaml", "ray-onprem.yaml", "kuberay/raycluster.yaml", "kuberay/rayjob.yaml", "slurm.sbatch"):
        assert name in PAGE


@pytest.mark.parametrize("words", commands("ray"), ids=" ".join)
def test_a_command_of_ray_exists(words: list[str]) -> None:
    from ray.scripts.scripts import cli

    check(cli, words)


@pytest.mark.parametrize("words", commands("lth-ray") + commands("python -m lth_ray.cli"), ids=" ".join)
def test_a_command_of_lth_ray_exists(words: list[str]) -> None:
    from lth_ray.cli import lth_ray

    check(lth_ray, words)


def test_the_command_line_can_be_run_as_a_module() -> None:
    """A node that has only the job's upload has no `lth-ray`."""
    assert 'if __name__ == "__main__":' in (ROOT / "lth_ray" / "cli.py").read_text()


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


@pytest.mark.parametrize(
    "faulty",
    ["ray up --yess cluster/ray-aws.yaml", "ray job submit --adress http://HEAD:8265", "ray jobs list", "ray job"],
)
def test_a_faulty_command_is_found(faulty: str) -> None:
    from ray.scripts.scripts import cli

    with pytest.raises(AssertionError):
        check(cli, faulty.split()[1:])


def test_every_file_that_is_named_exists() -> None:
    """Studies may still be missing; the cluster's own files may not."""
    for name in re.findall(r"cluster/[\w./-]+\w", PAGE + (CLUSTER / "slurm.sbatch").read_text()):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:kuberay|mlflow)/[\w.-]*|[\w-]+\.(?:yaml|md|sbatch)|Dockerfile)`", PAGE):
        assert (CLUSTER / name).exists() or name in ("raycluster.yaml", "rayjob.yaml"), name


def test_no_address_but_private_and_local_ones_and_no_account() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for address in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text):
                assert address.startswith(("10.", "127.")) or address == "0.0.0.0", f"{path.name}: {address}"
            assert not re.search(r"(?<!\d)\d{12}(?!\d)|AKIA[A-Z0-9]{16}|fs-[0-9a-f]{8,}", text), path.name
