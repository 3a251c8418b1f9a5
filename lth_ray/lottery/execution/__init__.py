"""Execution of a plan: training, measuring, checkpoints, and what lies behind a state."""
