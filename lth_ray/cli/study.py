"""The command of a study's script: its flags are the fields of Launch."""

import sys
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from lth_ray.cli.options import HELP, OF_LAUNCH, guarded
from lth_ray.config import ConfigError, Launch, Study, launched
from lth_ray.store import Store

CHOSEN: ContextVar[str | None] = ContextVar("chosen", default=None)  # of a script's studies, the one to run
CHANCE_FACTOR = 3  # a smoke run's arm has learnt when the share that it gets right is so many times chance
LEAST = f"{CHANCE_FACTOR} times chance is the least, and of few classes three standard errors above it"


def main(study: Study | Sequence[Study]) -> None:
    """Run one study, or several in turn, as the command line says, and exit nonzero when something failed."""
    question = getattr(sys.modules.get("__main__"), "__doc__", None) or ""
    studies = [study] if isinstance(study, Study) else list(study)
    guarded(lambda: study_command(_chosen(studies), question)())


def _chosen(studies: Sequence[Study]) -> Sequence[Study]:
    """Return those that are to run: the one that was asked for by its name, or all."""
    name = CHOSEN.get()
    found = [one for one in studies if name in (None, one.name)]
    if not found:
        declared = ", ".join(one.name for one in studies)
        raise ConfigError(f"{name!r}: its script declares no study of that name any more, but {declared}; give one")
    return found


def study_command(studies: Sequence[Study], question: str = "") -> click.Command:
    """Return the command that `main` runs.

    question: what the studies ask, which is also its help.
    """

    def command(**flags: Any) -> None:
        from lth_ray.running import planning

        launch = Launch(**flags)
        changed = [launched(study, launch) for study in studies]
        _check_all(changed, launch)
        shortened = [planning.shortened(study) for study in studies]
        sys.exit(max(_run(*one, launch, question) for one in zip(changed, shortened, strict=True)))

    return click.Command(
        None, callback=command, params=list(OF_LAUNCH.values()), help=question, context_settings=dict(HELP)
    )


def _check_all(studies: Sequence[Study], launch: Launch) -> None:
    """Find what is wrong with any of several studies before one of them is begun."""
    from lth_ray.lottery import make_plan
    from lth_ray.running.history import check_same_study

    if not studies:
        raise ConfigError("main([]): give at least one study")
    names = [study.name for study in studies]
    for name in names:
        if names.count(name) > 1:
            flag = "--name names them all alike: leave it out" if launch.name else "give each a name of its own"
            raise ConfigError(f"{names.count(name)} studies are called {name!r}; {flag}")
    store = Store.open(launch.storage, writable=False)
    for study in studies if len(studies) > 1 and not launch.dry_run else ():
        check_same_study(store, study)
        make_plan(study, launch.data_root)


def _run(study: Study, shortened: str, launch: Launch, question: str) -> int:
    """Run one study; return its exit code.

    That is 1 where a job failed, 4 where a smoke run did not learn, 5 where it could not go on. A loss that
    diverged, a lineage that stop_below ended or that was cancelled: these are results.

    study: as `launched` has changed it.
    shortened: what --smoke has shortened, in words.
    """
    from lth_ray.running import planning

    console = Console(stderr=True)
    if launch.smoke:
        console.print(f"[bold]--smoke[/] shortens: {escape(shortened)}", highlight=False)
    if launch.dry_run:
        from lth_ray.running.dry_run import print_dry_run

        print_dry_run(study, launch, console)
        return 0
    if launch.plan:
        planning.print_plan(study, launch, console)
        return 0
    from lth_ray.commands import reporting
    from lth_ray.running.driver import run
    from lth_ray.running.watch import Halted, Interrupted

    try:
        results = run(study, launch.applied, question=question, console=console)
    except Interrupted as stopped:
        if isinstance(stopped, Halted):
            console.print(stopped.reason, style="red", highlight=False, markup=False, soft_wrap=True)
        console.print(
            f"what is finished, and the last checkpoints of what is not, are in {launch.storage}: the same command "
            f"goes on from there, and `lth-ray report {study.name} --storage {launch.storage}` shows it",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        raise
    reporting.print_results(results, launch, console, question)
    learns = launch.smoke and study.smoke_shows == "learning"
    idle = reporting.not_learnt(study, results, CHANCE_FACTOR) if learns else []
    if idle:
        least = LEAST if study.data.metric.is_share else "no better than chance"
        console.print(f"[red]these arms did not learn ({least}): {', '.join(idle)}")
    return 1 if results.failures else 4 if idle else 0
