"""Perturb: the same region as another scan, another contour and another reader might give it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Grid, Image, Linear, resample
from vesalius.errors import RegionError
from vesalius.graph import slic
from vesalius.measure._config import Config, Perturb
from vesalius.measure._prepare import (
    bounding_box,
    crop_grid,
    crop_to,
    margin_mm,
    resegment,
    target_grid,
)
from vesalius.measure._region import Region
from vesalius.ops._noise import noise_level

Triple = tuple[float, float, float]

_PIECE_MM = 6.3
"""Edge of a supervoxel of 250 mm^3."""

_SPLINE_REACH = 16
"""Samples after which the memory of the cubic B-spline prefilter is below 1e-9."""

_NEVER, _ALWAYS = 0.2, 0.9
"""A supervoxel with less, or more, of itself inside is never, or always, part of the region."""

_SHELLS = 8
"""How many voxels at most the contour moves to change the volume."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One set of perturbations, drawn from the seed and its number alone.

    Attributes:
        shift_voxels: Shift along (z, y, x), voxels of the measured grid.
        rotation_deg: Rotation vector (L, P, S) about the centre of the region, degrees.
        scale: Factor on the voxel size.
        volume: Relative change of volume.
        blur_mm: Standard deviation of the added point spread function, mm.
        drift: Relative calibration drift.
        generator: Goes on to give the noise and the contour.
    """

    shift_voxels: Triple
    rotation_deg: Triple
    scale: float
    volume: float
    blur_mm: float
    drift: float
    generator: torch.Generator


@dataclass(frozen=True, eq=False)
class Pieces:
    """Supervoxels around the contour, and how likely each is part of the region.

    Attributes:
        labels: (z, y, x) int32; 0 away from the contour.
        core: (z, y, x) bool; inside the region and away from the contour.
        inside: (n + 1,) how likely each piece is in; piece 0 never.
        surplus: Expected relative volume of the randomised region, less 1; taken off again.
    """

    labels: np.ndarray
    core: np.ndarray
    inside: np.ndarray
    surplus: float

    @cached_property
    def band(self) -> np.ndarray:
        """Flat indices of the samples near the contour."""
        return np.flatnonzero(self.labels)

    @property
    def possible(self) -> np.ndarray:
        """True wherever the region may reach."""
        reached: np.ndarray = self.core | (self.inside > 0)[self.labels]
        return reached


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all perturbations of one region share.

    Attributes:
        block: The image around the region, float64, unperturbed.
        mask: The region as drawn, on the block.
        grid: The lattice that is measured, around the region.
        margin_mm: How far around the region intensities are measured, mm.
        moves: Whether anything moves the lattice; else nothing more is interpolated than usual.
        kept: What a region of partial volumes that sum to 1 holds on average after
            interpolation without perturbation; times 1 / (1 + surplus) of the contour.
        sigma: Noise to add, unit of the image.
        pieces: Supervoxels, or None where the contour stays.
        config: The whole configuration.
    """

    block: Image
    mask: Bool[Tensor, "z y x"]
    grid: Grid
    margin_mm: float
    moves: bool
    kept: float
    sigma: float
    pieces: Pieces | None
    config: Config


def plan(
    image: Image,
    mask: Bool[Tensor, "z y x"],
    config: Config,
) -> Plan:
    """Do once what every perturbation of a region needs.

    Args:
        image: One channel, already normalised where that is asked for.
        mask: The region as drawn, on the image's grid.
        config: ``perturb`` says what is varied.

    Returns:
        The plan.

    Raises:
        RegionError: The mask is empty.
    """
    settings = config.perturb
    lattice = target_grid(image.grid, config) or image.grid
    support = _support_mm(image.grid, lattice, config)
    wide, region = crop_to(image, mask.cpu(), margin_mm=_PIECE_MM + support)
    wide = wide.map(lambda x: x.to("cpu", torch.float64))
    sigma = noise_level(_finite(wide.data[0])) if settings.noise else 0.0
    pieces = _pieces(wide, region, sigma) if settings.contour else None
    possible = region if pieces is None else region | torch.from_numpy(pieces.possible)
    reach = margin_mm(lattice, config) + _slack_mm(wide.grid, possible, lattice, settings)
    block, region, pieces = _tailored(image, wide.grid, (region, possible), pieces, reach + support)
    grid = crop_grid(lattice, wide.grid, possible, reach)
    moves = max(settings.shift_voxels, settings.rotation_deg, settings.resampling) > 0
    margin = margin_mm(lattice, config)
    kept = _kept(region, block.grid, grid, config) / (1 + (pieces.surplus if pieces else 0.0))
    return Plan(block, region, grid, margin, moves, kept, sigma, pieces, config)


def _kept(region: Tensor, near: Grid, grid: Grid, config: Config) -> float:
    """Volume of the unperturbed region after interpolation over the sum of its partial volumes."""
    if target_grid(near, config) is None:
        return 1.0
    settings = config.resample
    image = Image(region[None].double(), near)
    share = resample(image, grid, interpolation=settings.mask, anti_alias=False).data
    return int((share >= settings.mask_threshold - 1e-9).sum()) / max(float(share.sum()), 1e-9)


def _tailored(
    image: Image,
    near: Grid,
    masks: tuple[Tensor, Tensor],
    pieces: Pieces | None,
    margin: float,
) -> tuple[Image, Tensor, Pieces | None]:
    """Crop to what the largest possible region needs; masks and pieces move onto that block."""
    region, possible = (_pasted(m, near, image.grid) for m in masks)
    block, _ = crop_to(image, possible, margin_mm=margin)
    start = _offset(block.grid, image.grid)
    box = tuple(slice(a, a + n) for a, n in zip(start, block.grid.shape, strict=True))
    block = block.map(lambda x: x.to("cpu", torch.float64).contiguous())
    if pieces is None:
        return block, region[box].contiguous(), None
    labels = _pasted(torch.from_numpy(pieces.labels), near, image.grid)[box].contiguous()
    core = _pasted(torch.from_numpy(pieces.core), near, image.grid)[box].contiguous()
    moved = Pieces(labels.numpy(), core.numpy(), pieces.inside, pieces.surplus)
    return block, region[box].contiguous(), moved


def _pasted(part: Tensor, near: Grid, whole: Grid) -> Tensor:
    start = _offset(near, whole)
    full = torch.zeros(whole.shape, dtype=part.dtype)
    full[tuple(slice(a, a + n) for a, n in zip(start, near.shape, strict=True))] = part
    return full


def _offset(part: Grid, whole: Grid) -> tuple[int, ...]:
    """Index (z, y, x) of the first voxel of a crop in what it was cropped from."""
    origin = torch.tensor(part.origin_mm, dtype=torch.float64)
    return tuple(int(i) for i in whole.to_index(origin).round())


def draw(settings: Perturb, index: int, *, flat: bool = False) -> Draw:
    """Draw one set of perturbations; the same for the same seed and index, always.

    Every number is drawn whether it is used or not, so that switching one perturbation off leaves
    the others as they were.

    Args:
        settings: How much is varied.
        index: Number of the perturbation, from 0.
        flat: The image is one slice: shift and rotate in the plane only.

    Returns:
        The draw.
    """
    generator = torch.Generator().manual_seed((settings.seed * 1_000_003 + index) % 2**63)
    uniform = (2 * torch.rand(10, generator=generator, dtype=torch.float64) - 1).tolist()
    normal = float(torch.randn(1, generator=generator, dtype=torch.float64))
    shift = [settings.shift_voxels * u for u in uniform[:3]]
    axis = [0.0, 0.0, 1.0] if flat else _direction(uniform[3], math.pi * uniform[4])
    angle = settings.rotation_deg * uniform[5]
    return Draw(
        shift_voxels=(0.0 if flat else shift[0], shift[1], shift[2]),
        rotation_deg=(angle * axis[0], angle * axis[1], angle * axis[2]),
        scale=1 + settings.resampling * uniform[6],
        volume=settings.volume_fraction * uniform[7],
        blur_mm=settings.blur_mm * (uniform[8] + 1) / 2,
        drift=max(-0.5, settings.drift * normal),
        generator=generator,
    )


def perturbed(shared: Plan, change: Draw) -> Region:
    """Apply one set of perturbations; image and mask are interpolated once.

    In this order, as in a scanner: blur, noise, calibration drift, contour, then shift, rotation
    and voxel size in one interpolation, then volume.

    Args:
        shared: What all perturbations share.
        change: What is varied this time.

    Returns:
        The region, ready to be measured.

    Raises:
        RegionError: Nothing is left of the region.
    """
    config = shared.config
    region = _redrawn(shared.mask, shared.pieces, change.generator)
    grid, sampling = _lattices(shared, change)
    if sampling is None:
        new, share = _disturbed(shared, change, shared.block), region.double()
    else:
        grid, sampling = _around(region, shared, (grid, sampling))
        new, share = _sampled(region, shared, change, sampling)
        new = new.round() if config.resample.rounding == "integer" else new
    if config.discretise.method == "none":
        new = new.round()
    drawn = share >= config.resample.mask_threshold - 1e-9
    settings = config.perturb
    if shared.moves or shared.pieces is not None or settings.volume_fraction > 0:
        count = float(share.sum()) * shared.kept * (1 + change.volume)
        drawn = _of_volume(share, round(count), change.generator)
    return resegment(grid, new, drawn, config, unit=shared.block.unit)


def drifted(x: Float[Tensor, "*shape"], drift: float, unit: str) -> Float[Tensor, "*shape"]:
    """Apply a calibration drift.

    Args:
        x: Intensities.
        drift: Relative error e of the attenuation of water (HU), or of the gain (all else).
        unit: Unit of the intensities.

    Returns:
        In HU, x - (x + 1000) e / (1 + e), as if water had been taken for (1 + e) times what it
        is; else x (1 + e).
    """
    if drift == 0:
        return x
    if unit == "HU":
        return x - (x + 1000) * (drift / (1 + drift))
    return x * (1 + drift)


def _support_mm(grid: Grid, lattice: Grid, config: Config) -> float:
    """How far beyond a position its interpolation reads, mm."""
    voxels = 2 if config.resample.image != "cubic" else 2 + _SPLINE_REACH
    return voxels * max(*grid.spacing_mm, *lattice.spacing_mm)


def _slack_mm(grid: Grid, mask: Tensor, lattice: Grid, settings: Perturb) -> float:
    """How far a voxel of the region may move or the contour may grow, mm."""
    where = mask.nonzero()
    if len(where) == 0:
        raise RegionError("mask must have at least one voxel, it is empty: check the label")
    size = (where.max(dim=0).values - where.min(dim=0).values + 1).double()
    half = 0.5 * float((size * torch.tensor(grid.spacing_mm).double()).norm())
    turn = 2 * math.sin(math.radians(settings.rotation_deg) / 2) * half
    shift = settings.shift_voxels * float(torch.tensor(lattice.spacing_mm).double().norm())
    grow = settings.volume_fraction * half / 2 + max(lattice.spacing_mm)
    return turn + shift + grow + settings.resampling * half + 3 * settings.blur_mm


def _direction(s: float, angle: float) -> list[float]:
    r = math.sqrt(max(0.0, 1 - s * s))
    return [r * math.cos(angle), r * math.sin(angle), s]


def _finite(x: Tensor) -> Tensor:
    """Samples with NaN and infinity (outside the region they are legal) set to the median."""
    good = torch.isfinite(x)
    return x if bool(good.all()) else torch.where(good, x, x[good].median())


def _disturbed(shared: Plan, change: Draw, block: Image) -> Tensor:
    x = block.data[0]
    if change.blur_mm > 0:
        from scipy.ndimage import gaussian_filter

        sigma = [change.blur_mm / s for s in block.grid.spacing_mm]
        sigma = [0.0 if n == 1 else s for s, n in zip(sigma, x.shape, strict=True)]
        x = torch.from_numpy(gaussian_filter(x.numpy(), sigma, mode="nearest"))
    if shared.sigma > 0:
        noise = torch.randn(x.shape, generator=change.generator, dtype=torch.float32)
        x = torch.add(x, noise, alpha=shared.sigma)
    return drifted(x, change.drift, block.unit)


def _lattices(shared: Plan, change: Draw) -> tuple[Grid, Grid | None]:
    """The plain lattice of the result, and where it lies in the unperturbed world."""
    if not shared.moves:
        same = target_grid(shared.block.grid, shared.config) is None
        return (shared.block.grid, None) if same else (shared.grid, shared.grid)
    grid = _scaled(shared.grid, change.scale)
    centre = _centre_mm(shared)
    turn = Linear.rotation(change.rotation_deg, centre_mm=centre).matrix
    shift = grid.affine[:3, :3] @ torch.tensor(change.shift_voxels, dtype=torch.float64)
    affine = turn @ grid.affine
    affine[:3, 3] += shift
    return grid, Grid(grid.shape, affine)


def _scaled(grid: Grid, scale: float) -> Grid:
    """The same box with voxels ``scale`` times as large, around the same centre."""
    if scale == 1:
        return grid
    shape = tuple(max(1, math.ceil(n / scale)) if n > 1 else 1 for n in grid.shape)
    factors = [scale if n > 1 else 1.0 for n in grid.shape]
    affine = grid.affine.clone()
    affine[:3, :3] *= torch.tensor(factors, dtype=torch.float64)
    old = grid.to_world(torch.tensor(grid.shape).double() / 2 - 0.5)
    new = affine[:3, :3] @ (torch.tensor(shape).double() / 2 - 0.5)
    affine[:3, 3] = old - new
    return Grid((shape[0], shape[1], shape[2]), affine)


def _centre_mm(shared: Plan) -> Triple:
    index = shared.mask.nonzero().double().mean(dim=0)
    left, posterior, superior = shared.block.grid.to_world(index).tolist()
    return (left, posterior, superior)


def _around(region: Tensor, shared: Plan, lattices: tuple[Grid, Grid]) -> tuple[Grid, Grid]:
    """Crop both lattices to what this region and its margin need."""
    grid, sampling = lattices
    start, shape = bounding_box(region)
    low = torch.tensor(start, dtype=torch.float64) - 1
    high = low + torch.tensor(shape) + 1
    index = sampling.to_index(shared.block.grid.to_world(_corners(low, high)))
    spacing = torch.tensor(grid.spacing_mm, dtype=torch.float64)
    margin = shared.margin_mm / spacing + 1
    first, size = _within(index, margin, grid.shape)
    return grid.crop(first, size), sampling.crop(first, size)


def _corners(low: Tensor, high: Tensor) -> Tensor:
    ends = torch.stack([low, high])
    return torch.stack([ends[[b & 1, b >> 1 & 1, b >> 2], [0, 1, 2]] for b in range(8)])


def _within(
    index: Tensor, margin: Tensor, shape: tuple[int, int, int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The box of voxels around points and a margin, as far as the grid reaches."""
    low = (index.min(dim=0).values - margin).floor().tolist()
    high = (index.max(dim=0).values + margin).ceil().tolist()
    first = [int(min(max(0, a), n - 1)) for a, n in zip(low, shape, strict=True)]
    stop = [int(min(n, max(b + 1, a + 1))) for a, b, n in zip(first, high, shape, strict=True)]
    z, y, x = (b - a for a, b in zip(first, stop, strict=True))
    return (first[0], first[1], first[2]), (z, y, x)


def _sampled(region: Tensor, shared: Plan, change: Draw, sampling: Grid) -> tuple[Tensor, Tensor]:
    """Disturb only what is read, and interpolate it and the mask, each once."""
    settings, grid = shared.config.resample, shared.block.grid
    last = torch.tensor(sampling.shape, dtype=torch.float64) - 1
    index = grid.to_index(sampling.to_world(_corners(torch.zeros_like(last), last)))
    support = _support_mm(grid, sampling, shared.config) + 3 * change.blur_mm
    margin = support / torch.tensor(grid.spacing_mm, dtype=torch.float64)
    first, size = _within(index, margin, grid.shape)
    part = shared.block.crop(first, size)
    values = _disturbed(shared, change, part)
    box = tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))
    image = Image(values[None].contiguous(), part.grid)
    mask = Image(region[box][None].double(), part.grid)
    new = resample(image, sampling, interpolation=settings.image, anti_alias=False)
    share = resample(mask, sampling, interpolation=settings.mask, anti_alias=False)
    return new.data[0], share.data[0]


def _pieces(block: Image, region: Tensor, sigma: float) -> Pieces:
    """Cut the surroundings of the contour into supervoxels, once for all perturbations."""
    from scipy.ndimage import distance_transform_edt

    spacing = block.grid.spacing_mm
    size = _piece_size(region, spacing)
    mask = region.numpy()
    padded = np.pad(mask, 1)
    outer = distance_transform_edt(~mask, sampling=spacing)
    inner = distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
    band = (outer + inner) <= max(size, 1.5 * max(spacing))
    x = _finite(block.data[0])
    near = x[torch.from_numpy(band)]
    ends = torch.tensor([0.01, 0.99], dtype=torch.float64)
    low, high = torch.quantile(near[:: max(1, len(near) // 100_000)], ends).tolist()
    weight = max(0.1 * (high - low), sigma, 1e-12)
    labels = slic(
        x.clamp(low, high)[None].float(),
        spacing=spacing,
        size=size,
        compactness=weight,
        steps=5,
        mask=torch.from_numpy(band),
    ).numpy()
    return _likely(labels, mask, mask & ~band)


def _piece_size(region: Tensor, spacing: Triple) -> float:
    """Edge of a supervoxel, mm: 250 mm^3, less in a small region, at least 8 voxels."""
    voxel = math.prod(spacing)
    diameter = math.cbrt(6 / math.pi * int(region.sum()) * voxel)
    return min(_PIECE_MM, max(diameter / 4, math.cbrt(8 * voxel)))


def _likely(labels: np.ndarray, mask: np.ndarray, core: np.ndarray) -> Pieces:
    flat = labels.ravel()
    total = np.bincount(flat)
    overlap = np.bincount(flat[mask.ravel()], minlength=len(total))
    share = overlap / np.maximum(total, 1)
    inside = np.where(share >= _ALWAYS, 1.0, np.where(share < _NEVER, 0.0, share))
    inside[0] = 0.0
    if not core.any() and inside.sum() == 0:
        inside[1 + int(share[1:].argmax())] = 1.0
    expected = core.sum() + float((inside * total)[1:].sum())
    return Pieces(labels, core, inside, expected / mask.sum() - 1)


def _redrawn(mask: Tensor, pieces: Pieces | None, generator: torch.Generator) -> Tensor:
    if pieces is None:
        return mask
    dice = torch.rand(len(pieces.inside), generator=generator, dtype=torch.float64).numpy()
    new = pieces.core.copy()
    new.ravel()[pieces.band] = (dice < pieces.inside)[pieces.labels.ravel()[pieces.band]]
    return torch.from_numpy(new) if new.any() else mask


def _of_volume(share: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Move the contour outwards or inwards until the region holds ``count`` voxels.

    The contour is a level set of the partial volumes, which reach one voxel to either side of it;
    where that is not enough they are spread, a voxel at a time. Ties are broken by chance.
    """
    value = share.numpy().ravel()
    for spread in range(_SHELLS):
        new = value >= (1 - 1e-9) * value.max()
        near = np.flatnonzero((value > 0) & ~new)
        missing = count - int(np.count_nonzero(new))
        if 0 <= missing <= len(near) or spread == _SHELLS - 1:
            break
        value = value + _spread(torch.from_numpy(value.reshape(share.shape))).numpy().ravel()
    if missing < 0:  # more voxels than wanted are equally deep inside
        near, new = np.flatnonzero(new), np.zeros_like(new)
        missing = count
    if 0 < missing < len(near):
        dice = torch.rand(len(near), generator=generator, dtype=torch.float64).numpy()
        near = near[np.argpartition(-value[near] - 1e-6 * dice, missing - 1)[:missing]]
    if missing > 0:
        new[near] = True
    return torch.from_numpy(new.reshape(share.shape))


def _spread(x: Tensor) -> Tensor:
    """Mean of each sample and its face neighbours; borders replicate."""
    total = x.clone()
    for axis in range(3):
        n = x.shape[axis]
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, n - 1, 1)
        if n > 1:
            total += torch.cat([first, x.narrow(axis, 0, n - 1)], dim=axis)
            total += torch.cat([x.narrow(axis, 1, n - 1), last], dim=axis)
        else:
            total += 2 * x
    return total / 7
