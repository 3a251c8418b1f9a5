"""Workers: their number for a training, and what each of them has."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ray.tune import PlacementGroupFactory

from lth_ray.config import ConfigError, Launch
from lth_ray.lottery import Job, Piece, Training

# A trial that waits for the workers it has started must not hold what they need: on a full cluster that would be for
# ever. Ray gives every head node this resource.
ON_THE_HEAD = {"node:__internal_head__": 0.001}
TYPE_SHARE = 0.001  # of the resource that marks a node's GPU type


@dataclass(frozen=True)
class Workers:
    """The workers of a training.

    number: of processes that train one network by Ray Train; 0 trains in the trial's own process.
    later: for rounds after the dense one and for branches.
    least: go on with so many where the cluster has no more.
    cpus, gpus: of each.
    loaders: processes that decode images for each.
    gpu_types: (glob of job names, Ray's name of a GPU type).
    """

    number: int = 0
    later: int = 0
    least: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    loaders: int = 0
    gpu_types: tuple[tuple[str, str], ...] = ()

    @classmethod
    def asked(cls, launch: Launch) -> "Workers":
        types = tuple((glob or "*", kind) for glob, _, kind in (text.rpartition("=") for text in launch.gpu_type))
        later = launch.workers if launch.later_workers is None else launch.later_workers
        given = launch.cpus_per_worker, launch.gpus_per_worker, launch.loaders, types
        return cls(launch.workers, later, launch.min_workers, *given)

    @property
    def resources(self) -> dict[str, float]:
        """The resources that each worker takes."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    @property
    def threads(self) -> int:
        """The threads of the training itself: the cores that do not decode."""
        return max(1, int(self.cpus) - self.loaders)

    def gpu_type(self, job: Job) -> str | None:
        """Return the GPU type that a job is pinned to; the first glob that fits decides."""
        return next((kind for glob, kind in self.gpu_types if fnmatchcase(job.id, glob)), None)

    def placement(self, job: Job) -> PlacementGroupFactory:
        """Return what the trial of a job reserves for itself."""
        if self.number:
            return PlacementGroupFactory([ON_THE_HEAD])
        kind = self.gpu_type(job)
        return PlacementGroupFactory([self.resources | ({f"accelerator_type:{kind}": TYPE_SHARE} if kind else {})])

    def sizes(self, piece: Piece) -> list[int]:
        """Return the numbers of workers that may do `piece`, the wanted one first."""
        dense = isinstance(piece, Training) and piece.segment.mask is None
        wanted = self.number if dense else self.later
        return [n for n in range(wanted, self.fewest(wanted) - 1, -1) if n and piece.recipe.admits(n)]

    def fewest(self, wanted: int) -> int:
        """Return what is still enough where `wanted` workers cannot be had; `wanted` itself where they are
        waited for.
        """
        return wanted if self.least is None else min(self.least, wanted)

    def choose(self, piece: Piece, total: Mapping[str, float]) -> int:
        """Return the most workers that may do `piece` and that a cluster of `total` resources holds.

        Else the fewest, for which one has to wait.
        """
        sizes = self.sizes(piece)
        fitting = [n for n in sizes if all(total.get(name, 0) >= n * each for name, each in self.resources.items())]
        return fitting[0] if fitting else sizes[-1]

    def slots(self, total: Mapping[str, float]) -> int:
        """Return how many trials a cluster of `total` resources holds at a time."""
        least = max(1, min(self.later, self.number))
        return int(min(total.get(name, 0) / (least * amount) for name, amount in self.resources.items()))

    def check_cluster(self, total: Mapping[str, float]) -> None:
        """Raise ConfigError where the cluster cannot hold one training."""
        present = sorted(name.partition(":")[2] for name in total if name.startswith("accelerator_type:"))
        for _, kind in self.gpu_types:
            if kind not in present:
                has = f"it has {', '.join(present)}" if present else "it has none that says its type"
                raise ConfigError(f"--gpu-type {kind!r}: no node of the cluster has such a GPU; {has}")
        for name, each in self.resources.items():
            need = each * max(1, self.fewest(self.number))
            if total.get(name, 0) < need:
                flag = "--gpus-per-worker" if name == "GPU" else "--workers, --cpus-per-worker or --cpus"
                raise ConfigError(
                    f"{flag}: a training needs {need:g} {name}, and Ray has {total.get(name, 0):g} in all; ask for "
                    "less, or give --concurrent where the cluster will grow"
                )
