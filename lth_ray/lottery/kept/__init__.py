"""The records of finished trainings: what they hold, how they are read, and what older versions meant by theirs."""
