"""Journal: what an unfinished run has done, so that the next one goes on; it holds no values."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO, final

from vesalius.errors import OutputError
from vesalius.io.dicom._deid_report import FileRow

NAME = ".deidentify.journal"
LEFT = re.compile(r"\.[0-9a-f]{12}\.dcm\.[0-9a-f]{8}\.tmp")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What became of one file, with what was done to its attributes.

    Attributes:
        row: Its row of the report.
        actions: How often (attribute, action, reason) came.
        sha: SHA-256 of the output; empty where none was written.
    """

    row: FileRow
    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sha: str = ""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """The journal of a run.

    Attributes:
        out: The output folder.
        known: What an earlier run of the same kind did, by digest of the input.
        written: SHA-256 of each output of this run and the number of its input, by name.
        file: Where the next lines go.
    """

    out: Path
    known: dict[str, Done]
    written: dict[str, tuple[str, int]]
    file: TextIO

    @classmethod
    @contextmanager
    def open(cls, out: Path, fingerprint: str) -> "Iterator[Journal]":
        """Go on with the journal of a run of the same kind, or begin one; a whole run removes it.

        Args:
            out: The output folder.
            fingerprint: Tells runs with the same key and profile from others.

        Yields:
            The journal.

        Raises:
            OutputError: It cannot be written.
        """
        path = out / NAME
        known = _read(path, fingerprint)
        try:
            with path.open("a" if known else "w", encoding="utf-8") as file:
                if not known:
                    file.write(json.dumps(fingerprint) + "\n")
                else:
                    file.write("\n")  # ends a line that was cut off
                yield cls(out, known, {}, file)
            path.unlink()
        except OSError as error:
            raise OutputError(
                f"the output folder must be writable, the system says: {error.strerror}: "
                "choose another, or free space or permissions there"
            ) from error

    def recall(self, digest: str, number: int) -> Done | None:
        """Give what an earlier run did with a file, if its output is still there and whole."""
        done = self.known.get(digest)
        if done is None or (done.sha and not self._whole(done)):
            return None
        return Done(replace(done.row, number=number), done.actions, done.sha)

    def add(self, done: Done) -> None:
        """Write down what became of a file."""
        actions = [[*key, n] for key, n in sorted(done.actions.items())]
        line = {"row": asdict(done.row), "actions": actions, "sha": done.sha}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def _whole(self, done: Done) -> bool:
        try:
            there = (self.out / done.row.name).read_bytes()
        except OSError:
            return False
        return sha256(there).hexdigest() == done.sha


def sweep(out: Path) -> None:
    """Remove the unfinished files that a killed run left."""
    for path in out.glob("*/*/*/.*.tmp"):
        if LEFT.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _read(path: Path, fingerprint: str) -> dict[str, Done]:
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(head) != fingerprint:
            return {}
    except (OSError, ValueError):
        return {}
    found = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            done = _done(json.loads(line))
            if done.row.status in ("written", "refused"):
                found[done.row.digest] = done
    return found


def _done(line: dict[str, Any]) -> Done:
    row = line["row"]
    row = row | {name: tuple(row[name]) for name in ("reasons", "flags")}
    actions = Counter({(a, b, c): n for a, b, c, n in line["actions"]})
    return Done(FileRow(**row), actions, line["sha"])
