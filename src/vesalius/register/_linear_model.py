"""Freedoms of a linear model: which small motions it allows, about which centre, on what scale."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import numpy as np
import torch

from vesalius.core import Grid, Image, Linear, resample
from vesalius.errors import GeometryError, RegionError
from vesalius.register._plan import LinearModel


@dataclass(frozen=True, slots=True, eq=False)
class Freedoms:
    """The small motions of a model in the fixed world, and the centre they turn about.

    A step is the matrix exponential of a sum of generators, so that rotations have no gimbal
    lock and every step stays in the model. One unit of any parameter moves a point of the image
    by about 1 mm: turning and scaling are divided by the radius of gyration.

    Attributes:
        generators: (n, 4, 4); they act on (point - centre, 1), mm.
        centre_mm: (3,), what stays where it is under turning, scaling and shearing.
        spread_mm2: (3, 3), mean outer product of (point - centre) over the image.
    """

    generators: np.ndarray
    centre_mm: np.ndarray
    spread_mm2: np.ndarray

    def step(self, amounts: np.ndarray) -> np.ndarray:
        """Give the (4, 4) map of the fixed world that ``amounts`` of each generator make."""
        motion = torch.from_numpy(np.tensordot(amounts, self.generators, 1))
        inner: np.ndarray = torch.linalg.matrix_exp(motion).numpy()
        inner[3] = (0.0, 0.0, 0.0, 1.0)  # exactly: the exponential rounds
        about = np.eye(4)
        about[:3, 3] = self.centre_mm
        back = np.eye(4)
        back[:3, 3] = -self.centre_mm
        whole: np.ndarray = about @ inner @ back
        return whole

    def length_mm(self, amounts: np.ndarray) -> float:
        """Give the root mean square motion of the image's points, mm, to first order."""
        motion = np.tensordot(amounts, self.generators, 1)[:3]
        turn, shift = motion[:, :3], motion[:, 3]
        return math.sqrt(float(shift @ shift + np.trace(turn @ self.spread_mm2 @ turn.T)))

    def metric(self) -> np.ndarray:
        """Give the (n, n) matrix whose quadratic form is ``length_mm`` squared."""
        turns, shifts = self.generators[:, :3, :3], self.generators[:, :3, 3]
        moved = turns @ self.spread_mm2
        form: np.ndarray = np.einsum("aij,bij->ab", moved, turns) + shifts @ shifts.T
        return form

    def rates(self, start: np.ndarray, fixed: Grid, moving: Grid) -> np.ndarray:
        """Give the derivative of the index map by the amounts, at none.

        Args:
            start: (4, 4), fixed to moving world; the step acts before it.
            fixed: The fixed lattice.
            moving: The moving lattice.

        Returns:
            (12, n): rows as in ``ops._linear_sums``, (moving axis) x (1, z, y, x), the place
            counted from the centre.
        """
        out = np.linalg.inv(moving.affine.numpy()[:3, :3]) @ start[:3, :3]
        place = fixed.affine.numpy()[:3, :3]
        parts = [
            np.concatenate([(out @ g[:3, 3])[:, None], out @ g[:3, :3] @ place], axis=1)
            for g in self.generators
        ]
        return np.stack(parts, axis=-1).reshape(12, -1)


def freedoms(model: LinearModel, fixed: Image, *, flat: bool, mask: Image | None) -> Freedoms:
    """Give the freedoms of a model for a fixed image.

    Args:
        model: ``"translation"``, ``"rigid"``, ``"similarity"`` (rigid and one scale) or
            ``"affine"``.
        fixed: The fixed image; only its grid is read.
        flat: Whether both images are 2-D: only motions in the plane are allowed.
        mask: Where the fixed image counts; its centre of mass is the centre. None for the grid's.

    Returns:
        The freedoms.

    Raises:
        RegionError: The mask is 0 everywhere on the fixed grid.
    """
    centre, spread = _extent(fixed, mask)
    if flat:
        axes = fixed.grid.direction[:, 1:].numpy().T
        normal = fixed.grid.direction[:, 0].numpy()
        inside = np.eye(3) - np.outer(normal, normal)
        spread = inside @ spread @ inside
    else:
        axes = np.eye(3)
    radius = max(math.sqrt(float(np.trace(spread))), 1e-12)
    shifts = [_generator(np.zeros((3, 3)), axis) for axis in axes]
    if model == "translation":
        return Freedoms(np.stack(shifts), centre, spread)
    turns = [np.outer(b, a) - np.outer(a, b) for i, a in enumerate(axes) for b in axes[i + 1 :]]
    if model == "similarity":
        turns.append(axes.T @ axes)
    if model == "affine":
        turns = [np.outer(a, b) for a in axes for b in axes]
    linear = [_generator(t / radius, np.zeros(3)) for t in turns]
    return Freedoms(np.stack(shifts + linear), centre, spread)


def rigid_parameters(
    transform: Linear, centre_mm: tuple[float, float, float]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Read the turn and the shift of a linear map about a stated centre.

    The map is ``x -> R (x - centre) + centre + shift``; of a map that also scales or shears, the
    nearest rotation (polar decomposition) is read.

    Args:
        transform: Fixed to moving world; must not mirror.
        centre_mm: World point (L, P, S), mm.

    Returns:
        The rotation vector (L, P, S), degrees, 0 to 180 long, which
        ``Linear.rotation(..., centre_mm=centre_mm)`` takes; and the shift of the centre (L, P, S),
        mm.

    Raises:
        GeometryError: The map mirrors.

    Example:
        >>> turn = Linear.rotation((0.0, 0.0, 30.0), centre_mm=(5.0, 0.0, 0.0))
        >>> rotation, shift = rigid_parameters(turn, (5.0, 0.0, 0.0))
        >>> [round(abs(v), 6) for v in (*rotation, *shift)]
        [0.0, 0.0, 30.0, 0.0, 0.0, 0.0]
    """
    from scipy.spatial.transform import Rotation

    matrix = transform.matrix.detach().cpu().numpy()
    left, _, right = np.linalg.svd(matrix[:3, :3])
    turn = left @ right
    if np.linalg.det(turn) < 0:
        raise GeometryError(
            "transform must not mirror to have a rotation, its determinant is "
            f"{np.linalg.det(matrix[:3, :3]):.3g}: check the frames of both images"
        )
    centre = np.asarray(centre_mm, dtype=np.float64)
    a, b, c = np.degrees(Rotation.from_matrix(turn).as_rotvec()).tolist()
    shift = matrix[:3, :3] @ centre + matrix[:3, 3] - centre
    d, e, f = shift.tolist()
    return (a, b, c), (d, e, f)


def _generator(linear: np.ndarray, shift: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 4))
    out[:3, :3], out[:3, 3] = linear, shift
    return out


def _extent(fixed: Image, mask: Image | None) -> tuple[np.ndarray, np.ndarray]:
    """Give centre and spread of the mask, or of the field of view."""
    grid = fixed.grid
    columns = grid.affine.numpy()[:3, :3]
    if mask is None:
        size = np.array(grid.shape, dtype=np.float64)
        centre = columns @ ((size - 1) / 2) + grid.affine.numpy()[:3, 3]
        return centre, columns @ np.diag(size**2 / 12) @ columns.T
    weight = resample(mask, grid, fill=0).data[0].double().cpu()
    total = float(weight.sum())
    if not total > 0:
        raise RegionError(
            "the fixed mask must hold a voxel of the fixed image, it is 0 on the whole grid: "
            "check that both are in one world"
        )
    sums = [weight.sum(dim=[d for d in range(3) if d != axis]) for axis in range(3)]
    mean = [float((s * torch.arange(len(s))).sum()) / total for s in sums]
    spread = [
        float((s * (torch.arange(len(s)) - m) ** 2).sum()) / total + 1 / 12
        for s, m in zip(sums, mean, strict=True)
    ]
    centre = columns @ np.array(mean) + grid.affine.numpy()[:3, 3]
    return centre, columns @ np.diag(spread) @ columns.T
