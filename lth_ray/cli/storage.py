"""The commands of `lth-ray` on a whole storage, and on the machines that use it."""

import sys
from typing import Any

import click
from rich.console import Console

from lth_ray.cli.options import DATA_ROOT, STORAGE, STUDY, TRACKING_URI
from lth_ray.store import Store


@click.command()
@click.option("--address", help="Look at this Ray cluster, HOST:PORT or auto; by default at this machine alone.")
@STORAGE
@TRACKING_URI
@DATA_ROOT
@click.option("--data", help="Name a data set that every node must find alike, such as cifar10.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Look for room for so many workers.",
)
@click.option(
    "--gpus-per-worker", type=click.FloatRange(0), default=0.0, show_default=True, help="Look for so many GPUs of each."
)
@click.option(
    "--study", default="digits", show_default=True, help="Print the line that runs this script or study, by its name."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def doctor(as_json: bool, **asked: Any) -> None:
    """Say what a study would lack on this machine or cluster, and the remedy.

    Exits 1 where there is a problem; else the line that runs or submits a study there is printed last.
    """
    from lth_ray.running.doctor.command import doctor
    from lth_ray.running.doctor.examine import Asked

    sys.exit(doctor(Asked(**asked), as_json))


@click.command("ls")
@STORAGE
def list_studies(storage: str) -> None:
    """List the studies of a storage: state, tickets, what was trained, and the last change."""
    from lth_ray.commands.listing import print_studies

    print_studies(Store.open(storage, writable=False), Console())


@click.command()
@STORAGE
@click.option("--yes", is_flag=True, help="Remove it; without this flag only say what would go.")
@click.option("--grace-s", type=float, default=3600.0, show_default=True, help="Leave files younger than this alone.")
def gc(storage: str, yes: bool, grace_s: float) -> None:
    """Remove what no study's record reaches, having said what that is; refuse while a run is live."""
    from lth_ray.commands import reporting

    reporting.collect_garbage(Store.open(storage, writable=False), yes, grace_s, Console())


@click.command("verify")
@click.argument("name", required=False, type=STUDY)
@STORAGE
@click.option("--mend", is_flag=True, help="Set aside what is damaged, so that running the study makes it again.")
def verify_storage(name: str | None, storage: str, mend: bool) -> None:
    """Read every record, state, mask and checkpoint of study NAME, or of all, and compare it with its
    content.

    Exits 1 where something is damaged and not set aside, or lost.
    """
    from lth_ray.commands.verifying import verify

    sys.exit(verify(Store.open(storage, writable=False), name, mend, Console(soft_wrap=True)))


COMMANDS = (list_studies, doctor, gc, verify_storage)
