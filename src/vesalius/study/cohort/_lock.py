"""Lock: one run at a time in an output folder; the system lets go of it when its holder dies."""
# SPDX-License-Identifier: Apache-2.0

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vesalius.errors import OutputError

LOCK = "lock"


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Hold an output folder.

    Args:
        out: The folder; it exists.

    Yields:
        Nothing, while no other process holds it.

    Raises:
        OutputError: Another process does, or the file of the lock cannot be made.
    """
    import fcntl

    try:
        file = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(
            f"the folder {out.name!r} must be writable, it is not ({error.strerror}): choose "
            "another one with -o"
        ) from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            raise OutputError(
                f"a folder must have one run at a time, process {holder} is writing to "
                f"{out.name!r}: wait for it, or choose another folder with -o"
            ) from None
        with suppress(OSError):  # on a full disk the lock holds without saying whose it is
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(file)
