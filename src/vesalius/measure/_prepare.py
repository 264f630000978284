"""Prepare: from an image and a mask to the block that the families measure."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.core import Grid, Image, resample
from vesalius.core._resample import centred_grid
from vesalius.enhance import margin_voxels
from vesalius.errors import GeometryError, IntensityError, RegionError
from vesalius.measure._config import Config, Discretise
from vesalius.measure._region import Levels, Region
from vesalius.ops._discretise import discretise, extremes
from vesalius.ops._inside import Census, box_of, keep_between

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Start index and shape, (z, y, x)."""

PEAK_REACH_MM = 6.3
"""The local intensity peak looks this far (a little more than the 6.2 mm of its sphere)."""

_LARGEST = 1e60

_SPLINE_REACH = 16
"""Samples after which the memory of the cubic B-spline prefilter is below 1e-9."""


def prepare(
    image: Image,
    mask: Bool[Tensor, "z y x"],
    config: Config,
) -> Region:
    """Crop, interpolate and re-segment one region of an image.

    Args:
        image: One channel; any real dtype.
        mask: The region as drawn, on the image's grid.
        config: What to do; ``resample`` and ``resegment`` are used here. The block reaches as far
            around the region as the local intensity peak and the filters read.

    Returns:
        The block, float64, with the morphological and the intensity mask.

    Raises:
        GeometryError: The grid is sheared, so that spacing alone does not say where voxels are.
        RegionError: The mask is empty, before or after interpolation or re-segmentation.
        IntensityError: NaN or infinity inside the region.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, sections 2.4 and 2.5.
    """
    _check_orthogonal(image.grid)
    image = image.map(Tensor.detach)  # a measurement has no derivative
    grid = target_grid(image.grid, config)
    margin = margin_mm(grid or image.grid, config)
    block, region = crop_to(image, mask, margin_mm=_reach_mm(image.grid, config, margin))
    if grid is None:
        return resegment(block.grid, block.data[0].double(), region, config, unit=image.unit)
    settings = config.resample
    inside = crop_grid(grid, block.grid, region, margin)
    floats = Image(block.data.double(), block.grid, image.unit)
    new = resample(floats, inside, interpolation=settings.image, anti_alias=False)
    share = resample(
        Image(region[None].double(), block.grid),
        inside,
        interpolation=settings.mask,
        anti_alias=False,
    )
    drawn = share.data[0] >= settings.mask_threshold - 1e-9
    values = new.data[0].round() if settings.rounding == "integer" else new.data[0]
    return resegment(inside, values, drawn, config, unit=image.unit)


def margin_mm(grid: Grid, config: Config) -> float:
    """Give how far around a region its values reach, mm.

    Args:
        grid: The lattice that is measured.
        config: Its filters are asked how far they read.

    Returns:
        The largest distance; infinite where a filter needs the whole image.
    """
    margin = PEAK_REACH_MM
    for spec in config.filters:
        voxels = margin_voxels(spec, grid.spacing_mm)
        if voxels is None:
            return math.inf
        margin = max(margin, *(n * s for n, s in zip(voxels, grid.spacing_mm, strict=True)))
    return margin


def resegment(
    grid: Grid,
    intensity: Tensor,
    morphological: Bool[Tensor, "z y x"],
    config: Config,
    *,
    unit: str,
) -> Region:
    """Make the region: check the drawn mask, and keep apart the voxels that are measured.

    Args:
        grid: Where the block is.
        intensity: (z, y, x) float64.
        morphological: The region on that block.
        config: ``resegment`` is used.
        unit: Unit of the intensities.

    Returns:
        The region with both masks.

    Raises:
        RegionError: A mask is empty.
        IntensityError: NaN, infinity or numbers beyond 1e60 inside the region.
    """
    intensity, morphological = intensity.contiguous(), morphological.contiguous()
    kept, census = keep_between(
        intensity.cpu().numpy(), morphological.cpu().numpy(), config.resegment.range
    )
    _check_finite(census, unit)
    mask = torch.from_numpy(kept).to(intensity.device)
    if config.resegment.outlier_sigma is not None and census.kept:
        mask = _without_outliers(intensity, mask, config.resegment.outlier_sigma)
    if census.kept == 0 or not bool(mask.any()):
        raise RegionError(
            f"re-segmentation must keep at least one voxel, it keeps none: intensities run from "
            f"{census.low:g} to {census.high:g} {unit}, the range kept is {config.resegment.range}"
        )
    return Region(grid, intensity, morphological, mask, unit)


def discretise_region(
    region: Region, settings: Discretise, *, lower_bound: float | None, pad: int
) -> Levels:
    """Turn the intensities of a region into grey levels.

    Args:
        region: The prepared region.
        settings: Fixed bin width or count, or none for whole numbers that are levels already.
        lower_bound: Where bins of fixed width start: the lower re-segmentation bound; None starts
            them at the smallest intensity.
        pad: Width of the border of zeros, voxels.

    Returns:
        The level volume, cropped to the morphological mask.

    Raises:
        IntensityError: ``none`` is asked for intensities that are not whole numbers from 1 up.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 2.7.
    """
    start, shape = bounding_box(region.morphological)
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    intensity, mask = region.intensity.contiguous(), region.mask.contiguous()
    low, high, whole = extremes(intensity, mask)
    origin, width, bins, count = _bins(low, high, settings, lower_bound)
    if settings.method == "none" and not whole:
        raise IntensityError(
            "discretise.method 'none' takes whole numbers, the region has others: "
            "use bin_width or bin_count"
        )
    data = discretise(
        *(intensity[part], mask[part]), origin=origin, width=width, bins=bins, count=count, pad=pad
    )
    border = (pad, pad) * 3
    morphological = torch.nn.functional.pad(region.morphological[part], border)
    return Levels(data, morphological, count, pad, region.grid.spacing_mm)


def bounding_box(mask: Bool[Tensor, "z y x"]) -> Box:
    """Find the smallest box of voxels around a mask.

    Raises:
        RegionError: The mask is empty.
    """
    (z, z1), (y, y1), (x, x1) = box_of(mask.cpu().contiguous().numpy()).tolist()
    if z1 == 0:
        raise RegionError("mask must have at least one voxel, it is empty: check the label")
    return (z, y, x), (z1 - z, y1 - y, x1 - x)


def crop_to(
    image: Image, mask: Bool[Tensor, "z y x"], *, margin_mm: float
) -> tuple[Image, Bool[Tensor, "cz cy cx"]]:
    """Crop an image and a mask to the mask's box plus a margin, as far as the image reaches."""
    box_start, box_shape = bounding_box(mask)
    start, shape = [], []
    sizes = zip(box_start, box_shape, image.grid.shape, image.grid.spacing_mm, strict=True)
    for first, length, size, spacing in sizes:
        extra = math.ceil(min(margin_mm / spacing, size))
        low, high = max(0, first - extra), min(size, first + length + extra)
        start.append(low)
        shape.append(high - low)
    block = image.crop((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    return block, mask[part]


def target_grid(grid: Grid, config: Config) -> Grid | None:
    """Give the interpolation grid of a configuration; None where nothing is interpolated."""
    spacing = config.resample.spacing_mm
    if spacing is None:
        return None
    if config.resample.in_plane:
        spacing = (grid.spacing_mm[0], spacing[1], spacing[2])
    if all(abs(a - b) < 1e-9 for a, b in zip(spacing, grid.spacing_mm, strict=True)):
        return None
    return centred_grid(grid, spacing)


def crop_grid(grid: Grid, block: Grid, mask: Bool[Tensor, "z y x"], margin_mm: float) -> Grid:
    """Crop a lattice to what covers a mask that lives on another grid, plus a margin.

    The part lies on ``grid``'s lattice and inside ``grid``.
    """
    start, shape = bounding_box(mask)
    corners = torch.tensor(
        [
            [start[a] - 0.5 + (shape[a] if bit >> a & 1 else 0) for a in range(3)]
            for bit in range(8)
        ],
        dtype=torch.float64,
    )
    index = grid.to_index(block.to_world(corners))
    low, high = [], []
    for axis in range(3):
        extra = 1 + min(margin_mm / grid.spacing_mm[axis], grid.shape[axis])
        low.append(max(0, math.floor(float(index[:, axis].min()) - extra)))
        top = math.ceil(float(index[:, axis].max()) + extra)
        high.append(min(grid.shape[axis], top + 1))
    size = tuple(max(1, b - a) for a, b in zip(low, high, strict=True))
    return grid.crop((low[0], low[1], low[2]), (size[0], size[1], size[2]))


def _check_orthogonal(grid: Grid) -> None:
    if not grid.is_orthogonal:
        raise GeometryError(
            "grid must have orthogonal axes to be measured, this one is sheared (tilted gantry?): "
            "resample image and labels to an orthogonal grid first, with core.resample and "
            "core.resample_labels"
        )


def _reach_mm(grid: Grid, config: Config, margin_mm: float) -> float:
    """Add what the interpolation needs around the margin."""
    if config.resample.spacing_mm is None:
        return margin_mm
    reach = _SPLINE_REACH if config.resample.image == "cubic" else 2
    coarsest = max(*grid.spacing_mm, *config.resample.spacing_mm)
    return margin_mm + reach * coarsest


def _check_finite(census: Census, unit: str) -> None:
    if census.voxels == 0:
        raise RegionError(
            "region must have at least one voxel after interpolation, it has none: "
            "use a smaller resample.spacing_mm or a lower resample.mask_threshold"
        )
    if census.bad:
        raise IntensityError(
            f"intensities inside the region must be finite, {census.bad} of {census.voxels} are "
            "NaN or infinite: repair the image or exclude them from the mask"
        )
    largest = max(-census.low, census.high)
    if largest > _LARGEST:
        raise IntensityError(
            f"intensities inside the region must be within +-{_LARGEST:g}, so that their fourth "
            f"power is a number, got {largest:g} {unit}: check how the file was read"
        )


def _without_outliers(intensity: Tensor, mask: Tensor, sigma: float) -> Tensor:
    inside = torch.sort(intensity[mask]).values
    mean = float(inside.mean())
    reach = sigma * float(inside.std(correction=0))
    return mask & (intensity >= mean - reach) & (intensity <= mean + reach)


def _bins(
    low: float, high: float, settings: Discretise, lower_bound: float | None
) -> tuple[float, float, int, int]:
    """Give origin, width, how many bins share the width, and the number of levels."""
    if settings.method == "none":
        if low < 1:
            raise IntensityError(
                f"discretise.method 'none' takes levels from 1 up, the region starts at {low:g}: "
                "use bin_width or bin_count"
            )
        return 1.0, 1.0, 1, int(high)
    if settings.method == "bin_count":
        if low == high:
            return low, 1.0, 1, 1
        return low, high - low, settings.bin_count, settings.bin_count
    width = settings.bin_width
    if settings.origin == "multiple":
        origin = low - low % width
    else:
        origin = low if lower_bound is None else lower_bound
    return origin, width, 1, max(1, math.floor((high - origin) / width) + 1)
