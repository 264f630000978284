"""Exits: what a person is told when something went wrong."""
# SPDX-License-Identifier: Apache-2.0

import tempfile
import traceback
from pathlib import Path

REFUSED = 3
"""Exit code: an input was refused."""

PARTIAL = 4
"""Exit code: the report is written, but something in it failed."""


def explain(error: Exception) -> str:
    """Say what went wrong in one line.

    Args:
        error: An error of vesalius; its text says what must hold, what came and what to do.

    Returns:
        The line.
    """
    return f"error: {error}"


def save_traceback(error: BaseException) -> Path:
    """Keep the details of a fault of the program for its authors.

    Args:
        error: What happened.

    Returns:
        A new text file in the folder of temporary files.
    """
    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="vesalius-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return Path(file.name)
