"""The place and manner in which a study runs: nothing here changes a result."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from lth_ray.config.base import FLAG, TEXT, Config, ConfigError, many, maybe, number, option, whole
from lth_ray.config.study import slug


@dataclass(frozen=True)
class Launch(Config):
    """The command line's flags, in snake_case.

    storage: use this folder, or s3://bucket/prefix, as the storage.
    name: give the study another name.
    set: change a field of the study, such as train.lr=0.1.
    sweep: add values to the study's sweep, such as train.warmup=steps(0),steps(500).
    plan: print what would run and what it would cost, and run nothing.
    dry_run: print what a submission would take (world size, batches, memory of a GPU, operations, time at assumed
        rates, storage), without timing or training a step.
    smoke: shorten the study to minutes on a small machine, as it says itself.
    tracking_uri: use this MLflow server for the record; by default a database under the storage.
    data_root: look for data sets in this folder, and download them to it.
    address: run on this Ray cluster; by default a Ray of its own is started.
    cpus: give a Ray of its own so many CPU cores; by default all.
    workers: let so many processes train each network together, by Ray Train; with 0 one process trains it,
        without Ray Train, which suits small networks.
    later_workers: let so many train it in rounds after the dense one, and in branches; by default as many.
    min_workers: go on with so few workers where the cluster has lost some; by default wait for it.
    cpus_per_worker: give each worker, or without workers each training, so many CPU cores, those of its loaders
        too.
    gpus_per_worker: give each of them so many GPUs, or a share of one.
    loaders: decode images, or play the games of an Environment, in so many processes for each worker, out of its
        cores.
    gpu_type: pin trainings to a GPU type as Ray names it, such as H100, or jobs by a glob of their names, such as
        'k500/*=H100'.
    concurrent: run so many trainings at a time; by default as many as the cluster holds now. Give it where the
        cluster will grow.
    max_gpu_hours: stop when so many GPU-hours (without GPUs: core-hours) have been spent in this run.
    checkpoint_every_s: write a checkpoint in the middle of a segment after so many seconds.
    checkpoint_every_steps: write one after so many steps as well, whichever comes sooner.
    quiet: show no progress and no tables, but warnings and, at the end, where the report is.
    verbose: show what Ray logs as well, and of an error the traceback.
    stall_after_min: end the run, and say what is waited for, when for so many minutes no training has taken a
        step, no measurement is at work and nothing was finished; 0 waits for ever, as for a cluster without room.
    """

    storage: str = option("./lth_storage", check=TEXT)
    _: KW_ONLY
    name: str | None = option(None, check=maybe(slug))
    set: Sequence[str] = option((), check=many(TEXT))
    sweep: Sequence[str] = option((), check=many(TEXT))
    plan: bool = option(False, check=FLAG)
    dry_run: bool = option(False, check=FLAG)
    smoke: bool = option(False, check=FLAG)
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
    quiet: bool = option(False, check=FLAG)
    verbose: bool = option(False, check=FLAG)

    @property
    def applied(self) -> "Launch":
        """The launch without what is done once `launched` has changed the study."""
        return replace(self, name=None, set=(), sweep=(), smoke=False)

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


WORDS = "password", "passwd", "pwd", "token", "secret"


def has_password(uri: str) -> bool:
    """Return whether a URI holds a password or token, in front of its host or among its options."""
    parts = urlsplit(uri)
    in_front = parts.netloc.rpartition("@")[0]
    options = (name.lower() for name, _ in parse_qsl(parts.query))
    return ":" in in_front or any(word in name for name in options for word in WORDS)


def check_no_password(name: str, uri: str) -> None:
    """Raise ConfigError, which does not repeat the password.

    name: of the flag or variable that gives the URI.
    """
    if has_password(uri):
        host = urlsplit(uri).netloc.rpartition("@")[2]
        raise ConfigError(
            f"{name}: the address of {host!r} holds a password, which would be shown in records, logs and process "
            "lists; leave it out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, for a database PGPASSWORD or ~/.pgpass"
        )
