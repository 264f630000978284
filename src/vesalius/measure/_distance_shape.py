"""Shape on a smooth signed distance: without the staircase that makes a ball's sphericity .9."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor

from vesalius.measure._feature import Feature, Value
from vesalius.measure._region import Region
from vesalius.measure._shape_checks import require_orthogonal, tight_box
from vesalius.ops._distance_field import smooth_signed_distance
from vesalius.ops._mesh import MeshSize, surface_size

REFERENCE = "vesalius: smooth signed distance, level of equal volume (not part of the IBSI)"

# below this many voxels the mesh itself is too coarse for the third digit
_REFINED_BELOW = 50_000


def _feature(tag: str, name: str, unit: str, formula: str) -> Feature:
    return Feature("sdf_" + tag, "distance_shape", name, "", unit, formula, "", REFERENCE)


FEATURES: tuple[Feature, ...] = (
    _feature(
        "volume",
        "Volume on signed distance",
        "mm^3",
        "V = volume inside the level surface; the level is set so that V = voxels x voxel volume",
    ),
    _feature(
        "area",
        "Surface area on signed distance",
        "mm^2",
        "A = area of that level surface of the signed distance, smoothed by 1.5 voxels",
    ),
    _feature("av", "Surface to volume ratio on signed distance", "1/mm", "A / V"),
    _feature("sphericity", "Sphericity on signed distance", "1", "(36 pi V^2)^(1/3) / A"),
    _feature("asphericity", "Asphericity on signed distance", "1", "A / (36 pi V^2)^(1/3) - 1"),
    _feature("compactness", "Compactness on signed distance", "1", "36 pi V^2 / A^3"),
)


def distance_shape(region: Region) -> list[Value]:
    """Measure volume, area and roundness on a smooth signed distance to the surface.

    On the binary mesh of the IBSI the steps between voxels make the area of a ball some 9% too
    large however fine the voxels are; here they are smoothed away, with the volume kept. Details
    of the size of a voxel are smoothed away too: a cube loses its edges.

    Args:
        region: The region; its morphological mask is measured.

    Returns:
        One value for each entry of ``FEATURES``, in that order.

    Raises:
        GeometryError: The axes of the grid are not at right angles.
        RegionError: The morphological mask is empty.
    """
    require_orthogonal(region.grid)
    size = _level_size(region)
    sphere = (36 * math.pi * size.volume**2) ** (1 / 3)
    values = (
        size.volume,
        size.area,
        size.area / size.volume,
        sphere / size.area,
        size.area / sphere - 1,
        (sphere / size.area) ** 3,
    )
    return [Value(f.tag, "", value) for f, value in zip(FEATURES, values, strict=True)]


def _level_size(region: Region) -> MeshSize:
    from scipy.optimize import brentq

    mask = region.morphological[tight_box(region.morphological)].cpu()
    count = int(mask.sum())
    refine = count < _REFINED_BELOW
    dz, dy, dx = region.grid.spacing_mm
    field = smooth_signed_distance(mask, (dz, dy, dx), refine=refine)
    spacing = (dz / 2, dy / 2, dx / 2) if refine else (dz, dy, dx)
    target = count * dz * dy * dx
    low, high = _bracket(field, target / math.prod(spacing))

    def excess(level: float) -> float:
        return surface_size(field, spacing, level=level).volume / target - 1

    level = brentq(excess, low, high, xtol=1e-13 * max(spacing), rtol=1e-14)
    return surface_size(field, spacing, level=level)


def _bracket(field: Tensor, count: float) -> tuple[float, float]:
    """Give two levels between which the volume surely passes that of ``count`` samples."""
    flat = field.flatten()
    more = min(int(2.0 * count) + 8, flat.numel() - 1)
    fewer = max(1, int(0.5 * count))
    low = float(torch.kthvalue(flat, flat.numel() - more).values)
    high = float(torch.kthvalue(flat, flat.numel() - fewer + 1).values)
    border = max(float(field.select(a, k).max()) for a in range(3) for k in (0, -1))
    return max(low, border + 1e-9 * abs(border)), high
