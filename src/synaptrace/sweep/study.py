"""The study in Optuna's storage: opening it, and taking the next trial of it.

Any number of processes share a study. Who trains a trial holds a lock on its directory, which ends
with the process: a trial that is running and that nobody holds was cut off, and whoever looks for
work goes on with it, from its checkpoint. Numbers are drawn from a seed and the trial's own
number, so that a study that was killed looks for the same settings as one that wasn't.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from synaptrace.errors import UserError, one_line
from synaptrace.seeds import derive
from synaptrace.sweep.plan import JOURNAL, Plan
from synaptrace.sweep.space import Choices, Range
from synaptrace.training import lock

if TYPE_CHECKING:
    import optuna

BEGUN = "begun"
"""How often a trial was begun without an end; in its user attributes, as the next two."""
WHY, VALUES = "why", "values"
"""Why it failed; each seed's validation accuracy."""
MOST_BEGUN = 3
"""Times that a trial's process may be killed before the trial counts as failed."""


def require() -> None:
    """Raises UserError where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise UserError("sweep: Optuna is not installed; pip install 'synaptrace[sweep]'")


def opened(plan: Plan, create: bool = False, fresh: bool = True) -> optuna.Study:
    """The plan's study.

    Args:
        create: make it; with ``fresh`` it is expected not to be there yet.

    Raises:
        UserError: Optuna isn't installed, the storage can't be opened, there is no such study, or
            there is one where none should be.
    """
    require()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # we tell of each trial ourselves
    try:
        storage = stored(plan)
        if create:
            made = optuna.create_study(
                storage=storage, study_name=plan.name, direction="maximize",
                load_if_exists=not fresh, sampler=sampler(plan.seed), pruner=pruner(plan),
            )  # fmt: skip
        else:
            made = optuna.load_study(
                storage=storage, study_name=plan.name, sampler=sampler(plan.seed),
                pruner=pruner(plan),
            )  # fmt: skip
    except optuna.exceptions.DuplicatedStudyError:
        raise UserError(
            f"--storage: {plan.storage} holds this very study already, of another directory; "
            "--join that one, or choose another storage"
        ) from None
    except Exception as error:  # whatever a database's driver raises
        where = plan.out / JOURNAL if plan.storage is None else f"--storage: {plan.storage}"
        said = f"{error}".strip().splitlines() or [type(error).__name__]
        raise UserError(f"{where}: can't be opened as a study ({one_line(said[0])})") from error
    return made


def stored(plan: Plan) -> Any:
    """The storage as Optuna takes it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if plan.storage is not None:
        return plan.storage
    file = (plan.out / JOURNAL).absolute()  # else a lock that a kill left is never given up
    return JournalStorage(JournalFileBackend(str(file)))


def sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimators, whose draws hang on ``seed`` and the trial's number."""
    from optuna.samplers import BaseSampler, TPESampler

    class Numbered(BaseSampler):
        """A fresh sampler for each trial: nothing is drawn from a state that a kill would lose."""

        def of(self, trial: Any) -> TPESampler:
            draws = derive(seed, "sweep", trial.number) % 2**32
            return TPESampler(seed=draws)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.of(trial).infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.of(trial).sample_relative(study, trial, search_space)

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            draws = derive(seed, "sweep", trial.number, param_name) % 2**32
            alone = TPESampler(seed=draws)
            return alone.sample_independent(study, trial, param_name, param_distribution)

    return Numbered()


def pruner(plan: Plan) -> optuna.pruners.BasePruner:
    """Ends trials early by the first seed's validation accuracy after each epoch."""
    from optuna import pruners

    if plan.prune == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, plan.epochs // 4))
    if plan.prune == "hyperband":
        return pruners.HyperbandPruner(max_resource=max(plan.epochs, 2))
    return pruners.NopPruner()


def suggest(trial: optuna.Trial, key: str, dimension: Range | Choices) -> None:
    """Let the study choose a value, where the trial has none yet."""
    if isinstance(dimension, Choices):
        trial.suggest_categorical(key, dimension.values)
    elif dimension.whole:
        trial.suggest_int(key, int(dimension.low), int(dimension.high))
    else:
        trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that have their outcome, in their order."""
    return [each for each in study.get_trials(deepcopy=False) if each.state.is_finished()]


def best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The finished trial of the best validation accuracy, the earliest of those level."""
    complete = [each for each in ended(study) if each.state.name == "COMPLETE"]
    return max(complete, key=lambda each: (each.value or 0.0, -each.number), default=None)


@contextmanager
def claimed(plan: Plan, study: optuna.Study) -> Iterator[optuna.Trial | None]:
    """The next trial to be trained, held as long as the context lasts; None: there is none.

    One that was cut off comes first, then new ones. The study's first is the preset.
    """
    from optuna.trial import Trial, TrialState

    with ExitStack() as hold:
        with lock.held(plan.out, wait=True):
            trials = study.get_trials(deepcopy=False)
            trial: Trial | None = None
            for each in trials:
                if trial is None and each.state == TrialState.RUNNING:
                    with suppress(lock.Busy):
                        hold.enter_context(lock.held(plan.trial(each.number)))
                        trial = Trial(study, each._trial_id)  # as `ask` makes it
            if not trials:
                study.enqueue_trial(plan.preset())
            asked = [each for each in trials if each.state != TrialState.WAITING]
            if trial is None and len(asked) < plan.trials:
                trial = study.ask()
                hold.enter_context(lock.held(plan.trial(trial.number)))
            if trial is not None:
                for key, dimension in plan.space.items():
                    suggest(trial, key, dimension)
        yield trial
