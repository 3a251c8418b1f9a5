"""The line that runs a study on what was examined: on this machine, or as a job of this cluster."""

import shlex
from collections.abc import Mapping
from typing import Any

from lth_ray.running.doctor.finding import OK, PROBLEM, Finding

CHECK = "submit"


def flags(asked: Any, nodes: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a study's flags for these nodes: each GPU gets the cores of its share, but one for loaders.

    asked: what the doctor was asked, an Asked.
    nodes: {node: {"CPU": ..., "GPU": ...}}.
    """
    with_gpus = [node for node in nodes.values() if node.get("GPU", 0) >= 1]
    found = ["--storage", asked.storage]
    for name in ("data_root", "tracking_uri"):
        if getattr(asked, name) is not None:
            found += [f"--{name.replace('_', '-')}", getattr(asked, name)]
    if asked.workers > 1:
        found += ["--workers", str(asked.workers)]
    gpus = asked.gpus_per_worker or (1.0 if with_gpus else 0.0)
    if gpus:
        cores = min((int(node.get("CPU", 1) / node["GPU"] * gpus) for node in with_gpus), default=1)
        found += ["--gpus-per-worker", f"{gpus:g}", "--cpus-per-worker", str(max(1, cores))]
        found += ["--loaders", str(cores - 1)] if cores > 1 else []  # without any a packed set is refused
    return found


def submission(
    asked: Any, nodes: Mapping[str, Mapping[str, float]], dashboard: str | None, findings: list[Finding]
) -> Finding | None:
    """Return the line, where no problem was found.

    dashboard: of the cluster, which takes jobs; None for this machine alone.
    """
    if any(one.result == PROBLEM for one in findings):
        return None
    run = ["run", asked.study, *flags(asked, nodes)]
    if dashboard is None:
        return Finding(CHECK, OK, shlex.join(["lth-ray", *run]))
    url = dashboard if "://" in dashboard else f"http://{dashboard}"
    job = ["ray", "job", "submit", "--address", url, "--working-dir", ".", "--", "python", "-m", "lth_ray", *run]
    return Finding(CHECK, OK, shlex.join(job))
