"""Sources, labels and validators for the tests of what is written as DICOM."""

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms_io import oblique_affine, write_slice

from vesalius.core import Grid, Image, Labels


def grids(shape: tuple[int, int, int] = (5, 6, 7)) -> dict[str, Grid]:
    """Grids of every kind that DICOM can hold."""
    straight = torch.diag(torch.tensor([2.5, 0.75, 0.5, 1.0], dtype=torch.float64))[[2, 1, 0, 3]]
    straight[:3, 3] = torch.tensor([-10.0, 20.0, 30.0])
    tilted = straight.clone()
    tilted[:3, 0] = torch.tensor([0.0, 2.5 * math.tan(math.radians(17.0)), 2.5])
    leaning = oblique_affine()
    leaning[:3, 0] += 0.4 * leaning[:3, 1]
    sheared = Grid(shape, leaning)
    return {
        "straight": Grid(shape, straight),
        "oblique": Grid(shape, oblique_affine()),
        "tilted": Grid(shape, tilted),
        "sheared": sheared,
        "against": against(sheared),
    }


def against(grid: Grid) -> Grid:
    """The same lattice with its planes in the other order."""
    affine = grid.affine.clone()
    affine[:3, 3] += affine[:3, 0] * (grid.shape[0] - 1)
    affine[:3, 0] *= -1
    return Grid(grid.shape, affine)


def write_source(folder: Path, grid: Grid, **entries: object) -> Path:
    """Write a CT series on a grid."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = grid.affine[:3, :3].numpy()
    spacing = np.linalg.norm(columns, axis=0)
    axes = columns / spacing
    common = {
        "ImageOrientationPatient": [*axes[:, 2], *axes[:, 1]],
        "PixelSpacing": [spacing[1], spacing[2]],
        "StudyInstanceUID": "1.2.9",
        "FrameOfReferenceUID": "1.2.10",
        "StudyDate": "20200102",
        "StudyTime": "030405",
        "PatientWeight": 61.5,
    }
    for k in range(grid.shape[0]):
        place = grid.affine[:3, 3] + k * grid.affine[:3, 0]
        values = np.full(grid.shape[1:], 1000 + k, np.uint16)
        given = common | {"ImagePositionPatient": place.tolist()} | entries
        write_slice(folder, k, values=values, **_short(given))
    return folder


def _short(entries: dict[str, object]) -> dict[str, object]:
    """Numbers as decimal strings of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    def text(value: object) -> object:
        if isinstance(value, list):
            return [text(one) for one in value]
        return format_number_as_ds(float(value)) if isinstance(value, float) else value

    return {
        key: text(list(value) if isinstance(value, tuple) else value)
        for key, value in entries.items()
    }


def blobs(grid: Grid, values: tuple[int, ...] = (1, 2), *, layers: int = 1) -> Labels:
    """Random labels; each value occurs in each layer, the last planes are empty."""
    generator = torch.Generator().manual_seed(len(values) + 7 * layers)
    data = torch.zeros((layers, *grid.shape), dtype=torch.int32)
    top = max(grid.shape[0] - 2, 1)
    drawn = torch.randint(0, len(values) + 1, (layers, top, *grid.shape[1:]), generator=generator)
    table = torch.tensor((0, *values), dtype=torch.int32)
    data[:, :top] = table[drawn]
    for layer in range(layers):
        data[layer, 0, 0, : len(values)] = table[1:]
    names = {(k, v): f"region {v} of {k}" for k in range(layers) for v in values}
    return Labels(data, grid, names)


def upside(data: torch.Tensor, grid: Grid, other: Grid) -> torch.Tensor:
    """The samples as ``other`` orders its planes, which is ``grid`` or ``grid`` turned round."""
    same = torch.allclose(grid.affine[:3, 0], other.affine[:3, 0], atol=1e-6)
    return data if same else data.flip(1)


def same_place(first: Grid, second: Grid) -> bool:
    """Whether two grids have the same corners, planes in either order, to 1e-4 mm."""
    return any(
        float((first.affine - one.affine).abs().max()) < 1e-5 and first.shape == one.shape
        for one in (second, against(second))
    )


def errors_of(path: Path) -> list[str]:
    """What dciodvfy finds wrong; skips where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "Abort"))]


def phantom_image(grid: Grid, dtype: torch.dtype, unit: str) -> Image:
    """Every voxel differs from every other."""
    data = torch.arange(math.prod(grid.shape)).reshape(1, *grid.shape).to(dtype)
    return Image(data, grid, unit)
