"""`lth-ray doctor`: a check that everything is there that a study on this machine or cluster needs.

The package's code travels to the nodes by value: what runs there imports the rest of lth_ray only where it is used.
"""
