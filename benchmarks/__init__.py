"""Paired measurements: what this package costs beside plain PyTorch doing the same work."""
