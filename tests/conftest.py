"""Small tensors gain nothing from more threads, and tests that run side by side lose by them."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
