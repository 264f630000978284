"""Atomic writing: a file appears at its name complete, or not at all."""
# SPDX-License-Identifier: Apache-2.0

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vesalius.errors import OutputError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in the same folder, then rename it into place.

    Nothing half-written is ever at the final name: on any failure the temporary file is removed
    and what stood there before stays. Use as ``with atomic_write("table.csv") as file: ...``.

    Args:
        path: Where the file goes; an existing file is replaced.

    Yields:
        A binary file object, open for writing.

    Raises:
        OutputError: The folder is absent or not writable, ``path`` is a folder, the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(
            f"output must be a file, but {target.name!r} is a folder: add a file name to it"
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # mode 0o666 lets the umask decide, as for any other file the user writes
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync(target.parent)


@contextmanager
def staged(path: str | Path) -> Iterator[Path]:
    """Let a file or folder, and what belongs beside it, be written out of sight, then publish it.

    Use as ``with staged("a.mhd") as stage: ...`` and write at ``stage``; whatever else is written
    in ``stage.parent`` is published with it, before it. On any failure nothing is published. A
    process that is killed leaves what stood there, or the new; between several files, or on a
    system that cannot swap folders, for a moment neither, but never a mix of both.

    Args:
        path: Where it goes; an existing file or folder of that name is replaced.

    Yields:
        The same name in a new hidden folder beside ``path``.

    Raises:
        OutputError: The folder is absent or not writable, or the disk is full.
    """
    target = Path(path)
    hidden = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        hidden.mkdir()
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        yield hidden / target.name
        _publish(hidden, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    _sync(target.parent)


def _publish(hidden: Path, target: Path) -> None:
    """Rename what was made to its names; on failure what stood there comes back."""
    beside = sorted(path for path in hidden.iterdir() if path.name != target.name)
    made = [*beside, hidden / target.name]
    for path in made:
        _sync_all(path)
        _check_kind(path, target.with_name(path.name))
    if not beside and target.is_dir() and _swap(hidden / target.name, target):
        return
    waiting = hidden / f"{target.name}.{secrets.token_hex(4)}.old"
    waiting.mkdir()
    aside: list[Path] = []
    there: list[Path] = []
    try:
        # several files are one thing, and a header with other samples is wrong: header first away
        for path in reversed(made) if beside or target.is_dir() else ():
            place = target.with_name(path.name)
            if place.exists():
                place.rename(waiting / place.name)
                aside.append(place)
        for path in made:
            place = target.with_name(path.name)
            path.replace(place)
            there.append(place)
    except OSError:
        for place in there:
            place.unlink()  # files alone: a folder goes last, and nothing fails after it
        for place in reversed(aside):
            (waiting / place.name).rename(place)
        raise


def _check_kind(made: Path, target: Path) -> None:
    if target.is_dir() != made.is_dir() and target.exists():
        raise OutputError(
            f"output {target.name!r} must replace its own kind, a "
            f"{'folder' if target.is_dir() else 'file'} of that name is there: remove it first"
        )


def _swap(first: Path, second: Path) -> bool:
    """Swap two names in one step, where the system can: so no moment is without either."""
    import ctypes

    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2), Linux
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return int(rename(here, os.fsencode(first), here, os.fsencode(second), both)) == 0


def _sync_all(made: Path) -> None:
    for folder, _, names in os.walk(made):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if made.is_file():
        _sync(made)


def _sync(path: Path) -> None:
    # makes the rename itself survive a power cut; not every file system offers it
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cannot_write(target: Path, error: OSError) -> OutputError:
    folder = target.parent
    if not folder.is_dir():
        return OutputError(
            f"output folder must exist to write {target.name!r}, "
            f"{folder.name!r} does not: create it first"
        )
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"output {target.name!r} must be writable, the system says: {reason}: "
        "choose another folder, or free space or permissions there"
    )
