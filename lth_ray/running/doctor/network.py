"""The network: a test whether the nodes can form a process group, and if not, who cannot talk to whom."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from lth_ray.running.doctor.facts import Facts
from lth_ray.running.doctor.finding import NOTE, OK, PROBLEM, Failure, Finding

MOST = 16  # nodes of which every pair is tried; of more, each is tried with the first
SLOW_GBS = 2.0  # at which a step of ResNet-50 on an H200, some 36 ms for 128 images, would be exchanged for 50 ms
SLOW = (
    "GPUs would wait for each other in every step: see with NCCL_DEBUG=INFO whether NCCL uses InfiniBand or sockets "
    "(NET/IB, NET/Socket), and name the faster interface in NCCL_SOCKET_IFNAME; or train a network on one node"
)
Errors = Mapping[str, str]  # node -> "" or why it failed
PairErrors = Mapping[tuple[str, str], str]


def pairs_of(nodes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs to try."""
    if len(nodes) <= MOST:
        return list(combinations(nodes, 2))
    return [(nodes[0], other) for other in nodes[1:]]


def errors_of(answers: Mapping[str, object]) -> dict[str, str]:
    """Return the errors; a node that gave no answer failed as well."""
    return {node: answer.why if isinstance(answer, Failure) else str(answer) for node, answer in answers.items()}


def group(
    backend: str, errors: Errors, pairs: PairErrors, facts: Mapping[str, Facts], hosts: int, speed: float | None = None
) -> list[Finding]:
    """Return what the process groups say.

    errors: of one process group over all nodes.
    pairs: of groups of two, tried where that failed.
    hosts: how many different machines the nodes are.
    speed: of a sum of 100 MB, in 10**9 bytes a second; None where it was not measured.
    """
    if not any(errors.values()):
        size = len(errors)
        found = f"a sum over {size} node{'s' * (size > 1)} came out right"
        found += "" if speed is None else f", 100 MB of it at {speed:.2g} GB/s"
        if backend == "nccl" and speed is not None and speed < SLOW_GBS:
            return [Finding(backend, NOTE, found, SLOW, tuple(errors))]
        return [Finding(backend, OK, found, nodes=tuple(errors))]
    variable = f"{backend.upper()}_SOCKET_IFNAME"
    remedy = (
        f"set {variable} to the interface that joins the nodes (see `ip addr`) in env_vars of the runtime environment, "
        "and open all TCP ports between the nodes in the firewall"
    )
    findings = _addresses(backend, errors, facts, hosts) if backend == "gloo" else []
    cut = _cut_off(pairs) if pairs else {node: why for node, why in errors.items() if why}
    findings += [
        Finding(backend, PROBLEM, f"cannot talk to any other node: {why}" if pairs else why, remedy, (node,))
        for node, why in cut.items()
        if not any(node in finding.nodes for finding in findings)
    ]
    apart = [pair for pair, why in pairs.items() if why and not set(pair) & set(cut)]
    findings += [Finding(backend, PROBLEM, f"cannot talk to each other: {pairs[p]}", remedy, p) for p in apart]
    if findings:
        return findings
    why = next(filter(None, errors.values()))
    found = f"each two can talk, all {len(errors)} together could not: {why}"
    return [Finding(backend, PROBLEM, found, f"try again; if it stays so, {remedy}")]


def _addresses(backend: str, errors: Errors, facts: Mapping[str, Facts], hosts: int) -> list[Finding]:
    """Return nodes that tell others an address where nobody can find them."""
    findings = []
    for node in errors:
        interface, address = facts[node].gloo_interface, facts[node].gloo_address
        if not address:
            found = f"there is no interface {interface!r}, which GLOO_SOCKET_IFNAME names"
            remedy = "set GLOO_SOCKET_IFNAME to one that `ip addr` lists on that node"
            findings.append(Finding(backend, PROBLEM, found, remedy, (node,)))
        elif hosts > 1 and (address.startswith("127.") or address == "::1"):
            found = f"tells others to connect to {address}, which is themselves"
            remedy = (
                "set GLOO_SOCKET_IFNAME to the interface that joins the nodes (see `ip addr`) in env_vars of the "
                "runtime environment, or give its host name its real address in /etc/hosts"
            )
            findings.append(Finding(backend, PROBLEM, found, remedy, (node,)))
    return findings


def _cut_off(pairs: PairErrors) -> dict[str, str]:
    """Return nodes that failed with every other one, where not all pairs did for that reason alone."""
    nodes = dict.fromkeys(node for pair in pairs for node in pair)
    own = {node: [why for pair, why in pairs.items() if node in pair] for node in nodes}
    cut = {node: whys[0] for node, whys in own.items() if len(whys) > 1 and all(whys)}
    return cut
