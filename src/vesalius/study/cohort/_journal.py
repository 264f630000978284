"""Journal: measured cases kept by content, so that a run repeats only what is missing."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.io import atomic_write
from vesalius.study._tables import parquet_bytes

if TYPE_CHECKING:
    import pyarrow
    from pandas import DataFrame

SUFFIX = ".case"


@dataclass(frozen=True, slots=True, eq=False)
class CaseEntry:
    """What a case gave.

    Attributes:
        table: Its rows of the long table, as Arrow columns ``measure.COLUMNS``; ``subject`` is
            empty.
        findings: What must be known before they are used.
        failures: Error text of each region that could not be measured, by its name.
    """

    table: "pyarrow.Table"
    findings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def record_case(
    journal: Path,
    key: str,
    table: "DataFrame",
    *,
    findings: tuple[str, ...] = (),
    failures: Mapping[str, str] | None = None,
) -> None:
    """Write an entry, whole or not at all; what its unfinished regions left is removed.

    Args:
        journal: The journal; it exists.
        key: Hash of everything that decides the entry.
        table: The long table.
        findings: See ``CaseEntry``.
        failures: See ``CaseEntry``.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    head = json.dumps(
        {"findings": list(findings), "failures": dict(failures or {})}, sort_keys=True
    )
    body = head.encode() + b"\n" + parquet_bytes(table)
    digest = hashlib.sha256(body).hexdigest()
    with atomic_write(journal / f"{key}{SUFFIX}") as file:
        file.write(digest.encode() + b"\n" + body)
    shutil.rmtree(regions_of(journal, key), ignore_errors=True)


def recall_case(journal: Path, key: str) -> CaseEntry | None:
    """Read an entry back.

    Args:
        journal: The journal.
        key: Hash of everything that decides the entry.

    Returns:
        The entry; None where there is none or where the file is damaged, so that the case is
        measured again.
    """
    import pyarrow
    import pyarrow.parquet

    body = _body(journal, key)
    if body is None:
        return None
    head, _, columns = body.partition(b"\n")
    content = json.loads(head)
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(columns))
    return CaseEntry(table, tuple(content["findings"]), content["failures"])


def is_recorded(journal: Path, key: str) -> bool:
    """Say whether there is a sound entry.

    Args:
        journal: The journal.
        key: Hash of everything that decides the entry.
    """
    return _body(journal, key) is not None


def regions_of(journal: Path, key: str) -> Path:
    """Name the folder of the finished regions of a case that is not finished.

    Args:
        journal: The journal.
        key: Of the case.
    """
    return journal / f"{key}.regions"


def _body(journal: Path, key: str) -> bytes | None:
    try:
        digest, _, body = (journal / f"{key}{SUFFIX}").read_bytes().partition(b"\n")
    except OSError:
        return None
    return body if hashlib.sha256(body).hexdigest().encode() == digest else None
