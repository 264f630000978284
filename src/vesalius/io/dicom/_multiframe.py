"""Multi-frame images: the frames of one file as slices, each with what its header says of it."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Array
from vesalius.io.dicom._cine import frame_times_ms, ultrasound_spacing_mm
from vesalius.io.dicom._slice import LARGEST, Slice, check_spacing
from vesalius.io.dicom._stacks import dose_frames, nuclear_frames

MACROS = (
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
    ("PixelValueTransformationSequence", "RescaleType", "RescaleType"),
    ("FrameContentSequence", "StackID", "StackID"),
    ("FrameContentSequence", "InStackPositionNumber", "InStackPositionNumber"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MRModifierSequence", "InversionTimes", "InversionTime"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent", "ComplexImageComponent"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    ("CTReconstructionSequence", "ConvolutionKernel", "ConvolutionKernel"),
    ("CTXRayDetailsSequence", "KVP", "KVP"),
    ("CTExposureSequence", "ExposureInmAs", "Exposure"),
)
"""Sequence and keyword in a functional group (PS3.3 C.7.6.16, C.8.13, C.8.15), and our word."""
FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XRay3DFrameTypeSequence",
)
CONVERTED = (
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
"""Where legacy-converted images keep entries of single-frame images (C.7.6.16.2.25)."""
NOWHERE = "the image has no position in the patient"
KEPT = ("EchoTime", "TriggerTime", "AcquisitionNumber", "FrameReferenceTime", "InversionTime")


def expand(one: Slice, header: Any) -> list[Slice]:
    """Give the frames of a multi-frame image as slices.

    Enhanced and legacy-converted images say in functional groups where each frame lies and when
    it was taken; doses and tomograms by a row of offsets; cine by the times of their frames. The
    frames of a cine without a position are taken as lying at (0, 0, 0) one over the other
    (``acquisition["PlaceAssumed"]``). Frames that say none of this get no position.

    Args:
        one: The file as one slice.
        header: Its pydicom dataset.

    Returns:
        One slice for each frame, in the order of the file.

    Raises:
        FormatError: It promises other frames than it describes, or is a whole-slide image.
    """
    name, frames = one.path.name, one.packed.frames
    if "TotalPixelMatrixColumns" in header:
        raise FormatError(
            f"{name!r} must be a volume or a cine to be read here, it is a whole-slide image in "
            "tiles: convert it to OME-TIFF first"
        )
    if frames > one.path.stat().st_size:
        raise FormatError(
            f"{name!r} must hold its frames, its header promises {frames}, more than the file "
            "has bytes: the header is damaged"
        )
    numbered = [_numbered(one, k) for k in range(frames)]
    per_frame = header.get("PerFrameFunctionalGroupsSequence", None)
    if per_frame:
        return _grouped(name, numbered, header, per_frame)
    if "GridFrameOffsetVector" in header:
        return dose_frames(numbered, header)
    if header.get("Modality", "") == "NM" or "DetectorInformationSequence" in header:
        return nuclear_frames(numbered, header)
    return _cine(numbered, header)


def _numbered(one: Slice, k: int) -> Slice:
    told = one.acquisition.get("InstanceNumber")
    number = int(told) if isinstance(told, int | float) else 1
    instance = {"InstanceNumber": (number - 1) * one.packed.frames + k + 1}
    return replace(one, frame=k, acquisition={**one.acquisition, **instance})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The functional groups of one frame: its own, and behind them the shared ones."""

    own: Any
    shared: Any

    def item(self, sequence: str) -> Any:
        """Give the first item of a functional group, or an empty mapping."""
        for group in (self.own, self.shared):
            items = group.get(sequence, None)
            if items:
                return items[0]
        return {}

    def numbers(self, sequence: str, keyword: str, count: int) -> Array | None:
        """Give numbers of a functional group; None where it has them not."""
        value = self.item(sequence).get(keyword, None)
        if value is None or value == "":
            return None
        numbers = np.array([float(v) for v in np.atleast_1d(np.asarray(value, dtype=object))])
        if numbers.shape != (count,) or not np.isfinite(numbers).all():
            raise ValueError(f"{keyword} must be {count} numbers, it is {value}")
        return numbers

    def entries(self) -> dict[str, object]:
        """Give what single-frame images say at their top."""
        found: dict[str, object] = {}
        for sequence in CONVERTED:
            item = self.item(sequence)
            found |= {k: plain(item.get(k)) for k in KEPT if item.get(k, None) is not None}
        for sequence, keyword, word in MACROS:
            value = self.item(sequence).get(keyword, None)
            if value is not None and value != "":
                found[word] = plain(value)
        offset = self.item("TemporalPositionSequence").get("TemporalPositionTimeOffset", None)
        if offset is not None:
            found["FrameReferenceTime"] = 1000 * float(offset)
        return found


def plain(value: Any) -> object:
    """Give a header's value as a number or text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    try:
        return float(value)
    except TypeError:
        several = [float(v) for v in value]
        return several[0] if len(several) == 1 else ", ".join(f"{v:g}" for v in several)


def _grouped(name: str, numbered: list[Slice], header: Any, per_frame: Any) -> list[Slice]:
    if len(per_frame) != len(numbered):
        raise FormatError(
            f"{name!r} must describe each of its {len(numbered)} frames, it describes "
            f"{len(per_frame)}: the file is damaged"
        )
    shared = (header.get("SharedFunctionalGroupsSequence", None) or [{}])[0]
    return [_placed(one, Groups(own, shared)) for one, own in zip(numbered, per_frame, strict=True)]


def _placed(one: Slice, groups: Groups) -> Slice:
    """Give a frame what its functional groups say."""
    position = groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    axes = groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    entries = groups.entries()
    if position is None:  # ultrasound volumes lie in a space of their own (C.8.24.2)
        position = groups.numbers("PlanePositionVolumeSequence", "ImagePositionVolume", 3)
        axes = groups.numbers("PlaneOrientationVolumeSequence", "ImageOrientationVolume", 6)
        said = {"PlaceAssumed": f"{NOWHERE}: it is placed in the space of the transducer"}
        entries |= {} if position is None else said
    spacing = groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    check_spacing(spacing)
    slope = groups.numbers("PixelValueTransformationSequence", "RescaleSlope", 1)
    intercept = groups.numbers("PixelValueTransformationSequence", "RescaleIntercept", 1)
    if slope is not None and not 0 < abs(float(slope[0])) < LARGEST:
        raise ValueError(f"the rescale slope of a frame is {slope[0]:g}")
    rescaled = {"rescaled": True} if slope is not None else {}
    entries |= {"AtDetector": False} if spacing is not None else {}
    return replace(
        one,
        position_mm=one.position_mm if position is None else position,
        axes=one.axes if axes is None else axes.reshape(2, 3).T,
        spacing_mm=one.spacing_mm if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=one.slope if slope is None else float(slope[0]),
        intercept=one.intercept if intercept is None else float(intercept[0]),
        image_type=_frame_type(groups) or one.image_type,
        acquisition={**one.acquisition, **entries, **rescaled},
        identifying={**one.identifying, **_moment(groups)},
    )


def _frame_type(groups: Groups) -> tuple[str, ...]:
    for sequence in FRAME_TYPES:
        words = groups.item(sequence).get("FrameType", None)
        if words:
            return tuple(str(word) for word in words)
    return ()


def _moment(groups: Groups) -> Mapping[str, object]:
    """Give date and time at which a frame was taken, as single-frame images say it."""
    content = groups.item("FrameContentSequence")
    told = content.get("FrameAcquisitionDateTime", None) or content.get("FrameReferenceDateTime")
    text = str(told or "").split("+")[0].split("-")[0]
    if len(text) < 14:
        return {}
    parts = {"AcquisitionDate": text[:8], "AcquisitionTime": text[8:]}
    return {"AcquisitionDateTime": text, **parts}


def _cine(numbered: list[Slice], header: Any) -> list[Slice]:
    """Give the frames of a cine their times; frames without times stay as they are."""
    first = numbered[0]
    spacing = first.spacing_mm or ultrasound_spacing_mm(header)
    times = frame_times_ms(header, len(numbered))
    if len(times) == 0:
        return [replace(one, spacing_mm=spacing) for one in numbered]
    is_placed = first.position_mm is not None and first.axes is not None
    position, axes, assumed = first.position_mm, first.axes, {}
    if not is_placed:
        position, axes = np.zeros(3), np.eye(3)[:, :2]
        assumed = {"PlaceAssumed": f"{NOWHERE}: it is placed at the origin"}
    return [
        replace(
            one,
            position_mm=position,
            axes=axes,
            spacing_mm=spacing,
            acquisition={
                **one.acquisition,
                **assumed,
                "TemporalPositionIdentifier": k + 1,
                "FrameReferenceTime": time if math.isfinite(time) else 0.0,
            },
        )
        for k, (one, time) in enumerate(zip(numbered, times.tolist(), strict=True))
    ]
