"""Tasks, declared: one file a kind, and the metrics that networks are judged by."""
