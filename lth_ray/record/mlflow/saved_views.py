"""The saved views of an experiment and its note: writing them, and finding the links that open them."""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lth_ray.config import ACCURACY
from lth_ray.lottery import Lineage, measurements
from lth_ray.lottery.kept.records import Record
from lth_ray.record.mlflow.barriers import INSTABILITY, MEASURED
from lth_ray.record.mlflow.cards import TAG, VERSIONS, decode, encode, fragment
from lth_ray.record.mlflow.controls import is_of_control
from lth_ray.record.mlflow.runs import Metric, params
from lth_ray.record.mlflow.views import PREFIX, Seen, View, views_of

NOTE, QUESTION, COMMIT = "mlflow.note.content", "lth.question", "mlflow.source.git.commit"  # tags of an experiment
Warn = Callable[[str], None]
SHARE = 20


def warned(text: str) -> None:
    warnings.warn(text, stacklevel=2)


class SavedViews:
    """A keeper of an experiment's views and note, in step with what its tickets have measured.

    MLflow documents neither, so whatever goes wrong with them is a warning, said once, and never an error.
    """

    def __init__(self, client: Any, experiment: str, warn: Warn | None = None) -> None:
        self._client, self._experiment, self._warn = client, experiment, warn or warned
        self._seen: dict[tuple[str, int], Seen] = {}
        self._is_new, self._is_off, self._metric = False, False, ACCURACY
        self._again_at = 0.0

    def ticket(self, lineage: Lineage, number: int, record: Record) -> None:
        """Take up a finished ticket."""
        measured = {
            name: float(value)
            for name, value in measurements(record).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        }
        earlier = self._seen.get((lineage.id, number))
        self._seen[lineage.id, number] = Seen(
            {**params(lineage), "round": str(number)}, measured, earlier.barriers if earlier else {}
        )
        self._metric = lineage.recipe.task.metric
        self._is_new = True

    def branch(self, lineage: Lineage, number: int, metrics: Iterable[Metric]) -> None:
        """Take up what a branch adds to a ticket that is known: mean error barriers, and controls."""
        one = self._seen[lineage.id, number]
        for name, value, step, _ in metrics:
            if name == INSTABILITY:
                one = replace(one, barriers={**one.barriers, step: value})
            elif name in MEASURED or is_of_control(name, lineage.recipe.task.metric):
                one = replace(one, measured={**one.measured, name: value})
        self._seen[lineage.id, number] = one
        self._is_new = True

    def write(self, last: bool = False) -> None:
        """Write the views that have changed, and take away those that have lost their data.

        Of many tickets they are made less often: that takes one part in SHARE of the time at most, but for the `last`.
        """
        began = time.monotonic()
        if not self._is_new or self._is_off or (began < self._again_at and not last):
            return
        self._is_new = False
        try:
            check_version()
            self._write(views_of(list(self._seen.values()), self._metric))
        except Exception as error:  # a view is a convenience: nothing may depend on it
            self._is_off = True
            self._warn(f"MLflow's saved views are not written ({type(error).__name__}: {first_line(error)})")
        self._again_at = time.monotonic() + SHARE * (time.monotonic() - began)

    def _write(self, views: list[View]) -> None:
        tags = self._client.get_experiment(self._experiment).tags
        written = {key: decode(value) for key, value in our_tags(tags).items()}
        for view in views:
            content = (view.name, dict(view.state))
            if written.pop(view.key, None) != content:
                tag = encode(*content, moment=int(time.time() * 1000))
                self._client.set_experiment_tag(self._experiment, TAG + view.key, tag)
        for key in written:
            self._client.delete_experiment_tag(self._experiment, TAG + key)
        question, old = tags.get(QUESTION, ""), tags.get(NOTE, "")
        note = note_of(question, tags.get(COMMIT, ""), self._experiment, {view.key: view.name for view in views})
        if note != old and (not old or question.strip() in old):  # else somebody has written a note of their own
            self._client.set_experiment_tag(self._experiment, NOTE, note)


def check_version() -> None:
    """Raise RuntimeError for an MLflow whose form of views is not known."""
    import mlflow
    from packaging.specifiers import SpecifierSet

    if mlflow.__version__ not in SpecifierSet(VERSIONS):
        raise RuntimeError(f"they are known for MLflow {VERSIONS}, and this is {mlflow.__version__}")


def our_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return {key: tag} of the views that lth_ray has written."""
    start = TAG + PREFIX
    return {name.removeprefix(TAG): value for name, value in tags.items() if name.startswith(start)}


def note_of(question: str, commit: str, experiment: str, views: Mapping[str, str]) -> str:
    """Return what an experiment's page says of it, in Markdown: the question, the commit, and links to the
    views.
    """
    links = "\n".join(f"- [{name}]({fragment(experiment, key)[1:]})" for key, name in views.items())
    asked_by = f"Asked by commit `{commit}`." if commit else ""
    return "\n\n".join(part for part in (question.strip(), links, asked_by) if part)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
