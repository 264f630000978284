"""Inputs: what the files of a case are, by content; and what the file system says of them."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1 << 20

_DETACHED = (".mhd", ".nhdr", ".hdr", ".img")
"""Headers whose samples are in another file."""


def hash_path(path: Path) -> str:
    """Hash a file, or all files of a folder with their names in it.

    Args:
        path: File or folder.

    Returns:
        SHA-256 of the bytes, 16 hex digits.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]


def hashed_once() -> Callable[[Path], str]:
    """Give ``hash_path`` with a memory: rows of a manifest may name one image a thousand times.

    Returns:
        The function; a file that the file system says has changed is read again.
    """
    known: dict[tuple[Path, str], str] = {}

    def hashed(path: Path) -> str:
        key = (path, stamp_of(path))
        if not key[1]:
            return hash_path(path)
        if key not in known:
            known[key] = hash_path(path)
        return known[key]

    return hashed


def stamp_of(*paths: Path) -> str:
    """Give size and time of change of files, to notice that one is exchanged during a run.

    Args:
        paths: Files or folders.

    Returns:
        A short text; other text, other files. Empty where one cannot be read.
    """
    try:
        told = [
            (path.stat().st_size, path.stat().st_mtime_ns)
            for root in paths
            for path in _files(root)
        ]
    except OSError:
        return ""
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path, *_beside(path)]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _beside(header: Path) -> list[Path]:
    """Give the samples that stand beside a header: their bytes count, too.

    They are the files of its stem and those that it names; where there are none it names them by
    a pattern, and all files of the folder count.
    """
    if header.suffix.lower() not in _DETACHED:
        return []
    with header.open("rb") as stream:
        words = set(re.split(r"[\s=:]+", stream.read(_BLOCK >> 4).decode("latin-1")))
    others = [f for f in sorted(header.parent.iterdir()) if f.is_file() and f != header]
    stem = header.name.partition(".")[0]
    named = [f for f in others if f.name in words or f.name.partition(".")[0] == stem]
    inside = header.stat().st_size > _BLOCK  # samples follow in the file itself
    return named if named or inside else others
