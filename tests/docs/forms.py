"""The form of a command line, checked without running it: every flag, argument and file that its program
takes.
"""

import re
import shlex
from collections.abc import Callable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import click

from lth_ray.config import ConfigError
from tests.docs.blocks import ROOT
from tests.repository import has

# Programs whose words are not checked here; what the cluster's files give them is, by tests/cluster_files.
OTHERS = {
    "aws", "base64", "cd", "chmod", "conda", "do", "docker", "done", "eval", "export", "for", "kubectl", "mkdir", "pip",
    "sh", "source", "ssh",
    "tr", "umask",
}  # fmt: skip
ENDS = {"|", "||", "&&", ";", "&"}


class MalformedError(AssertionError):
    """A command line that its program would refuse."""


class IncompleteError(MalformedError):
    """One that lacks an argument."""


def calls(line: str) -> list[list[str]]:
    """The commands of a shell line, each as its words; assignments before them and redirections are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if word in ENDS:
            found.append([])
        elif re.fullmatch(r"[<>]+", word):
            skip = True
        elif skip:
            skip = False
        elif found[-1] or not re.fullmatch(r"\w+=.*", word):
            found[-1].append(word)
    return [words for words in found if words]


def check(line: str, *, whole: bool = True) -> None:
    """Raises MalformedError where some command of a shell line would be refused, or is of no program that is known.

    whole: False allows that arguments are left out, as a text does that names a command.
    """
    for words in calls(line):
        program = words[0].removeprefix(".venv/bin/")
        if "..." in words or program in OTHERS:
            continue
        if program not in PROGRAMS:
            raise MalformedError(f"{program!r}: no such program is known here: {line}")
        try:
            PROGRAMS[program](words[1:])
        except IncompleteError:
            if whole:
                raise


def parse(command: click.Command, words: list[str]) -> None:
    """As click does before it calls the function: subcommands, flags, their values and the number of arguments."""
    path = [command.name or ""]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0]) if words else None
        if found is None:
            raise MalformedError(f"{' '.join(path)} has no command {' '.join(words[:1])!r}")
        path, command, words = [*path, words[0]], found, words[1:]
    try:
        command.make_context(" ".join(path), list(words))
    except click.exceptions.Exit:
        pass  # --help
    except click.MissingParameter as error:
        raise IncompleteError(f"{' '.join([*path, *words])}: {error.format_message()}") from None
    except (click.ClickException, ConfigError) as error:
        error = error if isinstance(error, click.ClickException) else click.ClickException(str(error))
        raise MalformedError(f"{' '.join([*path, *words])}: {error.format_message()}") from None


@cache
def study_command() -> click.Command:
    """The flags of every study."""
    spec = spec_from_file_location("reference", ROOT / "docs" / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = module_from_spec(spec)
    spec.loader.exec_module(module)
    command: click.Command = module.study_command()
    return command


def lth_ray(words: list[str]) -> None:
    from lth_ray.cli import lth_ray

    parse(lth_ray, words)


def ray(words: list[str]) -> None:
    from ray.scripts.scripts import cli

    if "--" in words[:-1]:
        check(shlex.join(words[words.index("--") + 1 :]))
    parse(cli, words)


def mlflow(words: list[str]) -> None:
    from mlflow.cli import cli

    parse(cli, words)


def python(words: list[str]) -> None:
    """A study's script with its flags, one of our modules, or another script that is there."""
    if words[:2] == ["-m", "lth_ray"]:
        return lth_ray(words[2:]) if words[2:] else None
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        if words[1] not in ("pytest", "venv", "pip") and not (has(module) or has(module.with_suffix(".py"))):
            raise MalformedError(f"python -m {words[1]}: no such module")
        return None
    if words[0].startswith(("docs/", "studies/")) and not has(ROOT / words[0]):
        raise MalformedError(f"{words[0]}: no such script")
    if not words[0].startswith("docs/"):
        parse(study_command(), words[1:])
    return None


def sbatch(words: list[str]) -> None:
    """Our batch script, which takes a study's script and its flags."""
    ours = [word for word in words if word.endswith(".sbatch")]
    if not ours or not has(ROOT / ours[0]):
        raise MalformedError(f"sbatch {' '.join(words)}: no such batch script")
    python(words[words.index(ours[0]) + 1 :])


def make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        pattern = rf"^{name} [?:]?=" if equals else rf"^{name}:"
        if not re.search(pattern, makefile, re.MULTILINE):
            raise MalformedError(f"make {word}: the Makefile has no such {'variable' if equals else 'target'}")


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "lth-ray": lth_ray, "make": make, "mlflow": mlflow, "python": python, "ray": ray,
    "sbatch": sbatch,
}  # fmt: skip
