"""Digitally reconstructed radiographs: X-ray views of a CT, differentiable in image and pose."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Linear
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._joseph3d import column_traversal
from vesalius.physics.ct._joseph_rays import RayTraversal
from vesalius.physics.ct._projections import Projections
from vesalius.physics.ct._projector_torch import Rays, line_integrals
from vesalius.physics.quality import to_mu

Pose = Float[Tensor, " pose"]


def drr(
    image: Image,
    geometry: Geometry,
    *,
    pose: Pose,
    kev: float = 60.0,
    quantity: Literal["transmission", "line integral"] = "transmission",
    memory_mb: int = 512,
) -> Projections:
    """Render the X-ray views that a CT would give, the patient placed by a rigid pose.

    The line integrals are those of :class:`Projector` (Joseph), with derivatives in the image and
    in the six numbers of the pose; on the CPU, where no derivative is asked for, by the compiled
    loops. Monochromatic, no scatter.

    Args:
        image: One channel in HU or 1/mm, float32 or float64. What lies below air (-1000 HU, or 0)
            counts as air: the only clip.
        geometry: Where source and detector stand.
        pose: How the patient is moved from where ``image.grid`` says: a rotation vector (L, P, S)
            about the isocentre, degrees, then a translation (L, P, S), mm. ``torch.zeros(6)``
            leaves it.
        kev: Effective energy at which HU become attenuation, keV; not used for 1/mm.
        quantity: ``"transmission"``: exp(-line integral), Beer-Lambert; or the integral itself.
        memory_mb: Most memory for intermediate results, MiB. Rays are worked on in blocks, and a
            derivative works each block out again instead of keeping it.

    Returns:
        Projections in ``geometry``; ``data`` is on the device of the image and carries the graph.

    Raises:
        UnitError: The unit is neither HU nor 1/mm, the samples are not floating point, or the
            energy is outside the table.
        ShapeError: The image has more than one channel, or the pose not six numbers.
        GeometryError: The pose is not finite, the grid is sheared, or ``memory_mb`` is below 1.

    Example:
        >>> from vesalius.physics.ct import cone
        >>> grid = Grid.from_spacing((8, 8, 8), origin_mm=(-3.5, -3.5, -3.5))
        >>> view = cone(torch.zeros(1), shape=(4, 4), pitch_mm=(2, 2), source_mm=90, detector_mm=99)
        >>> water = Image(torch.zeros(1, 8, 8, 8), grid, "HU")
        >>> drr(water, view, pose=torch.zeros(6)).data.shape
        torch.Size([1, 4, 4])
    """
    _check(image, pose, memory_mb)
    volume = attenuation(image, kev=kev)
    if volume.is_cpu and not (
        torch.is_grad_enabled() and (volume.requires_grad or pose.requires_grad)
    ):
        moved = geometry.moved(placement(pose.detach(), geometry).inverse())
        way = column_traversal(moved, image.grid) or RayTraversal(moved, image.grid)
        data = way.forward(volume.detach().contiguous())[0]
    else:
        data = _differentiable(volume, geometry, pose, image.grid, memory_mb)
    if quantity == "transmission":
        data = torch.exp(-data)
    return Projections(data, geometry, quantity)


def attenuation(image: Image, *, kev: float) -> Float[Tensor, "1 z y x"]:
    """Give mu in 1/mm, no less than air's 0."""
    if image.unit == "1/mm":
        return image.data.clamp_min(0.0)
    return to_mu(image, kev=kev).data.clamp_min(0.0)


def placement(pose: Pose, geometry: Geometry) -> Linear:
    """Give the rigid map that a pose stands for, with derivatives in it: see :func:`drr`."""
    pose = pose.double()
    a, b, c = torch.deg2rad(pose[:3]).unbind()
    zero = torch.zeros_like(a)
    skew = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).reshape(3, 3)
    turn = torch.linalg.matrix_exp(skew)
    centre = torch.tensor(geometry.isocentre_mm, dtype=torch.float64, device=pose.device)
    shift = centre - turn @ centre + pose[3:]
    last = torch.eye(4, dtype=torch.float64, device=pose.device)[3:]
    return Linear(torch.cat([torch.cat([turn, shift[:, None]], dim=1), last]))


def _differentiable(
    volume: Float[Tensor, "1 z y x"], geometry: Geometry, pose: Pose, grid: Grid, memory_mb: int
) -> Float[Tensor, "view row column"]:
    """Integrate view by view along rays that move as the patient does not: by the inverse."""
    back = placement(pose.to(volume.device), geometry).inverse().matrix
    inverse = torch.linalg.inv(grid.affine).to(volume.device) @ back
    parts = []
    for view in range(geometry.views):
        start, unit = (t.to(volume.device) for t in geometry.rays(slice(view, view + 1)))
        rays = Rays(
            start.reshape(-1, 3) @ inverse[:3, :3].T + inverse[:3, 3],
            unit.reshape(-1, 3) @ inverse[:3, :3].T,
            geometry.beam != "parallel",
        )
        parts.append(line_integrals(volume, rays, memory_mb=memory_mb, keep=False)[0])
    return torch.cat(parts).reshape(geometry.codomain)


def _check(image: Image, pose: Tensor, memory_mb: int) -> None:
    if image.unit not in ("HU", "1/mm"):
        raise UnitError(
            f"a radiograph needs an image in HU or 1/mm, got unit {image.unit!r}: say what the "
            "samples are with Image(data, grid, 'HU')"
        )
    if image.data.dtype not in (torch.float32, torch.float64):
        raise UnitError(
            f"a radiograph needs float32 or float64 samples, got {image.data.dtype}: convert with "
            "image.map(lambda x: x.float())"
        )
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"a radiograph needs an image of one channel, got {image.data.shape[0]}: "
            "take one of them"
        )
    if tuple(pose.shape) != (6,):
        raise ShapeError(
            "pose must have six numbers, a rotation vector in degrees and a translation in mm, "
            f"got shape {tuple(pose.shape)}"
        )
    if not bool(torch.isfinite(pose).all()):
        raise GeometryError(f"pose must be finite, got {pose.tolist()}")
    if not image.grid.is_orthogonal:
        raise GeometryError(
            f"a radiograph needs a grid with axes at right angles, got {image.grid!r} with sheared "
            "axes: resample the image first"
        )
    if memory_mb < 1:
        raise GeometryError(f"memory_mb must be at least 1 MiB, got {memory_mb}")
