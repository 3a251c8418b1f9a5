"""The command line: a study's own flags, and `lth-ray` for what is in a storage."""

import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from lth_ray import collector
from lth_ray.cli_tickets import COMMANDS, STORAGE
from lth_ray.config import ConfigError, Launch, Study
from lth_ray.store import StorageError, Store

CHANCE_FACTOR = 3  # a smoke run's arm has learnt when the share that it gets right is so many times chance


def main(study: Study | Sequence[Study]) -> None:
    """Runs one study, or several in turn, as the command line says, and exits nonzero when something failed."""
    studies = [study] if isinstance(study, Study) else list(study)
    question = getattr(sys.modules.get("__main__"), "__doc__", None) or ""

    @click.command(help=question, context_settings={"help_option_names": ["-h", "--help"]})
    @STORAGE
    @click.option("--name", help="Another name for the study.")
    @click.option("--plan", is_flag=True, help="Print what would run and what it would cost; run nothing.")
    @click.option("--smoke", is_flag=True, help="Minutes on a small machine: shortened as the study says.")
    @click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Change a field: train.lr=0.1")
    @click.option("--sweep", multiple=True, metavar="FIELD=A,B", help="Sweep a field: train.warmup=steps(0),steps(500)")
    @click.option("--data-root", help="Where data sets are found, or downloaded to.")
    @click.option("--tracking-uri", help="An MLflow server; by default a database under the storage.")
    @click.option("--address", help="A Ray cluster; by default a Ray of its own.")
    @click.option("--cpus", type=int, help="CPU cores for a Ray of its own; by default all.")
    @click.option("--workers", type=int, default=0, show_default=True, help="That train each network together.")
    @click.option("--later-workers", type=int, help="For rounds after the dense one; by default as many.")
    @click.option("--min-workers", type=int, help="Go on with so few when some are lost; by default wait for them.")
    @click.option("--cpus-per-worker", type=float, default=1.0, show_default=True, help="Cores, those of loaders too.")
    @click.option("--gpus-per-worker", type=float, default=0.0, show_default=True, help="Or a share of one.")
    @click.option("--loaders", type=int, default=0, show_default=True, help="Processes that decode images, a worker.")
    @click.option("--gpu-type", multiple=True, metavar="[GLOB=]TYPE", help="Pin jobs to a GPU type: 'k500/*=H100'")
    @click.option("--concurrent", type=int, help="Trainings at a time; by default as many as the cluster holds now.")
    @click.option("--max-gpu-hours", type=float, help="Stop after so many GPU-hours (without GPUs: core-hours).")
    @click.option("--checkpoint-every-s", type=float, default=60.0, show_default=True, help="Within a training.")
    @click.option("--checkpoint-every-steps", type=int, help="As well, so many steps.")
    @click.option(
        "--stall-after-min", type=float, default=30.0, show_default=True, help="End when nothing moves; 0: wait."
    )
    def command(set_: tuple[str, ...], **flags: Any) -> None:
        launch = Launch(set=set_, **flags)
        _check_all(studies, launch)
        sys.exit(max(_run(one, launch, question) for one in studies))

    _guarded(command)


def _check_all(studies: Sequence[Study], launch: Launch) -> None:
    """Of several studies none is begun before all are known to be right."""
    from lth_ray.config import launched
    from lth_ray.lottery import make_plan
    from lth_ray.running.history import check_same_study

    if not studies:
        raise ConfigError("main([]): give at least one study")
    names = [launched(study, launch).name for study in studies]
    for name in names:
        if names.count(name) > 1:
            flag = "--name names them all alike: leave it out" if launch.name else "give each a name of its own"
            raise ConfigError(f"{names.count(name)} studies are called {name!r}; {flag}")
    store = Store.open(launch.storage, writable=False)
    for study in (launched(study, launch) for study in studies if len(studies) > 1):
        check_same_study(store, study)
        make_plan(study, launch.data_root)


def _run(study: Study, launch: Launch, question: str) -> int:
    """One study; the exit code: 1 where a job failed, 4 where a smoke run did not learn, 5 where it could not go on. A
    loss that diverged, a lineage that stop_below ended or that was cancelled: these are results."""
    from lth_ray.config import launched
    from lth_ray.running import planning

    console = Console(stderr=True)
    if launch.smoke:
        console.print(f"[bold]--smoke[/] shortens: {escape(planning.shortened(study))}", highlight=False)
    if launch.plan:
        planning.print_plan(study, launch, console)
        return 0
    from lth_ray.commands import reporting
    from lth_ray.running.driver import run
    from lth_ray.running.watch import Halted, Interrupted

    try:
        results = run(study, launch, question=question, console=console)
    except Interrupted as stopped:
        if isinstance(stopped, Halted):
            console.print(stopped.reason, style="red", highlight=False, markup=False, soft_wrap=True)
        console.print(
            f"stopped: what is finished is in {launch.storage}; the same command goes on from there, and "
            f"`lth-ray report {launched(study, launch).name} --storage {launch.storage}` shows it",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        raise
    reporting.print_results(results, launch, console, question)
    asked = launched(study, launch)
    learns = launch.smoke and asked.smoke_shows == "learning"
    idle = reporting.not_learnt(asked, results, CHANCE_FACTOR) if learns else []
    if idle:
        least = f"{CHANCE_FACTOR} times chance is the least" if asked.data.metric.is_share else "no better than chance"
        console.print(f"[red]these arms did not learn ({least}): {', '.join(idle)}")
    return 1 if results.failures else 4 if idle else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def lth_ray() -> None:
    """Looks after what studies have put into a storage."""


for command in COMMANDS:
    lth_ray.add_command(command)


SCRIPT = click.argument("script", type=click.Path(exists=True, dir_okay=False))
FLAGS = click.argument("flags", nargs=-1, type=click.UNPROCESSED)
AS_THE_SCRIPT = {"ignore_unknown_options": True, "help_option_names": []}  # --help among the flags is the script's


@lth_ray.command("run", context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
def run_script(script: str, flags: tuple[str, ...]) -> None:
    """Runs the studies that SCRIPT declares, as `python SCRIPT FLAGS` does."""
    sys.argv = [script, *flags]
    sys.path.insert(0, str(Path(script).resolve().parent))
    runpy.run_path(script, run_name="__main__")


@lth_ray.command("plan", context_settings=AS_THE_SCRIPT)
@SCRIPT
@FLAGS
@click.pass_context
def plan_script(context: click.Context, script: str, flags: tuple[str, ...]) -> None:
    """Prints what SCRIPT's studies would run and what it would cost, as `python SCRIPT --plan FLAGS` does."""
    context.invoke(run_script, script=script, flags=("--plan", *flags))


@lth_ray.command()
@click.argument("name")
@STORAGE
@click.option("--against", type=click.Choice(["paper"]), help="Print ours beside what the papers report.")
@click.option("--tracking-uri", help="An MLflow server; by default a database under the storage.")
def report(name: str, storage: str, against: str | None, tracking_uri: str | None) -> None:
    """Makes the page, tables and figures of study NAME again, complete or not."""
    from lth_ray.commands import reporting
    from lth_ray.running import history
    from lth_ray.running.results import Results

    store = Store.open(storage, writable=False)
    results = Results(history.recorded_plan(store, name), store)
    question = history.entries_of(store, name)[-1]["question"] or ""
    launch = Launch(storage, tracking_uri=tracking_uri)
    reporting.print_results(results, launch, Console(stderr=True), question, against == "paper")


@lth_ray.command()
@click.argument("name")
@STORAGE
@click.option("--watch", is_flag=True, help="In a terminal, keep showing it until no run is live.")
def status(name: str, storage: str, watch: bool) -> None:
    """Says how far study NAME is, from any machine that sees the storage; to a file or pipe, lineage by lineage."""
    from lth_ray.commands.status import print_status

    print_status(Store.open(storage, writable=False), name, Console(), watch)


@lth_ray.command()
@click.argument("lineage")
@click.option("--name", required=True, help="The study.")
@STORAGE
def cancel(lineage: str, name: str, storage: str) -> None:
    """Stops LINEAGE (as the progress names it) of a live run; running the study again takes it up."""
    from lth_ray.running import history

    store = Store.open(storage, writable=False)
    known = [known.id for known in history.recorded_plan(store, name).lineages]
    if lineage not in known:
        raise ConfigError(f"no lineage {lineage!r} in study {name!r}: the lineages are {', '.join(known)}")
    history.cancel(store, name, lineage)
    click.echo(f"asked the run of {name} to stop {lineage}; what it has trained stays")


@lth_ray.command()
@click.argument("name")
@STORAGE
@click.option("--tracking-uri", help="An MLflow server; by default a database under the storage.")
def replay(name: str, storage: str, tracking_uri: str | None) -> None:
    """Sends everything that study NAME has measured to MLflow; what is there already is not doubled."""
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


@lth_ray.command()
@click.option("--address", help="A Ray cluster, HOST:PORT or auto; by default only this machine is looked at.")
@STORAGE
@click.option("--tracking-uri", help="An MLflow server; by default a database under the storage.")
@click.option("--data-root", help="Where data sets are found.")
@click.option("--data", help="A data set that every node must find alike, such as cifar10.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Of one training.")
@click.option("--gpus-per-worker", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool, **asked: Any) -> None:
    """Says what a study would lack on this machine or cluster, and the remedy; exits 1 where there is a problem."""
    from lth_ray.running.doctor.command import doctor
    from lth_ray.running.doctor.examine import Asked

    sys.exit(doctor(Asked(**asked), as_json))


@lth_ray.command()
@STORAGE
@click.option("--yes", is_flag=True, help="Remove; without it, only say what would go.")
@click.option("--grace-s", type=float, default=3600.0, show_default=True, help="Leave files younger than this alone.")
def gc(storage: str, yes: bool, grace_s: float) -> None:
    """Removes what no study's record reaches, having said what that is; refuses while a run is live."""
    from lth_ray.commands import reporting

    reporting.collect_garbage(Store.open(storage, writable=False), yes, grace_s, Console())


@lth_ray.command("verify")
@click.argument("name", required=False)
@STORAGE
@click.option("--mend", is_flag=True, help="Set aside what is damaged, so that running the study makes it again.")
def verify_storage(name: str | None, storage: str, mend: bool) -> None:
    """Reads every record, state, mask and checkpoint of study NAME, or of all, and compares it with its content.

    Exits 1 where something is damaged and not set aside, or lost."""
    from lth_ray.commands.verifying import verify

    sys.exit(verify(Store.open(storage, writable=False), name, mend, Console(soft_wrap=True)))


@lth_ray.group()
def data() -> None:
    """Packs large image sets into shards for training, and checks them."""


@data.command()
@click.argument("source")
@click.argument("target")
@click.option("--short-side", type=int, help="Pixels of larger images' short side; by default all stay as they are.")
@click.option("--quality", type=int, default=90, show_default=True, help="Of JPEGs that are made anew.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out what cannot be read; it is named in the manifest.")
@click.option("--shard-mb", type=int, default=128, show_default=True, help="Of SOURCE's images in a shard.")
@click.option("--address", help="A Ray cluster; by default a Ray of its own.")
@click.option("--cpus", type=int, help="CPU cores for a Ray of its own; by default all.")
def pack(
    source: str,
    target: str,
    short_side: int | None,
    quality: int,
    skip_corrupt: bool,
    shard_mb: int,
    address: str | None,
    cpus: int | None,
) -> None:
    """Packs SOURCE (train/ and val/ with a folder per class, or Hugging Face Parquet files) into TARGET, a folder or
    s3://BUCKET/PREFIX. Interrupted, the same command goes on."""
    from lth_ray.data.packed.packing import Options
    from lth_ray.running import packing

    options = Options(short_side, quality, shard_mb)
    packing.pack(source, target, options, skip_corrupt, address, cpus, Console(stderr=True))


@data.command()
@click.argument("target")
def verify(target: str) -> None:
    """Reads every shard of the packed set TARGET and compares it with the manifest."""
    from lth_ray.running import packing

    sys.exit(1 if packing.verify(target, Console(stderr=True)) else 0)


def _guarded(command: Callable[..., Any]) -> None:
    """Runs a click command; a user's mistake ends in its message and exit code 2, not in a traceback."""
    collector.relax()
    try:
        command()
    except (ConfigError, StorageError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def entry() -> None:
    """`lth-ray`"""
    _guarded(lth_ray)


if __name__ == "__main__":  # on a node that has a job's upload alone, and so no `lth-ray`
    entry()
