"""RTSTRUCT out: labels as the outlines of a structure set that refers to a series."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Grid, Labels
from vesalius.errors import GeometryError, OutputError, RegionError
from vesalius.io._atomic import staged
from vesalius.io._contours import Contours, Roi
from vesalius.io._handle import Rules
from vesalius.io._keyhole import keyholes
from vesalius.io._rasterise import rasterise
from vesalius.io._trace import trace
from vesalius.io.dicom._context import (
    SAME_MM,
    Caption,
    Source,
    decimal,
    equipment,
    moment,
    read_source,
    seed,
    short,
    stamp,
    uid,
)
from vesalius.io.dicom._rtstruct import SOP_CLASS, read_rtstruct

Floats = npt.NDArray[np.float64]
Holes = Literal["keyhole", "xor"]
STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"
PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What the parts of the object are made from."""

    source: Source
    grid: Grid
    holes: Holes
    own: str

    @property
    def heights(self) -> tuple[Floats, Floats]:
        """Heights of the slices of the series along their normal, and the normal."""
        axes = np.array([float(v) for v in self.source.first.ImageOrientationPatient])
        normal = np.cross(axes[:3], axes[3:])
        places = [[float(v) for v in h.ImagePositionPatient] for h in self.source.headers]
        return np.array(places) @ normal, normal


def save_rtstruct(
    labels: Labels,
    path: str | Path,
    *,
    like: str | Path,
    label: str = "vesalius",
    holes: Holes = "keyhole",
    caption: Caption = Caption(),  # noqa: B008  frozen
) -> None:
    """Write labels as an RT structure set; equal inputs give equal bytes.

    Outlines run along voxel edges, so that reading them on the grid of the series gives the labels
    back, voxel for voxel; a viewer shows their steps. Every slice of the labels must be a slice of
    the series, which each outline refers to.

    Args:
        labels: What to write; every layer.
        path: Where it goes; an existing file is replaced.
        like: Folder of the series that the regions were drawn on; patient, study and frame of
            reference are its own.
        label: Label of the structure set, at most 16 characters.
        holes: ``"keyhole"`` joins a hole to what is around it by an edge that is walked there and
            back (PS3.3 C.8.8.6.3), which every program understands; ``"xor"`` writes it as an
            outline of its own, CLOSEDPLANAR_XOR.
        caption: Description, number and date of the series.

    Raises:
        RegionError: There is no label.
        GeometryError: The labels do not lie in slices of the series.
        FormatError: The series cannot be read.
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    if not labels.values:
        raise RegionError(
            "labels must hold at least one region to be written as a structure set, "
            "all voxels are 0: there is nothing to write"
        )
    target, contours = Path(path), trace(labels, space="pixel")
    # pydicom's warnings quote values of the source, which may name somebody
    with warnings.catch_warnings(action="ignore"):
        source = read_source(like)
        own = seed(labels.data, labels.grid, source, "RTSTRUCT", label, holes, caption)
        own = uid(own, repr(sorted(labels.names.items())))
        dataset = _dataset(contours, _Task(source, labels.grid, holes, own), label, caption)
        with staged(target) as stage:
            dataset.save_as(stage, enforce_file_format=True)
            _compare(contours, labels, stage)


def _dataset(contours: Contours, task: _Task, label: str, caption: Caption) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    first = task.source.first
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = SOP_CLASS, uid(task.own, "instance")
    for keyword in PATIENT + STUDY:
        setattr(made, keyword, first.get(keyword, ""))
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", uid(task.own, "series")
    made.SeriesNumber, made.SeriesDescription = caption.number, caption.description
    made.OperatorsName, made.InstanceNumber = "", 1
    device = equipment()
    made.Manufacturer = device["manufacturer"]
    made.ManufacturerModelName = device["manufacturer_model_name"]
    made.SoftwareVersions = device["software_versions"]
    made.DeviceSerialNumber = device["device_serial_number"]
    made.StructureSetLabel = short(label, 16)
    made.StructureSetDate, made.StructureSetTime = moment(task.source, caption)
    made.FrameOfReferenceUID = first.FrameOfReferenceUID
    made.PositionReferenceIndicator = str(first.get("PositionReferenceIndicator", "") or "")
    made.ReferencedFrameOfReferenceSequence = [_frame(task.source)]
    made.StructureSetROISequence = [_listed(one, first) for one in contours.rois]
    made.ROIContourSequence = [_drawn(one, task) for one in contours.rois]
    made.RTROIObservationsSequence = [_observed(one) for one in contours.rois]
    made.ApprovalStatus = "UNAPPROVED"
    stamp(made)
    return made


def _frame(source: Source) -> Any:
    """The frame of reference, and the study, series and images in it (C.8.8.5)."""
    from pydicom.dataset import Dataset

    first = source.first
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = [_image(header) for header in source.headers]
    study.ReferencedSOPClassUID = STUDY_MANAGEMENT
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(header: Any) -> Any:
    from pydicom.dataset import Dataset

    image = Dataset()
    image.ReferencedSOPClassUID = header.SOPClassUID
    image.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return image


def _listed(roi: Roi, first: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ROINumber = roi.value
    item.ROIName = short(roi.name) or f"label {roi.value}"
    item.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
    item.ROIGenerationAlgorithm = ""
    return item


def _observed(roi: Roi) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = roi.value
    item.RTROIInterpretedType, item.ROIInterpreter = "", ""
    return item


def _drawn(roi: Roi, task: _Task) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ROIDisplayColor = list(roi.colour)
    item.ReferencedROINumber = roi.value
    item.ContourSequence = []
    heights, normal = task.heights
    for number, (kind, points) in enumerate(_curves(roi, task), start=1):
        apart = np.abs(heights[:, None] - (points @ normal)[None]).max(axis=1)
        nearest = int(apart.argmin())
        if float(apart[nearest]) > SAME_MM:
            raise GeometryError(
                f"labels must lie in slices of the series to be written as a structure set, "
                f"{roi.name!r} is {float(apart[nearest]):.3g} mm away from the nearest: "
                "resample them to the grid of the series first"
            )
        curve = Dataset()
        curve.ContourImageSequence = [_image(task.source.headers[nearest])]
        curve.ContourGeometricType = kind
        curve.NumberOfContourPoints = len(points)
        curve.ContourNumber = number
        curve.ContourData = [decimal(v) for v in points.reshape(-1)]
        item.ContourSequence.append(curve)
    return item


def _curves(roi: Roi, task: _Task) -> Iterator[tuple[str, Floats]]:
    """Give the outlines of a traced region, slice by slice, in the world."""
    slices: dict[float, list[Floats]] = {}
    for line in roi.outlines:
        points = line.points.numpy()
        slices.setdefault(float(points[0, 0]), []).append(points[:, 1:])
    for z, loops in slices.items():
        joined = keyholes(loops) if task.holes == "keyhole" else loops
        for loop in joined:
            index = np.column_stack([np.full(len(loop), z), loop])
            kind = "CLOSED_PLANAR" if task.holes == "keyhole" else "CLOSEDPLANAR_XOR"
            yield kind, task.grid.to_world(torch.from_numpy(index)).numpy()


def _compare(contours: Contours, labels: Labels, stage: Path) -> None:
    """Draw what was written and compare it with the labels, region by region."""
    back = rasterise(read_rtstruct(stage, Rules()), labels.grid).labels
    places = {value: layer for layer, value in back.names}
    for (layer, value), one in zip(labels.values, contours.rois, strict=True):
        found = back.data[places.get(one.value, 0)] == one.value
        if not torch.equal(found, labels.data[layer].cpu() == value):
            raise OutputError(
                f"output {stage.name!r} must hold what was written, {one.name!r} read back "
                "differs: the grid may be too fine for 16 digits, or the disk damaged; "
                "nothing was replaced"
            )
