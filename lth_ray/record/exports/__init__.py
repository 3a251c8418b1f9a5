"""Exports of a study's training curves to the formats of other trackers."""
