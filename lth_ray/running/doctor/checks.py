"""The checks, which conclude from facts: pure functions, each one check."""

from collections import Counter
from collections.abc import Mapping, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lth_ray.running.doctor.facts import SHARING, Facts
from lth_ray.running.doctor.finding import NOTE, OK, PROBLEM, Answers, Failure, Finding, Verdict, by_verdict

DISK_BYTES = 10 * 10**9  # Ray spills objects and keeps logs there, and stops at a full disk
SHM_BYTES = 2**30
SKEW_S = 2.0  # moments in the record are each host's own; who is alive is told by the storage's clock alone
NODE_REMEDY = (
    "look at the node with `ray list nodes`; install the same environment on it, or remove it from the cluster"
)


def answering(answers: Answers) -> list[Finding]:
    """Check that every node answered at all."""
    verdicts = {
        node: Verdict(PROBLEM, f"no probe could run: {answer.why}", NODE_REMEDY)
        if isinstance(answer, Failure)
        else Verdict(OK, "a probe ran")
        for node, answer in answers.items()
    }
    return by_verdict("nodes", verdicts)


def versions_required(versions: Mapping[str, str | None], python: str, requirements: Sequence[str]) -> list[Finding]:
    """Check this process's packages against the ranges lth_ray was installed with."""
    wrong = {}
    if python and not SpecifierSet(python).contains(versions["python"] or "", prereleases=True):
        wrong["python"] = f"python {versions['python']}, needed {python}"
    for requirement in map(Requirement, requirements):
        name = requirement.name
        if name not in versions or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found = versions[name]
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wrong[name] = f"{name} {found or 'missing'}, needed {requirement.specifier}"
    if wrong:
        remedy = "install lth_ray anew with its constraints: pip install --constraint constraints.txt --editable ."
        return [Finding("installed", PROBLEM, "; ".join(wrong.values()), remedy)]
    return [Finding("installed", OK, ", ".join(f"{name} {found}" for name, found in versions.items() if found))]


def versions_equal(nodes: Mapping[str, Mapping[str, str | None]], driver: str) -> list[Finding]:
    """Check every node against the version that most have; a tie goes to the driver's, which is one of
    `nodes`.
    """
    findings = []
    for package in nodes[driver]:
        found = {node: versions.get(package) for node, versions in nodes.items()}
        counts = Counter(found.values())
        usual = max(counts, key=lambda version: (counts[version], version == found[driver]))
        odd = tuple(node for node, version in found.items() if version != usual)
        if odd:
            seen = ", ".join(f"{found[node] or 'missing'} on {node}" for node in odd)
            remedy = (
                f"give every node {package} {usual or 'nowhere'}: one container image or environment for all "
                "(results of different versions are not promised to be equal)"
            )
            findings.append(Finding("versions", PROBLEM, f"{package} {usual or 'missing'}, but {seen}", remedy, odd))
    return findings or [Finding("versions", OK, "the same on all: " + _listed(nodes[driver]))]


def _listed(versions: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def gpus(nodes: Mapping[str, Facts], ray_gpus: Mapping[str, float] | None) -> list[Finding]:
    """Check GPUs as Ray counts them (None: no cluster) against those torch may use and those the driver has."""
    counted = ray_gpus or {}
    findings = by_verdict("gpus", {node: _gpus(facts, counted.get(node)) for node, facts in nodes.items()})
    models = Counter(model for facts in nodes.values() for model in facts.torch_gpus)
    if len(models) > 1:
        mixed = ", ".join(f"{count} x {model}" for model, count in sorted(models.items()))
        remedy = "results are equal within one model only: pin a study's lineages to one type of GPU"
        findings.append(Finding("gpus", NOTE, f"different models: {mixed}", remedy))
    return findings


def _gpus(facts: Facts, ray: float | None) -> Verdict:
    torch, driver = len(facts.torch_gpus), len(facts.driver_gpus)
    seen = f"torch sees {torch}" + (f", the driver {driver}" if driver != torch else "")
    seen = seen if ray is None else f"Ray counts {ray:g} GPUs, {seen}"
    if driver and not torch and not facts.torch_cuda:
        return Verdict(PROBLEM, f"{seen}: torch is a CPU build", "install a CUDA build of torch and torchvision")
    if (driver or ray) and not torch:
        visible = facts.cuda_visible
        if visible is not None:
            remedy = f"CUDA_VISIBLE_DEVICES={visible!r} hides them: unset it, then restart Ray on the node"
        elif driver:
            remedy = f"the driver is too old for CUDA {facts.torch_cuda}, or a GPU is broken: see nvidia-smi"
        else:
            remedy = "start Ray there without --num-gpus, or give the container its GPUs (nvidia-container-toolkit)"
        return Verdict(PROBLEM, seen, remedy)
    if ray is not None and torch and not ray:
        return Verdict(
            PROBLEM, seen, f"restart Ray on the node with --num-gpus={torch}; nothing is scheduled on them now"
        )
    if ray is not None and ray > torch:
        return Verdict(
            PROBLEM, seen, f"restart Ray on the node with --num-gpus={torch}: workers would share or miss one"
        )
    if ray is not None and ray < torch:
        return Verdict(NOTE, seen, f"restart Ray on the node with --num-gpus={torch} to use all")
    models = ", ".join(f"{count} x {model}" for model, count in sorted(Counter(facts.torch_gpus).items()))
    return Verdict(OK, models or "no GPUs")


def hidden_gpus(nodes: Mapping[str, Facts], workers: int, gpus_per_worker: float) -> list[Finding]:
    """Check that a team's workers may see each other's GPUs; nothing where there is no team on GPUs.

    NCCL is slow or hangs where each sees its own alone, above all with NVSwitch
    (https://github.com/ray-project/ray/issues/61073, https://github.com/NVIDIA/nccl/issues/1749).
    """
    hiding = tuple(node for node, facts in nodes.items() if facts.hides_gpus)
    if not hiding or workers < 2 or not gpus_per_worker:
        return []
    found = f"{SHARING} is off: each worker would see its own GPU alone, and sums over them be slow or hang"
    remedy = f"unset {SHARING}, and start Ray and the study without it"
    return [Finding("gpus", PROBLEM, found, remedy, hiding)]


def fractions(gpus_per_worker: float) -> list[Finding]:
    """Say what several networks on one GPU need; nothing where each has one."""
    if not 0 < gpus_per_worker < 1:
        return []
    found = f"--gpus-per-worker {gpus_per_worker:g}: processes that share a GPU take turns, and gain little by it"
    remedy = (
        "run NVIDIA's MPS on the nodes (nvidia-cuda-mps-control -d), so that their kernels run side by side; or train "
        "small networks as one, --set train.replicates=8 with a GPU a worker"
    )
    return [Finding("sharing", NOTE, found, remedy)]


def capacity(resources: Mapping[str, Mapping[str, float]], workers: int, gpus_per_worker: float) -> list[Finding]:
    """Check that there is room for so many workers, none of them split between nodes.

    resources: node -> {CPU, GPU ...}.
    """
    each = {"CPU": 1.0} | ({"GPU": gpus_per_worker} if gpus_per_worker else {})
    room = {node: min(int(has.get(k, 0) / amount) for k, amount in each.items()) for node, has in resources.items()}
    needs = " and ".join(f"{amount:g} {name}" for name, amount in each.items())
    total = sum(room.values())
    if total >= workers:
        return [Finding("capacity", OK, f"room for {total} workers of {needs} each; {workers} asked for")]
    shown = ", ".join(f"{n} on {node}" for node, n in room.items())
    remedy = f"--workers {total} or fewer, a smaller --gpus-per-worker, or more nodes"
    if not total:
        remedy = "add nodes that have them, or ask for less: a smaller --gpus-per-worker"
    return [Finding("capacity", PROBLEM, f"{workers} workers of {needs} each do not fit: room for {shown}", remedy)]


def clocks(skews: Mapping[str, float]) -> list[Finding]:
    """Check the clocks.

    skews: node -> seconds by which its clock is ahead of the driver's.
    """
    remedy = "synchronise the clocks (chrony or ntpd): the moments in the record are each host's own"
    return by_verdict(
        "clock",
        {
            node: Verdict(PROBLEM, f"{skew:+.1f} s against the driver's", remedy)
            if abs(skew) > SKEW_S
            else Verdict(OK, f"within {SKEW_S:g} s of the driver's")
            for node, skew in skews.items()
        },
    )


def storage_clock(skew_s: float) -> Finding:
    """Check the storage's clock, which stamps its files.

    skew_s: by which it is ahead of this machine's.
    """
    if abs(skew_s) <= SKEW_S:
        return Finding("clock", OK, f"the storage's is within {SKEW_S:g} s of this machine's")
    remedy = (
        "synchronise the clocks (chrony or ntpd); whether a run is alive is told by the storage's own, and still right"
    )
    return Finding("clock", NOTE, f"the storage's is {skew_s:+.1f} s against this machine's", remedy)


def disks(nodes: Mapping[str, Facts]) -> list[Finding]:
    """Check the room in Ray's folder for logs and spilled objects."""
    remedy = "free some space, or start Ray with RAY_TMPDIR (ray start --temp-dir) on a larger disk"
    return by_verdict(
        "disk",
        {
            node: Verdict(PROBLEM, f"{f.disk_free / 1e9:.1f} GB free in {f.temp_folder}", remedy)
            if f.disk_free < DISK_BYTES
            else Verdict(OK, f"at least {DISK_BYTES / 1e9:g} GB free for Ray")
            for node, f in nodes.items()
        },
    )


def shared_memory(nodes: Mapping[str, Facts]) -> list[Finding]:
    """Check /dev/shm.

    Batches go through it from the processes that decode them; when it is full they die of a bus error.
    """
    remedy = "enlarge it: docker run --shm-size=8g, on Kubernetes an emptyDir with medium: Memory at /dev/shm"
    return by_verdict(
        "/dev/shm",
        {
            node: Verdict(PROBLEM, f"only {f.shm / 2**20:.0f} MiB", remedy)
            if f.shm is not None and f.shm < SHM_BYTES
            else Verdict(OK, "at least 1 GiB" if f.shm is not None else "not used on this system")
            for node, f in nodes.items()
        },
    )


def bf16(nodes: Mapping[str, Facts]) -> list[Finding]:
    """Say which processors have instructions for bf16: without them it is right, and slower than fp32."""
    names = {"none": "the processor has no instructions for it: on it Train(precision='bf16') is slower than 'fp32'"}
    return by_verdict(
        "bf16", {node: Verdict(OK, names.get(f.bf16, f.bf16)) for node, f in nodes.items() if f.bf16 is not None}
    )


def compilers(nodes: Mapping[str, Facts]) -> list[Finding]:
    """Check for a compiler, which only torch.compile needs."""
    remedy = "install g++ (apt install g++) or set CXX, or leave torch.compile off"
    return by_verdict(
        "compiler",
        {
            node: Verdict(OK, "a C++ compiler for torch.compile")
            if f.compiler
            else Verdict(NOTE, "no C++ compiler, which torch.compile needs", remedy)
            for node, f in nodes.items()
        },
    )
