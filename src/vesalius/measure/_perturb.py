"""Perturb: the same region as another scan, another contour and another reader might give it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

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
    outline,
    pushed,
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
from vesalius.ops._needed import (
    cubic_on_rows,
    linear_on_rows,
    rows_near,
    spline_with_border,
    whole_rows,
)
from vesalius.ops._noise import NOISE_SAMPLES, noise_level

Triple = tuple[float, float, float]
Triplet = tuple[int, int, int]
Mask = Bool[Tensor, "z y x"]

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
        generator: Goes on to give the contour and the noise.
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
        depth: Depth below the drawn contour on the block, mm; positive in the region.
        voxels: Voxels of the region as drawn.
        grid: The lattice that is measured, around the region.
        plain: The unperturbed region on that lattice.
        centre_mm: Centre of the region (L, P, S), mm.
        margin_mm: How far around the region intensities are measured, mm.
        sigma: Noise to add, unit of the image.
        pieces: Supervoxels, or None where the contour stays.
        coefficients: Spline through the block, or None where the configuration interpolates.
        config: The whole configuration.
    """

    block: Image
    depth: Float[Tensor, "z y x"]
    voxels: int
    grid: Grid
    plain: Bool[Tensor, "gz gy gx"]
    centre_mm: Triple
    margin_mm: float
    sigma: float
    pieces: Pieces | None
    coefficients: Float[Tensor, "cz cy cx"] | None
    config: Config

    @property
    def moves(self) -> bool:
        """Whether anything moves the lattice."""
        settings = self.config.perturb
        return max(settings.shift_voxels, settings.rotation_deg, settings.resampling) > 0


def plan(image: Image, mask: Bool[Tensor, "z y x"], config: Config) -> Plan:
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
    reach = margin_mm(lattice, config) + _slack_mm(image.grid, mask, lattice, settings)
    support = _support_mm(image.grid, lattice, config)
    block, region = crop_to(image, mask.cpu(), margin_mm=reach + support)
    block = block.map(lambda x: x.to("cpu", torch.float64).contiguous())
    sigma = _sigma(image, block) if settings.noise else 0.0
    depth = outline(region, block.grid.spacing_mm)
    grid = crop_grid(lattice, block.grid, region, reach)
    return Plan(
        block=block,
        depth=depth,
        voxels=int(region.sum()),
        grid=grid,
        plain=_plain(region, block.grid, grid, config),
        centre_mm=_centre_mm(region, block.grid),
        margin_mm=margin_mm(lattice, config),
        sigma=sigma,
        pieces=cut_pieces(block, region, depth, sigma) if settings.contour else None,
        coefficients=_coefficients(block, config),
        config=config,
    )


def _coefficients(block: Image, config: Config) -> Tensor | None:
    """Linear interpolation would blur, and the plain measurement interpolates nothing."""
    settings = config.perturb
    moves = max(settings.shift_voxels, settings.rotation_deg, settings.resampling) > 0
    if not moves or target_grid(block.grid, config) is not None:
        return None
    return spline_with_border(finite(block.data[0]))


def _sigma(image: Image, block: Image) -> float:
    """Noise level near the region, or of the whole image where that is too small."""
    near = block if min(block.grid.shape[1:]) >= NOISE_SAMPLES else image
    if min(near.grid.shape[1:]) < NOISE_SAMPLES:
        raise RegionError(
            f"image must have at least {NOISE_SAMPLES} samples along y and x to estimate its "
            f"noise, it has {near.grid.shape[1:]}: set perturb.noise to false"
        )
    return noise_level(finite(near.data[0].to("cpu", torch.float64)))


def _plain(region: Tensor, near: Grid, grid: Grid, config: Config) -> Tensor:
    """Give the unperturbed region on the lattice that is measured."""
    settings = config.resample
    kind = settings.mask if target_grid(near, config) is not None else "nearest"
    share = resample(
        Image(region[None].double(), near), grid, interpolation=kind, anti_alias=False
    ).data[0]
    return share >= settings.mask_threshold - 1e-9


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

    Where the configuration interpolates: blur, noise and drift, then one interpolation as it
    says. Where it does not: one interpolation by cubic B-splines, which keep the sharpness of
    the scan, then noise at the level of the scan, and drift. The contour is pushed by
    supervoxels, moved, and set to its volume as a level of the smooth distance to it. Farther
    from the region than the margin intensities are 0, unless filters are asked for.

    Args:
        shared: What all perturbations share.
        change: What is varied this time.

    Returns:
        The region, ready to be measured.

    Raises:
        RegionError: Nothing is left of the region.
    """
    config = shared.config
    grid, sampling = _lattices(shared, change)
    drawn, corner = _drawn(shared, change, grid, sampling)
    first, size = _with_margin(drawn, corner, grid, shared.margin_mm)
    drawn = _moved(drawn, [a - b for a, b in zip(first, corner, strict=True)], size)
    grid, sampling = grid.crop(first, size), sampling.crop(first, size)
    values = _values(shared, change, sampling, drawn)
    return resegment(grid, values, drawn, config, unit=shared.block.unit)


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
    grow = settings.volume_fraction * half / 2 + (PIECE_MM if settings.contour else 0.0)
    grow += max(lattice.spacing_mm)
    return turn + shift + grow + settings.resampling * half + 3 * settings.blur_mm


def _direction(s: float, angle: float) -> list[float]:
    r = math.sqrt(max(0.0, 1 - s * s))
    return [r * math.cos(angle), r * math.sin(angle), s]


def _lattices(shared: Plan, change: Draw) -> tuple[Grid, Grid]:
    """The plain lattice of the result, and where it lies in the unperturbed world."""
    if not shared.moves:
        return shared.grid, shared.grid
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


def _drawn(shared: Plan, change: Draw, grid: Grid, sampling: Grid) -> tuple[Tensor, Triplet]:
    """Redraw the region on a part of the lattice; also where that part starts."""
    settings = shared.config.perturb
    if not shared.moves and shared.pieces is None and settings.volume_fraction == 0:
        return shared.plain, (0, 0, 0)
    depth, more = pushed(shared.depth, shared.pieces, change.generator)
    growth = (1 + more / shared.voxels) * (1 + change.volume)
    reach = _growth_mm(shared, growth)
    start, size = bounding_box(depth > -reach)
    low = torch.tensor(start, dtype=torch.float64)
    corners = _corners(low, low + torch.tensor(size) - 1)
    index = sampling.to_index(shared.block.grid.to_world(corners))
    first, size = _within(index, torch.ones(3), grid.shape)
    part = sampling.crop(first, size)
    matrix = _matrix(part, shared.block.grid)
    level = linear_on_rows(
        depth, matrix, whole_rows(size), size[2], limit=reach + _voxel_mm(shared)
    )
    voxel = shared.grid.voxel_volume_mm3 / grid.voxel_volume_mm3
    count = round(int(shared.plain.sum()) * growth * voxel)
    return of_volume(level, count, change.generator), first


def _growth_mm(shared: Plan, growth: float) -> float:
    """How far the contour moves at most to reach a volume, with a voxel to spare, mm."""
    radius = math.cbrt(shared.voxels * shared.block.grid.voxel_volume_mm3)
    return _voxel_mm(shared) + abs(growth - 1) * radius


def _voxel_mm(shared: Plan) -> float:
    return max(*shared.block.grid.spacing_mm, *shared.grid.spacing_mm)


def _matrix(lattice: Grid, block: Grid) -> Tensor:
    """Lattice index to block index; steps of whole samples are exact."""
    matrix = torch.linalg.inv(block.affine) @ lattice.affine
    whole = matrix.round()
    return torch.where((matrix - whole).abs() < 1e-9, whole, matrix).contiguous()


def _with_margin(
    drawn: Mask, corner: Triplet, grid: Grid, margin_mm: float
) -> tuple[Triplet, Triplet]:
    """The box of a region and its margin, on the lattice; ``corner`` is where the mask starts."""
    start, size = bounding_box(drawn)
    low = torch.tensor(start, dtype=torch.float64) + torch.tensor(corner)
    ends = torch.stack([low, low + torch.tensor(size) - 1])
    spacing = torch.tensor(grid.spacing_mm, dtype=torch.float64)
    return _within(ends, margin_mm / spacing + 1, grid.shape)


def _moved(x: Tensor, start: list[int], shape: Triplet) -> Tensor:
    """Cut a box out of an array, zeros where it leaves it."""
    new = torch.zeros(shape, dtype=x.dtype)
    here, there = [], []
    for a, n, whole in zip(start, shape, x.shape, strict=True):
        low, high = max(0, a), min(whole, a + n)
        there.append(slice(low, high))
        here.append(slice(low - a, high - a))
    new[tuple(here)] = x[tuple(there)]
    return new


def _corners(low: Tensor, high: Tensor) -> Tensor:
    ends = torch.stack([low, high])
    return torch.stack([ends[[b & 1, b >> 1 & 1, b >> 2], [0, 1, 2]] for b in range(8)])


def _within(index: Tensor, margin: Tensor, shape: Triplet) -> tuple[Triplet, Triplet]:
    """The box of voxels around points and a margin, as far as the grid reaches."""
    low = (index.min(dim=0).values - margin).floor().tolist()
    high = (index.max(dim=0).values + margin).ceil().tolist()
    first = [int(min(max(0, a), n - 1)) for a, n in zip(low, shape, strict=True)]
    stop = [int(min(n, max(b + 1, a + 1))) for a, b, n in zip(first, high, shape, strict=True)]
    z, y, x = (b - a for a, b in zip(first, stop, strict=True))
    return (first[0], first[1], first[2]), (z, y, x)


def _values(shared: Plan, change: Draw, sampling: Grid, drawn: Mask) -> Tensor:
    """Give the intensities on the lattice; 0 farther away from the region than the margin."""
    config = shared.config
    if config.filters:
        rows = whole_rows(sampling.shape)
    else:
        z, y, x = (shared.margin_mm / s for s in sampling.spacing_mm)
        rows = rows_near(drawn, (z, y, x))
    give = _moved_values if shared.coefficients is not None else _resampled_values
    values = give(shared, change, sampling, rows)
    moved = shared.moves or target_grid(shared.block.grid, config) is not None
    whole = moved and config.resample.rounding == "integer"
    return values.round() if whole or config.discretise.method == "none" else values


def _moved_values(shared: Plan, change: Draw, sampling: Grid, rows: Tensor) -> Tensor:
    """Interpolate between voxels of the same size, then disturb: as sharp and noisy as a scan."""
    assert shared.coefficients is not None
    c = _blurred(shared.coefficients, change.blur_mm, shared.block.grid)
    matrix = _matrix(sampling, shared.block.grid)
    values = cubic_on_rows(c, matrix, rows, sampling.shape[2])
    return _disturbed(values, shared, change)


def _resampled_values(shared: Plan, change: Draw, sampling: Grid, rows: Tensor) -> Tensor:
    """Disturb what is read, then interpolate as the configuration says."""
    config, grid = shared.config, shared.block.grid
    last = torch.tensor(sampling.shape, dtype=torch.float64) - 1
    index = grid.to_index(sampling.to_world(_corners(torch.zeros_like(last), last)))
    support = _SPLINE_REACH + 2 if config.resample.image == "cubic" else 1
    spacing = torch.tensor(grid.spacing_mm, dtype=torch.float64)
    first, size = _within(index, support + 3 * change.blur_mm / spacing, grid.shape)
    part = shared.block.crop(first, size)
    x = _disturbed(_blurred(part.data[0], change.blur_mm, part.grid), shared, change).contiguous()
    if config.resample.image == "linear":
        return linear_on_rows(x, _matrix(sampling, part.grid), rows, sampling.shape[2])
    image, kind = Image(x[None], part.grid), config.resample.image
    return resample(image, sampling, interpolation=kind, anti_alias=False).data[0]


def _blurred(x: Tensor, blur_mm: float, grid: Grid) -> Tensor:
    if blur_mm == 0:
        return x
    from scipy.ndimage import gaussian_filter

    sigma = [
        0.0 if n == 1 else blur_mm / s for s, n in zip(grid.spacing_mm, grid.shape, strict=True)
    ]
    return torch.from_numpy(gaussian_filter(x.numpy(), sigma, mode="nearest"))


def _disturbed(x: Tensor, shared: Plan, change: Draw) -> Tensor:
    """Add noise and calibration drift."""
    if shared.sigma > 0:
        noise = torch.randn(x.shape, generator=change.generator, dtype=torch.float32)
        x = torch.add(x, noise, alpha=shared.sigma)
    return drifted(x, change.drift, shared.block.unit)
