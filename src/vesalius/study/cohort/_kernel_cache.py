"""Kernel cache: the compiled loops on disk, which workers must not fill at the same time."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCK = "vesalius.lock"


def write_in_turn() -> None:
    """Let this process add to numba's cache only while no other worker does.

    numba reads its index, picks the next free file name and writes both; two processes that do so
    at once can pick one name, and the index then leads to the machine code of another function.
    """
    from numba.core.caching import IndexDataCacheFile

    plain = IndexDataCacheFile.save
    if getattr(plain, "in_turn", False):
        return

    def save(self: Any, key: Any, data: Any) -> None:
        with _alone(Path(self._cache_path)):
            plain(self, key, data)

    save.in_turn = True  # type: ignore[attr-defined]
    IndexDataCacheFile.save = save


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import fcntl

    with (folder / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # closing the file lets go of it
        yield
