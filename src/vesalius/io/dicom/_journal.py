"""Journal: what got across, in a small SQLite file that survives being killed at any moment."""
# SPDX-License-Identifier: Apache-2.0

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from vesalius.errors import OutputError

_TABLES = """
CREATE TABLE IF NOT EXISTS received (
  sop TEXT PRIMARY KEY, series TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sent (
  node TEXT NOT NULL, sop TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (node, sop, sha256));
"""


@final
class Journal:
    """A record of transfers; each entry is on disk before the call that makes it returns."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._lock = threading.Lock()  # receivers write from a thread for each connection
        with self._told():
            self._base = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._base.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def receive(self, sop: str, series: str, size: int, sha256: str) -> None:
        """Note an instance that is on disk."""
        self._write(
            "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?)", sop, series, size, sha256
        )

    def received(self, sop: str) -> tuple[str, int, str] | None:
        """Give series, size and hash of an instance that was received."""
        rows = self._ask("SELECT series, size, sha256 FROM received WHERE sop = ?", sop)
        return (str(rows[0][0]), int(rows[0][1]), str(rows[0][2])) if rows else None

    def send(self, node: str, sop: str, sha256: str) -> None:
        """Note an instance that a node has accepted."""
        self._write("INSERT OR IGNORE INTO sent VALUES (?, ?, ?)", node, sop, sha256)

    def was_sent(self, node: str, sop: str, sha256: str) -> bool:
        """Say whether a node has accepted this very content before."""
        found = self._ask(
            "SELECT 1 FROM sent WHERE node = ? AND sop = ? AND sha256 = ?", node, sop, sha256
        )
        return bool(found)

    def _write(self, command: str, *values: object) -> None:
        with self._told(), self._lock, self._base:
            self._base.execute(command, values)

    def _ask(self, command: str, *values: object) -> list[Any]:
        with self._told(), self._lock:
            return self._base.execute(command, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"journal {self._name!r} must be a writable SQLite file, the system says: {error}: "
                "remove it to begin anew, or choose another folder"
            ) from error


@contextmanager
def journal(path: Path) -> Iterator[Journal]:
    """Open a journal, and close it at the end.

    Args:
        path: Its file, made where absent; its folder must exist.

    Raises:
        OutputError: It cannot be read or written.
    """
    opened = Journal(path)
    try:
        yield opened
    finally:
        opened.close()
