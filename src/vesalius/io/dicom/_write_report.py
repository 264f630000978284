"""DICOM SR out: measurements as a TID 1500 report, with IBSI codes and UCUM units."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from vesalius._version import __version__
from vesalius.errors import FormatError, OutputError
from vesalius.io._atomic import staged
from vesalius.io.dicom._context import (
    MAKER,
    Caption,
    Source,
    equipment,
    highdicom,
    quiet,
    read_source,
    settle,
    short,
    uid,
)
from vesalius.io.dicom._seg import SEG_CLASSES
from vesalius.io.dicom.codes import AGGREGATIONS, Code, ucum

UPPER, LOWER = "371886008", "371885007"
"""Range of upper and of lower measurement uncertainty, SNOMED CT, TID 310."""
PRIVATE = "99VESALIUS"
"""Coding scheme of features that IBSI has no code for; their code is their name in the house."""


@final
@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of a report.

    Attributes:
        name: The quantity in words, such as ``"Volume"``.
        code: Its IBSI code, such as ``"RNU0"``; empty codes it by ``tag`` instead.
        value: The number; NaN where there is none.
        unit: Its unit as the house writes it, such as ``"mm^3"``.
        region: Name of the region; where there is a segmentation, the label of a segment.
        tag: Name of the quantity in the house, such as ``"morph_volume"``.
        aggregation: How texture was put together, such as ``"3D_comb"``; empty where nothing was.
        parameters: What else decided the value, in words, such as ``"filter: log"``.
        low: Lower end of the error bar, NaN where there is none.
        high: Upper end of the error bar.
    """

    name: str
    code: str
    value: float
    unit: str
    region: str
    tag: str = ""
    aggregation: str = ""
    parameters: tuple[str, ...] = ()
    low: float = math.nan
    high: float = math.nan

    @property
    def concept(self) -> Code:
        """Code of the quantity."""
        if self.code:
            return Code(self.code, "IBSI", self.name)
        return Code(self.tag or self.name, PRIVATE, self.name)


@final
@dataclass(frozen=True, slots=True)
class ReportWritten:
    """What was written.

    Attributes:
        groups: Number of regions.
        numbers: Number of measurements.
        left_out: Region and name of each measurement that has no value.
    """

    groups: int
    numbers: int
    left_out: tuple[tuple[str, str], ...]


def save_report(
    measurements: Sequence[Measurement],
    path: str | Path,
    *,
    like: str | Path,
    seg: str | Path,
    method: str = MAKER,
    caption: Caption = Caption(),  # noqa: B008  frozen
) -> ReportWritten:
    """Write measurements as a Comprehensive 3D SR by TID 1500, PS3.16.

    There is one measurement group for each region, in the order in which regions first come; it
    refers to the segment of that name, whose tracking UID it shares. An error bar is the range of
    upper and lower uncertainty (TID 310). A measurement without a value is left out and named in
    the result: PS3.3 C.18.1 permits an empty number, but common readers stop at one.

    Args:
        measurements: The numbers.
        path: Where it goes; an existing file is replaced.
        like: Folder of the series that was measured.
        seg: DICOM segmentation that holds every region.
        method: What measured them, for the report: name of a program.
        caption: Description, number and date of the series.

    Returns:
        How much was written, and what was not.

    Raises:
        FormatError: There is no measurement, a region has no segment, or a file is unreadable.
        UnitError: A unit cannot be coded.
        ExtraError: highdicom is not installed.
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    if not measurements:
        raise FormatError(
            "a report must hold at least one measurement, it got none: there is nothing to write"
        )
    source, segmentation = read_source(like), _segmentation(Path(seg))
    regions = list(dict.fromkeys(one.region for one in measurements))
    segments = {name: _segment(segmentation, name) for name in regions}
    known = [one for one in measurements if math.isfinite(one.value)]
    own = uid(repr(tuple(measurements)), segmentation.SOPInstanceUID, method, repr(caption))
    own = uid(own, source.first.SOPInstanceUID, __version__)
    hd = highdicom()
    with quiet():
        groups = [_group(segments[name], segmentation, known, name, method) for name in regions]
        report = hd.sr.MeasurementReport(
            observation_context=_observer(),
            procedure_reported=hd.sr.CodedConcept("363679005", "SCT", "Imaging"),
            imaging_measurements=groups,
            title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        )
        dataset = hd.sr.Comprehensive3DSR(
            evidence=[*source.headers, segmentation],
            content=report[0],
            series_instance_uid=uid(own, "series"),
            series_number=caption.number,
            sop_instance_uid=uid(own, "instance"),
            instance_number=1,
            is_complete=True,
            is_final=False,
            is_verified=False,
            **equipment(),
        )
    settle(dataset, own, Source((*source.headers, segmentation), True), caption)
    with staged(path) as stage:
        dataset.save_as(stage, enforce_file_format=True)
        _compare(known, stage)
    missing = tuple((m.region, m.name) for m in measurements if not math.isfinite(m.value))
    return ReportWritten(len(groups), len(known), missing)


def read_report(path: str | Path) -> tuple[Measurement, ...]:
    """Read the measurements of a TID 1500 report back.

    Args:
        path: A DICOM SR that was written here, or one like it.

    Returns:
        The measurements, group by group; ``unit`` is the UCUM code, and ``parameters`` are those
        of the algorithm.

    Raises:
        FormatError: It is no such report, or it is damaged.
    """
    import pydicom

    target = Path(path)
    try:
        dataset = pydicom.dcmread(target)
        root = list(dataset.ContentSequence)
        inside = [i for i in root if _concept(i) == "126010"]
        return tuple(
            _number(item, group)
            for container in inside
            for group in container.get("ContentSequence", [])
            for item in group.get("ContentSequence", [])
            if item.ValueType == "NUM"
        )
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{target.name!r} must be a readable DICOM measurement report, it is not "
            f"({type(error).__name__}): check what it is with dcmdump"
        ) from error


def _segmentation(path: Path) -> Any:
    from vesalius.io.dicom._context import read_source as read

    header = read(path).first
    if str(header.SOPClassUID) not in SEG_CLASSES:
        raise FormatError(
            f"{path.name!r} must be a DICOM segmentation, it is {header.SOPClassUID.name}: "
            "write the labels with save_seg first"
        )
    return header


def _segment(segmentation: Any, region: str) -> Any:
    named = [s for s in segmentation.SegmentSequence if str(s.SegmentLabel) == short(region)]
    if len(named) != 1:
        there = ", ".join(repr(str(s.SegmentLabel)) for s in segmentation.SegmentSequence)
        raise FormatError(
            f"the segmentation must hold one segment {region!r} for its measurements, it holds "
            f"{len(named)}; its segments are {there}: give each region the name of its segment"
        )
    return named[0]


def _observer() -> Any:
    hd = highdicom()
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=uid(MAKER, "device"), name=MAKER, manufacturer_name=MAKER, model_name=__version__
    )
    kind = hd.sr.CodedConcept("121007", "DCM", "Device")
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(kind, device),
    )


def _group(
    segment: Any, segmentation: Any, measurements: Sequence[Measurement], region: str, method: str
) -> Any:
    hd = highdicom()
    number = int(segment.SegmentNumber)
    tracked = str(segment.get("TrackingUID", "")) or uid(
        segmentation.SOPInstanceUID, "tracking", str(number)
    )
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    category = segment.SegmentedPropertyCategoryCodeSequence[0]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(tracked, region),
        referenced_segment=hd.sr.ReferencedSegment.from_segmentation(segmentation, number),
        finding_category=_coded(category),
        finding_type=_coded(kind),
        algorithm_id=hd.sr.AlgorithmIdentification(method, __version__),
        measurements=[_item(one) for one in measurements if one.region == region],
    )


def _coded(item: Any) -> Any:
    return highdicom().sr.CodedConcept.from_dataset(item)


def _item(one: Measurement) -> Any:
    hd = highdicom()
    algorithm = None
    if one.parameters:
        algorithm = hd.sr.AlgorithmIdentification(MAKER, __version__, parameters=one.parameters)
    method = AGGREGATIONS.get(one.aggregation)
    made = hd.sr.Measurement(
        name=one.concept.concept(),
        value=float(one.value),
        unit=ucum(one.unit).concept(),
        method=None if method is None else method.concept(),
        properties=_bar(one),
        algorithm_id=algorithm,
    )
    number = made[0].MeasuredValueSequence[0]
    number.FloatingPointValue = float(one.value)  # the decimal string has 16 characters only
    for item in made[0].get("ContentSequence", []):
        if item.ValueType == "NUM":  # the ends of the error bar are in the unit of the number
            bar = item.MeasuredValueSequence[0]
            bar.MeasurementUnitsCodeSequence = number.MeasurementUnitsCodeSequence
    return made


def _bar(one: Measurement) -> Any:
    if not all(map(math.isfinite, (one.value, one.low, one.high))):
        return None
    return highdicom().sr.MeasurementProperties(
        upper_measurement_uncertainty=max(one.high - one.value, 0.0),
        lower_measurement_uncertainty=max(one.value - one.low, 0.0),
    )


# ---- reading back


def _concept(item: Any) -> str:
    name = item.get("ConceptNameCodeSequence", None)
    return "" if not name else _value(name[0])


def _value(code: Any) -> str:
    return str(code.get("CodeValue", "") or code.get("LongCodeValue", ""))


def _stated(measured: Any) -> float:
    return float(measured.get("FloatingPointValue", measured.NumericValue))


def _number(item: Any, group: Any) -> Measurement:
    name = item.ConceptNameCodeSequence[0]
    measured = item.get("MeasuredValueSequence", None)
    value, unit = math.nan, "1"
    if measured:
        value = _stated(measured[0])
        unit = _value(measured[0].MeasurementUnitsCodeSequence[0])
    told = list(item.get("ContentSequence", []))
    texts = tuple(str(t.TextValue) for t in told if _concept(t) == "111002")
    methods = [_value(t.ConceptCodeSequence[0]) for t in told if _concept(t) == "370129005"]
    known = {code.value: name for name, code in AGGREGATIONS.items()}
    regions = [str(t.TextValue) for t in group.ContentSequence if _concept(t) == "112039"]
    bars = {_concept(t): _stated(t.MeasuredValueSequence[0]) for t in told if t.ValueType == "NUM"}
    ibsi = str(name.CodingSchemeDesignator) == "IBSI"
    return Measurement(
        name=str(name.CodeMeaning),
        code=_value(name) if ibsi else "",
        value=value,
        unit=unit,
        region=regions[0] if regions else "",
        tag="" if ibsi else _value(name),
        aggregation=known.get(methods[0], "") if methods else "",
        parameters=texts,
        low=value - bars.get(LOWER, math.nan),
        high=value + bars.get(UPPER, math.nan),
    )


def _compare(measurements: Sequence[Measurement], stage: Path) -> None:
    back = read_report(stage)
    regions = list(dict.fromkeys(one.region for one in measurements))
    wanted = [one for name in regions for one in measurements if one.region == name]
    same = len(wanted) == len(back) and all(
        (one.concept.value, one.region, one.value) == (two.concept.value, two.region, two.value)
        for one, two in zip(wanted, back, strict=True)
    )
    if not same:
        raise OutputError(
            f"output {stage.name!r} must hold what was measured, its numbers read back differ: "
            "the disk may be damaged; nothing was replaced"
        )
