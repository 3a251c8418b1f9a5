"""`lth-ray`: its commands on a study, by its script or by its name."""

import runpy
import sys
from pathlib import Path

import click
from rich.console import Console

from lth_ray.cli import images, storage, tickets
from lth_ray.cli.options import HELP, STORAGE, TRACKING_URI, Commands, guarded
from lth_ray.config import ConfigError, Launch
from lth_ray.store import Store

SCRIPT = click.argument("script", type=click.Path(exists=True, dir_okay=False))
FLAGS = click.argument("flags", nargs=-1, type=click.UNPROCESSED)
AS_THE_SCRIPT = {"ignore_unknown_options": True, "help_option_names": []}


class OfScript(click.Command):
    """A command on a script: --help among the flags is the script's, and the command's own before a script."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in HELP["help_option_names"]:
            click.echo(context.get_help())
            context.exit()
        return super().parse_args(context, args)


@click.command("run", cls=OfScript, context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
def run_script(script: str, flags: tuple[str, ...]) -> None:
    """Run the studies that SCRIPT declares, as `python SCRIPT FLAGS` does."""
    sys.argv = [script, *flags]
    sys.path.insert(0, str(Path(script).resolve().parent))
    runpy.run_path(script, run_name="__main__")


@click.command("plan", cls=OfScript, context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
@click.pass_context
def plan_script(context: click.Context, script: str, flags: tuple[str, ...]) -> None:
    """Print what SCRIPT's studies would run and what it would cost, as `python SCRIPT --plan FLAGS` does."""
    context.invoke(run_script, script=script, flags=("--plan", *flags))


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@STORAGE
@click.option("--against", type=click.Choice(["paper"]), help="Print the results beside what the papers report.")
@TRACKING_URI
def report(names: tuple[str, ...], storage: str, against: str | None, tracking_uri: str | None) -> None:
    """Make the page, tables and figures of study NAME again, whether it is complete or not.

    Of several studies one page is made, with what each has found and the fields in which they differ.
    """
    from lth_ray.commands import reporting
    from lth_ray.running import history
    from lth_ray.running.results import Results

    store = Store.open(storage, writable=False)
    if len(names) > 1:
        reporting.print_side_by_side(
            [history.recorded_plan(store, name) for name in names], store, Console(stderr=True)
        )
        return
    (name,) = names
    results = Results(history.recorded_plan(store, name), store)
    question = history.entries_of(store, name)[-1]["question"] or ""
    launch = Launch(storage, tracking_uri=tracking_uri)
    reporting.print_results(results, launch, Console(stderr=True), question, against == "paper")


@click.command()
@click.argument("name")
@STORAGE
@click.option("--watch", is_flag=True, help="Keep showing it, in a terminal, until no run is live.")
def status(name: str, storage: str, watch: bool) -> None:
    """Say how far study NAME is, from any machine that sees the storage.

    Into a file or a pipe it is said lineage by lineage.
    """
    from lth_ray.commands.status import print_status

    print_status(Store.open(storage, writable=False), name, Console(), watch)


@click.command()
@click.argument("lineage")
@click.option("--name", required=True, help="Look for the lineage in this study.")
@STORAGE
def cancel(lineage: str, name: str, storage: str) -> None:
    """Stop LINEAGE (as the progress names it) of a live run; running the study again takes it up."""
    from lth_ray.running import history

    store = Store.open(storage, writable=False)
    known = [known.id for known in history.recorded_plan(store, name).lineages]
    if lineage not in known:
        raise ConfigError(f"no lineage {lineage!r} in study {name!r}: the lineages are {', '.join(known)}")
    history.cancel(store, name, lineage)
    click.echo(f"asked the run of {name} to stop {lineage}; what it has trained stays")


@click.command()
@click.argument("name")
@STORAGE
@TRACKING_URI
def replay(name: str, storage: str, tracking_uri: str | None) -> None:
    """Send to MLflow whatever study NAME has measured and MLflow does not have yet."""
    from lth_ray import record
    from lth_ray.commands import reporting
    from lth_ray.running import history

    store = Store.open(storage, writable=False)
    plan = history.recorded_plan(store, name)
    last = history.entries_of(store, name)[-1]
    question, commit = last["question"] or "", last.get("commit") or ""
    try:
        counts = record.replay(plan, store, tracking_uri, question=question, commit=commit)
    except record.RecordError as error:
        raise ConfigError(str(error)) from None
    done = record.report(plan, store, question=question, commits=history.commits_of(store, name))
    click.echo(f"{counts['shipped']} results sent, {counts['present']} were there already, {counts['failed']} failed")
    reporting.print_mlflow(plan, store, tracking_uri, done, Console(stderr=True))
    sys.exit(1 if counts["failed"] else 0)


@click.group(cls=Commands, context_settings=HELP)
def lth_ray() -> None:
    """Run studies, and look after what they have put into a storage."""


OWN = (run_script, plan_script, report, status, cancel, replay)
for command in (*OWN, *tickets.COMMANDS, *storage.COMMANDS, *images.COMMANDS):
    lth_ray.add_command(command)


def entry() -> None:
    """Run `lth-ray`."""
    guarded(lth_ray)
