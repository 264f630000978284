"""Walking a folder: its files to the bottom, never out of it through a link."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius.errors import FormatError
from vesalius.io._budget import Budget

ATTACHED = (".raw", ".zraw", ".raw.gz")
"""Suffixes of samples that belong to a header beside them."""


@final
@dataclass(frozen=True, slots=True)
class Walked:
    """What is below a folder.

    Attributes:
        files: Files, and folders that are one volume, sorted.
        refused: Links that lead out of the folder, and folders that lie too deep.
    """

    files: tuple[Path, ...]
    refused: tuple[FormatError, ...] = ()


def walk(folder: Path, budget: Budget, is_volume: Callable[[Path], bool]) -> Walked:
    """List files and folders that are one volume; hidden ones and bodies are left out.

    A link to a file in the same folder counts unless that file is listed itself; a link to a
    folder is not followed.

    Args:
        folder: Where to look.
        budget: ``files`` and ``depth``.
        is_volume: Whether a folder is one volume, so that its files are not listed.

    Returns:
        What is there.

    Raises:
        FormatError: There are more files than the budget allows.
    """
    found: list[Path] = []
    links: list[Path] = []
    refused: list[FormatError] = []
    waiting = [(folder, 0)]
    while waiting:
        inner, depth = waiting.pop()
        for entry in inner.iterdir():
            if entry.name.startswith(".") or entry.name.lower().endswith(ATTACHED):
                continue
            if entry.is_symlink():
                links.append(entry)
            elif entry.is_dir() and not is_volume(entry):
                if depth == budget.depth:
                    refused.append(_too_deep(entry, budget))
                else:
                    waiting.append((entry, depth + 1))
            elif entry.is_dir() or entry.is_file():
                found.append(entry)
        if len(found) + len(links) > budget.files:
            raise FormatError(
                f"{folder.name!r} must hold at most {budget.files} files, it holds more: "
                "open a part of it, or raise the budget"
            )
    if links:
        inside, outside = _sort_links(folder, links, found)
        found, refused = found + inside, refused + outside
    return Walked(tuple(sorted(found)), tuple(refused))


def stays_inside(path: Path, root: Path) -> bool:
    """Say whether a path, all links followed, lies in a folder.

    Args:
        path: The path.
        root: The folder, resolved.
    """
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # a link to nothing, or to itself
        return False


def _too_deep(folder: Path, budget: Budget) -> FormatError:
    return FormatError(
        f"folder {folder.name!r} must lie at most {budget.depth} folders deep, it lies deeper: "
        "open it by its own path, or raise the budget's depth"
    )


def _sort_links(
    folder: Path, links: list[Path], found: list[Path]
) -> tuple[list[Path], list[FormatError]]:
    root = folder.resolve()
    listed = {root / path.relative_to(folder) for path in found}
    inside: list[Path] = []
    refused: list[FormatError] = []
    for link in sorted(links):
        if not stays_inside(link, root):
            refused.append(
                FormatError(
                    f"{link.name!r} must lie in the folder that is opened, it is a link that leads "
                    "out of it or nowhere: open what it leads to by its own path"
                )
            )
        elif link.is_file() and link.resolve() not in listed:
            listed.add(link.resolve())
            inside.append(link)
    return inside, refused
