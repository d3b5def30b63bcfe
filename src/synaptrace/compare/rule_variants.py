"""Rules to be counted and measured side by side, by label: each rival in its best form."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synaptrace import config, rules
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.tp import TracesPropagation
from synaptrace.rules.tp.targets import Targets
from synaptrace.sections import section_of
from synaptrace.yaml_files import Text

AS_PUBLISHED = "tp:as-published"
DEFAULT = (
    AS_PUBLISHED, "tp", "tp:contrast=class", "tp:eligibility=true", "bptt", "eprop:kappa=0",
    "eprop", "ostl", "osttp", "etlp", "decolle", "ottt", "stllr", "tess:regenerate=true", "tess",
    "lls:regenerate=true", "lls", "espp", "esdrtrl", "ell", "stsf", "readout-only",
)  # fmt: skip
"""Every rule: e-prop also without its filter (kappa=0), where its traces factorise, and rules whose
feedback is waves both making them anew (regenerate=true) and keeping them."""


class PerSample(TracesPropagation):
    """TP as its published code holds it: a target row for every sample, and B×B similarities.

    The gradients are those of a row for every class.
    """

    block = sys.maxsize
    parts = False

    def _whole(self, *arguments: Any) -> bool:
        return False  # the native engine knows class rows alone

    def _choose(self, labels: Tensor) -> Targets:
        return Targets(labels, torch.arange(len(labels), device=labels.device))


@dataclass(frozen=True)
class Contender:
    """A rule with its options."""

    label: str
    name: str
    options: Mapping[str, Any]
    """All of them, with a number for κ."""
    settings: Mapping[str, Any]
    """The same as the rule's constructor takes them."""

    def build(self, net: Network, generator: torch.Generator | None = None) -> Rule:
        """The rule on ``net``. Raises UserError where it isn't defined there."""
        if self.label == AS_PUBLISHED:
            return PerSample(net, engine="torch", generator=generator)
        return rules.build(net, self.name, generator=generator, **self.settings)


def contender(label: str, readout_decay: float = 1.0) -> Contender:
    """``name:option=value:option=value``, or `AS_PUBLISHED`, on a network with ``readout_decay``.

    Raises:
        UserError: no such rule or option.
    """
    name, *texts = label.split(":")
    if label == AS_PUBLISHED:
        texts = []
    given: dict[str, Any] = {"name": name}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--rules: {label!r} should be name:option=value")
        given[key] = Text(value)
    settings = config.validate("rule", section_of("rule", name), given)
    del settings["name"]
    if name == "tp":
        settings["engine"] = "torch"
    options = dict(settings)
    if options.get("kappa", 0) is None:
        options["kappa"] = readout_decay
    if label == AS_PUBLISHED:
        options["contrast"] = "sample"
    return Contender(label, name, options, settings)
