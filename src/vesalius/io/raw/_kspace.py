"""Raw k-space: fastMRI, ISMRMRD, BART and NumPy, each turned into the house's order."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Complex, Shaped
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io.raw._projections import HDF5
from vesalius.physics.mri import KSpace, measured

Triple = tuple[float, float, float]
LONGEST_HEADER = 1 << 16


@final
@dataclass(frozen=True, slots=True, eq=False)
class RawKSpace:
    """What an MR scanner measured.

    Attributes:
        slices: One 2-D k-space for each slice, in order along z; a single one for a 3-D scan.
        noise: (coil, sample) measured without excitation, for whitening; ``None`` where the file
            has none.
        remarks: Sentences for the reader: what was assumed, averaged or left out.
    """

    slices: tuple[KSpace, ...]
    noise: Complex[Tensor, "coil sample"] | None = None
    remarks: tuple[str, ...] = ()


def open_kspace(
    path: str | Path, *, spacing_mm: Triple = (1.0, 1.0, 1.0), budget: Budget = DEFAULT
) -> RawKSpace:
    """Read k-space, whatever it is written in.

    =====================  ============================================================
    HDF5 (.h5, .hdf5)      fastMRI (dataset kspace) or ISMRMRD (group dataset), Cartesian
    .cfl, .hdr             BART; dimensions read, phase 1, phase 2, coil
    .npy, .npz             complex (coil, y, x) or (coil, z, y, x); in .npz called data
    =====================  ============================================================

    Args:
        path: A file; of BART's two either.
        spacing_mm: Voxel size (z, y, x), mm, where the file does not tell.
        budget: What reading may cost.

    Returns:
        K-space with the zero frequency at ``n // 2``, samples that were not measured 0.

    Raises:
        FormatError: It is of no kind above, not Cartesian, damaged, larger than the budget, or
            holds several contrasts, phases or repetitions.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path.name!r} must be a file of k-space, there is none: check the path")
    return _reader(path)(path, spacing_mm, budget)


def _reader(path: Path) -> Callable[[Path, Triple, Budget], RawKSpace]:
    suffix = path.suffix.lower()
    if suffix in HDF5 or suffix == ".mrd":
        return _open_hdf5
    if suffix in (".cfl", ".hdr"):
        return _open_bart
    if suffix in (".npy", ".npz"):
        return _open_numpy
    raise FormatError(
        f"k-space must be HDF5 ({', '.join(HDF5)}, .mrd), BART (.cfl, .hdr), .npy or .npz, got "
        f"{path.name!r}: convert it first"
    )


def _open_hdf5(path: Path, spacing_mm: Triple, budget: Budget) -> RawKSpace:
    from vesalius.io.raw._dataset import find, opened
    from vesalius.io.raw._fastmri import read_fastmri
    from vesalius.io.raw._ismrmrd import read_ismrmrd

    with opened(path) as file:
        if find(file, "kspace") is not None:
            return read_fastmri(path, file, spacing_mm, budget)
        if find(file, "dataset/data") is not None:
            return read_ismrmrd(path, file, budget)
        raise FormatError(
            f"{path.name!r} must hold 'kspace' (fastMRI) or 'dataset/data' (ISMRMRD), it holds "
            f"{', '.join(sorted(file)[:8]) or 'nothing'}: for CT call io.raw.open_projections"
        )


def _open_numpy(path: Path, spacing_mm: Triple, budget: Budget) -> RawKSpace:
    from vesalius.io.raw._numpy import load_arrays, tensor_of

    arrays = load_arrays(path, budget)
    if "data" not in arrays:
        raise FormatError(
            f"{path.name!r} must hold an array 'data' (coil, z, y, x), it holds "
            f"{', '.join(arrays) or 'none'}: save it with numpy.savez(path, data=...)"
        )
    return whole(path, tensor_of(path, arrays["data"]), spacing_mm)


def _open_bart(path: Path, spacing_mm: Triple, budget: Budget) -> RawKSpace:
    """Read BART's pair: sizes as text, fastest axis first, and raw complex64 samples."""
    header, body = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    if not (header.is_file() and body.is_file()):
        raise FormatError(
            f"{path.name!r} must be one of BART's two files, .hdr and .cfl of one name side by "
            "side, the other is absent: copy both"
        )
    with header.open("rb") as file:
        text = file.read(LONGEST_HEADER).decode("ascii", errors="replace")
    found = re.search(r"^# Dimensions\s*\n([\d ]{1,400})$", text, re.MULTILINE)
    sizes = tuple(int(n) for n in found[1].split()) if found else ()
    if len(sizes) < 2 or math.prod(sizes[4:]) != 1:
        raise FormatError(
            f"{header.name!r} must give '# Dimensions' of read, phase 1, phase 2 and coil and 1 "
            f"beyond, it gives {sizes or 'none'}: take one part with 'bart slice'"
        )
    x, y, z, coils = (*sizes[:4], 1, 1)[:4]
    shape = (coils, z, y, x)
    needed = budget.check_size(body.name, shape, 8)
    budget.check_stored(body.name, needed, body.stat().st_size, deflated=False)
    if body.stat().st_size != needed:
        raise FormatError(
            f"{body.name!r} must hold the {needed} bytes that its header tells, it has "
            f"{body.stat().st_size}: the two files do not belong together"
        )
    samples = np.fromfile(body, dtype="<c8", count=math.prod(shape)).astype(np.complex64)
    return whole(path, torch.from_numpy(samples).reshape(shape), spacing_mm)


def whole(path: Path, data: Tensor, spacing_mm: Triple) -> RawKSpace:
    """Take (coil, y, x) or (coil, z, y, x) as one k-space, on a grid about the isocentre.

    Args:
        path: Its file, for the error.
        data: Complex samples.
        spacing_mm: Voxel size (z, y, x), mm.

    Returns:
        It as the only part.

    Raises:
        FormatError: It is real, or has other axes.
    """
    if data.ndim == 3:
        data = data[:, None]
    if data.ndim != 4 or data.numel() == 0 or not data.is_complex():
        kind = "complex" if data.is_complex() else "real"
        raise FormatError(
            f"{path.name!r} must hold complex k-space (coil, z, y, x) or (coil, y, x), got "
            f"{tuple(data.shape)}, {kind}: reorder the axes first"
        )
    z, y, x = data.shape[1:]
    grid = grid_of((int(z), int(y), int(x)), spacing_mm)
    size = " x ".join(f"{s:g}" for s in spacing_mm)
    remark = f"the file does not tell the voxel size: {size} mm (z, y, x) assumed"
    return RawKSpace((KSpace(data, mask_of(path, data), grid),), remarks=(remark,))


def mask_of(path: Path, data: Shaped[Tensor, "coil z y x"]) -> Tensor:
    """Find where zero-filled k-space was measured.

    Raises:
        FormatError: Nowhere, or a sample is NaN or infinite.
    """
    mask = measured(data)
    if not bool(mask.any()) or not bool(torch.isfinite(torch.view_as_real(data)).all()):
        raise FormatError(
            f"{path.name!r} must hold finite samples that are not all 0, it does not: the file is "
            "damaged"
        )
    return mask


def grid_of(shape: tuple[int, int, int], spacing_mm: Triple) -> Grid:
    """Make an axis-aligned grid whose voxel ``n // 2``, the centre of the transform, is at 0."""
    x, y, z = (-(n // 2) * s for n, s in zip(shape[::-1], spacing_mm[::-1], strict=True))
    return Grid.from_spacing(shape, spacing_mm, origin_mm=(x, y, z))
