"""Several runs of one recipe, trained as one."""
