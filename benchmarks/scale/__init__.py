"""The cost of a study of many tickets beside its training: `python -m benchmarks.scale`."""
