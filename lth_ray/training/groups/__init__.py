"""A batch that goes through the network in groups, in one process or by several workers."""
