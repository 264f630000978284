"""Report of a de-identification: what was written, refused, kept and removed, and never a value."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

from vesalius.io._atomic import atomic_write

Status = Literal["written", "duplicate", "refused", "skipped"]
FOLDER = "report"
NOTICE = (
    "Attributes were de-identified; that is one part of de-identifying data (PS3.15 E.1). "
    "Pixels were not searched for text."
)
FACES = (
    "may show a face: look at them before they leave the house; "
    "face removal comes with registration"
)
MOSAIC = "is a Siemens mosaic that cannot be split without its private header: convert it first"


@final
@dataclass(frozen=True, slots=True)
class FileRow:
    """What became of one file.

    Attributes:
        number: Its place among the input's files in the order of their names, from 1.
        digest: Keyed hash of its bytes, to find it again with the key.
        status: What became of it.
        name: Path of the output below the output folder; empty where nothing was written.
        reasons: Why it was refused or skipped.
        flags: What somebody should look at.
    """

    number: int
    digest: str
    status: Status
    name: str = ""
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ActionRow:
    """How often something was done to an attribute.

    Attributes:
        attribute: Its keyword, number, or group.
        action: kept, cleaned, replaced, emptied, removed, UID replaced.
        reason: Why.
        count: How often, nested ones counted.
    """

    attribute: str
    action: str
    reason: str
    count: int


@final
@dataclass(frozen=True, slots=True)
class DeidReport:
    """What a de-identification did.

    Attributes:
        edition: Edition of PS3.15.
        options: Options besides the basic profile.
        accepted: What was accepted that is refused otherwise.
        files: One row for each file.
        actions: One row for each attribute, action and reason.
    """

    edition: str
    options: tuple[str, ...]
    accepted: tuple[str, ...]
    files: tuple[FileRow, ...]
    actions: tuple[ActionRow, ...]

    def count(self, status: Status) -> int:
        """Give the number of files of a status."""
        return sum(row.status == status for row in self.files)

    @property
    def text(self) -> str:
        """The report in lines for people."""
        statuses: tuple[Status, ...] = ("written", "duplicate", "refused", "skipped")
        told = ", ".join(f"{self.count(one)} {one}" for one in statuses)
        options = ", ".join(self.options) or "no option"
        lines = [f"PS3.15 {self.edition} basic profile, {options}: {told}"]
        for verb in ("refused", "skipped"):
            rows = [row for row in self.files if row.status == verb]
            lines += [f"{verb}: {n} x {why}" for why, n in _counted(r.reasons for r in rows)]
        lines += [f"look: {n} x {flag}" for flag, n in _counted(row.flags for row in self.files)]
        done = Counter[str]()
        for one in self.actions:
            done[one.action] += one.count
        told = ", ".join(f"{n} {name}" for name, n in sorted(done.items()))
        lines += [f"attributes: {told}"] if told else []
        return "\n".join([*lines, NOTICE])


def _counted(groups: Iterable[Sequence[str]]) -> list[tuple[str, int]]:
    return sorted(Counter(one for group in groups for one in group).items())


def action_rows(counts: Counter[tuple[str, str, str]]) -> tuple[ActionRow, ...]:
    """Give the rows of counted (attribute, action, reason), sorted."""
    return tuple(ActionRow(*key, n) for key, n in sorted(counts.items()))


def write_report(report: DeidReport, out: Path) -> None:
    """Write a report beside the files: JSON, two tables, and a summary for people.

    Args:
        report: The report.
        out: The output folder.

    Raises:
        OutputError: They cannot be written.
    """
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    whole = json.dumps(asdict(report), indent=1, sort_keys=True)
    texts = {
        "report.json": whole + "\n",
        "files.csv": _table(
            ["number", "digest", "status", "name", "reasons", "flags"], report.files
        ),
        "actions.csv": _table(["attribute", "action", "reason", "count"], report.actions),
        "summary.txt": report.text + "\n",
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())


def _table(names: list[str], rows: Sequence[FileRow] | Sequence[ActionRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = [getattr(row, name) for name in names]
        writer.writerow(["; ".join(c) if isinstance(c, tuple) else c for c in cells])
    return text.getvalue()
