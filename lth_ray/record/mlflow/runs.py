"""Runs as plain data: what MLflow is told of a lineage, a ticket and a branch.

A lineage's run holds measurements at step = round; a ticket's and a branch's hold curves at step = optimizer step.
The two meanings of step are never mixed in one run. Timestamps are the segment's stored start plus the step in
milliseconds, so that whatever is sent twice coincides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lth_ray.config import Folder, WeightsFile, digest, meaning, short_name
from lth_ray.lottery import BranchResult, Lineage, measurements
from lth_ray.lottery.kept.records import Record, SegmentRecord, TableRecord

Cost = Mapping[str, float | None]
Metric = tuple[str, float, int, int]  # name, value, step, milliseconds since 1970

KIND, LINEAGE, DIGEST, CONTENT = "lth.kind", "lth.lineage", "lth.digest", "lth.content"
ROUNDS, STORAGE, DIVERGED, CONFIG = "lth.rounds", "lth.storage", "lth.diverged_at", "lth.config"
PARENT, COMMIT = "mlflow.parentRunId", "mlflow.source.git.commit"
TEXT_LIMIT = 5000  # characters of a tag or param: MLflow's limits are 8000 and 6000


@dataclass(frozen=True)
class Description:
    """A run that is to be there.

    identity: its lth.digest and lth.content; the same run is never made twice.
    started, ended: milliseconds since 1970.
    files: artifacts, {file name: JSON document}.
    usage: system metrics, at steps that count samples as MLflow's own do.
    dataset: name, digest, profile of the data.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    started: int
    ended: int | None = None
    metrics: list[Metric] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)
    usage: list[Metric] = field(default_factory=list)
    dataset: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str]:
        return self.tags[DIGEST], self.tags[CONTENT]


def lineage_digest(lineage: Lineage) -> str:
    """Return what identifies a lineage whatever its number of rounds."""
    rule = meaning(lineage.prune)
    return digest("ticket", {"lineage": lineage.id, "dense": lineage.dense.key, "prune": rule})


def describe_lineage(lineage: Lineage, dense: Record, storage: str) -> Description:
    """Return the run of a lineage.

    Its content is that of its dense run, which every later round follows from. Of the study it says what it is itself
    made by: what others have beside it would go by the square of their number.
    """
    alone = lineage.variant.alone
    tags = {
        KIND: "lineage",
        LINEAGE: lineage.id,
        DIGEST: lineage_digest(lineage),
        CONTENT: dense.content,
        STORAGE: storage,
        CONFIG: text(alone),
        **_environment(dense),
    }
    study = {"study": meaning(alone), "rounds": lineage.prune.num_rounds}
    files, data = {"study.json": study}, dataset(lineage)
    return Description(lineage.id, tags, params(lineage), milliseconds(dense), files=files, dataset=data)


def dataset(lineage: Lineage) -> dict[str, Any]:
    """Return what a lineage and its tickets are trained on: its name, digest and sizes."""
    identity = lineage.recipe.identity
    sizes = {
        name: getattr(identity, name) for name in ("n_train", "n_validation", "n_test", "input_shape", "num_classes")
    }
    return {"name": lineage.variant.study.data.called, "digest": identity.digest, "profile": sizes}


def describe_ticket(lineage: Lineage, number: int, record: Record, cost: Cost | None = None) -> Description:
    tags = {KIND: "ticket", DIGEST: lineage.digest(number), "lth.round": str(number), **_tags(lineage, record)}
    given = {**params(lineage), "round": str(number)}
    described = _described(f"{lineage.id}/round{number}", tags, given, record, cost)
    return replace(described, dataset=dataset(lineage))


def describe_branch(result: BranchResult, record: Record, cost: Cost | None = None) -> Description:
    tags = {KIND: "branch", DIGEST: result.digest, "lth.round": str(result.round), **_tags(result.lineage, record)}
    own = {f"branch.{name}": text(value) for name, value in result.parameters.items()}
    given = {"round": str(result.round), "branch": result.path, "index": str(result.index), **own}
    return _described(result.id, tags, params(result.lineage) | given, record, cost)


def _described(
    name: str, tags: dict[str, str], given: dict[str, str], record: Record, cost: Cost | None
) -> Description:
    started, last = milliseconds(record), record.first + record.train_steps
    return Description(
        name,
        tags,
        given,
        started,
        ended(record),
        curves(record.journal, started) + point(record, last, cost),
        _tables(record),
        usage=usage(record.usage or {}),
    )


def params(lineage: Lineage) -> dict[str, str]:
    """Return the params of a lineage, and of everything that hangs on it, so that MLflow groups and filters
    both by them.
    """
    study = lineage.variant.study
    chosen = {
        "arm": lineage.variant.arm,
        "seed": lineage.variant.seed,
        "rewind_step": lineage.rewind_step,
        "method": lineage.rewind.method,
        "rewind_optimizer": lineage.rewind.optimizer,
        "criterion": study.prune.criterion,
        "scope": study.prune.scope,
        "prune_fraction": "" if study.prune.fraction is None else study.prune.fraction,
        "one_shot": study.prune.one_shot,
        "model": name_of(lineage),
        "dataset": study.data.called,
        "batch_size": study.data.batch_size,
        "optimizer": study.train.optimizer,
        "lr": study.train.lr,
        "warmup_steps": lineage.recipe.warmup_steps,
        "train_steps": lineage.recipe.total_steps,
        **lineage.variant.varied,
    }
    return {name: text(value) for name, value in chosen.items() if value != ""}


def name_of(lineage: Lineage) -> str:
    """Return the model's name; of one's own function, the function's."""
    model = lineage.variant.study.model.name
    return str(model) if isinstance(model, (str, Folder)) else short_name(model)


def text(value: Any) -> str:
    """Return a value as a param: strings as they are, a file's name, the rest as JSON of its meaning."""
    plain = str(value) if isinstance(value, (Folder, WeightsFile)) else meaning(value)
    return (plain if isinstance(plain, str) else json.dumps(plain))[:TEXT_LIMIT]


def curves(journal: Mapping[str, list[Any]], started: int) -> list[Metric]:
    """Return a journal's columns at optimizer steps.

    The epoch (a multiple of the step) and a learning rate that never changes (a param) are left out: a metric costs
    more than anything else here.
    """
    steps = journal.get("step", [])
    skipped = {"step", "epoch"} | ({"lr"} if len(set(journal.get("lr", []))) < 2 else set())
    return [
        (name, float(value), step, started + step)
        for name, values in journal.items()
        if name not in skipped
        for step, value in zip(steps, values, strict=True)
        if value is not None
    ]


def point(record: Record, step: int, cost: Cost | None = None) -> list[Metric]:
    """Return every number that a finished segment measured, at one step: its last, or its round in the
    lineage's run.
    """
    moment = milliseconds(record) + step
    return [
        (name, float(value), step, moment)
        for name, value in {**measurements(record), **(cost or {})}.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


def usage(columns: Mapping[str, list[float]]) -> list[Metric]:
    """Return what a training took of its machine, sample by sample at its own time, under MLflow's names."""
    return [
        (name, float(value), sample, int(moment))
        for name, values in columns.items()
        if name != "moment"
        for sample, (moment, value) in enumerate(zip(columns["moment"], values, strict=True))
    ]


def milliseconds(record: Record) -> int:
    """Return when a segment was begun, in milliseconds since 1970."""
    return int(datetime.fromisoformat(record.started_at).timestamp() * 1000)


def ended(record: Record) -> int:
    """Return when a segment was done, as `milliseconds`."""
    return milliseconds(record) + int(1000 * record.seconds)


def _environment(record: Record) -> dict[str, str]:
    environment = record.environment
    return {
        **({"lth.backend": record.backend} if isinstance(record, SegmentRecord) else {}),
        "lth.device": environment["device"],
        "lth.world_size": str(environment.get("world_size", 1)),
        "lth.versions": json.dumps(environment.get("packages", {}))[:TEXT_LIMIT],
    }


def _tags(lineage: Lineage, record: Record) -> dict[str, str]:
    tags = {
        LINEAGE: lineage.id,
        CONTENT: record.content,
        "lth.table" if isinstance(record, TableRecord) else "lth.segment": record.key,
        **_environment(record),
    }
    if record.diverged_at is not None:
        tags[DIVERGED] = str(record.diverged_at)
    shown = [{"path": name, "type": "table"} for name in _tables(record)]
    if shown:
        tags["mlflow.loggedArtifacts"] = json.dumps(shown)
    return tags


def _tables(record: Record) -> dict[str, Any]:
    """Return the file that MLflow shows as a table: layer densities of a segment, curves of a measured table.

    It is the only one: what a run is made from is in the storage, under the key in its tags.
    """
    if densities := record.layer_densities:
        rows = [[name, density] for name, density in densities.items()]
        return {"layer_densities.json": {"columns": ["layer", "density"], "data": rows}}
    if isinstance(record, TableRecord) and (columns := record.columns):
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        return {f"{record.kind}.json": {"columns": list(columns), "data": rows}}
    return {}
