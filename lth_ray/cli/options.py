"""The options of several commands, and those of a study, which are the fields of Launch; how a command runs."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, get_args, get_origin

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markup import escape

from lth_ray import collector
from lth_ray.config import ConfigError, Launch
from lth_ray.config.words import field_words
from lth_ray.store import StorageError

HELP = {"help_option_names": ["-h", "--help"]}
SHORT = {"quiet": "-q", "verbose": "-v"}
METAVARS = {"set": "FIELD=VALUE", "sweep": "FIELD=A,B", "gpu_type": "[GLOB=]TYPE"}


def option_of(field: "Field[Any]", words: str) -> click.Option:
    """Return the option of a field of Launch: --data-root for data_root, with its default and its words."""
    several = get_origin(field.type) is Sequence
    kind = next((one for one in (field.type, *get_args(field.type)) if one in (bool, int, float)), str)
    flag = f"--{field.name.replace('_', '-')}"
    text = words[:1].upper() + words[1:]
    if kind is bool:
        short = [SHORT[field.name]] if field.name in SHORT else []
        return click.Option([flag, *short, field.name], is_flag=True, help=text)
    default = None if field.default is MISSING or several else field.default
    return click.Option(
        [flag, field.name],
        type=kind,
        multiple=several,
        default=default,
        show_default=default is not None,
        metavar=METAVARS.get(field.name),
        help=text,
    )


WORDS = field_words(Launch)
OF_LAUNCH = {field.name: option_of(field, WORDS.get(field.name, "")) for field in fields(Launch)}


def shared(name: str) -> Callable[[Any], Any]:
    """Return a decorator that gives a command the option of Launch's field `name`."""

    def decorate(command: Any) -> Any:
        given = OF_LAUNCH[name]
        return click.option(
            *given.opts,
            name,
            type=given.type,
            is_flag=given.is_flag,
            default=given.default,
            show_default=given.show_default,
            help=given.help,
        )(command)

    return decorate


STORAGE, TRACKING_URI, DATA_ROOT = shared("storage"), shared("tracking_uri"), shared("data_root")


class StudyName(click.ParamType):  # type: ignore[type-arg]
    """The name of a study of the storage; a shell completes it by those that --storage holds."""

    name = "study"

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
        from lth_ray.running.history import studies
        from lth_ray.store import Store

        try:
            found = studies(Store.open(context.params.get("storage") or "./lth_storage", writable=False))
        except StorageError:
            found = []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


STUDY = StudyName()
ADDRESS, CPUS = shared("address"), shared("cpus")


class Commands(click.Group):
    """A group that lists its commands with the first sentence of each, whole."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, command) for name, command in sorted(self.commands.items()) if not command.hidden]
        rows = [(name, first_sentence(command.help or "")) for name, command in found]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def first_sentence(text: str) -> str:
    """Return a text up to the first stop that ends a sentence, on one line."""
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


def guarded(command: Callable[..., Any]) -> None:
    """Run a click command; a user's mistake ends in its message and exit code 2, and in a traceback with -v alone."""
    collector.relax()
    try:
        command()
    except (ConfigError, StorageError) as error:
        if {"-v", "--verbose"} & set(sys.argv[1:]):
            Console(stderr=True).print_exception()
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
