"""The record: MLflow runs, Parquet tables, figures and a report, all made from the store.

Importing it imports neither MLflow nor matplotlib nor pandas.
"""

from lth_ray.record.destination import Destination, destination
from lth_ray.record.figures import accuracy_figure, write_figures
from lth_ray.record.report import Report, report
from lth_ray.record.shipper import RecordError, Shipper, replay
from lth_ray.record.summary import summary
from lth_ray.record.tables import write_tables
from lth_ray.record.wording import labels, render, to_markdown

__all__ = [
    "Destination", "RecordError", "Report", "Shipper", "accuracy_figure", "destination", "labels", "render",
    "replay", "report", "summary", "to_markdown", "write_figures", "write_tables",
]  # fmt: skip
