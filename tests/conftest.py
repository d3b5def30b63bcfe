"""Small tensors gain nothing from more threads, and tests that run side by side lose by them."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

from synaptrace.native import library

# The same cases in every run, so that a failure is of the change at hand; others by
# `pytest --hypothesis-profile default --hypothesis-seed N`.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker a processor for the whole suite, a file at a time on each; none for chosen tests."""
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    return len(os.sched_getaffinity(0)) if whole and hasattr(os, "sched_getaffinity") else 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Packed bytes name no test: they hold the time, and all workers must see the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What is drawn from PyTorch's own generator must not hang on which tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Data and caches go where this session alone looks, never to the user's own."""
    os.environ["SYNAPTRACE_DATA"] = str(tmp_path_factory.mktemp("data-home"))


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """PyTorch's threads, which a training sets, and the environment, as the test found them."""
    threads, environment = torch.get_num_threads(), dict(os.environ)
    yield
    torch.set_num_threads(threads)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


@pytest.fixture
def one_thread(as_before: None) -> None:
    """PyTorch with one thread, whatever the environment says."""
    torch.set_num_threads(1)


@pytest.fixture(params=library.levels() or [None])
def each_level(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The native engine on each instruction set that this machine has."""
    if request.param is None:  # not built
        yield None
        return
    with library.use(request.param):
        yield request.param
