"""Shape of a region in the slice where it is largest, as PyRadiomics' shape2D defines it."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.measure._feature import Feature, Value
from vesalius.measure._region import Region
from vesalius.measure._shape_checks import require_orthogonal, tight_box
from vesalius.ops._hull import largest_distance
from vesalius.ops._moments import lattice_moments
from vesalius.ops._outline import OutlineSize, outline_corners, outline_size

REFERENCE = "PyRadiomics 3.0.1 shape2D, doi:10.1158/0008-5472.CAN-17-0339"

_ONE_PIXEL = "one pixel in the slice: positions have no spread"


def _feature(tag: str, name: str, unit: str, formula: str, undefined: str = "") -> Feature:
    return Feature("shape2d_" + tag, "shape_2d", name, "", unit, formula, undefined, REFERENCE)


FEATURES: tuple[Feature, ...] = (
    _feature("area", "Mesh surface", "mm^2", "A = area inside the marching-squares outline"),
    _feature("area_pixel", "Pixel surface", "mm^2", "number of pixels x pixel area"),
    _feature("perimeter", "Perimeter", "mm", "P = length of the marching-squares outline"),
    _feature("pa", "Perimeter to surface ratio", "1/mm", "P / A"),
    _feature("sphericity", "Sphericity in the slice", "1", "2 sqrt(pi A) / P"),
    _feature("sph_dispr", "Spherical disproportion in the slice", "1", "P / (2 sqrt(pi A))"),
    _feature("diam", "Maximum diameter", "mm", "largest distance of two points of the outline"),
    _feature(
        "maj_axis",
        "Major axis length in the slice",
        "mm",
        "4 sqrt(l1); l1 >= l2 eigenvalues of the covariance of pixel centres (divided by N)",
        _ONE_PIXEL,
    ),
    _feature("min_axis", "Minor axis length in the slice", "mm", "4 sqrt(l2)", _ONE_PIXEL),
    _feature("elongation", "Elongation in the slice", "1", "sqrt(l2 / l1)", _ONE_PIXEL),
)


def shape_2d(region: Region) -> list[Value]:
    """Measure the outline of a region in the slice, across array axis z, where it is largest.

    A 2-D image has one slice. Of slices with as many pixels, the one with the largest mesh surface
    is taken, and of these the one with the longest perimeter, then of the longest diameter.

    Args:
        region: The region; its morphological mask is measured.

    Returns:
        One value for each entry of ``FEATURES``, in that order.

    Raises:
        GeometryError: The axes of the grid are not at right angles.
        RegionError: The morphological mask is empty.
    """
    require_orthogonal(region.grid)
    _, dy, dx = region.grid.spacing_mm
    mask = region.morphological[tight_box(region.morphological)].cpu()
    counts = mask.sum(dim=(1, 2))
    largest = torch.nonzero(counts == counts.max())[:, 0].tolist()
    slices = [mask[z] for z in largest]
    size, diameter, slice_ = max(
        ((*_size(one, (dy, dx)), one) for one in slices),
        key=lambda found: (round(found[0].area, 9), round(found[0].perimeter, 9), found[1]),
    )
    values = [*_outline_values(size, int(counts.max()) * dy * dx), (diameter, "")]
    values += _axis_values(slice_, (dy, dx))
    return [Value(f.tag, "", v, why) for f, (v, why) in zip(FEATURES, values, strict=True)]


def _size(mask: Bool[Tensor, "y x"], spacing: tuple[float, float]) -> tuple[OutlineSize, float]:
    return outline_size(mask, spacing), largest_distance(outline_corners(mask, spacing))


def _outline_values(size: OutlineSize, pixels: float) -> list[tuple[float, str]]:
    circle = 2 * math.sqrt(math.pi * size.area)
    length = size.perimeter
    numbers = (size.area, pixels, length, length / size.area, circle / length, length / circle)
    return [(number, "") for number in numbers]


def _axis_values(
    mask: Bool[Tensor, "y x"], spacing: tuple[float, float]
) -> list[tuple[float, str]]:
    lattice = lattice_moments(mask[None])
    if lattice.rank == 0:
        return [(math.nan, _ONE_PIXEL)] * 3
    scale = torch.tensor(spacing, dtype=torch.float64)
    covariance = lattice.scatter[1:, 1:] * torch.outer(scale, scale) / lattice.count
    lengths = 4 * torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0).sqrt()
    lengths[lattice.rank :] = 0
    major, minor = lengths.tolist()
    return [(major, ""), (minor, ""), (minor / major, "")]
