"""`lth-ray`: its commands on a study, by its script or by its name."""

import sys

import click
from rich.console import Console

from lth_ray import __version__
from lth_ray.cli import exports, images, scripts, storage, tickets
from lth_ray.cli.options import HELP, STORAGE, STUDY, TRACKING_URI, Commands, guarded, shared
from lth_ray.config import ConfigError, Launch
from lth_ray.store import Store


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=STUDY)
@STORAGE
@click.option("--against", type=click.Choice(["paper"]), help="Print the results beside what the papers report.")
@TRACKING_URI
@shared("quiet")
def report(names: tuple[str, ...], storage: str, against: str | None, tracking_uri: str | None, quiet: bool) -> None:
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
    launch = Launch(storage, tracking_uri=tracking_uri, quiet=quiet)
    reporting.print_results(results, launch, Console(stderr=True), question, against == "paper")


@click.command()
@click.argument("name", type=STUDY)
@STORAGE
@click.option("--watch", is_flag=True, help="Keep showing it, in a terminal, until no run is live.")
def status(name: str, storage: str, watch: bool) -> None:
    """Say how far study NAME is, from any machine that sees the storage.

    Into a file or a pipe it is said lineage by lineage.
    """
    from lth_ray.commands.status import print_status

    print_status(Store.open(storage, writable=False), name, Console(), watch)


@click.command()
@click.argument("name", type=STUDY)
@click.argument("lineage")
@STORAGE
def cancel(name: str, lineage: str, storage: str) -> None:
    """Stop LINEAGE of a live run of study NAME, as its progress names it; another run takes it up."""
    from lth_ray.running import history

    store = Store.open(storage, writable=False)
    known = [known.id for known in history.recorded_plan(store, name).lineages]
    if lineage not in known:
        raise ConfigError(f"no lineage {lineage!r} in study {name!r}: the lineages are {', '.join(known)}")
    history.cancel(store, name, lineage)
    click.echo(f"asked the run of {name} to stop {lineage}; what it has trained stays")


@click.command()
@click.argument("name", type=STUDY)
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
@click.version_option(__version__, prog_name="lth_ray", help="Print the version.")
def lth_ray() -> None:
    """Run studies, and look after what they have put into a storage."""


OWN = (report, status, cancel, replay)
for command in (*scripts.COMMANDS, *OWN, *tickets.COMMANDS, *storage.COMMANDS, *images.COMMANDS, *exports.COMMANDS):
    lth_ray.add_command(command)


def entry() -> None:
    """Run `lth-ray`."""
    guarded(lth_ray)
