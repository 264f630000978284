"""Folder: where the results of a stage go, made before anything costly is done; texts in it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from pathlib import Path

from vesalius import io
from vesalius.errors import OutputError


def make_folder(out: Path) -> None:
    """Make the folder of the results.

    Args:
        out: The folder; may be there already.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {out.name!r} must be writable, got {type(error).__name__}: choose another"
        ) from None


def put(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Args:
        path: The file.
        text: What it holds.
    """
    with io.atomic_write(path) as file:
        file.write(text.encode())


def hash_file(path: Path) -> str:
    """Name a file by its content, for a record of provenance.

    Args:
        path: The file.

    Returns:
        SHA-256, the first 16 hex digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
