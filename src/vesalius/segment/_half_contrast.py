"""Half-contrast threshold: a compact object, cut out halfway between it and its surroundings."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import numpy as np
import torch

from vesalius.core import Grid, Image, Labels, resample
from vesalius.errors import GeometryError, RegionError

Triple = tuple[float, float, float]

_OPENING = 0.7
"""Attachments thinner than this part of the object's own half thickness are cut off."""

_TOUCH = 0.5
"""In the largest fine sample: distances are between centres, and the core is made of samples."""

_FINE = 20
"""Fine samples along the search radius, at least: what hangs on is told apart by roundness."""

_FADED = 0.05
"""The edge ends where the median share at one distance from the contour is below this."""

_EDGE = (0.5, 1.5)
"""Partial volumes count at least and at most so many of the largest voxel size to either side."""


def half_contrast(
    image: Image, seed_mm: Triple, *, radius_mm: float, shell_mm: float = 5.0, steps: int = 20
) -> Labels:
    """Segment the compact object around a seed at half its contrast.

    The plateau is the median of the object's core, the background the median of a shell around
    the object; both follow the object until nothing changes. What hangs on it and is thinner
    than 0.7 of it (vessels) is cut off. Blur rounds the half-contrast contour of a small object
    inwards, but moves nothing out of the sum of partial volumes: the object therefore holds as
    many voxels as the partial volumes along its contour add up to, the fullest first. How far
    the edge reaches is seen in the image.

    Not for objects that are long or lobed: their thin parts are cut off too. A ball of 18 mm comes
    out within 2 % at voxels of up to 3 mm; one of less than three of the largest voxel size
    across is wrong by up to a fifth.

    Args:
        image: One channel; floating point or integer.
        seed_mm: World point (L, P, S) inside the object.
        radius_mm: The object lies within this distance of the seed.
        shell_mm: Thickness of the shell that gives the background.
        steps: Rounds at most.

    Returns:
        One layer on the image's grid, 1 inside; uint8.

    Raises:
        GeometryError: The seed is outside the image.
        RegionError: Nothing around the seed stands out from its surroundings.
    """
    block, low = _around(image, seed_mm, radius_mm + shell_mm)
    fine = _refined(block, radius_mm / _FINE)
    x = fine.data[0].numpy()
    reach = _distance(fine, seed_mm)
    at = tuple(int(i) for i in np.unravel_index(int(reach.argmin()), reach.shape))
    scene = _Scene(
        x, reach <= radius_mm, at, fine.grid.spacing_mm, shell_mm, max(_felt(block.grid))
    )
    return _painted(image.grid, block, low, _grow(scene, steps))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A refined block: samples, where the object may be, the seed and the lengths, mm."""

    x: np.ndarray
    allowed: np.ndarray
    at: tuple[int, ...]
    spacing_mm: Triple
    shell_mm: float
    voxel_mm: float


def _around(image: Image, seed_mm: Triple, reach_mm: float) -> tuple[Image, tuple[int, int, int]]:
    index = image.grid.to_index(torch.tensor(seed_mm, dtype=torch.float64)).round().long().tolist()
    start, shape = [], []
    for i, n, s in zip(index, image.grid.shape, image.grid.spacing_mm, strict=True):
        if not 0 <= i < n:
            raise GeometryError(
                f"seed_mm must lie inside the image, {seed_mm} is at voxel {tuple(index)} (z, y, x)"
                f" of {image.grid.shape}: give a world point (L, P, S) in mm"
            )
        extra = math.ceil(reach_mm / s)
        low, high = max(0, i - extra), min(n, i + extra + 1)
        start.append(low)
        shape.append(high - low)
    first = (start[0], start[1], start[2])
    return image.crop(first, (shape[0], shape[1], shape[2])), first


def _factors(grid: Grid, most_mm: float) -> tuple[int, int, int]:
    """Odd numbers of fine samples in a voxel that make the fine grid nearly isotropic."""
    least = min(*_felt(grid), most_mm)
    z, y, x = (
        1 if n == 1 else 2 * round((s / least - 1) / 2) + 1
        for s, n in zip(grid.spacing_mm, grid.shape, strict=True)
    )
    return z, y, x


def _felt(grid: Grid) -> list[float]:
    """Spacing of the axes that have more than one sample, mm."""
    felt = [s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1]
    return felt or list(grid.spacing_mm)


def _refined(block: Image, most_mm: float) -> Image:
    """Interpolate so that voxels are nearly cubes; every old sample is one of the new ones."""
    factors = torch.tensor(_factors(block.grid, most_mm), dtype=torch.float64)
    affine = block.grid.affine.clone()
    affine[:3, :3] /= factors
    offset = (1 / factors - 1) / 2
    affine[:3, 3] += block.grid.affine[:3, :3] @ offset
    z, y, x = (int(n * f) for n, f in zip(block.grid.shape, factors.tolist(), strict=True))
    grid = Grid((z, y, x), affine)
    return resample(block.map(lambda v: v.double()), grid, interpolation="cubic", anti_alias=False)


def _distance(block: Image, seed_mm: Triple) -> np.ndarray:
    axes = [torch.arange(n, dtype=torch.float64) for n in block.grid.shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    offset = block.grid.to_world(index) - torch.tensor(seed_mm, dtype=torch.float64)
    distance: np.ndarray = offset.norm(dim=-1).numpy()
    return distance


def _grow(scene: _Scene, steps: int) -> np.ndarray:
    """Part of each fine sample that belongs to the object, 0 to 1."""
    plateau, background = float(scene.x[scene.at]), float(np.median(scene.x))
    inside = np.zeros(scene.x.shape, dtype=bool)
    for _ in range(steps):
        bright = _share(scene.x, plateau, background) >= 0.5
        new = _compact(_component(bright, scene.allowed, scene.at), scene.spacing_mm)
        if (new == inside).all():
            break
        inside = new
        plateau, background = _levels(scene, inside)
    return _partial(_share(scene.x, plateau, background), inside, scene)


def _share(x: np.ndarray, plateau: float, background: float) -> np.ndarray:
    contrast = plateau - background
    if abs(contrast) <= 1e-9 * max(abs(plateau), abs(background)):  # rounding of the refinement
        raise RegionError(
            "object must stand out from its surroundings, both have the value "
            f"{plateau:g}: move the seed, or enlarge radius_mm"
        )
    share: np.ndarray = (x - background) / contrast
    return share


def _component(bright: np.ndarray, allowed: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    from scipy.ndimage import label

    parts, _ = label(bright & allowed)
    if parts[at] == 0:
        raise RegionError(
            "seed must lie inside the object, it is on the far side of half contrast: "
            "move seed_mm, or change radius_mm"
        )
    inside: np.ndarray = parts == parts[at]
    return inside


def _compact(inside: np.ndarray, spacing: Triple) -> np.ndarray:
    """Cut off what is thinner than half the object (vessels): an opening by distance."""
    from scipy.ndimage import distance_transform_edt, label

    flat = inside.shape[0] == 1  # what is beyond a single slice is unknown, not outside
    padded = np.pad(inside, ((0 if flat else 1,) * 2, (1, 1), (1, 1)))
    depth = distance_transform_edt(padded, sampling=spacing)[:, 1:-1, 1:-1]
    depth = depth if flat else depth[1:-1]
    least = _OPENING * float(depth.max())
    parts, _ = label(depth > least)
    core = parts == parts[np.unravel_index(int(depth.argmax()), depth.shape)]
    opened: np.ndarray = inside & (
        distance_transform_edt(~core, sampling=spacing) <= least + _TOUCH * max(spacing)
    )
    return opened


def _levels(scene: _Scene, inside: np.ndarray) -> tuple[float, float]:
    """Medians of the core of an object and of the shell around it (a voxel apart each)."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(inside, sampling=scene.spacing_mm)
    away = distance_transform_edt(~inside, sampling=scene.spacing_mm)
    core = depth > min(scene.voxel_mm, 0.6 * float(depth.max()))
    around = (away > scene.voxel_mm) & (away <= scene.voxel_mm + scene.shell_mm)
    if not around.any():
        raise RegionError(
            "object must be smaller than the search radius, it fills it: enlarge radius_mm"
        )
    return float(np.median(scene.x[core])), float(np.median(scene.x[around]))


def _partial(share: np.ndarray, inside: np.ndarray, scene: _Scene) -> np.ndarray:
    """Partial volumes near the contour; 1 deeper, 0 farther: what is lost on both sides cancels.

    What blur brings out of the contour it takes from inside: where more is found outside than is
    missing inside at the same distance, neighbours (vessels) are in the way, and it is scaled.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(inside, sampling=scene.spacing_mm)
    away = distance_transform_edt(~inside, sampling=scene.spacing_mm)
    width = _edge_mm(share, away, scene)
    partial: np.ndarray = np.where(away <= width, np.where(depth > width, 1.0, share), 0.0)
    step = min(scene.spacing_mm)
    for near in np.arange(0.0, width, step):
        outer = (away > near) & (away <= min(near + step, width))
        inner = (depth > near) & (depth <= min(near + step, width))
        if outer.any() and inner.any():
            gained, lost = float(share[outer].mean()), float(1 - share[inner].mean())
            partial[outer] *= max(lost, 0.0) / gained if gained > max(lost, 0.0) else 1.0
    return partial


def _edge_mm(share: np.ndarray, away: np.ndarray, scene: _Scene) -> float:
    """How far the blur of scanner and voxels reaches: medians by distance see no vessels."""
    step = min(scene.spacing_mm)
    low, high = (k * scene.voxel_mm for k in _EDGE)
    width = low
    while width < high:
        shell = (away > width) & (away <= width + step)
        if not shell.any() or float(np.median(share[shell])) < _FADED:
            return width
        width += step
    return high


def _painted(grid: Grid, block: Image, low: tuple[int, int, int], partial: np.ndarray) -> Labels:
    """Take as many voxels as the partial volumes add up to, the fullest first."""
    z, y, x = block.grid.shape
    fz, fy, fx = (n // m for n, m in zip(partial.shape, (z, y, x), strict=True))
    full = partial.reshape(z, fz, y, fy, x, fx).mean(axis=(1, 3, 5))
    count = max(1, round(float(full.sum())))
    order = np.argsort(-full, axis=None, kind="stable")
    inside = np.zeros(full.shape, dtype=np.uint8)
    inside.flat[order[:count]] = 1
    data = torch.zeros(grid.shape, dtype=torch.uint8)
    parts = tuple(slice(a, a + n) for a, n in zip(low, full.shape, strict=True))
    data[parts] = torch.from_numpy(inside)
    return Labels(data[None], grid, {(0, 1): "object"})
