"""A study's experiment in MLflow, and its runs as they are read there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lth_ray.record.mlflow import runs
from lth_ray.record.mlflow.destination import Destination, check_alive
from lth_ray.record.mlflow.saved_views import NOTE, QUESTION

KIND = {"mlflow.experimentKind": "custom_model_development"}  # of an experiment: no "GenAI"
Identity = tuple[str, str, str]  # lth.digest, lth.content, the parent's run id


READ = (runs.DIGEST, runs.CONTENT, runs.PARENT, runs.ROUNDS, runs.KIND, runs.STORAGE)  # tags


@dataclass(frozen=True)
class Found:
    """A run as it was found in MLflow. tags: those of READ, at least."""

    id: str
    name: str
    status: str
    artifacts: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """A run as MLflow has it.

    whole: everything is there.
    rounds: its tag lth.rounds.
    """

    id: str
    artifacts: str
    whole: bool
    status: str
    rounds: str


def find_experiment(client: Any, name: str, where: Destination, question: str, commit: str) -> str:
    """Return the id of a study's experiment, made where it is not there, with what is known of its question."""
    given = {QUESTION: question, NOTE: question.strip(), runs.COMMIT: commit, **KIND}
    tags = {key: value for key, value in given.items() if value}
    found = client.get_experiment_by_name(name)
    if found is None:
        artifacts = (where.artifacts / name).as_uri() if where.artifacts else None
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=tags))
        except Exception:
            found = client.get_experiment_by_name(name)
            if found is None:  # else another driver has just made it
                raise
    check_alive(found, where)
    tags.pop(NOTE, None)  # which has grown since, by its views
    for key, value in tags.items():
        if found.tags.get(key) != value:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def runs_of(client: Any, experiment: str, only: str = "") -> Iterator[Found]:
    """Yield the runs of an experiment by MLflow's client, page by page. only: its filter."""
    token = None
    while True:
        page = client.search_runs([experiment], only, max_results=1000, page_token=token)
        for run in page:
            info = run.info
            yield Found(info.run_id, info.run_name, info.status, info.artifact_uri, run.data.tags)
        token = page.token
        if not token:
            return


def read(found: Found) -> tuple[Identity, Run]:
    """Return what identifies a run of ours, and what is known of it."""
    tags = found.tags
    whole = runs.ROUNDS in tags if tags.get(runs.KIND) == "lineage" else found.status == "FINISHED"
    identity = tags[runs.DIGEST], tags.get(runs.CONTENT, ""), tags.get(runs.PARENT, "")
    return identity, Run(found.id, found.artifacts, whole, found.status, tags.get(runs.ROUNDS, ""))
