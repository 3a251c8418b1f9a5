"""Running a study: its jobs, Ray Tune, results.

Kept empty: a trial's process imports `trial` and not the driver.
"""
