"""Small structure sets for the tests of this room."""

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset

SQUARE = [-9.75, 20.5, 32.5, -8.75, 20.5, 32.5, -8.75, 22.5, 32.5, -9.75, 22.5, 32.5]


def contour(data: list[float], kind: str = "CLOSED_PLANAR", **entries: object) -> Dataset:
    """One item of a ContourSequence."""
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(data) // 3
    item.ContourData = data
    for keyword, value in entries.items():
        setattr(item, keyword, value)
    return item


def structure_set(
    rois: dict[int, tuple[str, list[Dataset]]], frames: dict[int, str] | None = None
) -> Dataset:
    """A structure set with contours by ROI number."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = pydicom.uid.RTStructureSetStorage
    file.SOPInstanceUID = "1.2.3.99"
    file.Modality = "RTSTRUCT"
    file.PatientName, file.PatientID = "Doe^Jane", "secret"
    file.StructureSetLabel = "plan"
    file.StructureSetROISequence, file.ROIContourSequence = [], []
    for number, (name, contours) in rois.items():
        listed, drawn = Dataset(), Dataset()
        listed.ROINumber, listed.ROIName = number, name
        listed.ReferencedFrameOfReferenceUID = (frames or {}).get(number, "1.2.3.4")
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = [10 * number % 256, 20, 30]
        if contours:
            drawn.ContourSequence = contours
        file.StructureSetROISequence.append(listed)
        file.ROIContourSequence.append(drawn)
    return file


def write_structure_set(folder: Path, file: Dataset, name: str = "rs.dcm") -> Path:
    """Write it as a DICOM file."""
    file.save_as(folder / name, enforce_file_format=True)
    return folder / name
