"""Objects: one row for each object of a label image: size, form, place, intensity, neighbours."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import numpy.typing as npt

from vesalius.core import Image, Labels
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.measure._measurement import check_pair
from vesalius.ops import _objects

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
Length = Literal["auto", "um", "mm"]

_FINE_MM = 0.01
"""Below this spacing in the plane lengths are told in micrometres where the unit is open."""

_SQUARE = 1e-3
"""Pixels whose sides differ by no more, as a share, count as square."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What :func:`measure_objects` gives.

    Attributes:
        table: One row for each object, by label; the unit of a column stands in its name.
        findings: What must be known before the numbers are used.
    """

    table: "pd.DataFrame"
    findings: tuple[str, ...] = ()


def measure_objects(
    image: Image,
    labels: Labels,
    *,
    length: Length = "auto",
    inside: Labels | None = None,
) -> Objects:
    """Measure each object of one label layer.

    Columns are those of scikit-image's ``regionprops_table`` where it has the quantity, with the
    unit in the name: ``area`` (2-D) or ``volume``, ``bbox``, ``centroid`` in samples and in the
    world, ``axis_major_length`` and ``axis_minor_length`` of the ellipse with the same second
    moments, ``eccentricity``, ``orientation`` (2-D, degrees from the rows), ``perimeter`` (2-D,
    square pixels), ``roundness`` (4 pi area / perimeter squared), ``solidity``, ``extent``,
    ``feret_diameter_max``, ``euler_number``; per channel ``mean``, ``min``, ``max``, ``sd``,
    ``sum``; ``neighbours`` that touch (corners count), ``nearest`` centre of another object.

    Args:
        image: On the grid of the labels; any channels.
        labels: One layer; each value that is not 0 is an object, in one piece or not.
        length: Unit of lengths; ``"auto"`` takes micrometres for pixels below 10 um.
        inside: Other objects on the same grid, such as spots in cells; how many have their centre
            in each object is counted.

    Returns:
        The table, and what was noticed.

    Raises:
        GeometryError: The grids differ, or the axes are not orthogonal.
        ShapeError: The labels have more than one layer.
        RegionError: There is no object.
        IntensityError: A sample inside an object is NaN or infinite.

    References:
        van der Walt et al. (2014), scikit-image, doi:10.7717/peerj.453. Differs from it in: the
        perimeter of pixels that are not square is left out, not computed as if they were.
    """
    import pandas as pd

    _check(image, labels)
    values, ranks = _ranks(labels)
    n = len(values)
    unit = length if length != "auto" else _unit(image)
    step = tuple(mm * (1000.0 if unit == "um" else 1.0) for mm in image.grid.spacing_mm)
    spacing = (step[0], step[1], step[2])
    found = _objects.lattices(ranks, n, spacing)
    flat = image.grid.shape[0] == 1
    columns: dict[str, Array] = {"label": values}
    columns |= _place(found, labels)
    columns |= (
        _form_2d(ranks, found, spacing, unit) if flat else _form_3d(ranks, found, spacing, unit)
    )
    columns |= _intensity(image, ranks, found)
    columns |= _around(labels, ranks, found, unit)
    if inside is not None:
        columns["contains"] = _contained(ranks, n, inside, labels)
    names = [labels.names.get((0, int(v)), "") for v in values]
    table = pd.DataFrame(columns)
    if any(names):
        table.insert(1, "name", names)
    return Objects(table, _findings(found, image, flat=flat))


def _check(image: Image, labels: Labels) -> None:
    if labels.data.shape[0] != 1:
        raise ShapeError(
            f"objects are measured in one layer, got {labels.data.shape[0]} layers: measure each "
            "on its own, Labels(labels.data[k:k+1], labels.grid)"
        )
    check_pair(Image(image.data[:1], image.grid, image.unit), labels)
    directions = image.grid.direction.numpy()
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-3):
        raise GeometryError(
            "objects are measured on orthogonal axes, this grid is sheared: resample both first "
            "('vesalius convert --upright')"
        )


def _ranks(labels: Labels) -> tuple[Array, Array]:
    """Number the values that occur 1 to n, in their order."""
    data = labels.data[0].cpu().numpy()
    if data.size and data.min() >= 0 and data.max() < 4 * data.size + 1024:
        there = np.zeros(int(data.max()) + 1, bool)
        there[data.ravel()] = True
        there[0] = False
        table = np.where(there, np.cumsum(there), 0).astype(np.int32)
        values, ranks = np.flatnonzero(there), table[data]
    else:
        everything, back = np.unique(data, return_inverse=True)
        values = everything[everything != 0]
        shift = np.where(everything == 0, 0, np.cumsum(everything != 0)).astype(np.int32)
        ranks = shift[back.reshape(data.shape)]
    if not len(values):
        raise RegionError("labels must hold at least one object, got background alone")
    return values.astype(np.int64), np.ascontiguousarray(ranks)


def _unit(image: Image) -> Literal["um", "mm"]:
    return "um" if max(image.grid.spacing_mm[1:]) < _FINE_MM else "mm"


def _place(found: _objects.Lattices, labels: Labels) -> dict[str, Array]:
    columns = {"voxels": found.count}
    for k, axis in enumerate("zyx"):
        columns[f"bbox_min_{axis}"] = found.low[:, k]
        columns[f"bbox_max_{axis}"] = found.high[:, k]
        columns[f"centroid_{axis}"] = found.centre[:, k]
    affine = labels.grid.affine.cpu().numpy()
    world = found.centre @ affine[:3, :3].T + affine[:3, 3]
    return columns | {f"centroid_{axis}_mm": world[:, k] for k, axis in enumerate("LPS")}


def _form_2d(
    ranks: Array, found: _objects.Lattices, spacing: tuple[float, float, float], unit: str
) -> dict[str, Array]:
    n = len(found.count)
    _, dy, dx = spacing
    area = found.count * (dy * dx)
    inertia = found.covariance[:, 1:, 1:]
    minor, major = np.linalg.eigvalsh(inertia).clip(min=0.0).T
    hull = _objects.hulls(ranks, found, spacing)
    size = found.high - found.low
    square = abs(dy - dx) <= _SQUARE * dx
    perimeter = _objects.perimeters(ranks, n) * dx if square else np.full(n, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        roundness = np.where(perimeter > 0, 4 * np.pi * area / perimeter**2, np.nan)
        eccentricity = np.where(major > 0, np.sqrt(1 - minor / np.where(major > 0, major, 1)), 0.0)
    return {
        f"area_{unit}2": area,
        f"equivalent_diameter_{unit}": np.sqrt(4 * area / np.pi),
        f"perimeter_{unit}": perimeter,
        "roundness": roundness,
        f"axis_major_length_{unit}": 4 * np.sqrt(major),
        f"axis_minor_length_{unit}": 4 * np.sqrt(minor),
        "eccentricity": eccentricity,
        "orientation_deg": np.rad2deg(_orientation(inertia)),
        "solidity": found.count / hull.count,
        "extent": found.count / (size[:, 1] * size[:, 2]),
        f"feret_diameter_max_{unit}": hull.feret,
        "euler_number": _objects.euler_numbers(ranks, n),
    }


def _orientation(covariance: Array) -> Array:
    """Give the angle between the rows' axis and the long axis, -pi/2 to pi/2, as scikit-image."""
    a, b, c = covariance[:, 1, 1], -covariance[:, 0, 1], covariance[:, 0, 0]
    even = np.where(b < 0, np.pi / 4, -np.pi / 4)
    return np.where(a == c, even, 0.5 * np.arctan2(-2 * b, c - a))


def _form_3d(
    ranks: Array, found: _objects.Lattices, spacing: tuple[float, float, float], unit: str
) -> dict[str, Array]:
    volume = found.count * float(np.prod(spacing))
    least, middle, most = np.linalg.eigvalsh(found.covariance).clip(min=0.0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        elongation = np.where(most > 0, np.sqrt(middle / np.where(most > 0, most, 1)), 1.0)
        flatness = np.where(most > 0, np.sqrt(least / np.where(most > 0, most, 1)), 1.0)
    size = found.high - found.low
    return {
        f"volume_{unit}3": volume,
        f"equivalent_diameter_{unit}": np.cbrt(6 * volume / np.pi),
        f"axis_major_length_{unit}": 2 * np.sqrt(5 * most),
        f"axis_middle_length_{unit}": 2 * np.sqrt(5 * middle),
        f"axis_minor_length_{unit}": 2 * np.sqrt(5 * least),
        "elongation": elongation,
        "flatness": flatness,
        "solidity": found.count / _hull_counts(ranks, found),
        "extent": found.count / size.prod(axis=1),
    }


def _hull_counts(ranks: Array, found: _objects.Lattices) -> Array:
    """Count the voxels in the hull of each solid object; a flat one is its own hull."""
    from scipy.spatial import ConvexHull, QhullError

    counts = found.count.astype(np.float64)
    octahedron = np.concatenate([np.eye(3), -np.eye(3)]) * 0.5
    for k, (low, high) in enumerate(zip(found.low, found.high, strict=True)):
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        mask = ranks[box] == k + 1
        points = (np.argwhere(_shell(mask))[:, None] + octahedron).reshape(-1, 3)
        try:
            hull = ConvexHull(np.unique(points, axis=0))
        except QhullError:
            continue
        places = np.indices(mask.shape).reshape(3, -1).T
        gap = places @ hull.equations[:, :3].T + hull.equations[:, 3]
        counts[k] = float((gap.max(axis=1) <= 1e-10).sum())
    return counts


def _shell(mask: Array) -> Array:
    """Keep the ends of each row: no other voxel can be a corner of the hull."""
    first = mask & ~(np.cumsum(mask, axis=2) > 1)
    last = mask & ~(np.cumsum(mask[:, :, ::-1], axis=2)[:, :, ::-1] > 1)
    found: Array = first | last
    return found


def _intensity(image: Image, ranks: Array, found: _objects.Lattices) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    count = image.data.shape[0]
    for c in range(count):
        name = image.channels[c] if image.channels else f"channel{c}" if count > 1 else ""
        head = f"{name}_" if name else ""
        got = _objects.levels(image.data[c].cpu().numpy(), ranks, found.count)
        if not np.isfinite(got.total).all():
            bad = int((~np.isfinite(got.total)).sum())
            raise IntensityError(
                f"samples inside objects must be finite, {bad} objects hold NaN or infinity in "
                f"channel {c}: replace them first, or drop those objects"
            )
        columns |= {
            f"{head}mean": got.total / found.count,
            f"{head}min": got.low,
            f"{head}max": got.high,
            f"{head}sd": np.sqrt(got.squares / found.count),
            f"{head}sum": got.total,
        }
    return columns


def _around(labels: Labels, ranks: Array, found: _objects.Lattices, unit: str) -> dict[str, Array]:
    from scipy.spatial import cKDTree

    n = len(found.count)
    pairs = _objects.touching(ranks)
    nearest = np.full(n, np.nan)
    if n > 1:
        step = np.asarray(labels.grid.spacing_mm) * (1000.0 if unit == "um" else 1.0)
        places = found.centre * step
        nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    return {
        "neighbours": np.bincount(pairs.ravel() - 1, minlength=n),
        f"nearest_{unit}": nearest,
    }


def _contained(ranks: Array, n: int, inside: Labels, labels: Labels) -> Array:
    check_pair(Image(inside.data.float(), inside.grid), labels)
    others, theirs = _ranks(inside)
    centre = _objects.lattices(theirs, len(others), (1.0, 1.0, 1.0)).centre
    z, y, x = centre.round().astype(np.int64).T
    found: Array = np.bincount(ranks[z, y, x], minlength=n + 1)[1:]
    return found


def _findings(found: _objects.Lattices, image: Image, *, flat: bool) -> tuple[str, ...]:
    told = []
    edge = (found.low[:, 1:] == 0) | (found.high[:, 1:] == image.grid.shape[1:])
    cut = int(edge.any(axis=1).sum())
    if cut:
        told.append(f"{cut} of {len(edge)} objects touch the border of the image and may be cut.")
    _, dy, dx = image.grid.spacing_mm
    if flat and abs(dy - dx) > _SQUARE * dx:
        told.append(
            f"Pixels are not square ({dy:g} x {dx:g} mm): perimeter and roundness are left out."
        )
    return tuple(told)
