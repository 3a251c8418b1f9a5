"""The writing of a study's runs for TensorBoard, and for Weights & Biases without its server."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError
from lth_ray.lottery import Plan
from lth_ray.record.exports.logs import Logged, logged
from lth_ray.store import Store


def write_logs(plan: Plan, store: Store, form: str, folder: str | os.PathLike[str]) -> int:
    """Write the curves of what is finished into FOLDER/STUDY, a new folder; return the number of runs.

    form: "tensorboard", which `tensorboard --logdir FOLDER` shows; or "wandb", which `wandb sync` sends.

    Raises ConfigError where the package for it is missing, or the folder is there already: both trackers would show
    a second export beside the first.
    """
    place = Path(folder) / plan.study.name
    write = FORMS[form]
    check_installed(form)
    if place.exists() and any(place.iterdir()):
        raise ConfigError(f"{place} is not empty: remove it, or name another folder; exports are not added to")
    place.mkdir(parents=True, exist_ok=True)
    return write(logged(plan, store), plan.study.name, place)


def check_installed(form: str) -> None:
    """Raise ConfigError, saying what to install, where the package for a form is missing."""
    try:
        __import__(form)
    except ImportError:
        raise ConfigError(f'to write for {form} takes another package: pip install "lth_ray[{form}]"') from None


def to_tensorboard(runs: Iterable[Logged], study: str, place: Path) -> int:
    """Write event files, a folder a run; what a run is, and what it reached, is among its HPARAMS."""
    from torch.utils.tensorboard import SummaryWriter

    count = 0
    for run in runs:
        with SummaryWriter(str(place / run.name)) as writer:
            for step, values in run.points.items():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            if run.summary:
                reached = {f"reached/{name}": value for name, value in run.summary.items()}
                writer.add_hparams(run.config, reached, run_name=".")
        count += 1
    return count


def to_wandb(runs: Iterable[Logged], study: str, place: Path) -> int:
    """Write offline runs, which `wandb sync PLACE/wandb/offline-run-*` sends; lineages are groups."""
    import wandb

    quiet = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True)
    count = 0
    for run in runs:
        sent: Any = wandb.init(
            mode="offline", dir=str(place), project=study, name=run.name, group=run.group, config=run.config,
            reinit="finish_previous", settings=quiet,
        )  # fmt: skip
        for step, values in run.points.items():
            sent.log(values, step=step)
        sent.summary.update(run.summary)
        sent.finish()
        count += 1
    return count


FORMS: dict[str, Callable[[Iterable[Logged], str, Path], int]] = {"tensorboard": to_tensorboard, "wandb": to_wandb}
