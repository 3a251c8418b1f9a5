"""Carries out what a plan asks for: training, measuring, checkpoints, and what lies behind a state."""
