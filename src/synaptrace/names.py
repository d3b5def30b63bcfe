"""Names that come from a file system or a data set, made fit to be printed."""

from __future__ import annotations


def printed(name: object) -> str:
    """``name`` as text of which every character is printable: one line, one column of a table.

    What a terminal would obey or break a line at (escape sequences, newlines, tabs), marks that
    turn text around, and bytes that are no UTF-8 are shown as Python writes them, as \\x1b.
    """
    text = str(name)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
