"""`python -m lth_ray.cli`: on a node that has a job's upload alone, and so no `lth-ray`."""

from lth_ray.cli import entry

entry()
