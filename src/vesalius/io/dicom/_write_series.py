"""DICOM series out: an image as one file for each plane, in the context of its source."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from vesalius._version import __version__
from vesalius.core import Image
from vesalius.errors import FormatError, IntensityError, OutputError, ShapeError, UnitError
from vesalius.io._atomic import staged
from vesalius.io._handle import Array, Handle, Rules
from vesalius.io._samples import to_numpy
from vesalius.io.dicom._context import (
    MAKER,
    SAME_MM,
    Caption,
    Planes,
    Source,
    anonymous,
    decimal,
    moment,
    planes_of,
    quiet,
    read_source,
    seed,
    stamp,
    uid,
    upright,
)

Modality = Literal["fitting", "CT", "MR", "PT", "OT"]
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
}
IMAGE_TYPES = {
    "CT": ["DERIVED", "SECONDARY", "AXIAL"],
    "MR": ["DERIVED", "SECONDARY", "OTHER"],
    "PT": ["DERIVED", "PRIMARY"],  # C.8.9.4.1.2: the only second word there is
    "OT": ["DERIVED", "SECONDARY"],
}
UNITS = {"SUV": ("GML", "BW"), "SUL": ("GML", "LBMJANMA"), "Bq/mL": ("BQML", ""), "1": ("NONE", "")}
"""Units and SUVType of a PET series, PS3.3 C.8.9.1, by unit of the image."""
LEVELS = 65535
CONTEXT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
    *("ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("PatientPosition", "BodyPartExamined", "LossyImageCompression", "BurnedInAnnotation"),
    "Laterality",
)
PAIRED = ("ARM", "BREAST", "EXTREMITY", "FOOT", "HAND", "HIP", "KNEE", "LEG", "SHOULDER", "EYE")
OWN = (
    *("SpecificCharacterSet", "InstanceCreationDate", "InstanceCreationTime", "ImageComments"),
    *("InstanceCreatorUID", "NumberOfFrames", "SliceLocation", "SourceImageSequence"),
    *("ReferencedImageSequence", "IconImageSequence", "RealWorldValueMappingSequence"),
    *("DigitalSignaturesSequence", "MACParametersSequence", "DerivationCodeSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SeriesDescription"),
    *("SpacingBetweenSlices", "SUVType", "RelatedSeriesSequence", "TriggerTime", "FrameTime"),
)
"""What a derived image must not take over from its source; groups 0028, 50xx, 60xx neither."""


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """How values become stored numbers: value = slope * stored + intercept.

    Attributes:
        slope: As the file states it.
        intercept: As the file states it.
        signed: Whether stored numbers are signed.
        largest_error: Largest difference between a value and what is read back, in its unit.
    """

    slope: float
    intercept: float
    signed: bool
    largest_error: float


@final
@dataclass(frozen=True, slots=True)
class SeriesWritten:
    """What was written.

    Attributes:
        files: Number of files.
        modality: Modality of the series.
        scale: How values were stored.
    """

    files: int
    modality: str
    scale: Scale


def save_series(
    image: Image,
    folder: str | Path,
    *,
    like: str | Path = "",
    modality: Modality = "fitting",
    quantise: bool = False,
    caption: Caption = Caption(),  # noqa: B008  frozen
) -> SeriesWritten:
    """Write an image as a classic DICOM series, one uncompressed 16-bit file for each plane.

    Whole numbers that fit are stored as they are. Planes that run against their normal are
    written, and come back, turned round in z: the same values at the same places. A tilted grid
    is kept. The unit comes back where it is HU (CT), SUV, SUL or Bq/mL (PET); else it is lost.

    Args:
        image: One channel.
        folder: New or empty folder for the files.
        like: Folder of the series that the image was made from: patient, study, frame of
            reference and, in the same modality, acquisition are its own. Empty writes an
            anonymous study.
        modality: ``"fitting"`` goes by the unit: HU is CT; SUV, SUL and Bq/mL are PT; else MR
            where the source is MR, and OT (secondary capture) where it is not.
        quantise: Whether values that are not whole, or span too much, may be rounded to 65536
            levels; how far they move is in the result.
        caption: Description, number and date of the series.

    Returns:
        How many files, and how values were stored.

    Raises:
        FormatError: Values would be changed and ``quantise`` is False; the source is unreadable.
        IntensityError: A value is not finite.
        ShapeError: There are several channels.
        UnitError: The modality cannot state the unit.
        GeometryError: Rows and columns are not at right angles.
        OutputError: The folder holds something, is not writable, or what was read back differs.
    """
    target = _empty(Path(folder))
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"a DICOM series must have one channel, the image has {image.data.shape[0]}: "
            "write each into a folder of its own"
        )
    data, grid = upright(image.data, image.grid)
    kind = _modality(image.unit, modality, like)
    source = read_source(like) if str(like) else anonymous(grid, data, kind)
    kind = "MR" if kind == "OT" and modality == "fitting" and _is(source, "MR") else kind
    stored, scale = _stored(to_numpy(data)[0], kind, image.unit, quantise)
    own = seed(data, grid, source, "series", kind, image.unit, caption)
    headers = _headers(source, planes_of(grid), image.unit, kind)
    with staged(target) as stage, quiet():
        stage.mkdir()
        for k, (header, plane) in enumerate(zip(headers, stored, strict=True)):
            _finish(header, own, k, source, caption)
            _put_samples(header, plane, scale, image.unit)
            header.save_as(stage / f"{k + 1:06d}.dcm", enforce_file_format=True)
        _compare(Image(data, grid, image.unit), kind, scale, stage)
    return SeriesWritten(len(stored), kind, scale)


def _empty(target: Path) -> Path:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            f"the folder of a DICOM series must be new or empty, {target.name!r} is not: "
            "choose another name"
        )
    return target


def _modality(unit: str, asked: Modality, like: str | Path) -> str:
    fitting = "CT" if unit == "HU" else "PT" if unit in ("SUV", "SUL", "Bq/mL") else "OT"
    kind = fitting if asked == "fitting" else str(asked)
    if kind == "PT" and unit not in UNITS:
        raise UnitError(
            f"a PET series must be in one of {', '.join(UNITS)}, the image is in {unit!r}: "
            "convert it, or write it with modality='OT'"
        )
    return kind


def _is(source: Source, modality: str) -> bool:
    return source.is_real and str(source.first.get("Modality", "")) == modality


# ---- values


def _stored(values: Array, kind: str, unit: str, quantise: bool) -> tuple[Array, Scale]:
    """Turn values (z, y, x) into stored numbers, exactly where that is possible."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise IntensityError(
            "values must be finite to be stored in a DICOM series, some are NaN or infinite: "
            "replace them first, or write a parametric map"
        )
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    low, high = (int(v) if whole else float(v) for v in (values.min(), values.max()))
    if whole:
        for signed, base in ((True, 0), (False, 0), (False, low)):
            first, last = (-32768, 32767) if signed else (base, base + LEVELS)
            shift_is_allowed = base == 0 or kind != "PT"  # C.8.9.4.1.3: PET has no intercept
            if first <= low and high <= last and shift_is_allowed:
                numbers = (values.astype(np.int64) - base).astype("<i2" if signed else "<u2")
                return numbers, Scale(1.0, float(base), signed, 0.0)
    numbers, scale = _quantised(values.astype(np.float64), kind)
    if not quantise and scale.largest_error > 0:
        raise FormatError(
            f"values must be whole numbers that span at most {LEVELS} to be written exactly, they "
            f"run from {low:g} to {high:g} {unit}{'' if whole else ' with fractions'}: "
            f"quantise=True moves them by up to {scale.largest_error:.3g} {unit}"
        )
    return numbers, scale


def _quantised(values: Array, kind: str) -> tuple[Array, Scale]:
    low, high = float(values.min()), float(values.max())
    signed = kind == "PT" and low < 0
    intercept = 0.0 if kind == "PT" else float(decimal(low))
    span = max(high / 32767, -low / 32768) if signed else (high - intercept) / LEVELS
    # the number in the file has 16 characters: a little more than needed, so that all values fit
    slope = float(decimal(span * (1 + 1e-9))) if span > 0 else 1.0
    first, last = (-32768, 32767) if signed else (0, LEVELS)
    numbers = np.clip(np.rint((values - intercept) / slope), first, last)
    error = float(np.abs(numbers * slope + intercept - values).max())
    stored = numbers.astype("<i2" if signed else "<u2")
    return stored, Scale(slope, intercept, signed, error)


def _put_samples(header: Any, plane: Array, scale: Scale, unit: str) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = plane.shape
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = int(scale.signed)
    identity = (scale.slope, scale.intercept) == (1.0, 0.0)
    if not identity or header.Modality in ("CT", "PT"):  # other classes need not have a rescale
        header.RescaleSlope = decimal(scale.slope)
        header.RescaleIntercept = decimal(scale.intercept)
    if header.Modality == "CT" or (header.Modality == "OT" and not identity):
        header.RescaleType = unit if unit == "HU" else "US"
    header.LossyImageCompression = str(header.get("LossyImageCompression", "") or "00")
    header.PixelData = plane.tobytes()


# ---- header


def _headers(source: Source, planes: Planes, unit: str, kind: str) -> list[Any]:
    """Make the header of each plane, without samples and UIDs of its own."""
    depth = len(planes.positions_mm)
    made = []
    for k, position in enumerate(planes.positions_mm):
        nearest = _nearest(source, position, k)
        header = _copy(nearest, whole=_is(source, kind) and "NumberOfFrames" not in nearest)
        header.SOPClassUID, header.Modality = CLASSES[kind], kind
        header.ImageType = IMAGE_TYPES[kind]
        header.ImagePositionPatient = [decimal(v) for v in position]
        header.ImageOrientationPatient = [decimal(v) for v in planes.orientation]
        if kind == "PT" and "PatientPosition" in header:
            del header.PatientPosition  # C.7.3.1: not beside PatientOrientationCodeSequence
        header.PixelSpacing = [decimal(v) for v in planes.spacing_mm]
        header.SliceThickness = decimal(planes.step_mm)
        _refer(header, nearest, position, source)
        _fill(header, _defaults(kind, unit, k, depth))
        made.append(header)
    return made


def _nearest(source: Source, position: Array, k: int) -> Any:
    """Give the source header whose first pixel is nearest; by number where none has a place."""
    placed = [h for h in source.headers if h.get("ImagePositionPatient")]
    if not placed:
        return source.headers[min(k, len(source.headers) - 1)]
    apart = [np.linalg.norm(np.array(h.ImagePositionPatient, float) - position) for h in placed]
    return placed[int(np.argmin(apart))]


def _copy(header: Any, *, whole: bool) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    made = Dataset()
    for element in header:
        group, word = element.tag.group, element.keyword
        foreign = element.tag.is_private or group in (0x0028, 0x5400, 0x7FE0)
        layered = group & 0xFF00 in (0x5000, 0x6000)
        wanted = whole and not foreign and not layered and word not in OWN
        if wanted or word in CONTEXT:
            made[element.tag] = deepcopy(element)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _refer(header: Any, nearest: Any, position: Array, source: Source) -> None:
    from pydicom.dataset import Dataset

    header.DerivationDescription = f"written by {MAKER} {__version__}"
    header.FrameOfReferenceUID = source.first.FrameOfReferenceUID
    place = nearest.get("ImagePositionPatient")
    if source.is_real and place and np.linalg.norm(np.array(place, float) - position) < SAME_MM:
        item = Dataset()
        item.ReferencedSOPClassUID = nearest.SOPClassUID
        item.ReferencedSOPInstanceUID = nearest.SOPInstanceUID
        header.SourceImageSequence = [item]


def _defaults(kind: str, unit: str, k: int, depth: int) -> dict[str, Any]:
    """Give what each IOD demands; a leading ``!`` overrides what the source says."""
    if kind == "CT":
        return {"KVP": None, "AcquisitionNumber": None, "PatientPosition": None}
    if kind == "MR":
        named = ("ScanOptions", "RepetitionTime", "EchoTime", "EchoTrainLength")
        found: dict[str, Any] = {"ScanningSequence": "RM", "SequenceVariant": "NONE"}
        return found | {"MRAcquisitionType": "3D"} | dict.fromkeys((*named, "PatientPosition"))
    if kind == "OT":
        return {"ConversionType": "WSD", "PatientOrientation": None}
    units, suv = UNITS[unit]
    lists = ("RadiopharmaceuticalInformationSequence", "PatientOrientationCodeSequence")
    more: dict[str, Any] = {"!Units": units, "!NumberOfSlices": depth, "!ImageIndex": k + 1}
    more |= {"!SUVType": suv} if suv else {}
    more |= {"CountsSource": "EMISSION", "SeriesType": ["WHOLE BODY", "IMAGE"]}
    more |= {"DecayCorrection": "NONE", "CorrectedImage": None, "CollimatorType": None}
    more |= {"FrameReferenceTime": "0", "ActualFrameDuration": "0", "AcquisitionDate": None}
    more |= {"AcquisitionTime": None} | {keyword: [] for keyword in lists}
    return more | {"PatientGantryRelationshipCodeSequence": []}


def _fill(header: Any, defaults: Mapping[str, Any]) -> None:
    for keyword, value in defaults.items():
        if keyword.startswith("!") or keyword not in header:
            setattr(header, keyword.removeprefix("!"), value)
    if "PositionReferenceIndicator" not in header:
        header.PositionReferenceIndicator = None


def _finish(header: Any, own: str, k: int, source: Source, caption: Caption) -> None:
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPInstanceUID = uid(own, "instance", str(k))
    header.SeriesInstanceUID = uid(own, "series")
    header.SeriesNumber, header.InstanceNumber = caption.number, k + 1
    if caption.description:
        header.SeriesDescription = caption.description
    header.ContentDate, header.ContentTime = moment(source, caption)
    for keyword, value in (("SeriesDate", header.ContentDate), ("SeriesTime", header.ContentTime)):
        if not header.get(keyword):
            setattr(header, keyword, value)
    if "Manufacturer" not in header:
        header.Manufacturer = MAKER
    # C.7.3.1: an empty side says that it is not known; parts that have none do not state it
    if "Laterality" not in header and header.get("BodyPartExamined", "EYE") in PAIRED:
        header.Laterality = None
    stamp(header)


# ---- proof


def _compare(image: Image, kind: str, scale: Scale, stage: Path) -> None:
    """Read the series back; exact values must be equal, others within half a level."""
    from vesalius.io._open import open as open_volume
    from vesalius.io._save import NO_LIMIT, Writer, compare

    def read(path: Path, rules: Rules) -> Handle:
        unit = image.unit if kind == "PT" and image.unit != "1" else ""
        return open_volume(path, unit=unit, budget=NO_LIMIT.budget)

    handle = read(stage, NO_LIMIT)
    wanted = image
    if scale.largest_error > 0 or not float(scale.slope).is_integer():
        back = handle.read()
        apart = float((back.data.double() - image.data.double()).abs().max())
        largest = float(image.data.abs().max())
        if not apart <= 0.5001 * scale.slope + 1e-6 * largest:
            raise OutputError(
                f"output {stage.name!r} must hold its values to {scale.slope / 2:.3g}, read back "
                f"they are {apart:.3g} away: the disk may be damaged; nothing was replaced"
            )
        wanted = Image(back.data, image.grid, image.unit)
    compare(wanted, Writer(lambda obj, path: None, read), stage)
