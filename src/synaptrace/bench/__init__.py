"""Measurements that state their method; run with `python -m synaptrace.bench`."""
