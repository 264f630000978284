"""Journal: finished regions kept by content, so that a second run repeats only what is missing."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import vesalius
from vesalius.io import atomic_write
from vesalius.measure import COLUMNS
from vesalius.measure._measurement import as_table
from vesalius.study._part import NUMBERS

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one region gave.

    Attributes:
        table: Its rows of the long table.
        findings: What must be known before they are used.
        perturbations: Perturbed measurements made; 0 without error bars.
    """

    table: "DataFrame"
    findings: tuple[str, ...] = ()
    perturbations: int = 0


@cache
def code_digest() -> str:
    """Hash the source of the library, so that an entry does not outlive the code that made it."""
    root = Path(vesalius.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def recall(folder: Path, key: str) -> Entry | None:
    """Read an entry back.

    Args:
        folder: The journal.
        key: Hash of everything that decides the entry.

    Returns:
        The entry, equal to what was recorded to the last bit; None where there is none or where
        the file is damaged, so that the region is measured again.
    """
    try:
        digest, _, body = (folder / f"{key}.json").read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        return None
    content = json.loads(body)
    return Entry(
        _table(content["table"]), tuple(content["findings"]), int(content["perturbations"])
    )


def record(folder: Path, key: str, entry: Entry) -> Entry:
    """Write an entry, whole or not at all.

    Args:
        folder: The journal; it exists.
        key: Hash of everything that decides the entry.
        entry: What the region gave.

    Returns:
        The entry as ``recall`` gives it.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    columns = {name: _plain(entry.table[name].tolist(), name) for name in COLUMNS}
    content = {
        "table": columns,
        "findings": list(entry.findings),
        "perturbations": entry.perturbations,
    }
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    with atomic_write(folder / f"{key}.json") as file:
        file.write(f"{digest}\n{body}".encode())
    return Entry(_table(columns), entry.findings, entry.perturbations)


def _plain(values: list[object], name: str) -> list[object]:
    """Give a column as JSON types; a missing number is None, missing text is empty."""
    if name in NUMBERS:
        numbers = [float(value) for value in values]  # type: ignore[arg-type]
        return [None if math.isnan(number) else number for number in numbers]
    return [value if isinstance(value, str) else "" for value in values]


def _table(columns: dict[str, list[object]]) -> "DataFrame":
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return as_table([dict(zip(names, row, strict=True)) for row in rows])
