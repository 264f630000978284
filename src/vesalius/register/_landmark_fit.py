"""Landmark pairs: what they must be for a fit, the linear fits, and the splines' linear system."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Linear, Points
from vesalius.errors import GeometryError, ShapeError
from vesalius.register._plan import LinearModel

Dimension = Literal[2, 3]
FLAT = 1e-6  # an extent below this part of the longest one counts as none
MOST = 12_000  # unknowns of a dense system: 1.2 GB
IDENTITY = Linear.identity()
SHAPES = {0: "all in one place", 1: "on one line", 2: "in one plane"}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Coordinates in which landmarks are fitted: the world's, or those of the landmarks' plane.

    Attributes:
        origin: (3,), the centre of the fixed landmarks, mm.
        axes: (d, 3), orthonormal rows; the world's for d = 3.
    """

    origin: Tensor
    axes: Tensor

    def coordinates(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch d"]:
        """Give the coordinates of world points, mm."""
        away = points_mm - self.origin.to(points_mm.device, points_mm.dtype)
        if len(self.axes) == 3:  # the world's own: a product would cost more than the spline
            return away
        return away @ self.axes.to(points_mm.device, points_mm.dtype).T


WORLD = Frame(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))


def fit_linear(
    fixed: Points,
    moving: Points,
    *,
    model: LinearModel = "affine",
    weights: Float[Tensor, " n"] | None = None,
    dimension: Dimension = 3,
) -> Linear:
    """Fit a linear map to landmark pairs in the sense of least squares, in closed form.

    Args:
        fixed: (N, 3), mm.
        moving: (N, 3), mm; row i is the same place as row i of ``fixed``.
        model: ``"translation"``, ``"rigid"``, ``"similarity"`` (one scale) or ``"affine"``.
        weights: (N,), how much each pair counts, at least 0; None counts all alike.
        dimension: 2 for landmarks of a plane (a 2-D image): the map moves within that plane and
            leaves the direction across it alone.

    Returns:
        Fixed to moving. Never a reflection but for ``"affine"``.

    Raises:
        ShapeError: The landmarks or weights do not pair up.
        GeometryError: They are too few, not finite, or on a line or plane that leaves the map
            undetermined.

    References:
        Umeyama (1991), doi:10.1109/34.88573, eqs. (40) to (42), with weights.
    """
    least = {"translation": 1, "affine": dimension + 1}.get(model, 3)
    source, target = checked(fixed, moving, least, model)
    w = _checked_weights(weights, source)
    centre, shift = w @ source, w @ (target - source)
    if model == "translation":
        return _embedded(WORLD, torch.eye(3, dtype=torch.float64), centre, shift)
    here = frame(source[w > 0], dimension if model == "affine" else 2, dimension)
    if dimension == 2:
        check_plane(here, target[w > 0])
    a, b = (source - centre) @ here.axes.T, (target - centre - shift) @ here.axes.T
    if model == "affine":
        part = torch.linalg.lstsq(a * w.sqrt()[:, None], b * w.sqrt()[:, None]).solution.T
    else:
        part = _rotation(a, b, w, scaled=model == "similarity")
    return _embedded(here, part, centre, shift)


def checked(fixed: Points, moving: Points, least: int, what: str) -> tuple[Tensor, Tensor]:
    """Give both sets as (N, 3) float64 on the CPU; refuse sets that cannot be pairs.

    Args:
        fixed: The landmarks in the fixed world.
        moving: The same places in the moving world.
        least: Fewest pairs.
        what: Name of the map, for the message.

    Returns:
        Fixed and moving places, mm.

    Raises:
        ShapeError: The numbers differ.
        GeometryError: Too few, or not finite.
    """
    if len(fixed) != len(moving):
        raise ShapeError(
            f"landmarks must come in pairs, got {len(fixed)} fixed and {len(moving)} moving: "
            "row i of both must be the same place"
        )
    if len(fixed) < least:
        raise GeometryError(
            f"a {what} map needs at least {least} landmark pairs, got {len(fixed)}: "
            "add pairs or choose a simpler model"
        )
    if not bool(torch.isfinite(fixed.data).all() and torch.isfinite(moving.data).all()):
        raise GeometryError("landmarks must be finite, got NaN or infinity: leave those pairs out")
    source, target = fixed.data.detach(), moving.data.detach()
    return source.to("cpu", torch.float64), target.to("cpu", torch.float64)


def frame(source: Float[Tensor, "n 3"], span: int, dimension: Dimension) -> Frame:
    """Choose the coordinates of a fit.

    Args:
        source: Fixed landmarks, mm.
        span: Directions that they must spread over; 3 is refused for a plane, 2 for a line.
        dimension: Of the fit.

    Returns:
        The world's axes, or two axes of the landmarks' plane.

    Raises:
        GeometryError: They spread over fewer directions, or do not lie in a plane where one
            was promised.
    """
    centre = source.mean(dim=0)
    _, extent, axes = torch.linalg.svd(source - centre, full_matrices=False)
    spread = int((extent > FLAT * extent[0].clamp_min(1e-300)).sum())
    if spread < span:
        raise GeometryError(
            f"landmarks must spread over {span} directions, these {len(source)} lie "
            f"{SHAPES[spread]}: add at least {span - spread} elsewhere"
            + (", or use dimension=2 for a plane" if (spread, span) == (2, 3) else "")
        )
    if dimension == 3:
        return Frame(centre, torch.eye(3, dtype=torch.float64))
    if len(extent) == 3 and float(extent[2]) > 1e-4 * float(extent[0]):
        raise GeometryError(
            f"dimension=2 needs landmarks in one plane, these leave it by up to "
            f"{float(((source - centre) @ axes[2]).abs().max()):.3g} mm: use dimension=3"
        )
    return Frame(centre, axes[:2])


def check_plane(here: Frame, target: Float[Tensor, "n 3"]) -> None:
    """Refuse moving landmarks that leave a plane parallel to the fixed one.

    Args:
        here: Two axes of the fixed plane.
        target: Moving landmarks, mm.

    Raises:
        GeometryError: They do.
    """
    normal = torch.linalg.cross(here.axes[0], here.axes[1])
    height = (target - target.mean(dim=0)) @ normal
    if float(height.abs().max()) > 1e-4 * float((target - target.mean(dim=0)).norm()):
        raise GeometryError(
            "dimension=2 needs moving landmarks in a plane parallel to the fixed one, these leave "
            f"it by up to {float(height.abs().max()):.3g} mm: use dimension=3"
        )


def check_distinct(places: Float[Tensor, "n 3"], name: str) -> None:
    """Refuse two landmarks in one place: a map through both would not exist or not invert.

    Args:
        places: (N, 3), mm.
        name: ``"fixed"`` or ``"moving"``, for the message.

    Raises:
        GeometryError: Two are closer than 1e-9 of the extent.
    """
    apart = torch.cdist(places, places)
    size = float(apart.max())
    apart.fill_diagonal_(torch.inf)
    nearest = int(apart.argmin())
    if float(apart.min()) <= 1e-9 * size:
        i, j = divmod(nearest, len(places))
        raise GeometryError(
            f"{name} landmarks {i} and {j} fall together, so no invertible map goes through both: "
            "leave one out, or give smoothing > 0"
        )


def check_size(unknowns: int) -> None:
    """Refuse a spline whose dense matrix would fill the memory.

    Args:
        unknowns: Its rows.

    Raises:
        GeometryError: They are more than ``MOST``.
    """
    if unknowns > MOST:
        raise GeometryError(
            f"a spline may have {MOST} unknowns at most, these landmarks give {unknowns} and a "
            f"matrix of {8e-9 * unknowns**2:.1f} GB: take every k-th landmark"
        )


def smoothing_diagonal(smoothing: float, error_mm: tuple[float, ...], n: int) -> Tensor:
    """Give what smoothing adds to each landmark's diagonal entry.

    Args:
        smoothing: Strength.
        error_mm: Standard deviation of each landmark, mm; empty takes 1 for all.
        n: Number of landmarks.

    Returns:
        (n,), ``smoothing * error_mm ** 2``.

    Raises:
        ShapeError: There are not n errors.
        GeometryError: One is negative.
    """
    errors = torch.tensor(error_mm or (1.0,) * n, dtype=torch.float64)
    if len(errors) != n:
        raise ShapeError(f"error_mm must give one number for each of {n} pairs, got {len(errors)}")
    if not smoothing >= 0 or not bool((errors >= 0).all()):
        raise GeometryError(
            "smoothing and error_mm must be at least 0, got "
            f"{smoothing:g} and a smallest error of {float(errors.min()):g} mm"
        )
    return smoothing * errors**2


def solve_spline(
    kernel: Float[Tensor, "m m"], polynomial: Float[Tensor, "m p"], values: Float[Tensor, "m k"]
) -> tuple[Float[Tensor, "m k"], Float[Tensor, "p k"]]:
    """Solve ``K w + P c = y`` under the side conditions ``P' w = 0``.

    Args:
        kernel: K, symmetric.
        polynomial: P, of full column rank.
        values: y.

    Returns:
        Weights w and coefficients c.

    Raises:
        GeometryError: The system is singular to working precision.
    """
    m, p = polynomial.shape
    size = kernel.abs().max().clamp_min(1e-300)
    columns = polynomial.norm(dim=0) / m**0.5
    matrix = torch.zeros(m + p, m + p, dtype=torch.float64)
    matrix[:m, :m] = kernel / size
    matrix[:m, m:] = polynomial / columns
    matrix[m:, :m] = matrix[:m, m:].T
    right = torch.cat([values, torch.zeros(p, values.shape[1], dtype=torch.float64)])
    solution, info = torch.linalg.solve_ex(matrix, right)
    error = float((matrix @ solution - right).abs().max())
    if int(info) != 0 or not error <= 1e-6 * float(right.abs().max().clamp_min(1e-300)):
        raise GeometryError(
            f"the spline through {m} values must have one solution, its system is singular "
            f"(residual {error:.3g} mm): narrow the kernel or give smoothing > 0"
        )
    return solution[:m] / size, solution[m:] / columns[:, None]


def _checked_weights(weights: Tensor | None, source: Tensor) -> Tensor:
    w = torch.ones(len(source)) if weights is None else weights.detach()
    w = w.to("cpu", torch.float64)
    if len(w) != len(source):
        raise ShapeError(f"weights must be one for each of {len(source)} pairs, got {len(w)}")
    if not bool((w >= 0).all()) or not 0 < float(w.sum()) < float("inf"):
        raise GeometryError(
            "weights must be finite, at least 0 and one of them above, they are not: "
            f"they go from {float(w.min()):g} to {float(w.max()):g}"
        )
    return w / w.sum()


def _rotation(a: Tensor, b: Tensor, w: Tensor, *, scaled: bool) -> Tensor:
    """Rotate (and scale) a onto b; the smallest direction is flipped where it would reflect."""
    u, size, vh = torch.linalg.svd((b * w[:, None]).T @ a)
    if len(size) == 3 and not float(size[1]) > FLAT * float(size[0]):
        raise GeometryError(
            "moving landmarks must spread over 2 directions to fix a rotation, these lie on one "
            "line or in one place: add others, or fit a translation"
        )
    sign = torch.ones_like(size)
    sign[-1] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vh))
    part: Tensor = (u * sign) @ vh
    return part * ((size * sign).sum() / (w @ (a**2).sum(dim=1))) if scaled else part


def _embedded(here: Frame, part: Tensor, centre: Tensor, shift: Tensor) -> Linear:
    """Make the world's matrix: ``part`` in the frame, nothing across it."""
    flat = here.axes.T @ here.axes
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] += here.axes.T @ part @ here.axes - flat
    matrix[:3, 3] = centre + shift - matrix[:3, :3] @ centre
    return Linear(matrix)
