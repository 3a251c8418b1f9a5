"""The doctor's command: examine, show the findings as a table or as JSON, and end in time whatever hangs."""

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from lth_ray import printing
from lth_ray.running.doctor.examine import Asked, Examination
from lth_ray.running.doctor.finding import NOTE, PROBLEM, Finding, exit_code
from lth_ray.running.doctor.submission import CHECK

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


STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
MOST_NODES = 4  # named in a row; --json names all


def print_table(findings: Sequence[Finding], console: Console) -> None:
    """Print one row a finding, the remedy below what was found, and a line that sums up."""
    table = printing.table("check", "node", "result", "found, and the remedy")
    for column in table.columns[:3]:
        column.no_wrap = True
    everyone = max((set(finding.nodes) for finding in findings), key=len, default=set())
    for finding in (one for one in findings if one.check != CHECK):
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n-> {finding.remedy}", style="cyan")
        table.add_row(finding.check, Text(named(finding.nodes, everyone)), _result(finding), found)
    console.print(table)
    problems = sum(finding.result == PROBLEM for finding in findings)
    notes = sum(finding.result == NOTE for finding in findings)
    style = STYLES["problem" if problems else "ok"]
    console.print(f"{_counted(problems, 'problem')}, {_counted(notes, 'note')}", style=style, highlight=False)
    for line in (one.found for one in findings if one.check == CHECK):
        console.print(f"to run it here:\n{line}", highlight=False, markup=False, soft_wrap=True)


def named(nodes: Sequence[str], everyone: set[str]) -> str:
    """Return one node a line; "all 8" where these are all of them."""
    if len(nodes) > 1 and set(nodes) == everyone:
        return f"all {len(nodes)}"
    more = len(nodes) - MOST_NODES
    return "\n".join(nodes[:MOST_NODES]) + (f"\nand {more} more" if more > 0 else "")


def as_json(findings: Sequence[Finding]) -> str:
    """Return {"ok": bool, "findings": [{check, result, found, remedy, nodes}]}."""
    ok = not any(finding.result == PROBLEM for finding in findings)
    return json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}, indent=2)


def _result(finding: Finding) -> Text:
    return Text(finding.result, style=STYLES[finding.result])


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
