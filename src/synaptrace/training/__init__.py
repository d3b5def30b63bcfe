"""Training: the loop, what it keeps, and the directory of a run."""
