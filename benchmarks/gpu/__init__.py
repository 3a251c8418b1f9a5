"""Questions to one GPU about the training steps, ten minutes of them: `python -m benchmarks.gpu`, or `make gpu`."""
