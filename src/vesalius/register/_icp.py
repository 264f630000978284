"""Iterative closest point: two point sets without pairs, brought together by a linear map."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.core import Linear, Mesh, Points, Transform
from vesalius.errors import ConfigError, GeometryError
from vesalius.register._landmark_fit import IDENTITY, Dimension, fit_linear

SetModel = Literal["rigid", "similarity", "affine"]
T_co = TypeVar("T_co", bound=Transform, covariant=True)


@dataclass(frozen=True, slots=True)
class PointSearch:
    """How a search for the map between two point sets goes on and ends.

    Attributes:
        keep: Share of the fixed points that count, the nearest ones; below 1 where some have no
            counterpart (trimmed ICP). Not used by coherent point drift.
        steps: Most steps.
        tol: Rest when the error falls by less than this part of itself in one step.

    Raises:
        ConfigError: A value is out of range.
    """

    keep: float = 1.0
    steps: int = 200
    tol: float = 1e-6

    def __post_init__(self) -> None:
        if not (0 < self.keep <= 1 and self.steps >= 1 and self.tol >= 0):
            raise ConfigError(
                "keep must be above 0 and at most 1, steps at least 1 and tol not negative, got "
                f"{self.keep}, {self.steps} and {self.tol}"
            )


SEARCH = PointSearch()


@dataclass(frozen=True, slots=True, eq=False)
class PointFit(Generic[T_co]):
    """The map between two point sets.

    Attributes:
        transform: Fixed to moving.
        rms_mm: Root mean square distance at the end, mm: of the kept points to their nearest
            ones (to their planes) for ICP, of the mixture for coherent point drift.
        steps: Steps taken.
        converged: Whether it came to rest; otherwise the steps ran out.
    """

    transform: T_co
    rms_mm: float
    steps: int
    converged: bool


def icp(
    fixed: Points,
    moving: Points | Mesh,
    *,
    model: SetModel = "rigid",
    metric: Literal["point", "plane"] = "point",
    start: Linear = IDENTITY,
    search: PointSearch = SEARCH,
    dimension: Dimension = 3,
) -> PointFit[Linear]:
    """Bring a point set to the nearest points of another, again and again.

    It ends at the nearest minimum: a start within about 30 degrees is needed for most shapes.

    Args:
        fixed: The points that are mapped, mm.
        moving: Where they should lie: points, or the vertices of a mesh, mm.
        model: ``"rigid"``, ``"similarity"`` or ``"affine"``.
        metric: ``"point"`` shortens the distance to the nearest point; ``"plane"`` that to its
            tangent plane, in fewer steps on smooth surfaces; needs a mesh.
        start: First guess, fixed to moving.
        search: How many points count, and when it ends.
        dimension: 2 for points of a plane (a 2-D image): the map stays within it.

    Returns:
        The map and how well it fits.

    Raises:
        GeometryError: Points are too few, not finite, or leave the map open; planes are asked of
            points without normals, or in 2-D.

    References:
        Besl and McKay (1992), doi:10.1109/34.121791; Chen and Medioni (1992),
        doi:10.1016/0262-8856(92)90066-C (planes); Chetverikov et al. (2005),
        doi:10.1016/j.imavis.2004.05.007 (trimming).
    """
    goal = moving.vertices if isinstance(moving, Mesh) else moving.data
    source, target = check_set(fixed.data, "fixed", 4), check_set(goal, "moving", 1)
    normals = None
    if metric == "plane":
        if not isinstance(moving, Mesh) or dimension == 2:
            raise GeometryError("metric='plane' needs a Mesh as moving, and dimension=3")
        normals = vertex_normals(moving)
    nearest = _nearest(target)
    found, last = start, float("inf")
    for step in range(1, search.steps + 1):
        where, error = _matched(found, source, nearest, (target, normals), search.keep)
        if step > 1 and last - error <= search.tol * last:
            return PointFit(found, error, step - 1, True)
        last = error
        kept, goals = where
        if normals is None:
            pair = Points(source[kept]), Points(target[goals])
            found = fit_linear(*pair, model=model, dimension=dimension)
        else:
            closer = _to_planes(found(source[kept]), target[goals], normals[goals], model)
            found = Linear(closer.matrix @ found.matrix)
    error = _matched(found, source, nearest, (target, normals), search.keep)[1]
    return PointFit(found, error, search.steps, False)


def vertex_normals(mesh: Mesh) -> Float[Tensor, "n 3"]:
    """Give unit normals at the vertices: the mean of the faces', by area; 0 where none meets."""
    corners = mesh.vertices.detach().to("cpu", torch.float64)
    faces = mesh.faces.cpu().long()
    a, b, c = (corners[faces[:, i]] for i in range(3))
    doubled = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(corners)
    for i in range(3):
        normals.index_add_(0, faces[:, i], doubled)
    unit: Tensor = normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-300)
    return unit


def check_set(points: Float[Tensor, "n 3"], name: str, least: int) -> Float[Tensor, "n 3"]:
    """Give a point set as float64 on the CPU.

    Args:
        points: mm.
        name: For the message.
        least: Fewest points.

    Returns:
        The points.

    Raises:
        GeometryError: They are too few or not finite.
    """
    if len(points) < least:
        raise GeometryError(f"{name} must hold at least {least} points, got {len(points)}")
    if not bool(torch.isfinite(points).all()):
        raise GeometryError(f"{name} points must be finite, got NaN or infinity: leave those out")
    return points.detach().to("cpu", torch.float64)


def _nearest(target: Tensor) -> Callable[[Tensor], Int[Tensor, " m"]]:
    from scipy.spatial import cKDTree

    tree = cKDTree(target.numpy())
    return lambda points: torch.from_numpy(tree.query(points.numpy())[1])


def _matched(
    found: Linear,
    source: Tensor,
    nearest: Callable[[Tensor], Tensor],
    goal: tuple[Tensor, Tensor | None],
    keep: float,
) -> tuple[tuple[Tensor, Tensor], float]:
    """Pair each kept fixed point with its nearest; and the error of the pairs."""
    moved = found(source)
    pairs = nearest(moved)
    target, normals = goal
    away = moved - target[pairs]
    count = max(4, round(keep * len(source)))
    kept = away.norm(dim=1).argsort(stable=True)[:count]
    away = away[kept]
    if normals is not None:
        away = (away * normals[pairs[kept]]).sum(dim=1, keepdim=True)
    return (kept, pairs[kept]), float((away**2).sum(dim=1).mean().sqrt())


def _to_planes(moved: Tensor, goal: Tensor, normals: Tensor, model: SetModel) -> Linear:
    """Move points to planes: the least-squares small motion, made a true one by its exponential."""
    centre = moved.mean(dim=0)
    arm = moved - centre
    if model == "affine":
        rows = (normals[:, :, None] * arm[:, None, :]).reshape(-1, 9)
    else:
        rows = torch.linalg.cross(arm, normals)
        if model == "similarity":
            rows = torch.cat([rows, (arm * normals).sum(dim=1, keepdim=True)], dim=1)
    system = torch.cat([rows, normals], dim=1)
    missed = ((goal - moved) * normals).sum(dim=1)
    # a sphere slides along itself for nothing: the shortest of all solutions leaves that alone
    motion = torch.linalg.lstsq(system, missed[:, None], driver="gelsd").solution[:, 0]
    matrix = torch.eye(4, dtype=torch.float64)
    if model == "affine":
        matrix[:3, :3] += motion[:9].reshape(3, 3)
    else:
        a, b, c = motion[:3].tolist()
        skew = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
        scale = motion[3].exp() if model == "similarity" else 1.0
        matrix[:3, :3] = torch.linalg.matrix_exp(skew) * scale
    matrix[:3, 3] = centre + motion[-3:] - matrix[:3, :3] @ centre
    return Linear(matrix)
