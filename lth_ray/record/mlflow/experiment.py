"""A study's experiment in MLflow, and its runs as they are read there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lth_ray.record.mlflow import runs
from lth_ray.record.mlflow.destination import Destination, check_alive
from lth_ray.record.mlflow.saved_views import NOTE, QUESTION

KIND = {"mlflow.experimentKind": "custom_model_development"}  # of an experiment: no "GenAI"
Identity = tuple[str, str, str]  # lth.digest, lth.content, the parent's run id


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


def runs_of(client: Any, experiment: str) -> Iterator[Any]:
    """Yield the runs of an experiment as MLflow gives them, page by page."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def read(run: Any) -> tuple[Identity, Run]:
    """Return a run as MLflow gives it: what identifies it, and what is known of it."""
    tags, info = run.data.tags, run.info
    whole = runs.ROUNDS in tags if tags.get(runs.KIND) == "lineage" else info.status == "FINISHED"
    identity = tags[runs.DIGEST], tags.get(runs.CONTENT, ""), tags.get(runs.PARENT, "")
    return identity, Run(info.run_id, info.artifact_uri, whole, info.status, tags.get(runs.ROUNDS, ""))
