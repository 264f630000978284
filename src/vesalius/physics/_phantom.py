"""Ellipsoid phantoms with exact truth, and nodules of known volume put into a scan."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Labels, Linear
from vesalius.errors import GeometryError, IntensityError
from vesalius.ops._jit import kernel

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A solid ellipsoid of one value.

    Attributes:
        centre_mm: World point (L, P, S) of the centre, mm.
        semi_axes_mm: Half lengths along its own axes, which are L, P, S before it is turned, mm.
        value: Intensity inside, in the unit of the phantom.
        rotation_deg: Rotation vector (L, P, S) about the centre, degrees, right-handed.
        name: What it is; parts of one organ share a name.

    Raises:
        GeometryError: A semi-axis is not positive.
    """

    centre_mm: Triple
    semi_axes_mm: Triple
    value: float
    rotation_deg: Triple = (0.0, 0.0, 0.0)
    name: str = ""

    def __post_init__(self) -> None:
        if not all(math.isfinite(a) and a > 0 for a in self.semi_axes_mm):
            raise GeometryError(
                f"semi_axes_mm must be positive, got {self.semi_axes_mm}: give half lengths in mm"
            )

    @classmethod
    def sphere(
        cls, centre_mm: Triple, diameter_mm: float, *, value: float, name: str = "nodule"
    ) -> "Ellipsoid":
        """Make a ball.

        Args:
            centre_mm: World point (L, P, S) of the centre, mm.
            diameter_mm: Diameter, mm.
            value: Intensity inside.
            name: What it is.

        Returns:
            The ball.
        """
        radius = diameter_mm / 2
        return cls(centre_mm, (radius, radius, radius), value, name=name)

    @property
    def volume_mm3(self) -> float:
        """Exact volume 4/3 pi a b c, mm^3, whatever may lie on top of it."""
        a, b, c = self.semi_axes_mm
        return 4 / 3 * math.pi * a * b * c

    @property
    def to_unit(self) -> Float[Tensor, "4 4"]:
        """Map from the world (L, P, S, 1), mm, to the space where this is the unit ball."""
        rotation = Linear.rotation(self.rotation_deg, centre_mm=self.centre_mm).matrix
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = rotation[:3, :3].T / torch.tensor(self.semi_axes_mm).double()[:, None]
        matrix[:3, 3] = -matrix[:3, :3] @ torch.tensor(self.centre_mm, dtype=torch.float64)
        return matrix


@dataclass(frozen=True, slots=True)
class Phantom:
    """Ellipsoids on a background, by the painter's rule: a later one replaces what it covers.

    Attributes:
        ellipsoids: From the bottom to the top.
        background: Intensity outside all of them.
        unit: Unit of the intensities.
    """

    ellipsoids: tuple[Ellipsoid, ...]
    background: float = 0.0
    unit: str = "1"

    @property
    def names(self) -> tuple[str, ...]:
        """Different names in painting order; the label of a name is its place, from 1."""
        return tuple(dict.fromkeys(e.name for e in self.ellipsoids))


@dataclass(frozen=True, slots=True)
class Truth:
    """What is exactly known about one named part of a phantom.

    Attributes:
        name: The part.
        value: Its intensity (of its first ellipsoid).
        volume_mm3: Volume that can be seen, mm^3: the sum of 4/3 pi a b c of its ellipsoids less
            whatever later ones of another name cover.
    """

    name: str
    value: float
    volume_mm3: float


@dataclass(frozen=True, slots=True, eq=False)
class Insertion:
    """An image with a nodule put in, and what is exactly known about the nodule.

    Attributes:
        image: The image; unit, grid and number type as they were.
        volume_mm3: Exact volume of the nodule, mm^3.
    """

    image: Image
    volume_mm3: float


def rasterise(phantom: Phantom, grid: Grid, *, supersample: int = 6) -> Image:
    """Sample a phantom as a scanner with a box-shaped voxel would.

    A voxel that no surface crosses gets the exact value; one that a surface may cross gets the
    mean over ``supersample``^3 points.

    Args:
        phantom: What to sample.
        grid: Where; 2-D grids average over the slice thickness too.
        supersample: Points along each axis of a crossed voxel.

    Returns:
        One channel, float32, in the unit of the phantom.

    Raises:
        GeometryError: ``supersample`` is below 1.
    """
    if supersample < 1:
        raise GeometryError(f"supersample must be at least 1, got {supersample}: 6 is usual")
    maps = _index_to_unit(phantom.ellipsoids, grid)
    values = np.array([phantom.background, *(e.value for e in phantom.ellipsoids)])
    top, crossed = _classify(maps, np.array(grid.shape), _boxes(phantom.ellipsoids, grid))
    data = _paint(maps, values, top, crossed, supersample)
    return Image(torch.from_numpy(data)[None], grid, phantom.unit)


def phantom_labels(phantom: Phantom, grid: Grid) -> Labels:
    """Label each voxel by what is visible at its centre.

    Args:
        phantom: What to label.
        grid: Where.

    Returns:
        One layer; the label of ``phantom.names[i]`` is ``i + 1``, the background is 0.
    """
    maps = _index_to_unit(phantom.ellipsoids, grid)
    order = [0, *(phantom.names.index(e.name) + 1 for e in phantom.ellipsoids)]
    top, crossed = _classify(maps, np.array(grid.shape), _boxes(phantom.ellipsoids, grid))
    data = _paint(maps, np.array(order, dtype=np.float64), top, crossed, 1)
    names = {(0, i + 1): name for i, name in enumerate(phantom.names)}
    return Labels(torch.from_numpy(data).to(torch.int16)[None], grid, names)


def truth(phantom: Phantom) -> tuple[Truth, ...]:
    """Give the exact visible volume of every named part.

    Args:
        phantom: Its ellipsoids must lie inside each other or apart, never cut each other.

    Returns:
        One entry for each name, in painting order.

    Raises:
        GeometryError: Two surfaces cut each other, so that no closed form holds.
    """
    visible = [e.volume_mm3 for e in phantom.ellipsoids]
    for i, upper in enumerate(phantom.ellipsoids):
        holders = [j for j in range(i) if _holds(phantom.ellipsoids[j], upper)]
        if holders:
            # only the topmost holder loses the volume: those below lost it to that holder
            visible[holders[-1]] -= upper.volume_mm3
    found = dict.fromkeys(phantom.names, 0.0)
    for ellipsoid, volume in zip(phantom.ellipsoids, visible, strict=True):
        found[ellipsoid.name] += volume
    value = {e.name: e.value for e in reversed(phantom.ellipsoids)}
    return tuple(Truth(name, value[name], volume) for name, volume in found.items())


def insert_nodule(
    image: Image,
    nodule: Ellipsoid,
    *,
    psf_mm: float,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Insertion:
    """Put a nodule of exactly known volume into an image, as the scanner would have seen it.

    With c the part of each voxel that the nodule fills, blurred by the point spread function,
    the new image is (1 - c) old + c (value + noise). Blurring keeps the sum of c, which is the
    volume.

    Args:
        image: A real scan, one channel; orthogonal axes. Integer samples are rounded.
        nodule: Where, how large and of what value.
        psf_mm: Standard deviation of the Gaussian point spread function, mm; 0 for none.
        noise: Standard deviation of the noise inside the nodule, unit of the image.
        generator: Source of the noise; needed where ``noise`` is not 0.

    Returns:
        The new image and the exact volume.

    Raises:
        GeometryError: The nodule with its blur leaves the image, or the axes are not orthogonal.
        IntensityError: ``noise`` is negative, or not 0 without a generator.
    """
    if not image.grid.is_orthogonal:
        raise GeometryError("axes must be orthogonal to blur, this grid is sheared: resample first")
    start, shape = _block(image.grid, nodule, 4 * psf_mm)
    grid = image.grid.crop(start, shape)
    solid = Phantom((Ellipsoid(nodule.centre_mm, nodule.semi_axes_mm, 1.0, nodule.rotation_deg),))
    cover = _blurred(rasterise(solid, grid, supersample=8).data.double(), grid.spacing_mm, psf_mm)
    old = image.crop(start, shape).data.double()
    inside = torch.full_like(old, nodule.value) + _noise(old.shape, noise, generator)
    new = (1 - cover) * old + cover * inside
    data = image.data.clone()
    z, y, x = (slice(a, a + n) for a, n in zip(start, shape, strict=True))
    data[:, z, y, x] = (new if image.dtype.is_floating_point else new.round()).to(image.dtype)
    return Insertion(image.map(lambda _: data), nodule.volume_mm3)


def add_noise(
    image: Image, sigma: float, *, generator: torch.Generator, psf_mm: float = 0.0
) -> Image:
    """Add Gaussian noise, white or correlated by a point spread function.

    Args:
        image: Floating point samples; any number of channels.
        sigma: Standard deviation of the noise as it ends up in the image, unit of the image.
        generator: Source of the noise.
        psf_mm: Standard deviation of the Gaussian that correlates neighbours, mm; 0 is white.

    Returns:
        A new image.

    Raises:
        IntensityError: ``sigma`` is negative, or the samples are integers.
    """
    if not image.dtype.is_floating_point:
        raise IntensityError(
            f"samples must be floating point to add noise, got {image.dtype}: use "
            "image.map(lambda x: x.float()) first"
        )
    noise = _noise(image.data.shape, sigma, generator)
    if psf_mm > 0:
        noise = _blurred(noise, image.grid.spacing_mm, psf_mm)
        noise *= sigma / noise.std().clamp_min(1e-12)
    return image.map(lambda x: x + noise.to(x.device, x.dtype))


def _noise(shape: torch.Size, sigma: float, generator: torch.Generator | None) -> Tensor:
    if sigma < 0:
        raise IntensityError(f"noise must not be negative, got {sigma}: give a standard deviation")
    if sigma == 0:
        return torch.zeros(shape, dtype=torch.float64)
    if generator is None:
        raise IntensityError(
            f"a generator is needed for noise of {sigma}: give torch.Generator().manual_seed(...)"
        )
    return sigma * torch.randn(shape, generator=generator, dtype=torch.float64)


def _blurred(x: Tensor, spacing_mm: Triple, psf_mm: float) -> Tensor:
    if psf_mm <= 0:
        return x
    from scipy.ndimage import gaussian_filter

    sigma = (
        0.0,
        *(psf_mm / s if n > 1 else 0.0 for s, n in zip(spacing_mm, x.shape[1:], strict=True)),
    )
    return torch.from_numpy(gaussian_filter(x.numpy(), sigma, mode="nearest", truncate=4.0))


def _block(
    grid: Grid, nodule: Ellipsoid, margin_mm: float
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    low, high = _boxes((nodule,), grid, clip=False)[0]
    margin = np.array([math.ceil(margin_mm / s) + 1 for s in grid.spacing_mm])
    flat = np.array(grid.shape) == 1
    low = np.where(flat, 0, low - margin)
    high = np.where(flat, 1, high + margin)
    if (low < 0).any() or (high > np.array(grid.shape)).any():
        raise GeometryError(
            f"nodule with its blur must lie inside the image {grid.shape}, its box is voxels "
            f"{low.tolist()} to {high.tolist()} (z, y, x): move it inwards or make it smaller"
        )
    z0, y0, x0 = low.tolist()
    dz, dy, dx = (high - low).tolist()
    return (z0, y0, x0), (dz, dy, dx)


def _index_to_unit(ellipsoids: tuple[Ellipsoid, ...], grid: Grid) -> np.ndarray:
    if not ellipsoids:
        return np.zeros((0, 4, 4))
    return torch.stack([e.to_unit @ grid.affine for e in ellipsoids]).numpy()


def _boxes(ellipsoids: tuple[Ellipsoid, ...], grid: Grid, *, clip: bool = True) -> np.ndarray:
    """Voxel boxes [low, high) that hold every voxel an ellipsoid may touch; (n, 2, 3)."""
    boxes = np.zeros((len(ellipsoids), 2, 3), dtype=np.int64)
    for i, matrix in enumerate(_index_to_unit(ellipsoids, grid)):
        back = np.linalg.inv(matrix)
        reach = np.linalg.norm(back[:3, :3], axis=1) + 0.5  # half a voxel on each side
        boxes[i] = np.ceil(back[:3, 3] - reach), np.floor(back[:3, 3] + reach) + 1
    return np.clip(boxes, 0, np.array(grid.shape)) if clip else boxes


def _holds(lower: Ellipsoid, upper: Ellipsoid) -> bool:
    """Whether ``upper`` lies inside ``lower``; raises where their surfaces cut each other."""
    if math.dist(lower.centre_mm, upper.centre_mm) > max(lower.semi_axes_mm) + max(
        upper.semi_axes_mm
    ):
        return False
    radius = torch.linalg.vector_norm(_surface(upper, lower), dim=1)
    if float(radius.max()) <= 1.0 + 1e-9:
        return True
    other = torch.linalg.vector_norm(_surface(lower, upper), dim=1)
    if float(radius.min()) < 1.0 - 1e-9 or float(other.min()) < 1.0 - 1e-9:
        raise GeometryError(
            f"ellipsoids must lie inside each other or apart for an exact volume, "
            f"'{upper.name}' cuts or swallows '{lower.name}': move one of them"
        )
    return False


def _surface(of: Ellipsoid, seen_from: Ellipsoid) -> Tensor:
    """Points spread over the surface of one ellipsoid, in the unit space of another."""
    n = 4096
    k = torch.arange(n, dtype=torch.float64)
    s = 1 - (2 * k + 1) / n
    angle = k * math.pi * (3 - math.sqrt(5))
    r = (1 - s * s).sqrt()
    ball = torch.stack([r * angle.cos(), r * angle.sin(), s, torch.ones_like(s)], dim=1)
    points: Tensor = ball @ (seen_from.to_unit @ torch.linalg.inv(of.to_unit)).T
    return points[:, :3]


@kernel
@no_type_check
def _classify(maps, shape, boxes):
    top = np.zeros((shape[0], shape[1], shape[2]), dtype=np.int16)
    crossed = np.zeros((shape[0], shape[1], shape[2]), dtype=np.bool_)
    for i in range(len(maps)):
        m = maps[i]
        reach = 0.0  # bound on how far a point of a voxel is from its centre, in unit space
        for j in range(3):
            reach += 0.5 * math.sqrt(m[0, j] ** 2 + m[1, j] ** 2 + m[2, j] ** 2)
        for z in range(boxes[i, 0, 0], boxes[i, 1, 0]):
            for y in range(boxes[i, 0, 1], boxes[i, 1, 1]):
                for x in range(boxes[i, 0, 2], boxes[i, 1, 2]):
                    r = math.sqrt(_radius2(m, z, y, x))
                    if r + reach <= 1.0:
                        top[z, y, x] = i + 1
                        crossed[z, y, x] = False
                    elif r - reach < 1.0:
                        crossed[z, y, x] = True
    return top, crossed


@kernel
@no_type_check
def _radius2(m, z, y, x):
    u = m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + m[0, 3]
    v = m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + m[1, 3]
    w = m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + m[2, 3]
    return u * u + v * v + w * w


@kernel
@no_type_check
def _paint(maps, values, top, crossed, n):
    out = np.empty(top.shape, dtype=np.float32)
    near = np.empty(len(maps), dtype=np.int64)
    for z in range(top.shape[0]):
        for y in range(top.shape[1]):
            for x in range(top.shape[2]):
                first = top[z, y, x]
                if crossed[z, y, x]:
                    count = _near(maps, first, (z, y, x), near)
                    out[z, y, x] = _mean(maps, values, first, (z, y, x), near[:count], n)
                else:
                    out[z, y, x] = values[first]
    return out


@kernel
@no_type_check
def _near(maps, first, voxel, near):
    """Fill ``near`` with the ellipsoids above ``first`` that may touch the voxel, topmost first."""
    count = 0
    for i in range(len(maps) - 1, first - 1, -1):
        m = maps[i]
        reach = 1.0
        for j in range(3):
            reach += 0.5 * math.sqrt(m[0, j] ** 2 + m[1, j] ** 2 + m[2, j] ** 2)
        if _radius2(m, voxel[0], voxel[1], voxel[2]) < reach * reach:
            near[count] = i
            count += 1
    return count


@kernel
@no_type_check
def _mean(maps, values, first, voxel, near, n):
    total = 0.0
    for a in range(n):
        z = voxel[0] + (a + 0.5) / n - 0.5
        for b in range(n):
            y = voxel[1] + (b + 0.5) / n - 0.5
            for c in range(n):
                x = voxel[2] + (c + 0.5) / n - 0.5
                seen = first
                for i in near:
                    if _radius2(maps[i], z, y, x) <= 1.0:
                        seen = i + 1
                        break
                total += values[seen]
    return total / (n * n * n)
