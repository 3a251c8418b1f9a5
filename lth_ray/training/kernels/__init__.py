"""Compiled steps of fully connected networks, dense and sparse, for processors."""
