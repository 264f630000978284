"""texture: all six texture families in all their aggregations, from one level volume."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Collection, Iterator

import numpy as np
import torch
from torch import Tensor

from vesalius.measure import _glcm, _gldzm, _glrlm, _glszm, _ngldm, _ngtdm
from vesalius.measure._feature import DIRECTIONAL, ZONAL, Aggregation, Family, Feature, Value
from vesalius.measure._region import Levels
from vesalius.measure._stack import Floats, average, stack_of
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE, cooccurrence
from vesalius.ops._counts import TABLE_CELLS, Counts, Offset, Scan, concatenate, merge, scan
from vesalius.ops._distance import edge_distance
from vesalius.ops._neighbourhood import Differences, dependences, differences
from vesalius.ops._runs import run_lengths
from vesalius.ops._zones import Zones, zones

CATALOGUE: dict[Family, tuple[Feature, ...]] = {
    "glcm": _glcm.FEATURES,
    "glrlm": _glrlm.FEATURES,
    "glszm": _glszm.FEATURES,
    "gldzm": _gldzm.FEATURES,
    "ngtdm": _ngtdm.FEATURES,
    "ngldm": _ngldm.FEATURES,
}
"""The texture features by family, in the order in which values are given."""

Tables = dict[Aggregation, list[Floats]]
EVERY = IN_PLANE + THROUGH_PLANE
Measure = Callable[[Counts], Floats]
CountPairs = Callable[[Tensor | Scan, tuple[Offset, ...], bool], Counts]


def texture(
    levels: Levels,
    *,
    families: Collection[Family],
    aggregations: Collection[Aggregation],
    distance: int = 1,
    coarseness: int = 0,
) -> list[Value]:
    """Measure the texture of a region.

    Slices without a voxel of the region are left out; a mean over slices or directions is taken
    over the matrices in which a feature is defined.

    Args:
        levels: Grey levels and morphological mask on one block, padded by ``distance`` or more.
        families: Texture families to measure; others are ignored.
        aggregations: How matrices are put together; each family takes those it has.
        distance: Chebyshev distance of neighbours (GLCM, NGTDM, NGLDM), voxels.
        coarseness: Largest level difference of a dependence (NGLDM).

    Returns:
        The values by family (order of ``CATALOGUE``), then aggregation (order of ``DIRECTIONAL``
        and ``ZONAL``), then feature (order of the family's ``FEATURES``).

    Raises:
        ShapeError: The block lacks its border of zeros.
        UnitError: The levels are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, chapter 3.
    """
    tables: dict[Family, Tables] = {}
    seen = scan(levels.data, ((0, 0, 0),))
    if "glcm" in families:
        tables["glcm"] = _measure_glcm(levels, seen, aggregations, distance)
    if "glrlm" in families:
        tables["glrlm"] = _measure_glrlm(seen, aggregations)
    if "glszm" in families or "gldzm" in families:
        tables["glszm"], tables["gldzm"] = _measure_zones(levels, seen, aggregations)
    if "ngtdm" in families:
        tables["ngtdm"] = _measure_ngtdm(seen, aggregations, distance)
    if "ngldm" in families:
        tables["ngldm"] = _measure_ngldm(seen, aggregations, distance, coarseness)
    wanted = ((name, CATALOGUE[name]) for name in CATALOGUE if name in families)
    return [value for name, features in wanted for value in _values(features, tables[name])]


def _values(features: tuple[Feature, ...], tables: Tables) -> list[Value]:
    order = (name for name in (*DIRECTIONAL, *ZONAL) if name in tables)
    return [v for name in order for v in average(features, np.hstack(tables[name]), name)]


def _measure_glcm(
    levels: Levels, seen: Scan, wanted: Collection[Aggregation], distance: int
) -> Tables:
    def count(data: Tensor | Scan, directions: tuple[Offset, ...], by_slice: bool) -> Counts:
        return cooccurrence(data, directions=directions, distance=distance, by_slice=by_slice)

    def measure(counts: Counts) -> Floats:
        return _glcm.measure_glcm(counts, levels.count)

    return _directional(count, measure, seen, wanted, cells=(seen.top + 1) ** 2)


def _measure_glrlm(seen: Scan, wanted: Collection[Aggregation]) -> Tables:
    def count(data: Tensor | Scan, directions: tuple[Offset, ...], by_slice: bool) -> Counts:
        return run_lengths(data, directions=directions, by_slice=by_slice)

    cells = (seen.top + 1) * max(seen.levels.shape)
    return _directional(count, _glrlm.measure_glrlm, seen, wanted, cells=cells)


def _directional(
    count: CountPairs,
    measure: Measure,
    seen: Scan,
    wanted: Collection[Aggregation],
    *,
    cells: int,
) -> Tables:
    """Make the six aggregations of a family with one matrix of so many cells per direction."""
    tables: Tables = {name: [] for name in DIRECTIONAL if name in wanted}
    if not tables:
        return tables
    solid = "3D_avg" in tables or "3D_comb" in tables
    if any(name.startswith("2") for name in tables):
        flat = _measure_flat(count, measure, _blocks(seen.levels, 4 * cells), tables)
    elif 13 * cells <= TABLE_CELLS // 8:
        return _put(tables, _apart_and_merged(count(seen, EVERY, False), measure))
    else:
        flat = count(seen, IN_PLANE, False)
    return _put(tables, _measure_solid(flat, count, measure, seen)) if solid else tables


def _measure_flat(
    count: CountPairs, measure: Measure, blocks: Iterator[Tensor], tables: Tables
) -> Counts:
    """Put what is measured slice by slice into the tables; give the four directions of all."""
    flat: Counts | None = None
    for block in blocks:
        by_slice = count(block, IN_PLANE, True)
        if "2D_avg" in tables:
            tables["2D_avg"].append(measure(by_slice))
        if "2D_comb" in tables:
            tables["2D_comb"].append(measure(_merge_every(by_slice, 4)))
        flat = _add(flat, _merge_alike(by_slice, 4))
    assert flat is not None
    if "2_5D_avg" in tables:
        tables["2_5D_avg"].append(measure(flat))
    if "2_5D_comb" in tables:
        tables["2_5D_comb"].append(measure(_merge_every(flat, 4)))
    return flat


def _measure_solid(
    flat: Counts, count: CountPairs, measure: Measure, seen: Scan
) -> dict[Aggregation, Floats]:
    """Measure thirteen directions apart and merged; one at a time where matrices are large."""
    if flat.count.numel() <= TABLE_CELLS // 8:
        return _apart_and_merged(concatenate(flat, count(seen, THROUGH_PLANE, False)), measure)
    apart, merged = [measure(flat)], _merge_all(flat)
    for direction in THROUGH_PLANE:
        one = count(seen, (direction,), False)
        apart.append(measure(one))
        merged = _add(merged, one)
    return {"3D_avg": np.hstack(apart), "3D_comb": measure(merged)}


def _apart_and_merged(every: Counts, measure: Measure) -> dict[Aggregation, Floats]:
    both = measure(concatenate(every, _merge_every(every, 13)))
    return {"3D_avg": both[:, :13], "3D_comb": both[:, 13:]}


def _put(tables: Tables, found: dict[Aggregation, Floats]) -> Tables:
    for name in found.keys() & tables.keys():
        tables[name].append(found[name])
    return tables


def _measure_zones(
    levels: Levels, seen: Scan, wanted: Collection[Aggregation]
) -> tuple[Tables, Tables]:
    sizes: Tables = {name: [] for name in ZONAL if name in wanted}
    distances: Tables = {name: [] for name in sizes}

    def put(name: Aggregation, found: Zones) -> None:
        voxels = stack_of(found.sizes).covered()
        sizes[name].append(_glszm.measure_glszm(found.sizes))
        distances[name].append(_gldzm.measure_gldzm(found.distances, voxels))

    if "2D" in sizes or "2_5D" in sizes:
        depth = edge_distance(levels.morphological, planar=True)
        flat = zones(seen, depth, by_slice=True)
        if "2D" in sizes:
            put("2D", flat)
        if "2_5D" in sizes:
            put("2_5D", Zones(*(_merge_all(counts) for counts in flat)))
    if "3D" in sizes:
        put("3D", zones(seen, edge_distance(levels.morphological)))
    return sizes, distances


def _measure_ngtdm(seen: Scan, wanted: Collection[Aggregation], distance: int) -> Tables:
    tables: Tables = {name: [] for name in ZONAL if name in wanted}
    if "2D" in tables or "2_5D" in tables:
        flat = differences(seen, distance=distance, by_slice=True)
        if "2D" in tables:
            tables["2D"].append(_ngtdm.measure_ngtdm(flat))
        if "2_5D" in tables:
            merged = Differences(*(_merge_all(counts) for counts in flat))
            tables["2_5D"].append(_ngtdm.measure_ngtdm(merged))
    if "3D" in tables:
        tables["3D"].append(_ngtdm.measure_ngtdm(differences(seen, distance=distance)))
    return tables


def _measure_ngldm(
    seen: Scan, wanted: Collection[Aggregation], distance: int, coarseness: int
) -> Tables:
    tables: Tables = {name: [] for name in ZONAL if name in wanted}
    if "2D" in tables or "2_5D" in tables:
        flat = dependences(seen, distance=distance, coarseness=coarseness, by_slice=True)
        if "2D" in tables:
            tables["2D"].append(_ngldm.measure_ngldm(flat))
        if "2_5D" in tables:
            tables["2_5D"].append(_ngldm.measure_ngldm(_merge_all(flat)))
    if "3D" in tables:
        solid = dependences(seen, distance=distance, coarseness=coarseness)
        tables["3D"].append(_ngldm.measure_ngldm(solid))
    return tables


def _blocks(data: Tensor, cells: int) -> Iterator[Tensor]:
    """Cut a volume into blocks of slices so that a dense table of each stays small."""
    step = max(1, TABLE_CELLS // cells)
    for first in range(0, len(data), step):
        block = data[first : first + step]
        if step >= len(data) or block.any():
            yield block


def _merge_all(counts: Counts) -> Counts:
    return _merge_every(counts, counts.matrices)


def _merge_every(counts: Counts, n: int) -> Counts:
    """Merge each n matrices that follow one another."""
    return merge(counts, torch.arange(counts.matrices) // n, matrices=counts.matrices // n)


def _merge_alike(counts: Counts, n: int) -> Counts:
    """Merge every n-th matrix."""
    return merge(counts, torch.arange(counts.matrices) % n, matrices=n)


def _add(first: Counts | None, second: Counts) -> Counts:
    if first is None:
        return second
    return _merge_alike(concatenate(first, second), second.matrices)
