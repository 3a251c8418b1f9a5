"""The file system that packed images lie on: from one that a network serves, GPUs read slowly."""

from pathlib import Path

from lth_ray.running.doctor.finding import NOTE, Answers, Finding, Verdict, by_verdict

SERVED = ("nfs", "nfs4", "cifs", "smb3", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.sshfs", "9p")
MOUNTS = Path("/proc/self/mounts")
CACHE = (
    "8 GPUs read some GB/s of it at random: keep the shards on each node's own disk, LTH_RAY_SHARD_CACHE=/local/shards "
    "in env_vars of the runtime environment (LTH_RAY_SHARD_CACHE_GB bounds it)"
)


def file_system(path: str, mounts: str) -> str:
    """Return the kind of file system that an absolute path lies on, "" where nobody says.

    mounts: as Linux tells them, a line each: device, folder, kind, ...
    """
    fields = [line.split(" ")[1:3] for line in mounts.splitlines() if line.count(" ") > 2]
    around = [(where, kind) for where, kind in fields if Path(path).is_relative_to(where.replace("\\040", " "))]
    return max(around, key=lambda one: len(one[0]), default=("", ""))[1]


def served(name: str, answers: Answers) -> list[Finding]:
    """Say what packed images that come over a network need.

    answers: the kind of file system on each node; a node that gave none is left out.
    """
    kinds = {node: kind for node, kind in answers.items() if isinstance(kind, str) and kind in SERVED}
    return by_verdict(
        "shards", {node: Verdict(NOTE, f"{name} lies on {kind} there", CACHE) for node, kind in kinds.items()}
    )
