"""A run and its machines: signals, scratch folder and token, room in the cluster, and what ends a run that hangs."""
