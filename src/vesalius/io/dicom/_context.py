"""Context: whose image it is, and where, for objects that are written; UIDs from content."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import Tensor

from vesalius._version import __version__
from vesalius.core import Grid
from vesalius.errors import ExtraError, FormatError, GeometryError
from vesalius.io._frames import affine_xyz
from vesalius.io._handle import Array
from vesalius.io._samples import to_numpy

GENERATED = "1.2.826.0.1.3680043.10.511.3."
"""Root of the random UIDs that highdicom makes."""
MAKER = "vesalius"
SAME_MM = 1e-2
PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
MOST_FILES = 200_000


@final
@dataclass(frozen=True, slots=True)
class Caption:
    """What is said about an object that is written.

    Attributes:
        description: Series description, at most 64 characters.
        number: Series number.
        when: Date and time of its content, ``YYYYMMDD`` or ``YYYYMMDDHHMMSS``; empty takes those
            of the source. The clock is never asked, so that equal inputs give equal bytes.
    """

    description: str = ""
    number: int = 900
    when: str = ""

    def __post_init__(self) -> None:
        if self.when and not re.fullmatch(r"\d{8}(\d{6})?", self.when):
            raise FormatError(
                f"when must be YYYYMMDD or YYYYMMDDHHMMSS, got {self.when!r}: "
                "give digits only, such as '20261121'"
            )
        if self.number < 1 or len(self.description) > 64:
            raise FormatError(
                "a caption must have a positive series number and at most 64 characters, got "
                f"{self.number} and {len(self.description)} characters: shorten it"
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The series that an object is derived from.

    Attributes:
        headers: pydicom datasets without samples, sorted along the normal.
        is_real: Whether the series exists; else it only carries an anonymous context.
    """

    headers: tuple[Any, ...]
    is_real: bool

    @property
    def first(self) -> Any:
        """The header that patient and study are taken from."""
        return self.headers[0]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A grid as DICOM places it: parallel planes, each with its own position.

    Attributes:
        positions_mm: (z, 3) centre of the first pixel of each plane, LPS.
        axes: (3, 2) unit vectors along a row (x) and along a column (y).
        spacing_mm: Distance between (rows, columns), mm.
        step_mm: Distance between planes along their normal, mm.
    """

    positions_mm: Array
    axes: Array
    spacing_mm: tuple[float, float]
    step_mm: float

    @property
    def orientation(self) -> list[float]:
        """ImageOrientationPatient."""
        return [float(v) for v in self.axes.T.reshape(-1)]


def highdicom() -> Any:
    """Import highdicom.

    Raises:
        ExtraError: It is not installed.
    """
    try:
        return import_module("highdicom")
    except ImportError as error:
        raise ExtraError(
            "highdicom must be installed to write DICOM segmentations, maps and reports, "
            "it is not: pip install vesalius[dicom]"
        ) from error


def uid(*parts: str) -> str:
    """Make a UID from content, PS3.5 B.2: 2.25 and a UUID (version 8) from SHA-256.

    Args:
        parts: What the UID stands for; equal parts give equal UIDs.

    Returns:
        At most 44 characters.
    """
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)  # version 8: made by a rule of one's own
    number = number & ~(0x3 << 62) | (0x2 << 62)  # variant of RFC 9562
    return f"2.25.{number}"


def seed(data: Tensor, grid: Grid, source: Source, *options: object) -> str:
    """Hash all that decides an object: samples, place, source, options, version."""
    samples = to_numpy(data)
    digest = hashlib.sha256(samples.tobytes())
    digest.update(np.ascontiguousarray(affine_xyz(grid)).tobytes())
    said = [str(samples.dtype), str(samples.shape), __version__, *map(repr, options)]
    said += [str(header.SOPInstanceUID) for header in source.headers]
    digest.update("\0".join(said).encode())
    return digest.hexdigest()


def read_source(like: str | Path) -> Source:
    """Read the headers of the one series of images at a path.

    Args:
        like: A DICOM file, or a folder that holds one series.

    Returns:
        Its headers, samples left unread.

    Raises:
        FormatError: There is no image or several series, or a file is damaged.
    """
    path = Path(like)
    if not path.exists():
        raise FormatError(
            f"the source series {path.name!r} must exist, it does not: check the path"
        )
    headers = [h for file in _files(path) if (h := _header(file)) is not None]
    series = {str(header.get("SeriesInstanceUID", "")) for header in headers}
    if len(series) != 1:
        raise FormatError(
            f"the source {path.name!r} must hold one series of images, it holds {len(series)}: "
            "name the folder of one series"
        )
    headers.sort(key=_order)
    return Source(tuple(_complete(header) for header in headers), True)


def anonymous(grid: Grid, data: Tensor, modality: str) -> Source:
    """Make the context of an object that has no source: nobody's, in a study of its own.

    Args:
        grid: Where the object is.
        data: Its samples, from which the UIDs are made.
        modality: Modality that the headers claim.

    Returns:
        One header for each plane.
    """
    from pydicom.dataset import Dataset
    from pydicom.uid import SecondaryCaptureImageStorage

    planes = planes_of(grid)
    own = seed(data, grid, Source((), False))
    headers = []
    for k, position in enumerate(planes.positions_mm):
        header = Dataset()
        header.SOPClassUID = SecondaryCaptureImageStorage
        header.SOPInstanceUID = uid(own, "instance", str(k))
        header.StudyInstanceUID = uid(own, "study")
        header.SeriesInstanceUID = uid(own, "series")
        header.FrameOfReferenceUID = uid(own, "frame of reference")
        header.PatientID, header.PatientName = "ANON", "Anonymous^"
        header.Modality = modality
        header.Rows, header.Columns = grid.shape[1:]
        header.PixelSpacing = [decimal(v) for v in planes.spacing_mm]
        header.ImageOrientationPatient = [decimal(v) for v in planes.orientation]
        header.ImagePositionPatient = [decimal(v) for v in position]
        headers.append(_complete(header))
    return Source(tuple(headers), False)


def source_for(grid: Grid, data: Tensor, like: str | Path, modality: str = "OT") -> Source:
    """Read the source series, or make an anonymous context where ``like`` is empty.

    Raises:
        FormatError: As ``read_source``; or its images have no place in the patient.
    """
    source = read_source(like) if str(like) else anonymous(grid, data, modality)
    step = decimal(planes_of(grid).step_mm)
    for header in source.headers:
        if "NumberOfFrames" in header and "SharedFunctionalGroupsSequence" in header:
            continue
        if not all(header.get(keyword) for keyword in PLACE):
            raise FormatError(
                f"the source {Path(like).name!r} must say where its images are "
                f"({', '.join(PLACE)}), one does not: write without it"
            )
        # only compared with our own, to tell whether frames lie on each other
        header.SliceThickness = step
    return source


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries think of a patient's name off the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def planes_of(grid: Grid) -> Planes:
    """Give a grid as DICOM places it.

    Args:
        grid: Any grid whose rows and columns meet at right angles; planes may be sheared.

    Returns:
        Its planes, in the order of the grid.

    Raises:
        GeometryError: Rows and columns are not at right angles.
    """
    affine = affine_xyz(grid)
    size = np.linalg.norm(affine[:3, :2], axis=0)
    axes = affine[:3, :2] / size
    cosine = float(abs(axes[:, 0] @ axes[:, 1]))
    if cosine > 1e-4:
        angle = float(np.degrees(np.arccos(axes[:, 0] @ axes[:, 1])))
        raise GeometryError(
            "rows and columns must meet at right angles to be written as DICOM, they meet at "
            f"{angle:.3f} deg: resample to an orthogonal grid first"
        )
    normal = np.cross(axes[:, 0], axes[:, 1])
    positions = affine[:3, 3] + np.arange(grid.shape[0])[:, None] * affine[:3, 2]
    step = abs(float(affine[:3, 2] @ normal))
    return Planes(positions, axes, (float(size[1]), float(size[0])), step)


def upright(data: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """Put planes in the order in which a DICOM reader sorts them: along the normal.

    Args:
        data: (c, z, y, x).
        grid: Its grid.

    Returns:
        Both as they are, or both turned round in z: the same values at the same places.
    """
    affine = affine_xyz(grid)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    if float(affine[:3, 2] @ normal) >= 0:
        return data, grid
    turned = grid.affine.clone()
    turned[:3, 3] += turned[:3, 0] * (grid.shape[0] - 1)
    turned[:3, 0] *= -1
    return data.flip(1), Grid(grid.shape, turned)


def decimal(value: float) -> str:
    """Write a number as a decimal string of at most 16 characters, as near as that permits."""
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))


def short(text: str, limit: int = 64) -> str:
    """Give a text as a LO or SH can hold it (PS3.5 6.2): one value, one line, not too long.

    Args:
        text: Any text.
        limit: Most characters.

    Returns:
        It with ``/`` for backslashes, which divide values, and spaces for control characters.
    """
    plain = (c if c.isprintable() else " " for c in text.replace("\\", "/"))
    return "".join(plain).strip()[:limit].strip()


def settle(dataset: Any, own: str, source: Source, caption: Caption) -> None:
    """Make an object independent of clock and chance, in place; its preamble is zeroed.

    Args:
        dataset: What highdicom built.
        own: Hash of what decides the object; random UIDs become UIDs made from it.
        source: Where the UIDs that must stay come from, and the date.
        caption: May give date and time.
    """
    kept = {str(e.value) for h in source.headers for e in _elements(h) if e.VR == "UI"}
    renamed: dict[str, str] = {}
    for element in _elements(dataset):
        if element.VR == "UI" and str(element.value).startswith(GENERATED):
            old = str(element.value)
            if old not in kept:
                element.value = renamed.setdefault(old, uid(own, "made", str(len(renamed))))
    _drop(dataset, ("InstanceCreationDate", "InstanceCreationTime", "ContributionDateTime"))
    dataset.ContentDate, dataset.ContentTime = moment(source, caption)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if caption.description:
        dataset.SeriesDescription = caption.description
    stamp(dataset)


def stamp(dataset: Any) -> None:
    """Give a dataset its file header: who wrote it, nothing in the preamble."""
    meta = dataset.file_meta
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = uid(MAKER, "implementation")
    meta.ImplementationVersionName = f"{MAKER} {__version__}"[:16]
    dataset.preamble = b"\0" * 128


def moment(source: Source, caption: Caption) -> tuple[str, str]:
    """Give date and time of the content: those asked for, else the source's, else 19000101."""
    if caption.when:
        return caption.when[:8], caption.when[8:] or "000000"
    for kind in ("Content", "Acquisition", "Series", "Study"):
        date = str(source.first.get(f"{kind}Date", "") or "")
        if re.fullmatch(r"\d{8}", date):
            time = str(source.first.get(f"{kind}Time", "") or "")
            return date, time if re.fullmatch(r"\d{6}(\.\d{1,6})?", time) else "000000"
    return "19000101", "000000"


def unreal(dataset: Any, source: Source) -> None:
    """Take references to a source that does not exist out of an object, in place."""
    if source.is_real:
        return
    _drop(dataset, ("ReferencedSeriesSequence", "SourceImageSequence", "DerivationImageSequence"))


def geometry(grid: Grid) -> dict[str, Any]:
    """Give plane positions, orientation and pixel measures as highdicom takes them."""
    hd = highdicom()
    planes = planes_of(grid)
    measures = hd.PixelMeasuresSequence(
        pixel_spacing=[float(decimal(v)) for v in planes.spacing_mm],
        slice_thickness=float(decimal(planes.step_mm)),
        spacing_between_slices=float(decimal(planes.step_mm)),
    )
    patient = hd.CoordinateSystemNames.PATIENT
    rounded = [[float(decimal(v)) for v in position] for position in planes.positions_mm]
    return {
        "pixel_measures": measures,
        "plane_orientation": hd.PlaneOrientationSequence(
            patient, [float(decimal(v)) for v in planes.orientation]
        ),
        "plane_positions": [hd.PlanePositionSequence(patient, p) for p in rounded],
    }


def equipment() -> dict[str, str]:
    """Give what highdicom asks about the device that makes an object."""
    return {
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": __version__,
        "device_serial_number": __version__,
    }


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    if len(files) > MOST_FILES:
        raise FormatError(
            f"the source {path.name!r} must hold at most {MOST_FILES} files, it holds "
            f"{len(files)}: name the folder of one series"
        )
    return files


def _header(path: Path) -> Any:
    """Read the header of an image; None for what is none."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        list(_elements(header))
        kind = header.file_meta.MediaStorageSOPClassUID.name
        if "Rows" not in header and "Image Storage" in kind:
            raise ValueError("it has no Rows")
    except InvalidDicomError:
        return None
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} of the source series must be a readable DICOM file, it is not "
            f"({type(error).__name__}): the file is truncated or damaged, copy it again"
        ) from error
    return header if "Rows" in header else None


_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)


def _complete(header: Any) -> Any:
    """Add what every object must state and old files leave out, empty."""
    for keyword in _EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    if str(header.PatientSex) not in ("M", "F", "O", ""):
        header.PatientSex = ""
    series = str(header.get("SeriesInstanceUID", ""))
    made = {"FrameOfReferenceUID": uid(series, "frame of reference")}
    made |= {"StudyInstanceUID": uid(series, "study")}
    for keyword, value in made.items():
        if not header.get(keyword):
            setattr(header, keyword, value)
    for keyword in ("SOPInstanceUID", "SOPClassUID"):
        if not header.get(keyword):
            raise FormatError(
                f"every file of the source series must have {keyword}, one has none: "
                "repair the series, or write without it"
            )
    return header


def _order(header: Any) -> tuple[float, int]:
    number = int(header.get("InstanceNumber", 0) or 0)
    try:
        axes = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        along = float(np.cross(*axes) @ np.array(header.ImagePositionPatient, float))
    except (AttributeError, TypeError, ValueError):
        return 0.0, number
    return round(along, 3), number


def _drop(dataset: Any, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if keyword in dataset:
            delattr(dataset, keyword)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _drop(item, keywords)


def _elements(dataset: Any) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        else:
            yield element
