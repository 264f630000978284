"""FastMRI files: slices of 2-D k-space in one dataset."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io.raw._dataset import find, read_array, read_text
from vesalius.io.raw._kspace import RawKSpace, Triple, grid_of, mask_of
from vesalius.io.raw._mr_header import parse_header
from vesalius.io.raw._numpy import tensor_of
from vesalius.physics.mri import KSpace


def read_fastmri(path: Path, file: Any, spacing_mm: Triple, budget: Budget) -> RawKSpace:
    """Read ``kspace`` (slice, coil, y, x), or (slice, y, x) of a single coil.

    The first in-plane axis is the read-out, as in the data set's own code; the header's field of
    view is laid on it so.

    Raises:
        FormatError: It is damaged, real, or has other axes.

    References:
        Zbontar et al. (2018), fastMRI, arXiv:1811.08839, section 4.
    """
    data = tensor_of(path, read_array(path, find(file, "kspace"), budget))
    if data.ndim == 3:
        data = data[:, None]
    if data.ndim != 4 or data.numel() == 0 or not data.is_complex():
        raise FormatError(
            f"{path.name!r} must hold complex kspace (slice, coil, y, x), got {tuple(data.shape)} "
            f"of {data.dtype}: it is no fastMRI file"
        )
    remarks: tuple[str, ...] = ()
    header = find(file, "ismrmrd_header")
    if header is None:
        remarks = (f"the file does not tell the voxel size: {spacing_mm} mm (z, y, x) assumed",)
    else:
        told = parse_header(path, read_text(path, header))
        thick, across, along = told.fov_mm
        spacing_mm = (thick, along / data.shape[2], across / data.shape[3])
    stack = grid_of((data.shape[0], data.shape[2], data.shape[3]), spacing_mm)
    slices = []
    for k, part in enumerate(data):
        grid: Grid = stack.crop((k, 0, 0), (1, *stack.shape[1:]))
        samples = part[:, None].contiguous()
        slices.append(KSpace(samples, mask_of(path, samples), grid))
    return RawKSpace(tuple(slices), remarks=remarks)
