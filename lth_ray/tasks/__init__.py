"""Tasks: what networks learn and how they are judged, one file a kind; nothing outside speaks of images or
labels.

A new kind is a config (a `TaskConfig`), a file here, and an entry in TASKS.
"""

from typing import Any

from lth_ray.config import (
    Boxes,
    ConfigError,
    Data,
    Environment,
    Examples,
    Sentences,
    Table,
    TaskConfig,
    Text,
    Translation,
)
from lth_ray.tasks.base import Evaluation, Step, Stream, Task
from lth_ray.tasks.boxes import Detection
from lth_ray.tasks.control import Control
from lth_ray.tasks.examples import Own
from lth_ray.tasks.images import Images
from lth_ray.tasks.sentences import LabelledSentences
from lth_ray.tasks.table import Rows
from lth_ray.tasks.text import LanguageModelling
from lth_ray.tasks.translation import SentencePairs

TASKS: dict[type[TaskConfig], type[Task[Any]]] = {
    Data: Images,
    Table: Rows,
    Examples: Own,
    Text: LanguageModelling,
    Environment: Control,
    Sentences: LabelledSentences,
    Translation: SentencePairs,
    Boxes: Detection,
}


def task_of(config: TaskConfig) -> Task[Any]:
    """Return the task that a config declares. Raise ConfigError for a kind that TASKS does not know."""
    for kind in type(config).__mro__:
        if kind in TASKS:
            return TASKS[kind](config)
    raise ConfigError(
        f"Study.data = {type(config).__name__}(...): nothing says what is done with it; enter it in lth_ray.tasks.TASKS"
    )


__all__ = [
    "TASKS",
    "Detection",
    "Evaluation",
    "Images",
    "LabelledSentences",
    "LanguageModelling",
    "Own",
    "Rows",
    "SentencePairs",
    "Step",
    "Stream",
    "Task",
    "task_of",
]
