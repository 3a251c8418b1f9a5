"""The record: MLflow runs, Parquet tables, figures and a report, all made from the store.

Importing it imports neither MLflow nor matplotlib nor pandas.
"""

from lth_ray.record.comparisons import comparisons
from lth_ray.record.destination import Destination, destination
from lth_ray.record.figures import accuracy_figure
from lth_ray.record.paper import against_paper
from lth_ray.record.paper_words import paper_tables
from lth_ray.record.report import Report, report
from lth_ray.record.shipper import RecordError, Shipper, replay
from lth_ray.record.summary import summary
from lth_ray.record.tables import write_tables
from lth_ray.record.targets import groups, targets_of
from lth_ray.record.verdicts import comparisons_table
from lth_ray.record.wording import labels, render, to_markdown

__all__ = [
    "Destination", "RecordError", "Report", "Shipper", "accuracy_figure", "against_paper", "comparisons",
    "comparisons_table", "destination", "groups", "labels", "paper_tables", "render", "replay", "report", "summary",
    "targets_of", "to_markdown", "write_tables",
]  # fmt: skip
