"""Tests that only a GPU can pass. Skipped without one; `make gpu` runs them. Needs neither Ray nor MLflow."""
