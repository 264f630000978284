"""Perturb: the same region as another scan, another contour and another reader might give it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Grid, Image, Linear, resample
from vesalius.errors import RegionError
from vesalius.measure._config import Config, Perturb
from vesalius.measure._contour import (
    PIECE_MM,
    Pieces,
    cut_pieces,
    finite,
    of_volume,
    redrawn,
)
from vesalius.measure._prepare import (
    bounding_box,
    crop_grid,
    crop_to,
    margin_mm,
    resegment,
    target_grid,
)
from vesalius.measure._region import Region
from vesalius.ops._noise import NOISE_SAMPLES, noise_level

Triple = tuple[float, float, float]

_SPLINE_REACH = 16
"""Samples after which the memory of the cubic B-spline prefilter is below 1e-9."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all perturbations of one region share.

    Attributes:
        block: The image around the region, float64, unperturbed.
        mask: The region as drawn, on the block.
        grid: The lattice that is measured, around the region.
        centre_mm: Centre of the region (L, P, S), mm.
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
    centre_mm: Triple
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
        RegionError: The mask is empty, or the image too small to estimate its noise.
    """
    settings = config.perturb
    lattice = target_grid(image.grid, config) or image.grid
    support = _support_mm(image.grid, lattice, config)
    wide, region = crop_to(image, mask.cpu(), margin_mm=PIECE_MM + support)
    wide = wide.map(lambda x: x.to("cpu", torch.float64))
    sigma = _sigma(image, wide) if settings.noise else 0.0
    pieces = cut_pieces(wide, region, sigma) if settings.contour else None
    possible = region if pieces is None else region | torch.from_numpy(pieces.possible)
    reach = margin_mm(lattice, config) + _slack_mm(wide.grid, possible, lattice, settings)
    block, start = _tailored(image, wide.grid, possible, reach + support)
    region = _moved(region, start, block.grid.shape)
    if pieces is not None:
        labels, core = (torch.from_numpy(a) for a in (pieces.labels, pieces.core))
        pieces = replace(
            pieces,
            labels=_moved(labels, start, block.grid.shape).numpy(),
            core=_moved(core, start, block.grid.shape).numpy(),
        )
    grid = crop_grid(lattice, wide.grid, possible, reach)
    return Plan(
        block=block,
        mask=region,
        grid=grid,
        centre_mm=_centre_mm(region, block.grid),
        margin_mm=margin_mm(lattice, config),
        moves=max(settings.shift_voxels, settings.rotation_deg, settings.resampling) > 0,
        kept=_kept(region, block.grid, grid, config) / (1 + (pieces.surplus if pieces else 0.0)),
        sigma=sigma,
        pieces=pieces,
        config=config,
    )


def _sigma(image: Image, wide: Image) -> float:
    """Noise level near the region, or of the whole image where that is too small."""
    near = wide if min(wide.grid.shape[1:]) >= NOISE_SAMPLES else image
    if min(near.grid.shape[1:]) < NOISE_SAMPLES:
        raise RegionError(
            f"image must have at least {NOISE_SAMPLES} samples along y and x to estimate its "
            f"noise, it has {near.grid.shape[1:]}: set perturb.noise to false"
        )
    return noise_level(finite(near.data[0].to("cpu", torch.float64)))


def _kept(region: Tensor, near: Grid, grid: Grid, config: Config) -> float:
    """Volume of the unperturbed region after interpolation over the sum of its partial volumes."""
    if target_grid(near, config) is None:
        return 1.0
    settings = config.resample
    image = Image(region[None].double(), near)
    share = resample(image, grid, interpolation=settings.mask, anti_alias=False).data
    return int((share >= settings.mask_threshold - 1e-9).sum()) / max(float(share.sum()), 1e-9)


def _tailored(
    image: Image, near: Grid, possible: Tensor, margin: float
) -> tuple[Image, tuple[int, ...]]:
    """Crop to what the largest possible region needs; also where that starts in ``near``."""
    origin = torch.tensor(near.origin_mm, dtype=torch.float64)
    offset = [round(i) for i in image.grid.to_index(origin).tolist()]
    first, size = bounding_box(possible)
    start, shape = [], []
    for axis, (whole, spacing) in enumerate(
        zip(image.grid.shape, image.grid.spacing_mm, strict=True)
    ):
        extra = math.ceil(min(margin / spacing, whole))
        low = max(0, offset[axis] + first[axis] - extra)
        start.append(low)
        shape.append(min(whole, offset[axis] + first[axis] + size[axis] + extra) - low)
    block = image.crop((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    block = block.map(lambda x: x.to("cpu", torch.float64).contiguous())
    return block, tuple(a - b for a, b in zip(start, offset, strict=True))


def _moved(x: Tensor, start: tuple[int, ...], shape: tuple[int, int, int]) -> Tensor:
    """Cut a box out of an array, zeros where it leaves it."""
    new = torch.zeros(shape, dtype=x.dtype)
    here, there = [], []
    for a, n, whole in zip(start, shape, x.shape, strict=True):
        low, high = max(0, a), min(whole, a + n)
        there.append(slice(low, high))
        here.append(slice(low - a, high - a))
    new[tuple(here)] = x[tuple(there)]
    return new


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
    region = redrawn(shared.mask, shared.pieces, change.generator)
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
        drawn = of_volume(share, round(count), change.generator)
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
    turn = Linear.rotation(change.rotation_deg, centre_mm=shared.centre_mm).matrix
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


def _centre_mm(region: Tensor, grid: Grid) -> Triple:
    left, posterior, superior = grid.to_world(region.nonzero().double().mean(dim=0)).tolist()
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
