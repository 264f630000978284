"""Feature maps: any first-order or texture feature in the cube around every voxel of a region."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import ShapeError
from vesalius.measure._catalogue import by_tag
from vesalius.measure._config import Config, Features
from vesalius.measure._engine import level_counts
from vesalius.measure._feature import Aggregation, Family, Value
from vesalius.measure._glcm import FEATURES as GLCM
from vesalius.measure._glcm import measure_glcm
from vesalius.measure._histogram import histogram
from vesalius.measure._map_names import Wanted, resolve_maps
from vesalius.measure._measurement import normalised
from vesalius.measure._pair_features import PAIR_FEATURES
from vesalius.measure._prepare import bounding_box, discretise_region, prepare
from vesalius.measure._region import Levels, Region
from vesalius.measure._stack import Floats, quotient
from vesalius.measure._statistics import statistics
from vesalius.measure._texture import texture
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE
from vesalius.ops._counts import Offset, merge
from vesalius.ops._local_pairs import Weigh, local_cooccurrence, local_pair_mean

OnStep = Callable[[Step], None]

_STEPS: dict[Aggregation, tuple[Offset, ...]] = {
    "2_5D_avg": IN_PLANE,
    "2_5D_comb": IN_PLANE,
    "3D_avg": IN_PLANE + THROUGH_PLANE,
    "3D_comb": IN_PLANE + THROUGH_PLANE,
}
"""Steps of the aggregations whose matrices do not part the slices of a cube."""

_CHUNK_CELLS = 1 << 18
"""Cells of the matrices that are measured together: what fits the cache of a core."""


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A region cropped to its box, with grey levels, and what its cubes are like."""

    region: Region
    levels: Levels
    radius: int
    settings: Features

    @property
    def centres(self) -> Tensor:
        """Index (z, y, x) of the voxels that are measured, (n, 3)."""
        return self.region.mask.nonzero()

    def inner(self, padded: Tensor) -> Tensor:
        """Take the border off a volume that has that of the levels."""
        pad = self.levels.pad
        return padded[pad:-pad, pad:-pad, pad:-pad]


def feature_maps(
    image: Image,
    mask: Bool[Tensor, "z y x"],
    *,
    features: tuple[str, ...],
    radius: int = 2,
    config: Config | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Image]:
    """Measure features in the cube of ``2 * radius + 1`` voxels around each voxel of a region.

    Only voxels of the region count, in the cube as in its middle (the masked kernel of
    PyRadiomics). Grey levels are those of the whole region, discretised once. Works on the CPU.

    Args:
        image: One channel, any real dtype.
        mask: The region, on the grid of the image.
        features: IBSI tags of statistics, histogram or texture. ``"cm_contrast"`` gives a map for
            each aggregation in ``config.features`` that applies, ``"cm_contrast_3D_avg"`` one.
        radius: Of the cube, voxels of the lattice that is measured.
        config: How to prepare the region; none is the plain ``Config()``. Filters are not applied.
        on_step: Called after each family, and after each hundredth of a slow one.

    Returns:
        By name (``"cm_contrast_3D_avg"``, ``"stat_mean"``) a float64 map on the lattice that is
        measured, cropped to the region's box. NaN outside the region, and where the feature is
        undefined in the cube; the catalogue says when that is.

    Raises:
        ConfigError: A feature is not known, or cannot be mapped.
        ShapeError: The radius is below 1.
        GeometryError: The grid is sheared.
        RegionError: The mask is empty, before or after interpolation or re-segmentation.
        IntensityError: NaN or infinity inside the region.

    Example:
        >>> from vesalius.core import Grid
        >>> image = Image(torch.arange(125.0).reshape(1, 5, 5, 5), Grid.from_spacing((5, 5, 5)))
        >>> mask = torch.ones(5, 5, 5, dtype=torch.bool)
        >>> maps = feature_maps(image, mask, features=("stat_mean",), radius=1)
        >>> float(maps["stat_mean"].data[0, 2, 2, 2])
        62.0
    """
    if radius < 1:
        raise ShapeError(f"radius must be at least 1 voxel, got {radius}: 2 gives cubes of 125")
    settings = Config() if config is None else config
    wanted = resolve_maps(features, settings.features.aggregations)
    block = _block(image, mask, settings, radius)
    found: dict[Wanted, Tensor] = {}
    families = sorted({by_tag()[item.tag].family for item in wanted})
    for done, family in enumerate(families, start=1):
        some = [item for item in wanted if by_tag()[item.tag].family == family]
        found |= _map_family(block, family, some, on_step)
        if on_step is not None:
            on_step(Step(f"map: {family}", done, len(families)))
    return {item.key: _as_image(block, item, found[item]) for item in wanted}


def _block(image: Image, mask: Bool[Tensor, "z y x"], config: Config, radius: int) -> _Block:
    drawn = mask.cpu()
    ready, _ = normalised(image.to("cpu"), drawn, config)
    region = _cropped(prepare(ready, drawn, config.model_copy(update={"filters": ()})))
    bound = config.resegment.range[0]
    pad = max(radius, config.features.distance)
    levels = discretise_region(region, config.discretise, lower_bound=bound, pad=pad)
    return _Block(region, levels, radius, config.features)


def _cropped(region: Region) -> Region:
    start, shape = bounding_box(region.morphological)
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    return Region(
        region.grid.crop(start, shape),
        region.intensity[part].contiguous(),
        region.morphological[part].contiguous(),
        region.mask[part].contiguous(),
        region.unit,
    )


def _as_image(block: _Block, item: Wanted, values: Tensor) -> Image:
    pattern, unit = by_tag()[item.tag].unit, block.region.unit
    plain = "1" if "{unit}" in pattern and unit == "1" else pattern.replace("{unit}", unit)
    data = torch.where(block.region.mask, values, torch.nan)
    return Image(data[None], block.region.grid, plain, (item.key,))


def _map_family(
    block: _Block, family: Family, wanted: list[Wanted], on_step: OnStep | None
) -> dict[Wanted, Tensor]:
    """Take the fastest way to each feature; all ways give the same values."""
    if family != "glcm":
        return _map_each(block, family, wanted, on_step)
    pairs = [w for w in wanted if w.tag in PAIR_FEATURES and w.aggregation in _STEPS]
    tables = [w for w in wanted if w not in pairs and w.aggregation in _STEPS]
    rest = [w for w in wanted if w.aggregation not in _STEPS]
    found = {item: _map_pairs(block, item) for item in pairs}
    for aggregation in dict.fromkeys(item.aggregation for item in tables):
        tags = [item.tag for item in tables if item.aggregation == aggregation]
        found |= _map_tables(block, aggregation, tags)
    return found | (_map_each(block, family, rest, on_step) if rest else {})


def _steps(block: _Block, aggregation: Aggregation) -> tuple[Offset, ...]:
    n = block.settings.distance
    return tuple((n * dz, n * dy, n * dx) for dz, dy, dx in _STEPS[aggregation])


def _map_pairs(block: _Block, item: Wanted) -> Tensor:
    """Map a feature that follows from means over pairs, by sums over cubes."""
    levels = block.inner(block.levels.data)
    steps = _steps(block, item.aggregation)
    groups = [steps] if item.aggregation.endswith("comb") else [(step,) for step in steps]
    total = torch.zeros(levels.shape, dtype=torch.float64)
    defined = torch.zeros_like(total)
    for group in groups:

        def mean(weigh: Weigh, group: tuple[Offset, ...] = group) -> Tensor:
            return local_pair_mean(levels, weigh, steps=group, radius=block.radius)

        values = PAIR_FEATURES[item.tag](mean, block.levels.count)
        total += values.nan_to_num()
        defined += ~values.isnan()
    return torch.where(defined > 0, total / defined, torch.nan)


def _map_tables(block: _Block, aggregation: Aggregation, tags: list[str]) -> dict[Wanted, Tensor]:
    """Map features that need whole co-occurrence matrices, many cubes at once."""
    levels = block.inner(block.levels.data).contiguous()
    steps = _steps(block, aggregation)
    rows = [k for k, feature in enumerate(GLCM) if feature.tag in tags]
    cells = len(steps) * max(2 * block.levels.count, (2 * block.radius + 1) ** 3)
    chunk = max(1, _CHUNK_CELLS // cells)
    parts = []
    for centres in torch.split(block.centres, chunk):
        counts = local_cooccurrence(levels, centres, steps=steps, radius=block.radius)
        if aggregation.endswith("comb"):
            cube = torch.arange(counts.matrices) // len(steps)
            counts = merge(counts, cube, matrices=len(centres))
        table = measure_glcm(counts, block.levels.count)[rows]
        parts.append(_mean_defined(table.reshape(len(rows), len(centres), -1)))
    values = np.concatenate(parts, axis=1)
    names = [Wanted(GLCM[k].tag, aggregation) for k in rows]
    return {item: _scatter(block, row) for item, row in zip(names, values, strict=True)}


def _mean_defined(table: Floats) -> Floats:
    """Average along the last axis over what is not NaN."""
    defined = (~np.isnan(table)).sum(axis=-1, dtype=np.float64)
    return quotient(np.nan_to_num(table).sum(axis=-1), defined)


def _scatter(block: _Block, values: Floats) -> Tensor:
    volume = torch.full(block.region.mask.shape, torch.nan, dtype=torch.float64)
    volume[block.region.mask] = torch.from_numpy(values)
    return volume


def _map_each(
    block: _Block, family: Family, wanted: list[Wanted], on_step: OnStep | None
) -> dict[Wanted, Tensor]:
    """Map any feature: cut out one cube after another and measure it as a region."""
    keys = {item.key: row for row, item in enumerate(wanted)}
    aggregations = {item.aggregation for item in wanted}
    count = len(block.centres)
    table = np.full((len(wanted), count), np.nan)
    for column, cube in enumerate(_cubes(block)):
        for value in _measure_cube(block, family, cube, aggregations):
            if value.key in keys:
                table[keys[value.key], column] = value.value
        if on_step is not None and (column + 1) % max(1, count // 100) == 0:
            on_step(Step(f"map: {family}, voxels", column + 1, count))
    return {item: _scatter(block, row) for item, row in zip(wanted, table, strict=True)}


def _cubes(block: _Block) -> Iterator[tuple[slice, slice, slice]]:
    """Give the cube around each voxel of the region, in the volume of levels."""
    low, width = block.levels.pad - block.radius, 2 * block.radius + 1
    for z, y, x in (block.centres + low).tolist():
        yield slice(z, z + width), slice(y, y + width), slice(x, x + width)


def _measure_cube(
    block: _Block,
    family: Family,
    cube: tuple[slice, slice, slice],
    aggregations: set[Aggregation],
) -> list[Value]:
    levels, settings = block.levels, block.settings
    data = levels.data[cube]
    if family == "statistics":
        pad = levels.pad
        part = tuple(slice(max(0, s.start - pad), max(0, s.stop - pad)) for s in cube)
        inside = block.region.intensity[part][block.region.mask[part]]
        return statistics(np.sort(inside.numpy()))
    border = (settings.distance,) * 6
    padded = torch.nn.functional.pad(data, border)
    drawn = torch.nn.functional.pad(levels.morphological[cube], border)
    local = Levels(padded, drawn, levels.count, settings.distance, levels.spacing_mm)
    if family == "histogram":
        return histogram(level_counts(local))
    return texture(
        local,
        families={family},
        aggregations=aggregations,
        distance=settings.distance,
        coarseness=settings.ngldm_coarseness,
    )
