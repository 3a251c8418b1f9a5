"""A study while it runs: lineages x rounds in a terminal, in a log, or from the storage."""
