"""The options of a study's script are Launch's fields, and no help is cut or a fragment."""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lth_ray.cli import lth_ray, study_command
from lth_ray.cli.options import first_sentence
from lth_ray.config import Launch


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


COMMANDS = {**dict(commands(lth_ray)), "of a study": study_command([])}


def given(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Launch:
    """The Launch that a study's command makes of flags."""
    found: list[Launch] = []
    monkeypatch.setattr("lth_ray.cli.study._check_all", lambda studies, launch: found.append(launch))
    monkeypatch.setattr("lth_ray.cli.study._run", lambda *_: 0)
    monkeypatch.setattr("lth_ray.cli.study.launched", lambda study, launch: study)
    monkeypatch.setattr("lth_ray.running.planning.shortened", lambda study: "")
    study: Any = object()
    result = CliRunner().invoke(study_command([study]), flags)
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], Launch()),
        (
            ["--storage", "s3://b/p", "--data-root", "d", "--workers", "2", "--cpus-per-worker", "1.5", "--plan"],
            Launch("s3://b/p", data_root="d", workers=2, cpus_per_worker=1.5, plan=True),
        ),
        (
            ["--set", "train.lr=1", "--set", "a=b", "--gpu-type", "H100", "--smoke", "--max-gpu-hours", "2"],
            Launch(set=["train.lr=1", "a=b"], gpu_type=["H100"], smoke=True, max_gpu_hours=2.0),
        ),
    ],
)
def test_flags_become_fields(monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: Launch) -> None:
    assert given(monkeypatch, *flags) == expected


def test_there_is_an_option_for_every_field_of_launch() -> None:
    flags = {option: field.name for field in fields(Launch) for option in [f"--{field.name.replace('_', '-')}"]}
    assert {parameter.opts[0]: parameter.name for parameter in study_command([]).params} == flags


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_full_sentences(name: str) -> None:
    command = COMMANDS[name]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for text in [option.help or "" for option in options] + [command.help or "A study's."]:
        assert re.fullmatch(r"[A-Z].*\.", " ".join(text.split())), text
        assert len(text.split()) > 2 or text == "A study's.", text


def test_the_list_of_commands_is_not_cut() -> None:
    printed = " ".join(CliRunner().invoke(lth_ray, ["--help"]).output.partition("Commands:")[2].split())
    assert "..." not in printed
    for command in lth_ray.commands.values():
        assert first_sentence(command.help or "") in printed


@pytest.mark.parametrize("name", ["run", "plan"])
def test_help_before_a_script_is_the_command_s(name: str) -> None:
    done = CliRunner().invoke(lth_ray, [name, "--help"])
    assert done.exit_code == 0
    assert f"{name} [OPTIONS] SCRIPT [FLAGS]..." in done.output
    assert first_sentence(COMMANDS[name].help or "") in " ".join(done.output.split())


def test_a_sentence_ends_at_its_stop() -> None:
    assert first_sentence("Sends A.B\n    to C. Then more.") == "Sends A.B to C."
    assert first_sentence("Sends it") == "Sends it."
