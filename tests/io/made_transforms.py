"""Transforms on an oblique grid, and the oracle that applies files of transforms: SimpleITK."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from phantoms_io import oblique_affine

from vesalius.core import BSpline, Composite, Displacement, Grid, Linear, Transform, Velocity

SHAPE = (6, 7, 8)


def made_grid(shape: tuple[int, int, int] = SHAPE) -> Grid:
    return Grid(shape, oblique_affine())


def flat_grid(shape: tuple[int, int] = (7, 8)) -> Grid:
    """One slice that lies in the plane S = 0, turned in it."""
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    affine = torch.eye(4, dtype=torch.float64)[[2, 1, 0, 3]]
    affine[:2, 1:3] = (turn * torch.tensor([1.5, 0.5], dtype=torch.float64)).flip(1)
    affine[:2, 3] = torch.tensor([12.0, -7.0])
    return Grid((1, *shape), affine)


def points_in(grid: Grid, n: int = 1000, *, beyond: float = 0.0) -> torch.Tensor:
    """Points of the world in the box between the first and the last voxel, or beyond it."""
    drawn = torch.rand((n, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    size = torch.tensor(grid.shape, dtype=torch.float64) - 1
    return grid.to_world((drawn * (1 + 2 * beyond) - beyond) * size)


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def made_affine() -> Linear:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] += 0.1 * noise(3, 4)
    matrix[:3, 3] += torch.tensor([3.0, -20.0, 1 / 3])
    return Linear(matrix)


def made_field(dtype: torch.dtype = torch.float64) -> Displacement:
    return Displacement(2 * noise(3, *SHAPE, dtype=dtype), made_grid(), border="zero")


def made_bspline() -> BSpline:
    return BSpline(2 * noise(3, *SHAPE), made_grid())


def made_velocity() -> Velocity:
    return Velocity(noise(3, *SHAPE, dtype=torch.float32), made_grid())


def every_transform() -> dict[str, Transform]:
    """One of each kind that ``core`` knows."""
    return {
        "linear": made_affine(),
        "displacement": made_field(),
        "float32": made_field(torch.float32),
        "nearest": Displacement(noise(3, *SHAPE), made_grid()),
        "velocity": made_velocity(),
        "b-spline": made_bspline(),
        "inverse": BSpline(0.1 * noise(3, *SHAPE), made_grid()).inverse(),
        "composite": Composite((made_affine(), Composite((made_field(), made_bspline())))),
    }


def to_sitk(grid: Grid, data: torch.Tensor) -> sitk.Image:
    """Make an ITK image of vectors by the public calls of SimpleITK alone."""
    image = sitk.GetImageFromArray(data.movedim(0, -1).contiguous().numpy(), isVector=True)
    image.SetOrigin(grid.origin_mm)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetDirection(grid.direction[:, [2, 1, 0]].reshape(-1).tolist())
    return image


def by_itk(transform: sitk.Transform, points: torch.Tensor) -> torch.Tensor:
    """Map points by SimpleITK; one in two dimensions is given the first two coordinates."""
    n = transform.GetDimension()
    moved = [transform.TransformPoint(p[:n]) + tuple(p[n:]) for p in points.tolist()]
    return torch.tensor(moved, dtype=torch.float64)


def written(path: Path, transform: sitk.Transform) -> Path:
    sitk.WriteTransform(transform, str(path))
    return path


def apart(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest distance between points, mm."""
    return float((first.double() - second.double()).norm(dim=-1).max())


def linear_of_itk() -> dict[str, sitk.Transform]:
    """One of each linear kind of ITK, with numbers that leave no two of them alike."""
    axis, centre, shift = (0.6, -0.48, 0.64), (5.0, -7.0, 11.0), (1.25, -2.5, 3.75)
    euler = sitk.Euler3DTransform(centre, 0.3, -0.5, 0.7, shift)
    zyx = sitk.Euler3DTransform(centre, 0.3, -0.5, 0.7, shift)
    zyx.SetComputeZYX(True)
    versor = sitk.VersorTransform(axis, 0.9, centre)
    rigid = sitk.VersorRigid3DTransform(axis, 0.9, shift, centre)
    similar = sitk.Similarity3DTransform(1.3, axis, 0.9, shift, centre)
    scaled = sitk.ScaleVersor3DTransform((1.2, 0.8, 1.1), axis, 0.9, shift, centre)
    skewed = sitk.ScaleSkewVersor3DTransform(
        (1.2, 0.8, 1.1), (0.1, -0.2, 0.05, 0.03, -0.07, 0.11), axis, 0.9, shift, centre
    )
    affine = sitk.AffineTransform((1.1, 0.2, -0.1, 0.3, 0.9, 0.05, 0, -0.2, 1.3), shift, centre)
    return {
        "identity": sitk.Transform(3, sitk.sitkIdentity),
        "translation": sitk.TranslationTransform(3, shift),
        "scale": _centred(sitk.ScaleTransform(3, (1.2, 0.8, 1.1)), centre),
        "euler": euler,
        "euler zyx": zyx,
        "versor": versor,
        "versor rigid": rigid,
        "similarity": similar,
        "scale versor": scaled,
        "scale skew versor": skewed,
        "affine": affine,
        "identity 2d": sitk.Transform(2, sitk.sitkIdentity),
        "translation 2d": sitk.TranslationTransform(2, shift[:2]),
        "scale 2d": _centred(sitk.ScaleTransform(2, (1.2, 0.8)), centre[:2]),
        "euler 2d": sitk.Euler2DTransform(centre[:2], 0.4, shift[:2]),
        "similarity 2d": sitk.Similarity2DTransform(1.3, 0.4, shift[:2], centre[:2]),
        "affine 2d": sitk.AffineTransform((1.1, 0.2, -0.1, 0.9), shift[:2], centre[:2]),
    }


def _centred(scale: sitk.ScaleTransform, centre: tuple[float, ...]) -> sitk.Transform:
    scale.SetCenter(centre)
    return scale


def bspline_of_itk(n: int = 3) -> sitk.BSplineTransform:
    grid = made_grid() if n == 3 else flat_grid()
    size = [k - 3 for k in grid.shape[::-1][:n]]
    transform = sitk.BSplineTransform(n)
    transform.SetTransformDomainMeshSize(size)
    spacing = grid.spacing_mm[::-1][:n]
    direction = grid.direction[:, [2, 1, 0]][:n, :n]
    extent = [s * k for s, k in zip(spacing, size, strict=True)]
    transform.SetTransformDomainPhysicalDimensions(extent)
    transform.SetTransformDomainDirection(direction.reshape(-1).tolist())
    inside = torch.tensor([1.0] * n + [0.0] * (3 - n), dtype=torch.float64).flip(0)
    transform.SetTransformDomainOrigin(grid.to_world(inside).tolist()[:n])
    count = len(transform.GetParameters())
    transform.SetParameters((2 * np.random.default_rng(2).normal(size=count)).tolist())
    return transform
