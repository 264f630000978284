"""One file through the de-identification: read, refused or cleaned, written whole, read back."""
# SPDX-License-Identifier: Apache-2.0

import logging
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, final

from vesalius._version import __version__
from vesalius.errors import OutputError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import Budget
from vesalius.io.dicom._annex_e import BASIC, CODES, EDITION, Option
from vesalius.io.dicom._deid_journal import Done, Journal
from vesalius.io.dicom._deid_pixels import BIG, EXPLICIT, Pixels, clean_pixels
from vesalius.io.dicom._deid_refuse import (
    DICOMDIR,
    Profile,
    Refusal,
    burned,
    family,
    recognisable,
    refusals,
)
from vesalius.io.dicom._deid_report import FACES, MOSAIC, FileRow, Status
from vesalius.io.dicom._deid_rules import Case, clean_dataset
from vesalius.io.dicom._deid_uids import Key
from vesalius.io.dicom._deid_values import DUMMY, telling_words

IMPLEMENTATION = "2.25.210406829043706432741254306834019574561"
DAMAGED = Refusal("damaged", "it is damaged, truncated, or not understood to its last byte")
DEFLATED = "1.2.840.10008.1.2.1.99"
SHORTEST_HIDDEN = 6


class _Stop(Exception):  # noqa: N818 - no error: the way out for a file that is refused
    """Carries the refusals of a file."""

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__()
        self.refusals = refusals


@final
@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What every file of a run is processed with.

    Attributes:
        out: The output folder.
        key: The key.
        profile: What was asked for.
        pseudonyms: Pseudonym of each patient ID; empty makes them with the key.
        budget: What reading may cost.
    """

    out: Path
    key: Key
    profile: Profile
    pseudonyms: Mapping[str, str] = field(repr=False)
    budget: Budget

    @property
    def fingerprint(self) -> str:
        """Tells runs of the same kind from others, and nothing else."""
        what = repr((__version__, EDITION, self.profile, sorted(self.pseudonyms.items())))
        return self.key.short("run", what, 32)

    def patient(self, header: Any) -> tuple[str, bool]:
        """Give the pseudonym of a patient, and whether the file has it already."""
        told = str(header.get("PatientID", "") or "").strip()
        if self.pseudonyms:
            own = told in self.pseudonyms.values()
            if not own and told not in self.pseudonyms:
                raise _Stop(Refusal("no-pseudonym", "its patient is not in the table"))
            return (told, True) if own else (self.pseudonyms[told], False)
        # patients without a number are told apart by their studies
        nobody = f"study {header.get('StudyInstanceUID', '')}"
        return self.key.pseudonym(told or nobody), self.key.is_pseudonym(told)


def process(path: Path, number: int, run: Run, journal: Journal) -> Done:
    """De-identify one file; whatever is wrong with it becomes a row of the report.

    Args:
        path: The file.
        number: Its place among the input's files.
        run: What it is processed with.
        journal: What an unfinished run has done; this is added.

    Returns:
        What became of it.

    Raises:
        OutputError: The output cannot be written.
    """
    digest = ""
    try:
        if path.stat().st_size > run.budget.bytes:
            raise _Stop(Refusal("too-large", "it is larger than the budget"))
        raw = path.read_bytes()
        digest = run.key.short("file", sha256(raw).hexdigest())
        if not _is_dicom(raw):
            return Done(FileRow(number, digest, "skipped", reasons=("no DICOM",)))
        done = journal.recall(digest, number)
        if done is None:
            with _quiet():
                done = _made(path, raw, number, digest, run, journal)
    except _Stop as stop:
        reasons = tuple(_told(one) for one in stop.refusals)
        status: Status = "skipped" if stop.refusals == (_DIRECTORY,) else "refused"
        done = Done(FileRow(number, digest, status, reasons=reasons))
    except OutputError:
        raise
    except Exception:  # the text of such an error may hold a value of the file
        done = Done(FileRow(number, digest, "refused", reasons=(_told(DAMAGED),)))
    if done.row.status == "written":
        done = _once(done, journal)
    journal.add(done)
    return done


_DIRECTORY = Refusal("directory", "DICOMDIR, whose files are elsewhere")


def _told(one: Refusal) -> str:
    way = f" (accept: {one.allow})" if one.allow else ""
    return f"{one.code}: {one.reason}{way}"


def _once(done: Done, journal: Journal) -> Done:
    """Tell files of the same name apart: equal ones are written once, different ones refused."""
    row = done.row
    sha, number = journal.written.setdefault(row.name, (done.sha, row.number))
    if sha != done.sha:
        return Done(FileRow(row.number, row.digest, "refused", reasons=(_told(_TWICE),)))
    if number == row.number:
        return done
    return Done(FileRow(row.number, row.digest, "duplicate", row.name, flags=row.flags))


_TWICE = Refusal("duplicate", "another file of this instance has other contents")


def _is_dicom(raw: bytes) -> bool:
    if raw[128:132] == b"DICM":
        return True
    # files without a preamble begin with group 8 or 2, little or big endian
    return raw[:2] in (b"\x08\x00", b"\x02\x00") and raw[3:4] == b"\0" and len(raw) > 132


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom from showing values in warnings and log lines."""
    from pydicom import config

    logger = logging.getLogger("pydicom")
    before, mode = logger.disabled, config.settings.reading_validation_mode
    writing = config.settings.writing_validation_mode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        config.settings.reading_validation_mode = config.IGNORE
        config.settings.writing_validation_mode = config.IGNORE
        try:
            yield
        finally:
            logger.disabled = before
            config.settings.reading_validation_mode = mode
            config.settings.writing_validation_mode = writing


def _made(path: Path, raw: bytes, number: int, digest: str, run: Run, journal: Journal) -> Done:
    header = _read(path, raw, run.budget)
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    found, mask = refusals(header, run.profile)
    if found:
        raise _Stop(*found)
    patient, again = run.patient(header)
    moved = str(header.get("LongitudinalTemporalInformationModified", "")) == "MODIFIED"
    days = 0 if again and moved else run.key.days(patient)
    case = Case(
        run.profile,
        run.key,
        patient,
        days,
        family(header),
        syntax == BIG,
        run.budget.depth,
        telling_words(header),
    )
    made = clean_dataset(header, case)
    pixels = clean_pixels(path, header, mask, run.budget)
    cleaned = pixels is not None and (mask is not None or not burned(header))
    flags = _finish(made, case, pixels, header, cleaned=cleaned)
    blob = _written(made, pixels.syntax if pixels else EXPLICIT)
    _check(blob, made, header, pixels, run.profile)
    name = _name(made, patient, run.key)
    sha = sha256(blob).hexdigest()
    if journal.written.get(name, (sha, 0))[0] != sha:
        raise _Stop(_TWICE)
    _save(run.out / name, blob, sha)
    return Done(FileRow(number, digest, "written", name, flags=flags), case.actions, sha)


def _read(path: Path, raw: bytes, budget: Budget) -> Any:
    import pydicom
    from pydicom.filereader import read_dataset
    from pydicom.filewriter import correct_ambiguous_vr

    start = _meta_end(raw)
    if DEFLATED.encode() in raw[:start]:
        data = _inflated(path.name, raw[start:], budget)
        header: Any = read_dataset(BytesIO(data), False, True)
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = DEFLATED
    else:
        header = pydicom.dcmread(BytesIO(raw), force=True)
    kinds = str(header.get("SOPClassUID", "")), str(header.file_meta.get(0x00020002, ""))
    if DICOMDIR in kinds[0] or DICOMDIR in kinds[1]:
        raise _Stop(_DIRECTORY)
    if not all(str(header.get(f"{one}InstanceUID", "")) for one in ("SOP", "Series", "Study")):
        raise _Stop(Refusal("no-uids", "it lacks the UIDs of its study, series or instance"))
    big = str(header.file_meta.get("TransferSyntaxUID", "")) == BIG
    try:
        correct_ambiguous_vr(header, not big)
    except Exception:  # elements that stay ambiguous are removed later
        return header
    return header


def _meta_end(raw: bytes) -> int:
    """Give the first byte behind the file meta information (PS3.10 7.1)."""
    at = 132 if raw[128:132] == b"DICM" else 0
    while raw[at : at + 2] == b"\x02\0":
        long = raw[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"SQ", b"UT", b"UC", b"UR")
        size = raw[at + 8 : at + 12] if long else raw[at + 6 : at + 8]
        at += (12 if long else 8) + int.from_bytes(size, "little")
    return at


def _inflated(name: str, packed: bytes, budget: Budget) -> bytes:
    """Inflate a dataset in pieces, never beyond the budget (PS3.5 A.5)."""
    unpacker, out, pending = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), packed
    while pending and not unpacker.eof:
        out += unpacker.decompress(pending, 1 << 20)
        pending = unpacker.unconsumed_tail
        budget.check_growth(name, len(out), len(packed))
    if not unpacker.eof:
        raise ValueError("a deflated dataset that ends early")
    return bytes(out)


def _finish(
    made: Any, case: Case, pixels: Pixels | None, source: Any, *, cleaned: bool
) -> tuple[str, ...]:
    """Add the pixels, and say what was done (PS3.15 E.1.1 step 6, E.2, E.3); give the flags."""
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientIdentityRemoved = "YES"
    chosen = [o for o in CODES if case.has(o) and (o != "clean-pixel-data" or cleaned)]
    made.DeidentificationMethod = [f"vesalius {__version__}", f"PS3.15 {EDITION} Annex E"]
    made.DeidentificationMethodCodeSequence = [_code(*BASIC), *(_code(*CODES[o]) for o in chosen)]
    dates: dict[Option, str] = {
        "retain-full-dates": "UNMODIFIED",
        "retain-modified-dates": "MODIFIED",
    }
    told = [word for option, word in dates.items() if case.has(option)]
    made.LongitudinalTemporalInformationModified = told[0] if told else "REMOVED"
    if pixels is not None:
        made.add_new(_PIXEL_TAGS[pixels.keyword], pixels.vr, pixels.value)
        for keyword, value in pixels.header.items():
            setattr(made, keyword, value)
        if case.has("clean-pixel-data") and cleaned:
            made.BurnedInAnnotation = "NO"
    flags = [f"{one.code} was accepted" for one in burned(source)] if not cleaned else []
    if recognisable(source):
        made.RecognizableVisualFeatures = "YES"
        flags.append(FACES)
    if "MOSAIC" in (source.get("ImageType", None) or []):
        flags.append(MOSAIC)
    return tuple(flags)


_PIXEL_TAGS = {
    "PixelData": 0x7FE00010,
    "FloatPixelData": 0x7FE00008,
    "DoubleFloatPixelData": 0x7FE00009,
}


def _code(value: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _written(made: Any, syntax: str) -> bytes:
    """Give the file: zeros before, new meta information, explicit little endian."""
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "VESALIUS"
    made.file_meta, made.preamble = meta, bytes(128)
    if syntax != EXPLICIT:
        made["PixelData"].is_undefined_length = True
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _check(blob: bytes, made: Any, source: Any, pixels: Pixels | None, profile: Profile) -> None:
    """Read back what will be written, and look for what must not be in it.

    Raises:
        ValueError: It reads back differently.
        _Stop: A name or number of the patient is left in it.
    """
    import pydicom

    back = pydicom.dcmread(BytesIO(blob))
    if sorted(back.keys()) != sorted(made.keys()) or back.SOPInstanceUID != made.SOPInstanceUID:
        raise ValueError("another dataset was read back")
    rest = blob
    if pixels is not None:
        if bytes(back[pixels.keyword].value) != pixels.value:
            raise ValueError("other pixels were read back")
        rest = blob[: len(blob) - len(pixels.value) - 8]
    for pattern in _hidden(source, made, profile):
        if re.search(pattern, rest):
            raise _Stop(Refusal("left-over", "a name or number of the patient stands elsewhere"))


def _hidden(source: Any, made: Any, profile: Profile) -> Iterator[bytes]:
    """Give patterns of what must not be found: UIDs, and names long enough to tell.

    What came from this key already is the same before and after, and may be found.
    """
    names = ["PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName"]
    uids = ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"]
    for name in [] if "retain-uids" in profile.options else uids:
        uid = str(source.get(name, "") or "")
        if uid and uid != str(made.get(name, "")):
            yield rb"(?<![0-9.])" + re.escape(uid.encode()) + rb"(?![0-9.])"
    for name in names:
        text = str(source.get(name, "") or "").strip()
        telling = len(text) >= SHORTEST_HIDDEN and not text.isdigit()
        if telling and text not in (str(made.PatientID), DUMMY):
            yield re.escape(text.encode("utf-8", "replace"))


def _name(made: Any, patient: str, key: Key) -> str:
    study = key.short("name", str(made.StudyInstanceUID), 8)
    series = key.short("name", str(made.SeriesInstanceUID), 8)
    instance = key.short("name", str(made.SOPInstanceUID))
    return f"{patient}/study-{study}/series-{series}/{instance}.dcm"


def _save(path: Path, blob: bytes, sha: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and sha256(path.read_bytes()).hexdigest() == sha:
            return
    except OSError as error:
        raise OutputError(
            f"the output folder must be writable, the system says: {error.strerror}: "
            "choose another, or free space or permissions there"
        ) from error
    with atomic_write(path) as file:
        file.write(blob)
