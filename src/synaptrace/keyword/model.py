"""The network that is fine-tuned, its rule, and how well it does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synaptrace import rules
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.keyword.plan import Case, Plan
from synaptrace.keyword.tuned import Cell
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import job
from synaptrace.training import run as runs
from synaptrace.training.evaluate import evaluate


def prepare(plan: Plan, case: Case, cell: Cell, data: ArrayDataset) -> tuple[Network, Rule]:
    """The network to fine-tune and its rule, for ``data`` as they are seen."""
    path = plan.trained(case)
    if cell.alone:
        config = job.trained(path).config
        if cell.contrast is not None:
            named = {**config.rule, "contrast": cell.contrast}
            config = config.model_copy(update={"rule": named})
        return job.build(config, data)
    net, rule = learner(path, cell.contrast)
    if plan.word is not None:
        net.add_class()
        rule.add_class(generator=generator(case[1], "word"))
    return net, rule


def learner(path: Path, contrast: str | None) -> tuple[Network, Rule]:
    """The network and the rule of a run, the rule with the ``contrast`` that is asked for.

    Raises:
        UserError: as `runs.load` does; a rule that has no contrast.
    """
    net, rule = runs.load(path, rule=True)
    if contrast in (None, rule.options.get("contrast")):
        return net, rule
    if "contrast" not in rule.options:
        raise UserError(f"--contrast: {rule.name} has none")
    other = rules.build(net, **{**rule.spec, "contrast": contrast})
    other.load_state_dict(rule.state_dict())
    return net, other


def measure(net: Network, data: ArrayDataset, parts: Iterable[str]) -> dict[str, float | None]:
    """Accuracy on each part, None where it has no samples."""
    return {part: evaluate(net, data.batches(part)).accuracy for part in parts}
