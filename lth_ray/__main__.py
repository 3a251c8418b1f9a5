"""`python -m lth_ray`: the same as `lth-ray`, where that is not on the PATH, as on a node that has an upload alone."""

from lth_ray.cli import entry

entry()
