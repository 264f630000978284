"""DICOM files with canaries in them: words that must not be found after de-identification."""

import re
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset

from vesalius.io.dicom._annex_e import rules
from vesalius.io.dicom._deid_rules import BULK

WORD = "QZXKJ"
DAY = "19770714"
CLOCK = "231547.771133"
ROOT = "1.2.826.0.1.3680043.77771"
FIXED = {
    0x00420011,
    0x00080005,
    0x00080016,
    0x00080018,
    0x0020000D,
    0x0020000E,
    0x00080060,
    0x00080008,
}
BIG = pydicom.uid.ExplicitVRBigEndian
IMPLICIT = pydicom.uid.ImplicitVRLittleEndian
EXPLICIT = pydicom.uid.ExplicitVRLittleEndian
DEFLATED = pydicom.uid.DeflatedExplicitVRLittleEndian


def word(number: int) -> str:
    """A canary of nine letters that fits every text VR and is a legal code string."""
    return f"{WORD}{number:04d}"


def plain(modality: str = "CT", **entries: object) -> Dataset:
    """A small image with everything that an image needs, and nothing else."""
    image = Dataset()
    image.SOPClassUID = pydicom.uid.CTImageStorage
    image.SOPInstanceUID = f"{ROOT}.1.1"
    image.StudyInstanceUID = f"{ROOT}.2.1"
    image.SeriesInstanceUID = f"{ROOT}.3.1"
    image.FrameOfReferenceUID = f"{ROOT}.4.1"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.Modality = modality
    image.PatientName = "Doe^Jane"
    image.PatientID = "secret-4711"
    image.Rows, image.Columns, image.SamplesPerPixel = 3, 4, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelSpacing = [0.75, 0.5]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [-10, 20, 30]
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.BodyPartExamined = "CHEST"
    image.PixelData = samples().tobytes()
    for keyword, value in entries.items():
        setattr(image, keyword, value)
    return image


def samples() -> np.ndarray:
    return (np.arange(12, dtype=np.uint16) * 300).reshape(3, 4)


def planted(
    vrs: frozenset[str] = frozenset(), *, listed: bool = False
) -> tuple[Dataset, dict[int, str]]:
    """An image with a canary in every attribute of the standard that can hold one.

    Args:
        vrs: Only these; empty for all.
        listed: Only the attributes of Table E.1-1.

    Returns:
        The image, and the canary of each tag.
    """
    image, found = plain(), {}
    known = {tag for tag, entry in DicomDictionary.items() if not entry[3]}
    tags = set(rules()) if listed else {*rules(), *known}
    for number, tag in enumerate(sorted(tags)):
        group = tag >> 16
        if group < 8 or group in (0x28, 0x7FE0, 0xFFFE) or tag in FIXED | BULK or tag & 0xFFFF == 0:
            continue
        vr = (dictionary_VR(tag) if tag in DicomDictionary else "LO").split(" or ")[0]
        value = _value(vr, number)
        if value is None or (vrs and vr not in vrs) or (vr == "CS" and tag not in rules()):
            continue
        image.add_new(tag, vr, value)
        found[tag] = canary_of(value)
    return image, found


def canary_of(value: object) -> str:
    if isinstance(value, list):
        return str(value[0].PatientComments)
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.rstrip("_").removeprefix("https://")


def _value(vr: str, number: int) -> object:
    values: dict[str, object] = {
        **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), word(number)),
        "UR": f"https://{word(number)}",
        "DA": DAY,
        "TM": CLOCK,
        "DT": DAY + CLOCK,
        "UI": f"{ROOT}.9.{number}",
        **dict.fromkeys(("OB", "UN"), (word(number) + "_").encode()),
    }
    if vr != "SQ":
        return values.get(vr)
    inner, item = Dataset(), Dataset()
    inner.PatientName = inner.OtherPatientNames = word(number)
    item.PatientComments = item.OperatorsName = item.PatientBirthName = word(number)
    item.ReferencedStudySequence = [inner]
    item.OtherPatientIDsSequence = [inner]
    return [item]


def write(image: Dataset, path: Path, syntax: str = EXPLICIT, **meta: object) -> Path:
    """Write a file; what is in ``meta`` goes to the file meta information."""
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.preamble = meta.pop("preamble", bytes(128))
    for keyword, value in meta.items():
        setattr(image.file_meta, keyword, value)
    buffer = BytesIO()
    if syntax == BIG:
        image["PixelData"].value = samples().astype(">u2").tobytes()
    pydicom.dcmwrite(
        buffer,
        image,
        enforce_file_format=True,
        implicit_vr=syntax == IMPLICIT,
        little_endian=syntax != BIG,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def raw_element(tag: int, vr: bytes, value: bytes) -> bytes:
    """An element as bytes, explicit little endian, of whatever value."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"OB", b"OW", b"UN", b"UT", b"SQ"):
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def insert(path: Path, *elements: bytes) -> Path:
    """Put raw elements into a file behind the elements of smaller tags."""
    data = path.read_bytes()
    for element in elements:
        group, number = struct.unpack("<HH", element[:4])
        at = 132
        with BytesIO(data) as file:
            header = pydicom.dcmread(file)
            tags = [tag for tag in header.keys() if int(tag) >= group << 16 | number]  # noqa: SIM118
        wanted = min(tags)
        at = data.index(struct.pack("<HH", wanted.group, wanted.element), 132 + 100)
        data = data[:at] + element + data[at:]
    path.write_bytes(data)
    return path


def outputs(out: Path) -> list[Path]:
    """The DICOM files below an output folder."""
    return sorted(out.rglob("*.dcm"))


def everything(out: Path) -> bytes:
    """All bytes and all names below a folder."""
    parts = []
    for path in sorted(out.rglob("*")):
        parts.append(str(path.relative_to(out)).encode())
        if path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


def disguises(data: bytes) -> list[bytes]:
    """The data as words would read that hide as UTF-16, reversed, or swapped in pairs."""
    pairs = [data[k:] + b"\0" * ((len(data) - k) % 2) for k in (0, 1)]
    swapped = [np.frombuffer(pair, np.uint16).byteswap().tobytes() for pair in pairs]
    wide = [pair[start::2] for pair in pairs for start in (0, 1)]
    return [data, data[::-1], *swapped, *wide]


def words_in(data: bytes) -> set[str]:
    """Every canary word in the data, in any disguise."""
    pattern = re.compile(WORD.encode() + rb"\d{4}", re.IGNORECASE)
    texts = disguises(data)
    return {hit.decode().upper() for text in texts for hit in pattern.findall(text)}


def leaks(data: bytes, *texts: str) -> list[str]:
    """Which texts are in the data, in any disguise."""
    hidden = disguises(data)
    return [text for text in texts if any(text.encode() in one for one in hidden)]
