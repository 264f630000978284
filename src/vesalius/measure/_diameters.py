"""Diameters: the longest in a slice (RECIST), the one across it (WHO), and the longest in 3-D."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.measure._feature import Feature, Value
from vesalius.measure._region import Region
from vesalius.measure._shape_checks import require_orthogonal, tight_box
from vesalius.ops._hull import largest_distance, surface_corners
from vesalius.ops._outline import Calipers, calipers, outline_corners

RECIST = "RECIST 1.1, doi:10.1016/j.ejca.2008.10.026"
WHO = "WHO criteria, doi:10.1002/1097-0142(19810101)47:1<207::AID-CNCR2820470134>3.0.CO;2-6"
PYRADIOMICS = "PyRadiomics 3.0.1 shape, doi:10.1158/0008-5472.CAN-17-0339"


def _feature(tag: str, name: str, unit: str, formula: str, reference: str) -> Feature:
    return Feature("diam_" + tag, "diameters", name, "", unit, formula, "", reference)


FEATURES: tuple[Feature, ...] = (
    _feature(
        "axial",
        "Longest axial diameter",
        "mm",
        "largest distance of two points of the outline in any axial slice",
        RECIST,
    ),
    _feature(
        "axial_short",
        "Short axial diameter",
        "mm",
        "longest chord of the outline's hull at right angles to the longest axial diameter",
        RECIST,
    ),
    _feature(
        "axial_product", "Bidimensional product", "mm^2", "longest x short axial diameter", WHO
    ),
    _feature(
        "coronal",
        "Longest coronal diameter",
        "mm",
        "largest distance of two points of the outline in any coronal slice",
        PYRADIOMICS,
    ),
    _feature(
        "sagittal",
        "Longest sagittal diameter",
        "mm",
        "largest distance of two points of the outline in any sagittal slice",
        PYRADIOMICS,
    ),
    _feature(
        "3d",
        "Longest diameter in 3-D",
        "mm",
        "largest distance of two points of the surface (the IBSI's L0JK)",
        PYRADIOMICS,
    ),
)


def diameters(region: Region) -> list[Value]:
    """Measure the diameters that clinical criteria use.

    A slice is axial, coronal or sagittal by the array axis nearest to S, P or L. Distances are
    between points of the marching-cubes outline, half a voxel outside the outermost centres, so
    that one voxel is one voxel wide.

    Args:
        region: The region; its morphological mask is measured.

    Returns:
        One value for each entry of ``FEATURES``, in that order.

    Raises:
        GeometryError: The axes of the grid are not at right angles.
        RegionError: The morphological mask is empty.
    """
    require_orthogonal(region.grid)
    mask = region.morphological[tight_box(region.morphological)].cpu()
    spacing = region.grid.spacing_mm
    sagittal, coronal, axial = _array_axes(region.grid)
    recist = _longest(mask, axial, spacing)
    corners = surface_corners(mask).double() / 2 * torch.tensor(spacing, dtype=torch.float64)
    values = (
        recist.long,
        recist.short,
        recist.long * recist.short,
        _longest(mask, coronal, spacing).long,
        _longest(mask, sagittal, spacing).long,
        largest_distance(corners),
    )
    return [Value(f.tag, "", value) for f, value in zip(FEATURES, values, strict=True)]


def _array_axes(grid: Grid) -> tuple[int, int, int]:
    """Give the array axes that run most nearly along L, P and S, each once."""
    letters = grid.orientation
    nearest = [next((k for k in range(3) if letters[k] in pair), -1) for pair in ("LR", "PA", "SI")]
    if len(set(nearest)) < 3 or -1 in nearest:
        return (2, 1, 0)  # as oblique as can be: by the order of the array
    return nearest[0], nearest[1], nearest[2]


def _longest(mask: Tensor, across: int, spacing: tuple[float, float, float]) -> Calipers:
    """Find the slice with the longest diameter; of equal ones that with the longest short axis."""
    in_plane = [s for axis, s in enumerate(spacing) if axis != across]
    best = Calipers(0.0, 0.0)
    for plane in mask.unbind(dim=across):
        if not bool(plane.any()):
            continue
        corners = outline_corners(plane, (in_plane[0], in_plane[1]))
        long = largest_distance(corners)
        if long < best.long * (1 - 1e-9):
            continue
        found = calipers(corners)
        if long > best.long * (1 + 1e-9) or found.short > best.short:
            best = found
    return best
