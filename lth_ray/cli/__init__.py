"""The command line: a study's own flags, and `lth-ray` for what is in a storage."""

from lth_ray.cli.commands import entry, lth_ray
from lth_ray.cli.study import main, study_command

__all__ = ["entry", "lth_ray", "main", "study_command"]
