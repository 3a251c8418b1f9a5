"""The command's body: examine, show, and end in time whatever hangs."""

import os
import threading
from collections.abc import Sequence

import click
from rich.console import Console

from lth_ray.running.doctor.examine import Asked, Examination
from lth_ray.running.doctor.finding import PROBLEM, Finding, exit_code
from lth_ray.running.doctor.table import as_json, print_table

LAST_S = 58.0  # every wait has a limit of its own; this one is for what can hang within a library


def doctor(asked: Asked, json: bool) -> int:
    """Print what was found, as a table or as JSON, on stdout; return the exit code: 1 where there is a
    problem.
    """
    examination = Examination(asked)
    last = threading.Timer(LAST_S, _give_up, (examination, json))
    last.daemon = True
    last.start()
    try:
        with Console(stderr=True).status("looking ..."):
            findings = examination.run()
    finally:
        last.cancel()
    _show(findings, json)
    return exit_code(findings)


def _give_up(examination: Examination, json: bool) -> None:
    found = f"not done in {LAST_S:g} s: what is missing here was not looked at"
    remedy = "the last row shown was fine; look at what comes next (the network, the storage, the cluster) by hand"
    _show([*examination.findings, Finding("doctor", PROBLEM, found, remedy)], json)
    os._exit(1)


def _show(findings: Sequence[Finding], json: bool) -> None:
    if json:
        click.echo(as_json(findings))
    else:
        print_table(findings, Console())
