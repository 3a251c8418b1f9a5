"""What one GPU makes of the training steps, in ten minutes: `python -m benchmarks.gpu`, or `make gpu`."""
