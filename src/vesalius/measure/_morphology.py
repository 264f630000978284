"""Morphology: the 29 shape features of the IBSI (chapter 3.1), on the marching-cubes mesh."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import ConvergenceError
from vesalius.measure._feature import Feature, Value
from vesalius.measure._region import Region
from vesalius.measure._shape_checks import require_orthogonal, tight_box
from vesalius.ops._autocorrelation import spatial_autocorrelation
from vesalius.ops._bounding import minimum_box
from vesalius.ops._ellipsoid import ellipsoid_area, ellipsoid_volume, enclosing_ellipsoid
from vesalius.ops._hull import Hull, largest_distance, lattice_hull, surface_corners
from vesalius.ops._mesh import MeshSize, mesh_size
from vesalius.ops._moments import Lattice, lattice_moments, weighted_centre

Named = tuple[str, float, str]

_ONE_VOXEL = "one voxel: positions have no spread"
_FLAT = "flat region: an axis of the ellipsoid is 0"
_LINE = "voxels in one line: the ellipsoid has no surface"
_NO_MASS = "intensities sum to 0: they have no centre of mass"
_CONSTANT = "constant intensity: variance is 0"
_ONE_INTENSITY = "one voxel: there is no pair"
_NOT_MEASURED = "not measured: spatial_autocorrelation is off"


def _shape(tag: str, name: str, code: str, unit: str, formula: str, undefined: str = "") -> Feature:
    return Feature("morph_" + tag, "morphology", name, code, unit, formula, undefined)


FEATURES: tuple[Feature, ...] = (
    _shape("volume", "Volume", "RNU0", "mm^3", "V = volume inside the mesh, iso-level 0.5"),
    _shape("vol_approx", "Approximate volume", "YEKZ", "mm^3", "number of voxels x voxel volume"),
    _shape(
        "area_mesh", "Surface area", "C0JK", "mm^2", "A = sum of the triangle areas of the mesh"
    ),
    _shape("av", "Surface to volume ratio", "2PR5", "1/mm", "A / V"),
    _shape("comp_1", "Compactness 1", "SKGS", "1", "V / (sqrt(pi) A^(3/2))"),
    _shape("comp_2", "Compactness 2", "BQWJ", "1", "36 pi V^2 / A^3"),
    _shape("sph_dispr", "Spherical disproportion", "KRCK", "1", "A / (36 pi V^2)^(1/3)"),
    _shape("sphericity", "Sphericity", "QCFX", "1", "(36 pi V^2)^(1/3) / A"),
    _shape("asphericity", "Asphericity", "25C7", "1", "(A^3 / (36 pi V^2))^(1/3) - 1"),
    _shape(
        "com",
        "Centre of mass shift",
        "KLMA",
        "mm",
        "|mean position in the morphological mask - intensity-weighted mean in the intensity mask|",
        _NO_MASS,
    ),
    _shape("diam", "Maximum 3D diameter", "L0JK", "mm", "largest distance of two mesh vertices"),
    _shape(
        "pca_maj_axis",
        "Major axis length",
        "TDIC",
        "mm",
        "4 sqrt(l1); l1 >= l2 >= l3 eigenvalues of the covariance of voxel centres",
        _ONE_VOXEL,
    ),
    _shape("pca_min_axis", "Minor axis length", "P9VJ", "mm", "4 sqrt(l2)", _ONE_VOXEL),
    _shape("pca_least_axis", "Least axis length", "7J51", "mm", "4 sqrt(l3)", _ONE_VOXEL),
    _shape("pca_elongation", "Elongation", "Q3CK", "1", "sqrt(l2 / l1)", _ONE_VOXEL),
    _shape("pca_flatness", "Flatness", "N17B", "1", "sqrt(l3 / l1)", _ONE_VOXEL),
    _shape(
        "vol_dens_aabb",
        "Volume density - axis-aligned bounding box",
        "PBX1",
        "1",
        "V / volume of the axis-aligned box around the mesh",
    ),
    _shape(
        "area_dens_aabb",
        "Area density - axis-aligned bounding box",
        "R59B",
        "1",
        "A / area of the axis-aligned box around the mesh",
    ),
    _shape(
        "vol_dens_ombb",
        "Volume density - oriented minimum bounding box",
        "ZH1A",
        "1",
        "V / volume of the least box around the mesh in any direction",
    ),
    _shape(
        "area_dens_ombb",
        "Area density - oriented minimum bounding box",
        "IQYR",
        "1",
        "A / area of the box of least volume around the mesh in any direction",
    ),
    _shape(
        "vol_dens_aee",
        "Volume density - approximate enclosing ellipsoid",
        "6BDE",
        "1",
        "V / volume of the ellipsoid with the principal axes",
        _FLAT,
    ),
    _shape(
        "area_dens_aee",
        "Area density - approximate enclosing ellipsoid",
        "RDD2",
        "1",
        "A / area of the ellipsoid with the principal axes",
        _LINE,
    ),
    _shape(
        "vol_dens_mvee",
        "Volume density - minimum volume enclosing ellipsoid",
        "SWZ1",
        "1",
        "V / volume of the least ellipsoid around the mesh",
    ),
    _shape(
        "area_dens_mvee",
        "Area density - minimum volume enclosing ellipsoid",
        "BRI8",
        "1",
        "A / area of the ellipsoid of least volume around the mesh",
    ),
    _shape(
        "vol_dens_conv_hull",
        "Volume density - convex hull",
        "R3ER",
        "1",
        "V / volume of the convex hull of the mesh",
    ),
    _shape(
        "area_dens_conv_hull",
        "Area density - convex hull",
        "7T7F",
        "1",
        "A / area of the convex hull of the mesh",
    ),
    _shape(
        "integ_int",
        "Integrated intensity",
        "99N0",
        "{unit} mm^3",
        "mean intensity in the intensity mask x V",
    ),
    _shape(
        "moran_i",
        "Moran's I index",
        "N365",
        "1",
        "N / sum w_ij x sum w_ij (x_i - m)(x_j - m) / sum (x_i - m)^2, w_ij = 1 / distance in mm",
        _CONSTANT,
    ),
    _shape(
        "geary_c",
        "Geary's C measure",
        "NPT7",
        "1",
        "(N - 1) / (2 sum w_ij) x sum w_ij (x_i - x_j)^2 / sum (x_i - m)^2, w_ij = 1 / distance",
        _CONSTANT,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """A region cut to its bounding box."""

    intensity: Float[Tensor, "z y x"]
    morphological: Bool[Tensor, "z y x"]
    mask: Bool[Tensor, "z y x"]
    spacing: tuple[float, float, float]


def morphology(region: Region, *, spatial_autocorrelation: bool = True) -> list[Value]:
    """Measure the shape of a region, and how its intensities lie in it.

    Args:
        region: The region. Shape is of its morphological mask, intensities of its intensity mask.
        spatial_autocorrelation: Whether to measure Moran's I and Geary's C, the two costly ones.

    Returns:
        One value for each entry of ``FEATURES``, in that order.

    Raises:
        GeometryError: The axes of the grid are not at right angles.
        RegionError: The morphological mask is empty.
    """
    require_orthogonal(region.grid)
    body = _cut(region)
    mesh = mesh_size(body.morphological, body.spacing)
    lattice = lattice_moments(body.morphological)
    axes = _principal_axes(lattice, body.spacing)
    count, total, moment = weighted_centre(body.intensity, body.mask)
    hull = _hull(body)
    named = [
        *_mesh_features(mesh, lattice, body.spacing),
        _centre_shift(body, lattice, total, moment),
        ("diam", largest_distance(hull.vertices), ""),
        *_axis_features(axes, lattice),
        *_box_densities(mesh, hull, body),
        *_ellipsoid_densities(mesh, axes, lattice),
        *_enclosing_densities(mesh, hull),
        ("integ_int", total / count * mesh.volume, ""),
        *_autocorrelation(body, count, spatial_autocorrelation),
    ]
    return [Value("morph_" + tag, "", value, reason) for tag, value, reason in named]


def _cut(region: Region) -> _Body:
    box = tight_box(region.morphological)
    return _Body(
        region.intensity[box].cpu(),
        region.morphological[box].cpu().contiguous(),
        region.mask[box].cpu().contiguous(),
        region.grid.spacing_mm,
    )


def _hull(body: _Body) -> Hull:
    z, y, x = body.spacing
    return lattice_hull(surface_corners(body.morphological), (z / 2, y / 2, x / 2))


def _mesh_features(
    mesh: MeshSize, lattice: Lattice, spacing: tuple[float, float, float]
) -> list[Named]:
    volume, area = mesh.volume, mesh.area
    sphere = (36 * math.pi * volume**2) ** (1 / 3)  # area of the sphere of the same volume
    return [
        ("volume", volume, ""),
        ("vol_approx", lattice.count * math.prod(spacing), ""),
        ("area_mesh", area, ""),
        ("av", area / volume, ""),
        ("comp_1", volume / (math.sqrt(math.pi) * area**1.5), ""),
        ("comp_2", 36 * math.pi * volume**2 / area**3, ""),
        ("sph_dispr", area / sphere, ""),
        ("sphericity", sphere / area, ""),
        ("asphericity", area / sphere - 1, ""),
    ]


def _centre_shift(body: _Body, lattice: Lattice, total: float, moment: Tensor) -> Named:
    if total == 0:
        return ("com", math.nan, _NO_MASS)
    middle = (torch.tensor(body.mask.shape, dtype=torch.float64) - 1) / 2
    shift = moment / total - (lattice.centre - middle)
    return ("com", float((shift * torch.tensor(body.spacing, dtype=torch.float64)).norm()), "")


def _principal_axes(
    lattice: Lattice, spacing: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Give the lengths 4 sqrt(l), longest first; 0 along directions that the voxels do not span."""
    scale = torch.tensor(spacing, dtype=torch.float64)
    covariance = lattice.scatter * torch.outer(scale, scale) / max(lattice.count - 1, 1)
    lengths = 4 * torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0).sqrt()
    lengths[lattice.rank :] = 0
    major, minor, least = lengths.tolist()
    return major, minor, least


def _axis_features(axes: tuple[float, float, float], lattice: Lattice) -> list[Named]:
    tags = ("pca_maj_axis", "pca_min_axis", "pca_least_axis", "pca_elongation", "pca_flatness")
    if lattice.rank == 0:
        return [(tag, math.nan, _ONE_VOXEL) for tag in tags]
    major, minor, least = axes
    values = (major, minor, least, minor / major, least / major)
    return [(tag, value, "") for tag, value in zip(tags, values, strict=True)]


def _densities(kind: str, mesh: MeshSize, volume: float, area: float) -> list[Named]:
    return [
        (f"vol_dens_{kind}", mesh.volume / volume, ""),
        (f"area_dens_{kind}", mesh.area / area, ""),
    ]


def _box_densities(mesh: MeshSize, hull: Hull, body: _Body) -> list[Named]:
    found = []
    upright = [n * s for n, s in zip(body.mask.shape, body.spacing, strict=True)]
    for kind, (a, b, c) in (("aabb", upright), ("ombb", minimum_box(hull).tolist())):
        found += _densities(kind, mesh, a * b * c, 2 * (a * b + b * c + c * a))
    return found


def _ellipsoid_densities(
    mesh: MeshSize, axes: tuple[float, float, float], lattice: Lattice
) -> list[Named]:
    semi = (axes[0] / 2, axes[1] / 2, axes[2] / 2)
    volume, area = ("vol_dens_aee", math.nan, _FLAT), ("area_dens_aee", math.nan, _LINE)
    if lattice.rank > 2:
        volume = ("vol_dens_aee", mesh.volume / ellipsoid_volume(semi), "")
    if lattice.rank > 1:
        area = ("area_dens_aee", mesh.area / ellipsoid_area(semi), "")
    return [volume, area]


def _enclosing_densities(mesh: MeshSize, hull: Hull) -> list[Named]:
    try:
        semi = enclosing_ellipsoid(hull.vertices)
    except ConvergenceError as error:
        missing = [(f"{kind}_dens_mvee", math.nan, str(error)) for kind in ("vol", "area")]
        return [*missing, *_densities("conv_hull", mesh, hull.volume, hull.area)]
    return [
        *_densities("mvee", mesh, ellipsoid_volume(semi), ellipsoid_area(semi)),
        *_densities("conv_hull", mesh, hull.volume, hull.area),
    ]


def _autocorrelation(body: _Body, count: int, wanted: bool) -> list[Named]:
    reason = _NOT_MEASURED
    if wanted and count < 2:
        reason = _ONE_INTENSITY
    elif wanted:
        box = tight_box(body.mask)
        found = spatial_autocorrelation(body.intensity[box], body.mask[box], body.spacing)
        constant = _CONSTANT if math.isnan(found.moran) else ""
        return [("moran_i", found.moran, constant), ("geary_c", found.geary, constant)]
    return [("moran_i", math.nan, reason), ("geary_c", math.nan, reason)]
