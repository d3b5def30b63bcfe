"""The options that a rule was made with, noted as its constructor is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synaptrace.rules.base import Rule


def noting(init: Callable[..., None]) -> Callable[..., None]:
    """A rule's constructor that notes in ``options`` what it is called with, defaults included,
    but network and generator; of a chain of constructors the outermost one's."""
    signature = inspect.signature(init)
    rest = {p.name: p.kind for p in signature.parameters.values()}

    @wraps(init)
    def noted(self: Rule, *args: Any, **kwargs: Any) -> None:
        if "options" not in vars(self):
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *given = bound.arguments.items()
            found: dict[str, Any] = {}
            for name, value in given:
                if rest[name] is inspect.Parameter.VAR_KEYWORD:
                    found |= value
                elif rest[name] is not inspect.Parameter.VAR_POSITIONAL:
                    found[name] = value
            left_out = ("net", "generator", *self.unsaved)
            self.options = {k: v for k, v in found.items() if k not in left_out}
        init(self, *args, **kwargs)

    return noted
