"""Phantoms of solids with exact truth, and nodules of known volume put into a scan."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, replace
from typing import Literal, no_type_check

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid, Image, Labels
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._jit import kernel
from vesalius.physics._solids import (
    KINDS,
    Box,
    Cylinder,
    Ellipsoid,
    Solid,
    Triple,
    gauge,
    surface,
)

Rule = Literal["paint", "add"]


@dataclass(frozen=True, slots=True)
class Phantom:
    """Solids on a background.

    Attributes:
        solids: From the bottom to the top.
        background: Intensity outside all of them.
        unit: Unit of the intensities.
        rule: ``"paint"``: a later solid replaces what it covers. ``"add"``: values of solids that
            overlap add up, on top of the background.
    """

    solids: tuple[Solid, ...]
    background: float = 0.0
    unit: str = "1"
    rule: Rule = "paint"

    @property
    def names(self) -> tuple[str, ...]:
        """Different names in painting order; the label of a name is its place, from 1."""
        return tuple(dict.fromkeys(e.name for e in self.solids))


@dataclass(frozen=True, slots=True)
class Truth:
    """What is exactly known about one named part of a phantom.

    Attributes:
        name: The part.
        value: Its intensity (of its first solid).
        volume_mm3: Volume that can be seen, mm^3: the sum over its solids less whatever later
            ones of another name cover. Where values add up, nothing is covered.
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
    form = _form(phantom.solids, grid)
    values = np.array([phantom.background, *(e.value for e in phantom.solids)])
    shape, boxes = np.array(grid.shape), _boxes(phantom.solids, grid)
    if phantom.rule == "add":
        data = _add(form, values, shape, boxes, supersample)
    else:
        top, crossed = _classify(form, shape, boxes)
        data = _paint(form, values, top, crossed, supersample)
    return Image(torch.from_numpy(data)[None], grid, phantom.unit)


def phantom_labels(phantom: Phantom, grid: Grid) -> Labels:
    """Label each voxel by what is visible at its centre; the last one where values add up.

    Args:
        phantom: What to label.
        grid: Where.

    Returns:
        One layer; the label of ``phantom.names[i]`` is ``i + 1``, the background is 0.
    """
    form = _form(phantom.solids, grid)
    order = [0, *(phantom.names.index(e.name) + 1 for e in phantom.solids)]
    top, crossed = _classify(form, np.array(grid.shape), _boxes(phantom.solids, grid))
    data = _paint(form, np.array(order, dtype=np.float64), top, crossed, 1)
    names = {(0, i + 1): name for i, name in enumerate(phantom.names)}
    return Labels(torch.from_numpy(data).to(torch.int16)[None], grid, names)


def truth(phantom: Phantom) -> tuple[Truth, ...]:
    """Give the exact visible volume of every named part.

    Args:
        phantom: Painted solids must lie inside each other or apart, never cut each other.

    Returns:
        One entry for each name, in painting order.

    Raises:
        GeometryError: Two surfaces cut each other, so that no closed form holds.
    """
    visible = [e.volume_mm3 for e in phantom.solids]
    for i, upper in enumerate(phantom.solids):
        below = range(i if phantom.rule == "paint" else 0)
        holders = [j for j in below if _holds(phantom.solids[j], upper)]
        if holders:
            # only the topmost holder loses the volume: those below lost it to that holder
            visible[holders[-1]] -= upper.volume_mm3
    found = dict.fromkeys(phantom.names, 0.0)
    for solid, volume in zip(phantom.solids, visible, strict=True):
        found[solid.name] += volume
    value = {e.name: e.value for e in reversed(phantom.solids)}
    return tuple(Truth(name, value[name], volume) for name, volume in found.items())


def to_attenuation(phantom: Phantom, *, water_per_mm: float) -> Phantom:
    """Turn a phantom in HU into one in 1/mm, which can be projected: mu = mu_water (1 + HU/1000).

    Args:
        phantom: In HU.
        water_per_mm: Attenuation of water at the energy meant, 1/mm; .0206 at 60 keV.

    Returns:
        The same solids; air of -1000 HU is 0.

    Raises:
        UnitError: The phantom is not in HU.
        IntensityError: ``water_per_mm`` is not positive.
    """
    if phantom.unit != "HU":
        raise UnitError(f"phantom must be in HU to become attenuation, got '{phantom.unit}'")
    if not 0 < water_per_mm < math.inf:
        raise IntensityError(
            f"water_per_mm must be positive, got {water_per_mm:g}: water has .0206 at 60 keV"
        )
    base = 1000.0 if phantom.rule == "paint" else 0.0
    factor = water_per_mm / 1000.0
    solids = tuple(replace(e, value=(e.value + base) * factor) for e in phantom.solids)
    return Phantom(solids, (phantom.background + 1000.0) * factor, "1/mm", phantom.rule)


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


def _form(solids: tuple[Solid, ...], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Maps from index to unit space (n, 4, 4), and kinds (n,), for the compiled loops."""
    maps = [(e.to_unit @ grid.affine).numpy() for e in solids]
    kinds = np.array([KINDS[type(e)] for e in solids], dtype=np.int64)
    return np.array(maps).reshape(-1, 4, 4), kinds


def _boxes(solids: tuple[Solid, ...], grid: Grid, *, clip: bool = True) -> np.ndarray:
    """Voxel boxes [low, high) that hold every voxel a solid may touch; (n, 2, 3)."""
    boxes = np.zeros((len(solids), 2, 3), dtype=np.int64)
    for i, (solid, matrix) in enumerate(zip(solids, _form(solids, grid)[0], strict=True)):
        back = np.linalg.inv(matrix)
        reach = _reach(solid, back[:3, :3]) + 0.5  # half a voxel on each side
        boxes[i] = np.ceil(back[:3, 3] - reach), np.floor(back[:3, 3] + reach) + 1
    return np.clip(boxes, 0, np.array(grid.shape)) if clip else boxes


def _reach(solid: Solid, back: np.ndarray) -> np.ndarray:
    """How far a solid extends along each index axis from its centre, voxels."""
    if isinstance(solid, Box):
        return np.asarray(np.abs(back).sum(axis=1))
    if isinstance(solid, Cylinder):
        return np.asarray(np.linalg.norm(back[:, :2], axis=1) + np.abs(back[:, 2]))
    return np.asarray(np.linalg.norm(back, axis=1))


def _holds(lower: Solid, upper: Solid) -> bool:
    """Whether ``upper`` lies inside ``lower``; raises where their surfaces cut each other."""
    if math.dist(lower.centre_mm, upper.centre_mm) > lower.radius_mm + upper.radius_mm:
        return False
    radius = gauge(lower, surface(upper))
    if float(radius.max()) <= 1.0 + 1e-9:
        return True
    other = gauge(upper, surface(lower))
    if float(radius.min()) < 1.0 - 1e-9 or float(other.min()) < 1.0 - 1e-9:
        raise GeometryError(
            f"solids must lie inside each other or apart for an exact volume, "
            f"'{upper.name}' cuts or swallows '{lower.name}': move one of them"
        )
    return False


@kernel
@no_type_check
def _classify(form, shape, boxes):
    maps, kinds = form
    top = np.zeros((shape[0], shape[1], shape[2]), dtype=np.int16)
    crossed = np.zeros((shape[0], shape[1], shape[2]), dtype=np.bool_)
    for i in range(len(maps)):
        m = maps[i]
        # the gauge of a solid changes by at most the distance in its unit space
        reach = _half(m)
        for z in range(boxes[i, 0, 0], boxes[i, 1, 0]):
            for y in range(boxes[i, 0, 1], boxes[i, 1, 1]):
                for x in range(boxes[i, 0, 2], boxes[i, 1, 2]):
                    r = math.sqrt(_gauge2(m, kinds[i], z, y, x))
                    if r + reach <= 1.0:
                        top[z, y, x] = i + 1
                        crossed[z, y, x] = False
                    elif r - reach < 1.0:
                        crossed[z, y, x] = True
    return top, crossed


@kernel
@no_type_check
def _half(m):
    """Bound on how far a point of a voxel is from its centre, in unit space."""
    reach = 0.0
    for j in range(3):
        reach += 0.5 * math.sqrt(m[0, j] ** 2 + m[1, j] ** 2 + m[2, j] ** 2)
    return reach


@kernel
@no_type_check
def _gauge2(m, kind, z, y, x):
    u = m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + m[0, 3]
    v = m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + m[1, 3]
    w = m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + m[2, 3]
    if kind == 0:
        return u * u + v * v + w * w
    if kind == 1:
        return max(u * u + v * v, w * w)
    return max(u * u, max(v * v, w * w))


@kernel
@no_type_check
def _add(form, values, shape, boxes, n):
    maps, kinds = form
    out = np.full((shape[0], shape[1], shape[2]), values[0])
    one = np.zeros(1, dtype=np.int64)
    cover = np.zeros(len(values))
    for i in range(len(maps)):
        m = maps[i]
        reach = _half(m)
        one[0] = i
        cover[i + 1] = 1.0
        for z in range(boxes[i, 0, 0], boxes[i, 1, 0]):
            for y in range(boxes[i, 0, 1], boxes[i, 1, 1]):
                for x in range(boxes[i, 0, 2], boxes[i, 1, 2]):
                    r = math.sqrt(_gauge2(m, kinds[i], z, y, x))
                    if r + reach <= 1.0:
                        out[z, y, x] += values[i + 1]
                    elif r - reach < 1.0:
                        part = _mean(form, cover, 0, (z, y, x), one, n)
                        out[z, y, x] += values[i + 1] * part
        cover[i + 1] = 0.0
    return out.astype(np.float32)


@kernel
@no_type_check
def _paint(form, values, top, crossed, n):
    out = np.empty(top.shape, dtype=np.float32)
    near = np.empty(len(form[0]), dtype=np.int64)
    for z in range(top.shape[0]):
        for y in range(top.shape[1]):
            for x in range(top.shape[2]):
                first = top[z, y, x]
                if crossed[z, y, x]:
                    count = _near(form, first, (z, y, x), near)
                    out[z, y, x] = _mean(form, values, first, (z, y, x), near[:count], n)
                else:
                    out[z, y, x] = values[first]
    return out


@kernel
@no_type_check
def _near(form, first, voxel, near):
    """Fill ``near`` with the solids above ``first`` that may touch the voxel, topmost first."""
    maps, kinds = form
    count = 0
    for i in range(len(maps) - 1, first - 1, -1):
        reach = 1.0 + _half(maps[i])
        if _gauge2(maps[i], kinds[i], voxel[0], voxel[1], voxel[2]) < reach * reach:
            near[count] = i
            count += 1
    return count


@kernel
@no_type_check
def _mean(form, values, first, voxel, near, n):
    maps, kinds = form
    total = 0.0
    for a in range(n):
        z = voxel[0] + (a + 0.5) / n - 0.5
        for b in range(n):
            y = voxel[1] + (b + 0.5) / n - 0.5
            for c in range(n):
                x = voxel[2] + (c + 0.5) / n - 0.5
                seen = first
                for i in near:
                    if _gauge2(maps[i], kinds[i], z, y, x) <= 1.0:
                        seen = i + 1
                        break
                total += values[seen]
    return total / (n * n * n)
