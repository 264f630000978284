"""Parts of ITK transforms: a class name with two lists of numbers, and the map that they mean."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import BSpline, Composite, Displacement, Grid, Linear, Transform
from vesalius.errors import FormatError, GeometryError, ShapeError
from vesalius.io._frames import affine_xyz, compose, decompose, grid_from_xyz

Array = npt.NDArray[Any]
Dimensions = Literal[2, 3]
Affine = tuple[Array, Array]  # matrix (n, n), translation (n,)
ROUNDING = 1e-9  # what a matrix exponential may leave of a zero

FADE = 3  # control points; a cubic spline is zero beyond two, and ITK evaluates within one


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One transform as ITK writes it; points run fixed to moving in LPS mm, as here.

    Attributes:
        kind: Class name without number type and dimensions, such as ``"AffineTransform"``.
        dimension: 2 or 3.
        parameters: What is searched for; float32 or float64.
        fixed: What is not: a centre, or the lattice of a field.
    """

    kind: str
    dimension: int
    parameters: Array
    fixed: Array


def split_name(file: str, text: str) -> tuple[str, int]:
    """Split a class name as ITK writes it into kind and dimension.

    Args:
        file: Name of the file, for the error.
        text: Such as ``"AffineTransform_double_3_3"``.

    Returns:
        The kind and the dimension.

    Raises:
        FormatError: It is no such name, or the dimensions are not 2 or 3 and equal.
    """
    kind, *rest = text.strip().rsplit("_", 3)
    if (
        len(rest) != 3
        or rest[0] not in ("double", "float")
        or rest[1:] not in (["2"] * 2, ["3"] * 2)
    ):
        raise FormatError(
            f"{file!r} must name a transform such as AffineTransform_double_3_3, "
            f"it says {text.strip()[:80]!r}: convert it with ITK first"
        )
    return kind, int(rest[1])


def from_parts(file: str, parts: list[Part]) -> Transform:
    """Make a transform of parts.

    Args:
        file: Name of the file, for the error.
        parts: One part; or CompositeTransform and its parts, of which the last acts first.

    Returns:
        The map from the fixed to the moving world.

    Raises:
        FormatError: There is not exactly one transform, a kind is not known, numbers are missing,
            not finite, or do not make a map.
    """
    if not parts:
        raise FormatError(f"{file!r} must hold a transform, it holds none: the file is damaged")
    if parts[0].kind == "CompositeTransform":
        made = [_from_part(file, part) for part in parts[1:]]
        # the last part of ITK's queue acts first, as in ours
        return made[0] if len(made) == 1 else Composite(tuple(made)) if made else Linear.identity()
    if len(parts) > 1:
        raise FormatError(
            f"{file!r} must hold one transform or one CompositeTransform, it holds {len(parts)} "
            "side by side, whose order is not defined: save them one by one"
        )
    return _from_part(file, parts[0])


def to_parts(file: str, transform: Transform, dimensions: Dimensions) -> list[Part]:
    """Make parts of a transform.

    Args:
        file: Name of the file, for the error.
        transform: Linear, Displacement, BSpline, or a Composite of them.
        dimensions: 2 writes what happens in the plane (L, P).

    Returns:
        One part; or CompositeTransform and its parts, of which the last acts first.

    Raises:
        FormatError: A transform has no place in ITK's files, or leaves the plane.
    """
    if not isinstance(transform, Composite):
        return [_to_part(file, transform, dimensions)]
    none = np.empty(0)
    parts = [_to_part(file, part, dimensions) for part in flatten(transform)]
    return [Part("CompositeTransform", dimensions, none, none), *parts]


def holds_parts(transform: Transform) -> bool:
    """Tell whether ITK's files keep a transform as it is."""
    return all(isinstance(one, Linear | Displacement | BSpline) for one in flatten(transform))


def check_plane(file: str, dimensions: Dimensions, outside: list[Array]) -> None:
    """Refuse to write what leaves the plane for two dimensions.

    Args:
        file: Name of the file, for the error.
        dimensions: Those of the file.
        outside: What must be zero where they are 2.

    Raises:
        FormatError: It is not.
    """
    if dimensions == 2 and any(np.abs(part).max(initial=0) > ROUNDING for part in outside):
        raise FormatError(
            f"{file!r} must stay in the plane (L, P) to be written with dimensions=2, "
            "the transform moves points along S: write it with dimensions=3"
        )


def check_flat(file: str, grid: Grid) -> None:
    """Refuse a grid that is not one slice of the plane (L, P).

    Args:
        file: Name of the file, for the error.
        grid: The grid.

    Raises:
        FormatError: It has several slices, or is tilted.
    """
    affine = affine_xyz(grid)
    if grid.shape[0] != 1 or np.abs([*affine[2, :2], *affine[:2, 2]]).max() > 0:
        raise FormatError(
            f"{file!r} must have a grid of one slice in the plane (L, P) to be written with "
            f"dimensions=2, this one has {grid.shape[0]} slices and axes {grid.orientation}: "
            "write it with dimensions=3"
        )


def flatten(transform: Transform) -> list[Transform]:
    """Give the parts of nested composites as one list, outermost first."""
    if not isinstance(transform, Composite):
        return [transform]
    return [one for part in transform.parts for one in flatten(part)]


def _from_part(file: str, part: Part) -> Transform:
    for values in (part.parameters, part.fixed):
        if not np.isfinite(values).all():
            raise FormatError(
                f"{file!r} must hold finite numbers, its {part.kind} holds NaN or infinity: "
                "the search that made it failed"
            )
    key = (part.kind, part.dimension)
    try:
        if part.kind in FIELDS:
            return FIELDS[part.kind](file, part)
        if key in LINEAR:
            return _linear(file, part, *LINEAR[key])
    except (GeometryError, ShapeError) as error:
        raise FormatError(f"{file!r} must hold a transform of space: {error}") from error
    known = sorted({kind for kind, _ in LINEAR} | set(FIELDS) | {"CompositeTransform"})
    raise FormatError(
        f"{file!r} must hold transforms known here ({', '.join(known)}), "
        f"it holds {part.kind[:80]} in {part.dimension} dimensions: convert it with ITK first"
    )


def _count(file: str, part: Part, parameters: int, fixed: tuple[int, ...]) -> None:
    found = (part.parameters.size, part.fixed.size)
    if found[0] != parameters or found[1] not in fixed:
        raise FormatError(
            f"{file!r} must give {part.kind} {parameters} parameters and "
            f"{' or '.join(map(str, fixed))} fixed ones, it gives {found[0]} and {found[1]}: "
            "the file is damaged"
        )


def _linear(file: str, part: Part, count: int, build: Callable[[Array, Array], Affine]) -> Linear:
    n = part.dimension
    free = part.kind in ("TranslationTransform", "IdentityTransform")
    _count(file, part, count, (0, n) if free else (n, n + 1) if count == 6 else (n,))
    matrix, shift = build(part.parameters.astype(np.float64), part.fixed)
    centre = part.fixed[:n].astype(np.float64) if part.fixed.size else np.zeros(n)
    whole = np.eye(4)
    whole[:n, :n] = matrix
    whole[:n, 3] = shift + centre - matrix @ centre
    return Linear(torch.from_numpy(whole))


def _affine(p: Array, _: Array) -> Affine:
    n = 2 if p.size == 6 else 3
    return p[: n * n].reshape(n, n), p[n * n :]


def _turn(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _about(axis: int, angle: float) -> Array:
    a, b = [k for k in range(3) if k != axis]
    turned = np.eye(3)
    turned[np.ix_([a, b], [a, b])] = _turn(-angle if axis == 1 else angle)
    return turned


def _euler(p: Array, fixed: Array) -> Affine:
    x, y, z = (_about(axis, float(p[axis])) for axis in range(3))
    zyx = fixed.size == 4 and bool(fixed[3])
    return (z @ y @ x if zyx else z @ x @ y), p[3:]


def _versor(v: Array) -> Array:
    """Turn the vector part of a unit quaternion (sin of half the angle, along the axis)."""
    length = float(v @ v)
    if length > 1 + 1e-9:
        raise GeometryError(
            f"a versor must not be longer than 1, this one is {length**0.5:.6g}: check the file"
        )
    return _quaternion(np.array([*v, max(0.0, 1 - length) ** 0.5]))


def _quaternion(q: Array) -> Array:
    length = float(np.linalg.norm(q))
    if not length > 0:
        raise GeometryError("a quaternion must not be zero, this one is: check the file")
    x, y, z, w = q / length
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + 2 * w * skew + 2 * skew @ skew)


def _skewed(p: Array, _: Array) -> Affine:
    # scales and skews are added to the rotation, not multiplied: so ITK defines this class
    matrix = _versor(p[:3]) + np.diag(p[6:9] - 1)
    if p.size == 15:
        matrix[~np.eye(3, dtype=bool)] += p[9:]
    return matrix, p[3:6]


LINEAR: dict[tuple[str, int], tuple[int, Callable[[Array, Array], Affine]]] = {
    ("IdentityTransform", 2): (0, lambda p, _: (np.eye(2), np.zeros(2))),
    ("IdentityTransform", 3): (0, lambda p, _: (np.eye(3), np.zeros(3))),
    ("TranslationTransform", 2): (2, lambda p, _: (np.eye(2), p)),
    ("TranslationTransform", 3): (3, lambda p, _: (np.eye(3), p)),
    ("ScaleTransform", 2): (2, lambda p, _: (np.diag(p), np.zeros(2))),
    ("ScaleTransform", 3): (3, lambda p, _: (np.diag(p), np.zeros(3))),
    ("Rigid2DTransform", 2): (3, lambda p, _: (_turn(float(p[0])), p[1:])),
    ("Euler2DTransform", 2): (3, lambda p, _: (_turn(float(p[0])), p[1:])),
    ("Similarity2DTransform", 2): (4, lambda p, _: (p[0] * _turn(float(p[1])), p[2:])),
    ("Euler3DTransform", 3): (6, _euler),
    ("VersorTransform", 3): (3, lambda p, _: (_versor(p), np.zeros(3))),
    ("VersorRigid3DTransform", 3): (6, lambda p, _: (_versor(p[:3]), p[3:])),
    ("QuaternionRigidTransform", 3): (7, lambda p, _: (_quaternion(p[:4]), p[4:])),
    ("Similarity3DTransform", 3): (7, lambda p, _: (p[6] * _versor(p[:3]), p[3:6])),
    ("ScaleVersor3DTransform", 3): (9, _skewed),
    ("ScaleSkewVersor3DTransform", 3): (15, _skewed),
    ("AffineTransform", 2): (6, _affine),
    ("AffineTransform", 3): (12, _affine),
    ("MatrixOffsetTransformBase", 2): (6, _affine),
    ("MatrixOffsetTransformBase", 3): (12, _affine),
}
"""How many parameters a linear kind has, and what they mean."""


def _lattice(file: str, part: Part) -> Grid:
    """Read size, origin, spacing, direction; 2-D becomes one slice at S = 0."""
    n = part.dimension
    size, origin, spacing, direction = np.split(part.fixed.astype(np.float64), [n, 2 * n, 3 * n])
    if not ((size == size.round()) & (size >= 1) & (size < 2**31)).all():
        raise FormatError(
            f"{file!r} must give its {part.kind} whole positive sizes, it gives {size.tolist()}: "
            "the file is damaged"
        )
    sizes = tuple(int(one) for one in (*size, 1)[:3])
    return grid_from_xyz(file, sizes, compose(spacing, direction.reshape(n, n), origin))


def _vectors(part: Part, grid: Grid, *, interleaved: bool) -> torch.Tensor:
    z, y, x = grid.shape
    n = part.dimension
    samples = part.parameters.reshape((z, y, x, n) if interleaved else (n, z, y, x))
    field = np.zeros((3, z, y, x), part.parameters.dtype)
    field[:n] = np.moveaxis(samples, -1, 0) if interleaved else samples
    return torch.from_numpy(field)


def _field(file: str, part: Part, *, interleaved: bool) -> tuple[torch.Tensor, Grid]:
    n = part.dimension
    _count(file, part, part.parameters.size, (n * (n + 3),))
    grid = _lattice(file, part)
    z, y, x = grid.shape
    _count(file, part, n * z * y * x, (n * (n + 3),))
    return _vectors(part, grid, interleaved=interleaved), grid


def _displacement(file: str, part: Part) -> Displacement:
    data, grid = _field(file, part, interleaved=True)
    return Displacement(data, grid, border="zero")


def _bspline(file: str, part: Part) -> BSpline:
    data, grid = _field(file, part, interleaved=False)
    return BSpline(data, grid)


FIELDS: dict[str, Callable[[str, Part], Transform]] = {
    "BSplineTransform": _bspline,
    "DisplacementFieldTransform": _displacement,
}
"""Kinds whose fixed numbers are a lattice: size, origin, spacing, direction."""


def _to_part(file: str, transform: Transform, dimensions: Dimensions) -> Part:
    n = dimensions
    if isinstance(transform, Linear):
        matrix = transform.matrix.detach().cpu().numpy()
        check_plane(file, dimensions, [matrix[2, :2], matrix[:2, 2], matrix[2, 2:] - [1, 0]])
        numbers = np.concatenate([matrix[:n, :n].reshape(-1), matrix[:n, 3]])
        return Part("AffineTransform", n, numbers, np.zeros(n))
    if isinstance(transform, BSpline):
        data, grid = _widened(file, transform, dimensions)
        check_plane(file, dimensions, [data[2]])
        fixed = _fixed(file, grid, dimensions)
        return Part("BSplineTransform", n, data[:n].reshape(-1), fixed)
    if isinstance(transform, Displacement):
        data = transform.data.detach().cpu().numpy()
        check_plane(file, dimensions, [data[2]])
        fixed = _fixed(file, transform.grid, dimensions)
        numbers = np.ascontiguousarray(np.moveaxis(data[:n], 0, -1)).reshape(-1)
        return Part("DisplacementFieldTransform", n, numbers, fixed)
    raise FormatError(
        f"{file!r} can hold linear, displacement and B-spline transforms, got "
        f"{type(transform).__name__}: give like=, the grid to sample its displacement on"
    )


def _widened(file: str, spline: BSpline, dimensions: Dimensions) -> tuple[Array, Grid]:
    """Surround control points by zeros, where ours fade out and ITK would stop at once."""
    data = spline.coefficients.detach().cpu().numpy()
    if dimensions == 3 and min(data.shape[1:]) == 1:
        raise FormatError(
            f"{file!r} must have several control points along each axis, this B-spline has "
            f"{' x '.join(map(str, data.shape[1:]))} (z, y, x): write it with dimensions=2"
        )
    a, b, c = (0 if n == 1 else FADE for n in data.shape[1:])
    inner = data[:, a : data.shape[1] - a, b : data.shape[2] - b, c : data.shape[3] - c]
    if np.count_nonzero(data) == np.count_nonzero(inner):
        return data, spline.grid  # they are there already
    z, y, x = (n + 2 * m for n, m in zip(data.shape[1:], (a, b, c), strict=True))
    wide = np.pad(data, ((0, 0), (a, a), (b, b), (c, c)))
    return wide, spline.grid.crop((-a, -b, -c), (z, y, x))


def _fixed(file: str, grid: Grid, dimensions: Dimensions) -> Array:
    affine, n = affine_xyz(grid), dimensions
    if not grid.is_orthogonal:
        raise FormatError(
            f"{file!r} must have a lattice with right angles, this grid is sheared: "
            "give like=, a grid with right angles"
        )
    if dimensions == 2:
        check_flat(file, grid)
    spacing, direction, origin = decompose(affine)
    z, y, x = grid.shape
    lattice = [*(x, y, z)[:n], *origin[:n], *spacing[:n], *direction[:n, :n].reshape(-1)]
    return np.array(lattice, dtype=np.float64)
