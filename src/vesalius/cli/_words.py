"""Words: options that are lists with commas between, and texts of files fit for a terminal."""
# SPDX-License-Identifier: Apache-2.0

from typing import TYPE_CHECKING, get_args

import typer

if TYPE_CHECKING:
    from vesalius.io._handle import Allow


def split_words(text: str) -> "tuple[Allow, ...]":
    """Split the value of ``--allow``.

    Args:
        text: Words with commas or spaces between.

    Returns:
        The words.

    Raises:
        BadParameter: A word is unknown.
    """
    from vesalius.io._handle import Allow

    words = tuple(text.replace(",", " ").split())
    known = get_args(Allow)
    for word in words:
        if word not in known:
            raise typer.BadParameter(f"--allow takes {', '.join(known)}; got {word!r}")
    return words  # type: ignore[return-value]


def printable(text: str) -> str:
    """Give a text from a file or node without what could steer the terminal.

    Args:
        text: One line.

    Returns:
        The same with ``?`` for each character that cannot be printed.
    """
    return "".join(c if c.isprintable() else "?" for c in text)
