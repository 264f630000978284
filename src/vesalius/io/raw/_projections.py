"""Raw projections: what a scanner wrote, before any correction, and where it is written."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Shaped
from torch import Tensor

from vesalius.errors import FormatError, ShapeError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.physics.ct import Geometry, Projections
from vesalius.physics.ct._projections import Quantity

Stack = Shaped[Tensor, "_ _ _"]
HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")
TIFF = (".tif", ".tiff", ".btf")


@final
@dataclass(frozen=True, slots=True, eq=False)
class RawProjections:
    """Views as the file holds them; ``physics.ct.Projections`` are these with a geometry.

    Attributes:
        counts: (view, row, column), float32; float64 where the file has that.
        flats: (frame, row, column) with the beam and no object; ``None`` where the file has none.
        darks: (frame, row, column) without the beam; ``None`` where the file has none.
        angles_deg: (view,) float64; ``None`` where the file does not tell.
        geometry: Where the rays run; ``None`` where the file does not tell.
        quantity: What ``counts`` are; as in ``physics.ct.Projections``.

    Raises:
        ShapeError: The parts do not fit each other.
    """

    counts: Stack
    flats: Stack | None = None
    darks: Stack | None = None
    angles_deg: Shaped[Tensor, "_"] | None = None
    geometry: Geometry | None = None
    quantity: Quantity = "counts"

    def __post_init__(self) -> None:
        detector = tuple(self.counts.shape[1:])
        for name in ("flats", "darks"):
            frames = getattr(self, name)
            if frames is not None and tuple(frames.shape[1:]) != detector:
                raise ShapeError(
                    f"{name} must have the detector of the views, {detector} (rows, columns), "
                    f"got frames of {tuple(frames.shape[1:])}: take those of the same scan"
                )
        views = int(self.counts.shape[0])
        if self.angles_deg is not None and tuple(self.angles_deg.shape) != (views,):
            raise ShapeError(
                f"angles must be one for each of {views} views, got "
                f"{tuple(self.angles_deg.shape)}: leave out the angles of flats and darks"
            )
        if self.geometry is not None and self.geometry.codomain != tuple(self.counts.shape):
            raise ShapeError(
                f"the geometry must be of the same scan as the views, {tuple(self.counts.shape)}, "
                f"it has (views, rows, columns) {self.geometry.codomain}"
            )


def open_projections(
    path: str | Path, *, assume: Quantity = "counts", budget: Budget = DEFAULT
) -> RawProjections:
    """Read a CT's raw measurements, whatever they are written in.

    =====================  ==========================================================
    HDF5 (.h5, .hdf5)      Data Exchange: exchange/data, data_white, data_dark, theta
    .npz                   arrays data, flats, darks, angles_deg; only data must be there
    .npy                   one array
    .tif, .tiff            a stack, one page for each view
    a folder               of TIFF files, one for each view, by the numbers in their names;
                           its folders flats and darks likewise, where there are such
    =====================  ==========================================================

    Arrays are (view, row, column); with two axes (view, column), one detector row.

    Args:
        path: A file, or a folder of TIFF files.
        assume: What the samples are where the file does not tell.
        budget: What reading may cost.

    Returns:
        What the file holds; integers become float32.

    Raises:
        FormatError: It is of no kind above, damaged, larger than the budget, or holds no views.
        ShapeError: Its parts do not fit each other.
    """
    path = Path(path)
    return _reader(path)(path, assume, budget)


def save_projections(
    projections: Projections | RawProjections, path: str | Path, *, title: str = ""
) -> None:
    """Write projections as Data Exchange HDF5, the geometry with them; complete or not at all.

    Args:
        projections: With a geometry; or raw, with flats and darks.
        path: A .h5 or .hdf5 file; an existing one is replaced.
        title: What was measured.

    Raises:
        FormatError: The suffix is not one of HDF5.
        OutputError: It cannot be written.

    References:
        De Carlo et al. (2014), Scientific data exchange, doi:10.1107/S160057751401604X. The group
        ``geometry`` and the attribute ``quantity`` are ours; other programs pass over them.
    """
    from vesalius.io.raw._exchange import save_exchange

    path = Path(path)
    if path.suffix.lower() not in HDF5:
        raise FormatError(
            f"projections must be written to {', '.join(HDF5)}, got {path.name!r}: "
            "they are written as Data Exchange HDF5"
        )
    if isinstance(projections, Projections):
        geometry = projections.geometry
        projections = RawProjections(
            projections.data,
            angles_deg=geometry.angles_deg,
            geometry=geometry,
            quantity=projections.quantity,
        )
    save_exchange(projections, path, title)


def _reader(path: Path) -> Callable[[Path, Quantity, Budget], RawProjections]:
    suffix = path.suffix.lower()
    if not path.exists():
        raise FormatError(f"{path.name!r} must be a file or folder, there is none: check the path")
    if path.is_dir() or suffix in TIFF:
        from vesalius.io.raw._tiff_stack import open_tiff_stack

        return open_tiff_stack
    if suffix in HDF5:
        from vesalius.io.raw._exchange import open_exchange

        return open_exchange
    if suffix in (".npy", ".npz"):
        from vesalius.io.raw._numpy import open_numpy

        return open_numpy
    raise FormatError(
        f"raw projections must be HDF5 ({', '.join(HDF5)}), .npy, .npz, TIFF or a folder of TIFF, "
        f"got {path.name!r}: convert it first"
    )


def as_views(name: str, samples: Tensor) -> Stack:
    """Make (view, row, column) floats of what a file holds.

    Args:
        name: Name of the file, for the error.
        samples: (view, row, column) or (view, column), real.

    Returns:
        float32, or float64 where it came so.

    Raises:
        FormatError: Other axes, no samples, or complex ones.
    """
    if samples.ndim == 2:
        samples = samples[:, None]
    if samples.ndim != 3 or samples.numel() == 0 or samples.is_complex():
        kind = "complex" if samples.is_complex() else "real"
        raise FormatError(
            f"{name!r} must hold real views (view, row, column) or (view, column), got "
            f"{tuple(samples.shape)}, {kind}: reorder the axes first"
        )
    return samples if samples.dtype == torch.float64 else samples.float()
