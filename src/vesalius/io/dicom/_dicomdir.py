"""DICOMDIR: the files that a disc's directory lists, each confined to the disc."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Finding
from vesalius.io._walk import stays_inside
from vesalius.io.dicom._reason import reason_of

MEDIA_DIRECTORY = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage, the SOP class of a DICOMDIR (PS3.4 table I.4-1)."""
CLASS_TAG = b"\x02\x00\x02\x00UI"
KEYWORDS = ("ReferencedFileID", "RecordInUseFlag", "DirectoryRecordType")
RECORD_BYTES = 4096
"""More bytes than a directory record takes in practice, for the size of the whole."""


@final
@dataclass(frozen=True, slots=True)
class Listed:
    """What a DICOMDIR lists.

    Attributes:
        files: Files that are there, in its order, each once.
        findings: Files that are not there.
        refused: Names that lead out of the disc.
    """

    files: tuple[Path, ...]
    findings: tuple[Finding, ...] = ()
    refused: tuple[FormatError, ...] = ()


def is_dicomdir(path: Path) -> bool:
    """Say whether a file is a DICOMDIR: by its name, or by the SOP class in its first bytes."""
    if path.name.upper() == "DICOMDIR":
        return True
    with path.open("rb") as file:
        head = file.read(512)
    at = head.find(CLASS_TAG)
    if head[128:132] != b"DICM" or at < 0:
        return False
    length = int.from_bytes(head[at + 6 : at + 8], "little")
    return head[at + 8 : at + 8 + length].rstrip(b"\0 ") == MEDIA_DIRECTORY


def list_files(path: Path, budget: Budget) -> Listed:
    """List the files that a DICOMDIR refers to (PS3.3 F.3.2.2, PS3.10 8).

    Parts of a name are matched in upper and lower case alike where the system tells them apart
    and no file fits exactly, since copying a disc often changes them.

    Args:
        path: The DICOMDIR; the folder that holds it is the root.
        budget: ``files`` is the most that it may list.

    Returns:
        Files, what is missing, what is refused.

    Raises:
        FormatError: It is damaged, lists too many files, or lists none.
    """
    wanted = list(dict.fromkeys(_references(path, budget)))
    disc = _Disc(path.resolve().parent)
    files: list[Path] = []
    missing: list[str] = []
    refused: list[FormatError] = []
    for parts, is_image in wanted:
        try:
            found = disc.find(parts)
        except FormatError as error:
            refused.append(error)
            continue
        if found is not None:
            files.append(found)
        elif is_image:
            missing.append(parts[-1])
    findings = (_missing(missing),) if missing else ()
    return Listed(tuple(dict.fromkeys(files)), findings, tuple(refused))


def _references(path: Path, budget: Budget) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Give the parts of each name in use, and whether it is an image."""
    records = _records(path, budget)
    if not any("ReferencedFileID" in record for record in records):
        raise FormatError(
            f"{path.name!r} must list files, none of its {len(records)} records refers to one: "
            "open the folder that holds it"
        )
    for record in records:
        # 0 is a record no longer in use (PS3.3 F.3.2.2.1.1)
        if record.get("RecordInUseFlag", 0xFFFF) != 0 and "ReferencedFileID" in record:
            value = record.ReferencedFileID or ()
            # one name is text, several are a list; a damaged type may give a number
            several = isinstance(value, Iterable) and not isinstance(value, str)
            parts = tuple(value) if several else (value,)
            kind = str(record.get("DirectoryRecordType", ""))
            yield tuple(str(part) for part in parts), kind == "IMAGE"


def _records(path: Path, budget: Budget) -> list[Any]:
    import pydicom

    size = path.stat().st_size
    if size > budget.files * RECORD_BYTES:
        raise FormatError(
            f"{path.name!r} must list at most {budget.files} files, its {size} bytes hold more: "
            "open the folder that holds it, or raise the budget's files"
        )
    try:
        records = list(pydicom.dcmread(path, force=True).DirectoryRecordSequence)
        for record in records:
            for keyword in KEYWORDS:
                record.get(keyword)  # values are parsed when they are looked at
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be a DICOMDIR with a sequence of records, it is not: "
            f"{reason_of(error, path)}: open the folder that holds it"
        ) from error
    if len(records) > budget.files:
        raise FormatError(
            f"{path.name!r} must list at most {budget.files} files, it has {len(records)} records: "
            "open the folder that holds it, or raise the budget's files"
        )
    return records


def _missing(names: list[str]) -> Finding:
    shown = ", ".join(repr(name) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"the DICOMDIR lists images that are not there: {shown}{more}"
    # which series they belong to cannot be told from files that are absent
    return Finding("error", "missing-files", text, allow="unreadable")


@final
class _Disc:
    """A folder in which names are found, and out of which none leads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folded: dict[Path, dict[str, list[str]]] = {}

    def find(self, parts: tuple[str, ...]) -> Path | None:
        """Find a file by the parts of its name; None where it is absent."""
        if not parts or any(_leaves(part) for part in parts):
            raise FormatError(
                f"a DICOMDIR must list files beside or below itself, {_base(parts)!r} is placed "
                "outside: a hostile or damaged file; open the folder that holds it"
            )
        path = self._root
        for part in parts:
            inner = self._match(path, part)
            if inner is None:
                return None
            path = inner
        if not stays_inside(path, self._root):
            raise FormatError(
                f"a DICOMDIR must list files beside or below itself, {path.name!r} is a link that "
                "leads outside: open what it leads to by its own path"
            )
        return path if path.is_file() else None

    def _match(self, folder: Path, part: str) -> Path | None:
        exact = folder / part
        if exact.exists() or exact.is_symlink():
            return exact
        if folder not in self._folded:
            self._folded[folder] = {}
            for entry in folder.iterdir() if stays_inside(folder, self._root) else ():
                self._folded[folder].setdefault(entry.name.casefold(), []).append(entry.name)
        names = self._folded[folder].get(part.casefold(), [])
        if len(names) > 1:
            raise FormatError(
                f"a DICOMDIR must list one file by each name, {part!r} is any of {len(names)} that "
                "differ in upper and lower case: rename them, or open the folder"
            )
        return folder / names[0] if names else None


def _leaves(part: str) -> bool:
    return part.strip() in ("", ".", "..") or any(c in part for c in "/\\:\0")


def _base(parts: tuple[str, ...]) -> str:
    return parts[-1].replace("\\", "/").rpartition("/")[2] if parts else ""
