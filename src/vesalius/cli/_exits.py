"""Exits: what a person is told when something went wrong."""
# SPDX-License-Identifier: Apache-2.0

import re
import tempfile
import traceback
from pathlib import Path

REFUSED = 3
"""Exit code: an input was refused."""

PARTIAL = 4
"""Exit code: the report is written, but something in it failed."""

_ALLOW = re.compile(r"open it with allow=\(((?:\"[a-z]+\", ?)*(?:\"[a-z]+\",?)?)\)")
_SCAN = re.compile(r"\bscan='([a-z-]+)'")
_KEYWORD = re.compile(r"\b(form|unit|frames)=\"([^\"]*)\"")


def explain(error: Exception) -> str:
    """Say what went wrong in one line.

    Args:
        error: An error of vesalius; its text says what must hold, what came and what to do.

    Returns:
        The line.
    """
    return f"error: {in_shell(str(error))}"


def in_shell(text: str) -> str:
    """Say with the options of ``vesalius convert`` what an error says with keywords of ``open``.

    Args:
        text: The text of an error.

    Returns:
        The text.
    """
    text = _ALLOW.sub(lambda found: f"convert it with --allow {_listed(found[1])}", text)
    text = _SCAN.sub(r"--scan \1", text)
    spoken = _KEYWORD.sub(r"--\1 \2", text)
    return spoken if spoken == text else spoken.replace("open it with --", "convert it with --")


def _listed(words: str) -> str:
    return ",".join(re.findall(r"[a-z]+", words))


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
