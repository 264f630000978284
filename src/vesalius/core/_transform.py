"""Transform: a map of points of the fixed world to points of the moving world, in mm."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._grid import Grid, Triple
from vesalius.errors import GeometryError, ShapeError, UnitError

if TYPE_CHECKING:
    import vesalius.core._displacement

PointsMm = Float[Tensor, "*batch 3"]


class Transform(ABC):
    """A map ``T(fixed point) -> moving point``, LPS, mm; images are pulled through it.

    ``(A @ B)(x) == A(B(x))``: the right one acts first. Every transform has an inverse.
    """

    __slots__ = ()

    @abstractmethod
    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""

    @abstractmethod
    def inverse(self) -> "Transform":
        """Give the map from the moving world back to the fixed one."""

    @abstractmethod
    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point, at each point."""

    def to_field(self, grid: Grid) -> "vesalius.core._displacement.Displacement":
        """Give the displacement at the voxels of ``grid``, as a field; exact there."""
        from vesalius.core._displacement import field_of  # a field is a transform: no cycle

        return field_of(self, grid)

    def __matmul__(self, other: "Transform") -> "Transform":
        """Give ``x -> self(other(x))``; linear maps that meet are folded into one."""
        parts: list[Transform] = []
        for part in (*_parts(self), *_parts(other)):
            if parts and isinstance(parts[-1], Linear) and isinstance(part, Linear):
                parts[-1] = Linear(parts[-1].matrix @ part.matrix)
            else:
                parts.append(part)
        return parts[0] if len(parts) == 1 else Composite(tuple(parts))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Linear(Transform):
    """An affine map, held as one homogeneous matrix.

    Attributes:
        matrix: (4, 4) float64; fixed (L, P, S, 1) to moving (L, P, S, 1), mm.

    Raises:
        ShapeError: ``matrix`` is not (4, 4).
        GeometryError: ``matrix`` is singular or not affine.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        matrix = torch.as_tensor(self.matrix, dtype=torch.float64).clone()
        if tuple(matrix.shape) != (4, 4):
            raise ShapeError(f"matrix must have shape (4, 4), got {tuple(matrix.shape)}")
        if matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
            raise GeometryError(f"matrix must end in (0, 0, 0, 1), got {matrix[3].tolist()}")
        if not bool(torch.isfinite(matrix).all()):
            raise GeometryError("matrix must be finite, got NaN or infinity: check what made it")
        columns = matrix[:3, :3].detach()
        determinant = float(torch.linalg.det(columns))
        if not abs(determinant) > 1e-12 * float(columns.norm(dim=0).prod()):
            raise GeometryError(
                f"matrix must be invertible, its determinant is {determinant:g}: check its rows"
            )
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> "Linear":
        """Make the map that leaves every point where it is."""
        return cls(torch.eye(4, dtype=torch.float64))

    @classmethod
    def translation(cls, shift_mm: Triple) -> "Linear":
        """Make the map that adds ``shift_mm`` (L, P, S) to a fixed point."""
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, 3] = torch.tensor(shift_mm, dtype=torch.float64)
        return cls(matrix)

    @classmethod
    def rotation(
        cls,
        rotation_deg: Triple,
        *,
        centre_mm: Triple,
    ) -> "Linear":
        """Make a rotation about a stated centre, by the exponential of a rotation vector.

        Args:
            rotation_deg: Rotation vector (L, P, S): its direction is the axis, its length the
                angle in degrees, right-handed.
            centre_mm: World point (L, P, S) that stays, mm.

        Returns:
            The rigid map.
        """
        a, b, c = (torch.deg2rad(torch.tensor(rotation_deg, dtype=torch.float64))).tolist()
        skew = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
        centre = torch.tensor(centre_mm, dtype=torch.float64)
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = torch.linalg.matrix_exp(skew)
        matrix[:3, 3] = centre - matrix[:3, :3] @ centre
        return cls(matrix)

    @classmethod
    def rigid(cls, rotation_deg: Triple, shift_mm: Triple, *, centre_mm: Triple) -> "Linear":
        """Make a rotation about a stated centre, then a shift.

        Args:
            rotation_deg: As in ``rotation``.
            shift_mm: Added to the rotated point (L, P, S), mm.
            centre_mm: World point (L, P, S) that the rotation leaves, mm.

        Returns:
            The map ``x -> R (x - centre) + centre + shift``.
        """
        turned = cls.rotation(rotation_deg, centre_mm=centre_mm)
        return cls.translation(shift_mm)._after(turned)

    @classmethod
    def similarity(
        cls, scale: float, rotation_deg: Triple, shift_mm: Triple, *, centre_mm: Triple
    ) -> "Linear":
        """Make a rotation and an equal scaling about a stated centre, then a shift.

        Args:
            scale: Factor of every length, fixed to moving; above 0.
            rotation_deg: As in ``rotation``.
            shift_mm: Added to the turned and scaled point (L, P, S), mm.
            centre_mm: World point (L, P, S) that rotation and scaling leave, mm.

        Returns:
            The map ``x -> scale R (x - centre) + centre + shift``.

        Raises:
            GeometryError: ``scale`` is not positive.
        """
        if not scale > 0:
            raise GeometryError(f"scale must be positive, got {scale:g}: give a factor of lengths")
        turned = cls.rotation(rotation_deg, centre_mm=centre_mm)
        grown = cls.affine(
            scale * torch.eye(3, dtype=torch.float64), (0.0, 0.0, 0.0), centre_mm=centre_mm
        )
        return cls.translation(shift_mm)._after(grown)._after(turned)

    @classmethod
    def affine(cls, matrix: Tensor, shift_mm: Triple, *, centre_mm: Triple) -> "Linear":
        """Make any linear map about a stated centre, then a shift.

        Args:
            matrix: (3, 3); acts on (L, P, S) vectors from the centre.
            shift_mm: Added to the mapped point (L, P, S), mm.
            centre_mm: World point (L, P, S) that ``matrix`` leaves, mm.

        Returns:
            The map ``x -> matrix (x - centre) + centre + shift``.

        Raises:
            ShapeError: ``matrix`` is not (3, 3).
            GeometryError: ``matrix`` is singular or not finite.
        """
        if tuple(matrix.shape) != (3, 3):
            raise ShapeError(f"matrix must have shape (3, 3), got {tuple(matrix.shape)}")
        inner = matrix.to("cpu", torch.float64)
        centre = torch.tensor(centre_mm, dtype=torch.float64)
        last = centre - inner @ centre + torch.tensor(shift_mm, dtype=torch.float64)
        bottom = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
        return cls(torch.cat([torch.cat([inner, last[:, None]], dim=1), bottom]))

    def _after(self, first: "Linear") -> "Linear":
        return Linear(self.matrix @ first.matrix)

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        check_points(points_mm)
        matrix = self.matrix.to(points_mm.device, points_mm.dtype)
        return points_mm @ matrix[:3, :3].T + matrix[:3, 3]

    def inverse(self) -> "Linear":
        """Give the exact inverse."""
        # the last row is put back exactly, and not in place: derivatives flow through
        return Linear(torch.cat([torch.linalg.inv(self.matrix)[:3], self.matrix[3:].detach()]))

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the 3 x 3 part of the matrix at each point."""
        matrix = self.matrix[:3, :3].to(points_mm.device, points_mm.dtype)
        return matrix.expand(*points_mm.shape[:-1], 3, 3)

    def __repr__(self) -> str:
        rows = "; ".join(" ".join(f"{v:.6g}" for v in row) for row in self.matrix[:3].tolist())
        return f"Linear(fixed -> moving, mm, LPS, [{rows}])"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Composite(Transform):
    """Several transforms in a row; the last of ``parts`` acts first, as in ``A @ B``.

    Attributes:
        parts: The transforms, outermost first.
    """

    parts: tuple[Transform, ...]

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        for part in reversed(self.parts):
            points_mm = part(points_mm)
        return points_mm

    def inverse(self) -> "Composite":
        """Give the inverses in reverse order."""
        return Composite(tuple(part.inverse() for part in reversed(self.parts)))

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the product of the parts' derivatives (chain rule)."""
        total = torch.eye(3, dtype=points_mm.dtype, device=points_mm.device)
        total = total.expand(*points_mm.shape[:-1], 3, 3)
        for part in reversed(self.parts):
            total = part.jacobian(points_mm) @ total
            points_mm = part(points_mm)
        return total

    def __repr__(self) -> str:
        return f"Composite(fixed -> moving, mm, LPS, {len(self.parts)} parts)"


def _parts(transform: Transform) -> tuple[Transform, ...]:
    return transform.parts if isinstance(transform, Composite) else (transform,)


def check_points(points_mm: Tensor) -> None:
    """Refuse what is not points (..., 3) in float32 or float64: an integer would be cut."""
    if points_mm.ndim < 1 or points_mm.shape[-1] != 3:
        raise ShapeError(
            f"points_mm must have shape (..., 3), (L, P, S) mm, got {tuple(points_mm.shape)}"
        )
    if points_mm.dtype not in (torch.float32, torch.float64):
        raise UnitError(
            f"points_mm must be float32 or float64, in a tensor of torch, got {points_mm.dtype} in "
            f"a {type(points_mm).__name__}: use torch.as_tensor(points_mm).double()"
        )
