"""Options against forgetting, as `synaptrace finetune --keep` takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synaptrace.errors import UserError


@dataclass(frozen=True)
class Keep:
    """What `adapt` says of each; `parse` reads them from text."""

    rehearse: int = 0
    learn: tuple[str, ...] = ()
    anchor: float = 0.0
    voice: float = 0.0

    def __post_init__(self) -> None:
        if self.rehearse < 0:
            raise UserError(f"rehearse: {self.rehearse} is not a number of utterances")
        if not 0 <= self.anchor < 1:
            raise UserError(f"anchor: {self.anchor} is not a share from 0 to below 1")
        if not 0 <= self.voice <= 1:
            raise UserError(f"voice: {self.voice} is not a share from 0 to 1")
        if self.voice and not self.rehearse:
            raise UserError("voice: is a share of what is rehearsed; add rehearse=N")

    @staticmethod
    def parse(text: str) -> Keep:
        """ "none", or as "rehearse=5+learn=readout/layers.0+anchor=0.01", in any combination.

        Raises:
            UserError: another word, a value out of range.
        """
        found: dict[str, Any] = {}
        for part in [] if text == "none" else text.split("+"):
            key, _, value = part.partition("=")
            kinds: dict[str, Callable[[str], Any]] = {
                "rehearse": int, "anchor": float, "voice": float,
                "learn": lambda text: tuple(text.split("/")),
            }  # fmt: skip
            try:
                found[key] = kinds[key](value)
            except (KeyError, ValueError):
                raise UserError(
                    f"--keep: {part!r} is none of rehearse=N, learn=NAME/NAME, anchor=X, voice=X, "
                    "none"
                ) from None
        return Keep(**found)
