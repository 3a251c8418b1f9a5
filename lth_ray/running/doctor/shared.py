"""Things that all nodes must see alike: the storage and the data set."""

from collections import Counter

from lth_ray.running.doctor.finding import NOTE, OK, PROBLEM, Answers, Failure, Finding, Result, Verdict, by_verdict

SHARE = "mount one shared folder (NFS, Lustre ...) there on every node, or use --storage s3://BUCKET/PREFIX"
PACK = "put it on every node, or into a folder that all share, and give that as an absolute --data-root"


def storage(uri: str, answers: Answers, seen: set[str]) -> list[Finding]:
    """Check that all nodes see one storage.

    answers: "written", "absent" or "other" of each node.
    seen: the nodes whose note the driver found.
    """
    verdicts = {}
    for node, answer in answers.items():
        if isinstance(answer, Failure):
            remedy = "make it readable and writable for Ray's user on that node; for s3:// give every node credentials"
            verdicts[node] = Verdict(PROBLEM, f"{uri} cannot be used: {answer.why}", remedy)
        elif answer != "written":
            verdicts[node] = Verdict(PROBLEM, f"{uri} is another folder than the driver's: its note is {answer}", SHARE)
        elif node not in seen:
            verdicts[node] = Verdict(PROBLEM, f"what it wrote to {uri} cannot be seen by the driver", SHARE)
        else:
            verdicts[node] = Verdict(OK, "the same one from every node, and writable")
    return by_verdict("storage", verdicts)


def data(name: str, answers: Answers) -> list[Finding]:
    """Check that all nodes find one data set.

    answers: the digest that each node finds.
    """
    digests = {node: answer for node, answer in answers.items() if not isinstance(answer, Failure)}
    findings = by_verdict(
        "data",
        {n: Verdict(PROBLEM, f"{name}: {a.why}", PACK) for n, a in answers.items() if isinstance(a, Failure)},
    )
    counts = Counter(digests.values())
    if len(counts) == 1:
        (digest,) = counts
        return [*findings, Finding("data", OK, f"{name}: digest {digest[:12]}", nodes=tuple(digests))]
    usual = max(counts, key=counts.__getitem__, default="")
    remedy = f"copy {name} anew from one place: its bytes differ, and so would the results"
    verdicts = {
        node: Verdict(PROBLEM, f"{name}: digest {digest[:12]}, elsewhere {usual[:12]}", remedy)
        for node, digest in digests.items()
        if digest != usual or counts[digest] == 1
    }
    return [*findings, *by_verdict("data", verdicts)]


def tracking(uri: str, result: Result, found: str, remedy: str, one_machine: bool) -> Finding:
    """Check the tracking server as seen from the driver, which alone writes to it."""
    if result == OK and uri.startswith("sqlite:") and not one_machine:
        remedy = "fine while the driver stays on this machine; a server serves all: --tracking-uri http://HOST:5000"
        return Finding("tracking", NOTE, f"{found}; it is a file of the driver's machine", remedy)
    return Finding("tracking", result, found, remedy)
