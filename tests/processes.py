"""Processes of the tests' own: forked from one that has imported PyTorch once, and done nothing."""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["toy", "torch._dynamo"])
