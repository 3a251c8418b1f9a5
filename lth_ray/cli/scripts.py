"""The commands of `lth-ray` that run a study's script: one of your own, or one that comes with lth_ray, by its name."""

import runpy
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from lth_ray.cli.options import HELP, OF_LAUNCH
from lth_ray.cli.study import CHOSEN

AS_THE_SCRIPT = {"ignore_unknown_options": True, "help_option_names": []}


class Script(click.Path):
    """A script's path, or the name of a study that comes with lth_ray: (path, the one study that is meant, or None)."""

    name = "script"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value.endswith(".py") or Path(value).is_file():
            return str(super().convert(value, parameter, context)), None
        from lth_ray.commands.published import script_of

        script, chosen = script_of(value)
        return str(script), chosen

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
        from lth_ray.commands.published import published

        names = {name for one in published() for name in (one.script.stem, one.name) if name.startswith(incomplete)}
        files = super().shell_complete(context, parameter, incomplete)
        return [*(CompletionItem(name) for name in sorted(names)), *files]


class OfScript(click.Command):
    """A command on a script: --help among the flags is the script's, and the command's own before a script."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in HELP["help_option_names"]:
            click.echo(context.get_help())
            context.exit()
        return super().parse_args(context, args)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the flags that a script takes."""
        rows = [record for option in OF_LAUNCH.values() if (record := option.get_help_record(context)) is not None]
        with formatter.section("Flags"):
            formatter.write_dl(rows)


SCRIPT, FLAGS = click.argument("script", type=Script()), click.argument("flags", nargs=-1, type=click.UNPROCESSED)


@click.command("run", cls=OfScript, context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
def run_script(script: tuple[str, str | None], flags: tuple[str, ...]) -> None:
    """Run the studies that SCRIPT declares, as `python SCRIPT FLAGS` does.

    SCRIPT is a file, or the name of a script or a study that comes with lth_ray, such as digits: `lth-ray
    studies` lists these.
    """
    path, chosen = script
    CHOSEN.set(chosen)
    sys.argv = [path, *flags]
    sys.path.insert(0, str(Path(path).resolve().parent))
    runpy.run_path(path, run_name="__main__")


@click.command("plan", cls=OfScript, context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
@click.pass_context
def plan_script(context: click.Context, script: tuple[str, str | None], flags: tuple[str, ...]) -> None:
    """Print what SCRIPT's studies would run and what it would cost, as `python SCRIPT --plan FLAGS` does.

    SCRIPT is a file, or the name of a script or a study that comes with lth_ray.
    """
    context.invoke(run_script, script=script, flags=("--plan", *flags))


@click.command()
@click.argument("name", required=False)
def studies(name: str | None) -> None:
    """List the studies that come with lth_ray: what each asks, after which paper, and what it costs.

    With the NAME of one, or of a script, print all that its script says of it.
    """
    from rich.console import Console

    from lth_ray.commands.published import print_one, print_published

    print_published(Console()) if name is None else print_one(name, Console())


COMMANDS = (run_script, plan_script, studies)
