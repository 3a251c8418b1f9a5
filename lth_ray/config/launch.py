"""The place and manner in which a study runs: nothing here changes a result."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import FLAG, TEXT, Config, ConfigError, many, maybe, number, option, whole
from lth_ray.config.passwords import check_no_password
from lth_ray.config.study import slug


@dataclass(frozen=True)
class Launch(Config):
    """The command line's flags, in snake_case.

    storage: a folder or s3://bucket/prefix for everything the study makes.
    name: another name for the study.
    tracking_uri: an MLflow server (None: a database under the storage).
    data_root: where data sets are found, or downloaded to.
    address: a Ray cluster (None: one of its own).
    cpus: CPU cores of a Ray of its own (None: all).
    workers: processes that train each network together, by Ray Train; with 0 one process trains it, without
        Ray Train, which suits small networks.
    later_workers: for rounds after the dense one, and branches (None: as many).
    min_workers: go on with so few where the cluster has lost some (None: wait for it).
    cpus_per_worker, gpus_per_worker: what each of them takes; without workers, each training.
    loaders: processes that decode images for each worker, out of its cores.
    gpu_type: pins trainings to a GPU type as Ray names it ("H100"), or jobs by a glob of their names
        ("k500/*=H100").
    concurrent: trainings at a time (None: as many as the cluster holds now); to be given where it will grow.
    max_gpu_hours: stop when this many GPU-hours (without GPUs: core-hours) have been spent in this run.
    checkpoint_every_s, checkpoint_every_steps: between checkpoints in the middle of a segment, whichever is
        sooner.
    stall_after_min: end the run, and say what is waited for, when for so many minutes no training has taken a
        step, no measurement is at work and nothing was finished (0: wait for ever, as for a cluster without
        room).
    set: "field=value" changes to the study.
    sweep: "field=value,value" additions to its sweep.
    plan: print what would run, and run nothing.
    smoke: shorten as the study says.
    """

    storage: str = option("./lth_storage", check=TEXT)
    _: KW_ONLY
    name: str | None = option(None, check=maybe(slug))
    tracking_uri: str | None = option(None, check=maybe(TEXT))
    data_root: str | None = option(None, check=maybe(TEXT))
    address: str | None = option(None, check=maybe(TEXT))
    cpus: int | None = option(None, check=maybe(whole(1)))
    workers: int = option(0, check=whole(0))
    later_workers: int | None = option(None, check=maybe(whole(1)))
    min_workers: int | None = option(None, check=maybe(whole(1)))
    cpus_per_worker: float = option(1.0, check=number(0, open_low=True))
    gpus_per_worker: float = option(0.0, check=number(0))
    loaders: int = option(0, check=whole(0))
    gpu_type: Sequence[str] = option((), check=many(TEXT))
    concurrent: int | None = option(None, check=maybe(whole(1)))
    max_gpu_hours: float | None = option(None, check=maybe(number(0, open_low=True)))
    checkpoint_every_s: float = option(60.0, check=number(0))
    checkpoint_every_steps: int | None = option(None, check=maybe(whole(1)))
    stall_after_min: float = option(30.0, check=number(0))
    set: Sequence[str] = option((), check=many(TEXT))
    sweep: Sequence[str] = option((), check=many(TEXT))
    plan: bool = option(False, check=FLAG)
    smoke: bool = option(False, check=FLAG)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_no_password("--tracking-uri", self.tracking_uri or "")
        if not self.storage.strip():
            raise ConfigError(f"Launch.storage = {self.storage!r} names no place: give a folder or s3://bucket/prefix")
        for name in ("later_workers", "min_workers"):
            value = getattr(self, name)
            if value is not None and value > self.workers:
                raise ConfigError(
                    f"Launch.{name} = {value}: there are {self.workers} workers; give at most that, or more --workers"
                )
        if self.workers and self.gpus_per_worker not in (0, 1):
            raise ConfigError(
                f"Launch.gpus_per_worker = {self.gpus_per_worker:g}: each of the workers that train a network together "
                "has one GPU, or none; give 1 or 0"
            )
        if self.loaders and self.loaders >= self.cpus_per_worker:
            raise ConfigError(
                f"Launch.loaders = {self.loaders}: a worker has {self.cpus_per_worker:g} cores, one of which trains; "
                f"give --cpus-per-worker {self.loaders + 1} or more"
            )
