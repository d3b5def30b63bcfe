"""Settings found by validation, with Optuna: `objective` for any client, `run` for a study."""

from synaptrace.sweep.score import objective
from synaptrace.sweep.work import run

__all__ = ["objective", "run"]
