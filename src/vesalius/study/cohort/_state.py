"""State: what happened in the runs of a cohort; all that may differ between two of them."""
# SPDX-License-Identifier: Apache-2.0

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius.errors import OutputError
from vesalius.study.cohort._runner import CaseResult

FILE = "state.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, pid INTEGER, cases INTEGER
);
CREATE TABLE IF NOT EXISTS cases (
    "case" TEXT PRIMARY KEY, place INTEGER, key TEXT, status TEXT NOT NULL, cause TEXT,
    detail TEXT, attempts INTEGER, cached INTEGER, seconds REAL, cpu_seconds REAL,
    peak_bytes INTEGER, voxels INTEGER, ended TEXT, run INTEGER
);
CREATE TABLE IF NOT EXISTS costs (
    key TEXT PRIMARY KEY, kind TEXT, voxels INTEGER, seconds REAL, cpu_seconds REAL,
    peak_bytes INTEGER
);
"""
_WAITING = "waiting"

WAIT_S = 10.0
"""Longest wait for another program that writes to the data base, seconds."""


@final
@dataclass(frozen=True, slots=True)
class Cost:
    """What a measured case took.

    Attributes:
        voxels: Of the image.
        cpu_seconds: Processor time.
        peak_bytes: Most memory.
    """

    voxels: int
    cpu_seconds: float
    peak_bytes: int


class State:
    """The data base of a cohort folder; a damaged one is begun anew, since it holds history only.

    What cannot be written once the run has begun is lost, and told of: no case is lost for it. One
    thread uses it.

    Attributes:
        lost: Why some of it could not be written; empty else.
    """

    def __init__(self, out: Path) -> None:
        path = out / FILE
        found = None
        try:
            found = _connected(path)
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise OutputError(
                    f"{path.name} must be free, another program has locked it: close that program"
                ) from None
        self._base = found or _anew(path)
        self._run = 0
        self.lost = ""

    def begin(self, cases: Iterable[str], pid: int) -> None:
        """Write down that a run begins.

        Args:
            cases: All cases, in the order of the manifest.
            pid: The process.

        Raises:
            OutputError: The disk is full, or another program keeps it locked.
        """
        try:
            self._begin(cases, pid)
        except sqlite3.Error as error:
            raise OutputError(
                f"{FILE} must be writable in the output folder, it is not ({error}): close what "
                "uses it, free the disk, or choose another folder with -o"
            ) from None

    def _begin(self, cases: Iterable[str], pid: int) -> None:
        rows = [(name, place) for place, name in enumerate(cases)]
        with self._base:
            found = self._base.execute(
                "INSERT INTO runs (started, pid, cases) VALUES (?, ?, ?)", (_now(), pid, len(rows))
            )
            self._run = int(found.lastrowid or 0)
            names = {name for name, _ in rows}
            known = [row[0] for row in self._base.execute('SELECT "case" FROM cases')]
            gone = [(name,) for name in known if name not in names]
            self._base.executemany('DELETE FROM cases WHERE "case" = ?', gone)
            self._base.executemany(
                'INSERT INTO cases ("case", place, status) VALUES (?, ?, ?) '
                'ON CONFLICT ("case") DO UPDATE SET place = excluded.place, '
                "status = excluded.status, cause = NULL, detail = NULL",
                [(name, place, _WAITING) for name, place in rows],
            )

    def settle(self, result: CaseResult, *, key: str, cached: bool = False) -> None:
        """Write down how a case ended.

        Args:
            result: What became of it.
            key: Of its entry in the journal.
            cached: Whether the journal had it already; times then stay those of its measurement.
        """
        row = (
            key,
            result.ended,
            result.cause,
            result.detail,
            result.attempts,
            int(cached),
            _now(),
            self._run,
        )
        with self._writing():
            self._base.execute(
                "UPDATE cases SET key = ?, status = ?, cause = ?, detail = ?, attempts = ?, "
                'cached = ?, ended = ?, run = ? WHERE "case" = ?',
                (*row, result.case),
            )
            if not cached:
                numbers = (result.seconds, result.cpu_seconds, result.peak_bytes, result.voxels)
                self._base.execute(
                    "UPDATE cases SET seconds = ?, cpu_seconds = ?, peak_bytes = ?, voxels = ? "
                    'WHERE "case" = ?',
                    (*numbers, result.case),
                )

    def learn(self, result: CaseResult, *, key: str, kind: str) -> None:
        """Keep what a case took, for estimates.

        Args:
            result: Of a measured case.
            key: Of its entry in the journal.
            kind: Hash of what is measured; costs of one kind are compared.
        """
        numbers = (result.voxels, result.seconds, result.cpu_seconds, result.peak_bytes)
        with self._writing():
            self._base.execute(
                "INSERT OR REPLACE INTO costs VALUES (?, ?, ?, ?, ?, ?)", (key, kind, *numbers)
            )

    def costs(self, kind: str) -> tuple[Cost, ...]:
        """Give what cases have taken.

        Args:
            kind: See ``learn``.
        """
        rows = self._base.execute(
            "SELECT voxels, cpu_seconds, peak_bytes FROM costs WHERE kind = ? AND voxels > 0 "
            "ORDER BY key",
            (kind,),
        )
        return tuple(Cost(*row) for row in rows)

    def end(self) -> None:
        """Write down that the run is over, and close."""
        with self._writing():
            self._base.execute("UPDATE runs SET ended = ? WHERE run = ?", (_now(), self._run))
        self.close()

    def close(self) -> None:
        """Close."""
        with suppress(sqlite3.Error):  # the log stays beside it, and is read with it
            self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._base:
                yield
        except sqlite3.Error as error:
            self.lost = self.lost or str(error)
            with suppress(sqlite3.Error):  # once is enough to wait
                self._base.execute("PRAGMA busy_timeout = 50")


def costs_in(out: Path, kind: str) -> tuple[Cost, ...]:
    """Give what cases have taken in earlier runs into a folder, and change nothing there.

    Args:
        out: The folder; may be absent.
        kind: See ``State.learn``.
    """
    path = out / FILE
    if not path.is_file():
        return ()
    with suppress(sqlite3.DatabaseError):
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = base.execute(
                "SELECT voxels, cpu_seconds, peak_bytes FROM costs WHERE kind = ? AND voxels > 0 "
                "ORDER BY key",
                (kind,),
            )
            return tuple(Cost(*row) for row in rows)
        finally:
            base.close()
    return ()


def _connected(path: Path) -> sqlite3.Connection | None:
    """Open the data base; None where its pages are damaged."""
    base = sqlite3.connect(path, timeout=WAIT_S)
    try:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        sound = base.execute("PRAGMA quick_check").fetchone() == ("ok",)
        base.executescript(_SCHEMA)
        # a table of another version lacks a column: that raises, too
        base.execute("SELECT key, status, cause, detail, run FROM cases LIMIT 1")
        base.execute("SELECT kind, cpu_seconds FROM costs LIMIT 1")
        if sound:
            return base
    except sqlite3.DatabaseError:
        base.close()
        raise
    base.close()
    return None


def _anew(path: Path) -> sqlite3.Connection:
    try:
        for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
        base = _connected(path)
        assert base is not None, "an empty data base is sound"
        return base
    except (OSError, sqlite3.DatabaseError) as error:
        raise OutputError(
            f"{path.name} must be writable in the output folder, it is not "
            f"({type(error).__name__}): choose another folder with -o"
        ) from None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
