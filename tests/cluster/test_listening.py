"""Ports that listen while a study runs: those that cluster/README.md names."""

import re
from pathlib import Path

import pytest

from tests.cluster.lab import NAMES, ROOT, WORKERS, Lab
from tests.cluster.studies import Case

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROW = re.compile(r"^\| ([a-z, ]+) \| (\d+)(?:-(\d+))? \| ", re.MULTILINE)


def table() -> dict[str, list[range]]:
    """{kind of host: the ports that the page lists}"""
    page = Path(ROOT / "cluster" / "README.md").read_text()
    found: dict[str, list[range]] = {}
    for hosts, first, last in ROW.findall(page):
        for host in hosts.split(", "):
            found.setdefault(host, []).append(range(int(first), int(last or first) + 1))
    return found


def test_only_what_the_page_lists_listens_while_a_study_runs(lab: Lab) -> None:
    case, listed = Case("listening", 1.5e-3), table()
    assert listed.keys() == {"head", "worker", "mlflow"}
    job = case.submit(lab, "--workers", "2", pause_s=0.08)
    lab.until(lambda: trained(lab) >= 20, "it trains", timeout_s=240)
    for name in NAMES:
        lines = lab.hosts[name].run("ss", "-ltnH").stdout.splitlines()
        ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}
        print(name, sorted(ports))
        allowed = listed.get("worker" if name in WORKERS else name, [])
        assert not [port for port in ports if not any(port in one for one in allowed)], name
        fixed = {one[0] for one in allowed if len(one) == 1}
        assert fixed - ports <= {10001}, f"{name}: nothing listens on {fixed - ports}"
    assert job.wait(300) == 0, job.output[-3000:]


def trained(lab: Lab) -> int:
    """The steps that the workers have counted, of whatever segments."""
    logs = [lab.step_log(name) for name in WORKERS]
    return sum(len(log.read_text().splitlines()) for log in logs if log.exists())
