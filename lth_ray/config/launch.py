"""Where and how a study runs: nothing here changes a result."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from lth_ray.config.base import Config, a, many, maybe, number, option, whole
from lth_ray.config.study import slug

TEXT = a(str, "give a string")
FLAG = a(bool, "give True or False")


@dataclass(frozen=True)
class Launch(Config):
    """The command line's flags, in snake_case.

    storage: a folder or s3://bucket/prefix for everything the study makes.
    name: another name for the study. tracking_uri: an MLflow server (None: a database under the storage).
    data_root: where data sets are found, or downloaded to. address: a Ray cluster (None: one of its own).
    cpus: CPU cores of a Ray of its own (None: all). gpus_per_worker: share of a GPU for each training.
    max_gpu_hours: stop when this many GPU-hours (without GPUs: core-hours) have been spent in this run.
    checkpoint_every_s: seconds between checkpoints in the middle of a segment.
    set: "field=value" changes to the study. sweep: "field=value,value" additions to its sweep.
    plan: print what would run, and run nothing. smoke: shorten as the study says.
    """

    storage: str = option("./lth_storage", check=TEXT)
    _: KW_ONLY
    name: str | None = option(None, check=maybe(slug))
    tracking_uri: str | None = option(None, check=maybe(TEXT))
    data_root: str | None = option(None, check=maybe(TEXT))
    address: str | None = option(None, check=maybe(TEXT))
    cpus: int | None = option(None, check=maybe(whole(1)))
    gpus_per_worker: float = option(0.0, check=number(0))
    max_gpu_hours: float | None = option(None, check=maybe(number(0, open_low=True)))
    checkpoint_every_s: float = option(60.0, check=number(0))
    set: Sequence[str] = option((), check=many(TEXT))
    sweep: Sequence[str] = option((), check=many(TEXT))
    plan: bool = option(False, check=FLAG)
    smoke: bool = option(False, check=FLAG)
