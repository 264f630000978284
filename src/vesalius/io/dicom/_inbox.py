"""Inbox: received instances become files, whole, each once, at a name that cannot leave it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import io
import threading
from collections.abc import Container
from pathlib import Path
from typing import Any, Literal, final

from vesalius.errors import FormatError, OutputError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import Budget
from vesalius.io.dicom._journal import Journal
from vesalius.io.dicom._peers import check_uid
from vesalius.io.dicom._transfer import Failure, Outcome

JOURNAL = ".vesalius-transfers.sqlite"
PREFIX = bytes(128) + b"DICM"
Put = Literal["stored", "known", "conflict"]


@final
class Inbox:
    """A folder of received instances: ``SeriesInstanceUID/SOPInstanceUID.dcm``.

    Safe to use from several threads.

    Attributes:
        broken: Why nothing more is received, or None.
    """

    def __init__(
        self, out: Path, log: Journal, budget: Budget, wanted: Container[str] | None = None
    ) -> None:
        self.broken: FormatError | None = None
        self._out = out
        self._log = log
        self._budget = budget
        self._wanted = wanted
        self._lock = threading.RLock()
        self._counted = 0
        self._outcome = Outcome()

    @property
    def outcome(self) -> Outcome:
        """What was received so far."""
        return self._outcome

    def count(self, size: int) -> None:
        """Count bytes as they arrive, before they are put together.

        Args:
            size: Number of bytes.

        Raises:
            FormatError: There are more than the budget allows.
        """
        with self._lock:
            self._counted += size
            if self._counted > self._budget.bytes and self.broken is None:
                self.broken = FormatError(
                    f"the other side must send at most {self._budget.bytes / 2**30:.3g} GiB, it "
                    "sends more: ask for less, or raise the budget's bytes"
                )
            if self.broken is not None:
                raise self.broken

    def has(self, sop: str, series: str) -> bool:
        """Say whether an instance is here, whole; adopt a file that the journal does not know.

        Args:
            sop: SOPInstanceUID.
            series: SeriesInstanceUID.
        """
        path = self._path(sop, series)
        if not path.is_file():
            return False
        row = self._log.received(sop)
        if row is not None:
            return row[0] == series and row[1] == path.stat().st_size
        try:
            data = path.read_bytes()
            found = _identity(data)
        except (OSError, FormatError):
            return False
        if found == (sop, series):
            # it was published, and the program ended before it was noted
            self._log.receive(sop, series, len(data), _digest(data))
        return found == (sop, series)

    def put(self, data: bytes, told: str) -> Put:
        """Keep an instance.

        Args:
            data: A DICOM file; its preamble is replaced by zeros.
            told: SOPInstanceUID under which it was announced.

        Returns:
            ``"stored"``; ``"known"`` where the same is here; ``"conflict"`` where another content
            has that UID, which is kept.

        Raises:
            FormatError: It is damaged, is not what was announced or asked for, or exceeds the
                budget.
            OutputError: It cannot be written.
        """
        sop, series = _identity(data)
        if sop != told or (self._wanted is not None and sop not in self._wanted):
            raise FormatError(
                "a received instance must be the one that was asked for and announced, "
                f"its UID is {sop}, not {told[:64]!r} or not wanted: the other side is at fault"
            )
        data = PREFIX + data[len(PREFIX) :]
        with self._lock:
            if self.has(sop, series):
                same = _digest(self._path(sop, series).read_bytes()) == _digest(data)
                self._note(known=same)
                return "known" if same else "conflict"
            if self._outcome.done >= self._budget.files:
                raise FormatError(
                    f"the other side must send at most {self._budget.files} instances, it sends "
                    "more: ask for less, or raise the budget's files"
                )
            path = self._path(sop, series)
            make_folder(path.parent)
            with atomic_write(path) as file:
                file.write(data)
            self._log.receive(sop, series, len(data), _digest(data))
            self._note(size=len(data))
            return "stored"

    def fail(self, name: str, reason: str) -> None:
        """Note an instance that could not be kept.

        Args:
            name: Its UID.
            reason: Why.
        """
        with self._lock:
            old = self._outcome
            failures = (*old.failures, Failure(name, reason))
            self._outcome = Outcome(old.done, old.known, old.bytes, failures)

    def _note(self, *, known: bool = False, size: int = 0) -> None:
        old = self._outcome
        done = old.done + (size > 0)
        self._outcome = Outcome(done, old.known + known, old.bytes + size, old.failures)

    def _path(self, sop: str, series: str) -> Path:
        return self._out / check_uid(series, "SeriesInstanceUID") / _file_name(sop)


def make_folder(folder: Path) -> None:
    """Make a folder to receive in, and those above it.

    Args:
        folder: The folder.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"output {folder.name!r} must be a folder to receive in, the system says: "
            f"{error.strerror}: choose another"
        ) from error


def _file_name(sop: str) -> str:
    return f"{check_uid(sop, 'SOPInstanceUID')}.dcm"


def _identity(data: bytes) -> tuple[str, str]:
    """Give the instance's and the series' UID of a DICOM file."""
    header = read_header(data)
    sop, series = (str(header.get(k, "")) for k in ("SOPInstanceUID", "SeriesInstanceUID"))
    check_uid(sop, "SOPInstanceUID")
    check_uid(series, "SeriesInstanceUID")
    return sop, series


def read_header(data: bytes | Path) -> Any:
    """Read what names an instance; samples are left.

    Args:
        data: A DICOM file, or its content.

    Returns:
        A pydicom dataset with SOPClassUID, SOPInstanceUID, StudyInstanceUID, SeriesInstanceUID.

    Raises:
        FormatError: It is no DICOM file, or damaged.
    """
    import pydicom

    tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    source = data if isinstance(data, Path) else io.BytesIO(data)
    try:
        header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=tags)
        for tag in tags:
            header.get(tag)  # values are parsed when they are looked at
        return header
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            "an instance must be a DICOM file with a header, it is not "
            f"({type(error).__name__}): it is damaged, or no DICOM"
        ) from error


def read_file(path: Path) -> Any:
    """Read a file to send, with a preamble of zeros.

    Args:
        path: The file.

    Returns:
        A pydicom dataset.

    Raises:
        FormatError: It is damaged.
    """
    import pydicom

    try:
        file = pydicom.dcmread(path)
        _check_pixels(file)
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be whole to be sent, it is not ({type(error).__name__}): "
            "it is truncated or damaged, copy it again"
        ) from error
    file.preamble = PREFIX[:128]
    return file


def _check_pixels(file: Any) -> None:
    """Refuse an image whose pixels end early or are absent, which pydicom reads without a word."""
    if "PixelData" not in file:
        if file.SOPClassUID.name.endswith("Image Storage"):
            raise EOFError
        return
    uid = file.file_meta.TransferSyntaxUID
    if uid.is_encapsulated or not all(k in file for k in ("Rows", "Columns", "BitsAllocated")):
        return
    count = file.Rows * file.Columns * int(file.get("NumberOfFrames", 1) or 1)
    # YBR_FULL_422 holds two values a pixel; never fewer than one
    if len(file.PixelData) < count * file.BitsAllocated // 8:
        raise EOFError


def _digest(data: bytes) -> str:
    """Hash what an instance holds, without the file's own header, which each program words anew."""
    start = len(PREFIX)
    if data[start : start + 6] == b"\2\0\0\0UL":
        start += 12 + int.from_bytes(data[start + 8 : start + 12], "little")
    return hashlib.sha256(data[start:]).hexdigest()
