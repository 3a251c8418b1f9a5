"""`lth-ray doctor`: is everything there that a study on this machine or cluster needs?

The package's code travels to the nodes by value: what runs there imports the rest of lth_ray only where it is used.
"""
