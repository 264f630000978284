"""An asymmetric phantom and small DICOM slices, for the tests of this room."""

import math
from pathlib import Path

import numpy as np
import pydicom
import torch

from vesalius.core import Grid, Image


def oblique_affine() -> torch.Tensor:
    """Rotated about all axes, three different spacings, far from 0: nothing is symmetric."""
    a, b, c = (math.radians(v) for v in (20.0, -35.0, 70.0))
    turn = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    turn = turn @ [[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]]
    turn = turn @ [[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]]
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(turn * [3.3, 0.7, 1.1])
    affine[:3, 3] = torch.tensor([101.5, -220.25, 333.125], dtype=torch.float64)
    return affine


def sheared_affine() -> torch.Tensor:
    """An oblique affine whose axes do not meet at right angles."""
    affine = oblique_affine()
    affine[:3, 0] += 0.4 * affine[:3, 1]
    return affine


def make_phantom(
    dtype: torch.dtype = torch.int16, *, channels: int = 1, shape: tuple[int, int, int] = (4, 5, 6)
) -> Image:
    """Every voxel differs from every other, on an oblique grid."""
    n = channels * math.prod(shape)
    data = torch.arange(n).reshape(channels, *shape).to(dtype)
    return Image(data, Grid(shape, oblique_affine()))


def corners(grid: Grid) -> torch.Tensor:
    """World points of the eight corner voxels."""
    z, y, x = (n - 1 for n in grid.shape)
    index = [[i, j, k] for i in (0, z) for j in (0, y) for k in (0, x)]
    return grid.to_world(torch.tensor(index, dtype=torch.float64))


def write_slice(
    folder: Path, k: int, *, name: str = "", values: np.ndarray | None = None, **entries: object
) -> Path:
    """Write slice ``k`` of a series with 2.5 mm gaps; file names run against the positions."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    samples = slice_values(k) if values is None else values
    header: dict[str, object] = {
        "SOPClassUID": pydicom.uid.CTImageStorage,
        "SOPInstanceUID": f"1.2.3.{k + 1}",
        "SeriesInstanceUID": "1.2.3",
        "Modality": "CT",
        "SeriesNumber": 7,
        "PatientName": "Doe^Jane",
        "PatientID": "secret",
        "InstanceNumber": 100 - k,
        "Rows": samples.shape[0],
        "Columns": samples.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelSpacing": [0.75, 0.5],
        "SliceThickness": 2.5,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10, 20, 30 + 2.5 * k],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
        "PixelData": samples.tobytes(),
    }
    for keyword, value in (header | entries).items():
        if keyword == "TransferSyntaxUID":
            file.file_meta.TransferSyntaxUID = value
        elif value is not None:
            setattr(file, keyword, value)
    path = folder / (name or f"{90 - k}.dcm")
    file.save_as(path, enforce_file_format=True)
    return path


def slice_values(k: int) -> np.ndarray:
    """The stored samples of slice ``k``, 3 x 4, uint16."""
    return (np.arange(12, dtype=np.uint16) + 100 * k).reshape(3, 4)
