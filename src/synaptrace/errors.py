"""The one error a user can mend: bad input, a bad option, a file that is not what it should be.

What a message says of the input is kept short and on one line: `short` for values, `one_line` for
the message as it is printed.
"""

from __future__ import annotations

import reprlib
from typing import Any

from synaptrace.names import printed

__all__ = ["UserError", "one_line", "short"]

LONGEST = 80
"""Characters of a value in a message."""
LONGEST_LINE = 2000
"""Characters of a message: room for a long path, and no more."""


class UserError(ValueError):
    """One clear line that names the file or key and says what to do; the command line exits 2."""

    told = False
    """Whether another process has said it already."""


class _Short(reprlib.Repr):
    """`repr` that looks at a few entries, a few levels deep, of whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxother, self.maxlong = 3, LONGEST, 40
        self.maxstring = LONGEST

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 4 * self.maxlong:  # Python refuses to write out thousands of digits
            return f"a number of {x.bit_length()} bits"
        return repr(x)


def short(value: Any) -> str:
    """``value`` as `repr` shows it, cut to `LONGEST` characters, however large it is."""
    text = _Short().repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def one_line(text: str) -> str:
    """``text`` in one line of printable characters; what a terminal would obey is escaped."""
    flat = " ".join(text.split())
    if len(flat) > LONGEST_LINE:
        flat = f"{flat[: LONGEST_LINE // 2]} … {flat[-LONGEST_LINE // 2 :]}"
    return printed(flat)
