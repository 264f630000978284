"""Grid: where the samples of an image are in the world, without the samples."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import GeometryError, ShapeError

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A lattice of sample positions in the patient or stage (LPS, millimetres).

    Attributes:
        shape: Number of samples along (z, y, x).
        affine: (4, 4) float64 on the CPU; maps the array index ``(z, y, x, 1)`` of a voxel centre
            to the world point ``(L, P, S, 1)``, mm.

    Raises:
        ShapeError: A size is not positive or the affine is not (4, 4).
        GeometryError: The affine is singular, not finite, or its last row is not (0, 0, 0, 1).
    """

    shape: tuple[int, int, int]
    affine: Tensor

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ShapeError(
                f"shape must be three sizes (z, y, x) of at least 1, got {self.shape}: "
                "use z = 1 for a 2-D image"
            )
        affine = torch.as_tensor(self.affine, dtype=torch.float64, device="cpu").detach().clone()
        if tuple(affine.shape) != (4, 4):
            raise ShapeError(
                f"affine must have shape (4, 4), got {tuple(affine.shape)}: "
                "give the map from (z, y, x, 1) to (L, P, S, 1)"
            )
        if not bool(torch.isfinite(affine).all()):
            raise GeometryError("affine must be finite, got NaN or infinity: check the file header")
        if affine[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
            raise GeometryError(
                f"affine must end in the row (0, 0, 0, 1), got {affine[3].tolist()}: "
                "projective maps are not grids"
            )
        volume = abs(float(torch.linalg.det(affine[:3, :3])))
        norms = affine[:3, :3].norm(dim=0)
        if float(norms.min()) <= 0.0 or volume < 1e-9 * float(norms.prod()):
            raise GeometryError(
                f"affine must be invertible, got voxel volume {volume:g} mm^3: "
                "its axes are parallel or have zero length"
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: Triple = (1.0, 1.0, 1.0),
        *,
        origin_mm: Triple = (0.0, 0.0, 0.0),
    ) -> "Grid":
        """Make an axis-aligned grid: x runs to L, y to P, z to S.

        Args:
            shape: Number of samples along (z, y, x).
            spacing_mm: Distance between samples along (z, y, x), mm.
            origin_mm: World point (L, P, S) of voxel (0, 0, 0), mm.

        Returns:
            The grid.

        Raises:
            GeometryError: A spacing is not positive.
        """
        if not all(math.isfinite(s) and s > 0 for s in spacing_mm):
            raise GeometryError(f"spacing_mm must be positive, got {spacing_mm}: give mm per voxel")
        dz, dy, dx = spacing_mm
        left, posterior, superior = origin_mm
        rows = [[0, 0, dx, left], [0, dy, 0, posterior], [dz, 0, 0, superior], [0, 0, 0, 1]]
        return cls(shape, torch.tensor(rows, dtype=torch.float64))

    @property
    def spacing_mm(self) -> Triple:
        """Distance between neighbouring samples along (z, y, x), mm."""
        rows = self.affine[:3, :3].tolist()
        dz, dy, dx = (math.sqrt(sum(row[axis] ** 2 for row in rows)) for axis in range(3))
        return (dz, dy, dx)

    @property
    def origin_mm(self) -> Triple:
        """World point (L, P, S) of the centre of voxel (0, 0, 0), mm."""
        left, posterior, superior = self.affine[:3, 3].tolist()
        return (left, posterior, superior)

    @property
    def direction(self) -> Float[Tensor, "3 3"]:
        """Unit vectors of the array axes: column 0 is z, 1 is y, 2 is x, in (L, P, S)."""
        columns = self.affine[:3, :3]
        unit: Tensor = columns / columns.norm(dim=0)
        return unit

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm^3; right for a sheared grid too."""
        return abs(float(torch.linalg.det(self.affine[:3, :3])))

    @property
    def is_orthogonal(self) -> bool:
        """Whether the axes meet at right angles (to 1e-4), so that spacing says it all."""
        rows = self.affine[:3, :3].tolist()
        size = self.spacing_mm
        cosines = (
            sum(row[a] * row[b] for row in rows) / (size[a] * size[b])
            for a, b in ((0, 1), (0, 2), (1, 2))
        )
        return all(abs(cosine) < 1e-4 for cosine in cosines)

    @property
    def orientation(self) -> str:
        """Letters of the world direction in which the array's z, y, x grow, such as ``"SPL"``."""
        letters = ("LR", "PA", "SI")
        d = self.direction.tolist()
        # the best one-to-one pairing: on a grid at 45 degrees no letter may come twice
        worlds = max(permutations(range(3)), key=lambda w: sum(abs(d[w[a]][a]) for a in range(3)))
        return "".join(letters[w][0 if d[w][a] > 0 else 1] for a, w in enumerate(worlds))

    def to_world(self, index: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map array indices (z, y, x) to world points (L, P, S), mm."""
        affine = self.affine.to(index.device, index.dtype)
        return index @ affine[:3, :3].T + affine[:3, 3]

    def to_index(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map world points (L, P, S), mm, to array indices (z, y, x), fractional."""
        inverse = torch.linalg.inv(self.affine).to(points_mm.device, points_mm.dtype)
        index: Tensor = points_mm @ inverse[:3, :3].T + inverse[:3, 3]
        return index

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> "Grid":
        """Take a box of voxels; a negative start or a larger shape pads instead.

        Args:
            start: Index (z, y, x) of the new first voxel in this grid.
            shape: Number of samples of the new grid along (z, y, x).

        Returns:
            A grid whose voxels lie on this grid's lattice.
        """
        affine = self.affine.clone()
        affine[:3, 3] += affine[:3, :3] @ torch.tensor(start, dtype=torch.float64)
        return Grid(shape, affine)

    def __repr__(self) -> str:
        z, y, x = self.shape
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        origin = ", ".join(f"{o:.4g}" for o in self.origin_mm)
        return f"Grid(zyx {z} x {y} x {x}, {spacing} mm, {self.orientation}, origin LPS ({origin}))"


def differences(first: Grid, second: Grid, *, tol_mm: float = 1e-3) -> tuple[str, ...]:
    """Say in which of size, spacing, direction, origin two grids differ, and by how much.

    Args:
        first: The grid compared against (usually the image's).
        second: The other grid (usually the mask's).
        tol_mm: Largest distance that still counts as equal, mm, taken over the corners of the grid
            for the direction; never more than a hundredth of the smallest voxel edge, so that it
            means something in microscopy.

    Returns:
        One sentence for each difference; empty where the grids are equal.
    """
    found: list[str] = []
    tol_mm = min(tol_mm, 0.01 * min(*first.spacing_mm, *second.spacing_mm))
    if first.shape != second.shape:
        found.append(f"size differs: {first.shape} against {second.shape} voxels (z, y, x)")
    spacing = [abs(a - b) for a, b in zip(first.spacing_mm, second.spacing_mm, strict=True)]
    reach = max(first.shape)
    if max(spacing) * reach > tol_mm:
        one = ", ".join(f"{s:.6g}" for s in first.spacing_mm)
        two = ", ".join(f"{s:.6g}" for s in second.spacing_mm)
        found.append(
            f"spacing differs by up to {max(spacing):.4g} mm: ({one}) against ({two}) mm (z, y, x)"
        )
    tilt = float((first.direction - second.direction).norm(dim=0).max())
    extent = max(n * s for n, s in zip(first.shape, first.spacing_mm, strict=True))
    if tilt * extent > tol_mm:
        degrees = math.degrees(2 * math.asin(min(1.0, tilt / 2)))
        found.append(
            f"direction differs by up to {degrees:.4g} deg ({tilt * extent:.4g} mm at the far end)"
        )
    shift = float((first.affine[:3, 3] - second.affine[:3, 3]).norm())
    if shift > tol_mm:
        one = ", ".join(f"{o:.6g}" for o in first.origin_mm)
        two = ", ".join(f"{o:.6g}" for o in second.origin_mm)
        found.append(f"origin differs by {shift:.4g} mm: ({one}) against ({two}) mm (L, P, S)")
    return tuple(found)
