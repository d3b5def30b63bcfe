"""Ray Tune as a client of synaptrace: it chooses and ends trials, `objective` trains each of them.

    pip install synaptrace 'ray[tune]'
    python docs/examples/ray_tune.py 20 --train.epochs 10

Ray spreads the trials over its cluster (`ray.init(address="auto")`). The test set isn't read.
"""

import sys
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

import synaptrace as st
from synaptrace.cli import take_settings

SPACE = {"train.lr": tune.loguniform(1e-4, 1e-1), "neuron.decay": tune.choice([0.5, 0.77, 0.9])}


def trial(drawn: dict[str, Any], fixed: dict[str, str]) -> None:
    """Train with what Ray has drawn, and tell it the validation accuracy after each epoch."""
    st.sweep.objective(
        {**fixed, **drawn}, preset="digits",
        report=lambda epoch, accuracy: tune.report({"epoch": epoch, "accuracy": accuracy}),
    )  # fmt: skip


def main(words: list[str]) -> None:
    """Look at so many trials, with settings around them as `synaptrace train` takes them."""
    (trials,), fixed = take_settings(words)
    ray.init(include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_parameters(trial, fixed=fixed), param_space=SPACE,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=int(trials),
            scheduler=ASHAScheduler(time_attr="epoch"),
        ),
    )  # fmt: skip
    best = tuner.fit().get_best_result()
    print(f"validation {best.metrics['accuracy']:.2%} with {best.config}")


if __name__ == "__main__":
    main(sys.argv[1:])
