"""Small tensors gain nothing from more threads, and tests that run side by side lose by them."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch with one thread, whatever the environment says, and afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
