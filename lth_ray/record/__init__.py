"""The record: MLflow runs, Parquet tables, figures and a report, all made from the store.

Importing it imports neither MLflow nor matplotlib nor pandas. The figures are in lth_ray.record.figures.
"""

from lth_ray.record.mlflow.destination import Destination, destination
from lth_ray.record.mlflow.links import Entrance, entrance
from lth_ray.record.mlflow.shipper import RecordError, Shipper, replay
from lth_ray.record.paper.comparing import against_paper
from lth_ray.record.paper.targets import groups, targets_of
from lth_ray.record.paper.words import paper_tables
from lth_ray.record.report.comparisons import comparisons
from lth_ray.record.report.listing import Listing, in_latex, in_markdown
from lth_ray.record.report.long_tables import curves, densities, paths, updates, weights
from lth_ray.record.report.making import Report, report
from lth_ray.record.report.paper_table import density_heading, paper_listings, rounds_shown
from lth_ray.record.report.side_by_side import SideBySide, side_by_side
from lth_ray.record.report.summary import summary
from lth_ray.record.report.tables import metric_of_frame, write_tables
from lth_ray.record.report.verdicts import comparisons_table
from lth_ray.record.report.wording import early_stop, labels, render, summary_listing

__all__ = [
    "Destination",
    "Entrance",
    "Listing",
    "RecordError",
    "Report",
    "Shipper",
    "SideBySide",
    "against_paper",
    "comparisons",
    "comparisons_table",
    "curves",
    "densities",
    "density_heading",
    "destination",
    "early_stop",
    "entrance",
    "groups",
    "in_latex",
    "in_markdown",
    "labels",
    "metric_of_frame",
    "paper_listings",
    "paper_tables",
    "paths",
    "render",
    "replay",
    "report",
    "rounds_shown",
    "side_by_side",
    "summary",
    "summary_listing",
    "targets_of",
    "updates",
    "weights",
    "write_tables",
]
