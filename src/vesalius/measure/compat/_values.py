"""Values: PyRadiomics' features from our own matrices, by its definitions."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.errors import RegionError
from vesalius.measure._engine import level_counts, sorted_intensities
from vesalius.measure._feature import Aggregation, Family, Value
from vesalius.measure._histogram import histogram
from vesalius.measure._morphology import morphology
from vesalius.measure._prepare import PEAK_REACH_MM, bounding_box, crop_to
from vesalius.measure._region import Levels, Region
from vesalius.measure._statistics import statistics
from vesalius.measure._texture import texture
from vesalius.measure.compat._names import DEPRECATED, FILL, OWN, SAME
from vesalius.measure.compat._settings import Parameters, Settings
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE, cooccurrence
from vesalius.ops._discretise import discretise
from vesalius.ops._sampling import resample_affine

_TEXTURE: dict[str, Family] = {
    "glcm": "glcm",
    "glrlm": "glrlm",
    "glszm": "glszm",
    "gldm": "ngldm",
    "ngtdm": "ngtdm",
}
_OFF = {"firstorder_StandardDeviation", *(f"shape_{name}" for name in DEPRECATED)}


def pyradiomics_values(
    image: Image, mask: Bool[Tensor, "z y x"], parameters: Parameters
) -> dict[str, float]:
    """Measure PyRadiomics' features as it defines them.

    Args:
        image: One channel.
        mask: The region, on the image's grid.
        parameters: Settings and the features asked for.

    Returns:
        ``"<class>_<Feature>"`` -> value, class by class, features in alphabetical order.

    Raises:
        RegionError: The mask is empty, or has fewer dimensions or voxels than the settings ask.

    References:
        van Griethuysen et al. (2017), doi:10.1158/0008-5472.CAN-17-0339, version 3.0.1. Differs
        in the mesh (a symmetric table): volume, area and what follows from them differ by less than
        1e-3, on coarse voxels by less than 5e-3.
    """
    settings = parameters.settings
    region = radiomics_region(image, mask, settings)
    found: dict[str, float] = {}
    for name, chosen in parameters.features.items():
        known = {**SAME[name], **OWN.get(name, {})}
        wanted = chosen or [f for f in known if f"{name}_{f}" not in _OFF]
        values = _class_values(name, region, settings)
        found |= {f"{name}_{f}": values[f] for f in sorted(wanted)}
    return found


def radiomics_region(image: Image, mask: Bool[Tensor, "z y x"], settings: Settings) -> Region:
    """Normalise, resample and re-segment as PyRadiomics does, and check the size of the region.

    Raises:
        RegionError: The region is empty or smaller than the settings ask for.
    """
    bounding_box(mask)
    image = _normalised(image, settings)
    if settings.resampledPixelSpacing is not None:
        image, mask = _resampled(image, mask, settings)
    _check_size(mask, settings)
    block, drawn = crop_to(image, mask, margin_mm=PEAK_REACH_MM)
    values = block.data[0].double()
    kept = _resegmented(values, drawn, settings)
    if not bool(kept.any()):
        raise RegionError(
            f"resegmentRange must keep at least one voxel, {settings.resegmentRange} keeps none"
        )
    return Region(block.grid, values, kept if settings.resegmentShape else drawn, kept, image.unit)


def radiomics_levels(region: Region, settings: Settings) -> Levels:
    """Discretise as PyRadiomics does: bins start at a multiple of the bin width."""
    start, shape = bounding_box(region.mask)
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    mask = region.mask[part].contiguous()
    x = region.intensity[part].contiguous()
    inside = x[mask]
    low, high = float(inside.min()), float(inside.max())
    pad = max(settings.distances)
    if settings.binCount is None:
        origin = low - low % settings.binWidth
        width, bins = settings.binWidth, 1
        count = math.floor((high - origin) / width) + 1
    else:
        origin, count, bins = low, settings.binCount, settings.binCount
        width = high - low if high > low else 1.0
    data = discretise(x, mask, origin=origin, width=width, bins=bins, count=count, pad=pad)
    drawn = torch.nn.functional.pad(mask, (pad, pad) * 3)
    return Levels(data, drawn, count, pad, region.grid.spacing_mm)


def _class_values(name: str, region: Region, settings: Settings) -> dict[str, float]:
    if name == "shape":
        return _shape(region)
    levels = radiomics_levels(region, settings)
    if name == "firstorder":
        return _first_order(region, levels, settings)
    texture_values = _texture(name, levels, settings)
    if name == "glcm":
        texture_values["MCC"] = _mcc(levels, settings)
    return texture_values


def _first_order(region: Region, levels: Levels, settings: Settings) -> dict[str, float]:
    x = sorted_intensities(region)
    values = {v.tag: v for v in [*statistics(x), *histogram(level_counts(levels))]}
    found = {
        name: _filled("firstorder", name, values[tag]) for name, tag in SAME["firstorder"].items()
    }
    shifted = x + settings.voxelArrayShift
    energy = float(np.dot(shifted, shifted))
    flat = bool(values["stat_kurt"].reason)
    return found | {
        "Energy": energy,
        "TotalEnergy": energy * region.grid.voxel_volume_mm3,
        "RootMeanSquared": math.sqrt(energy / len(x)),
        "Kurtosis": 0.0 if flat else values["stat_kurt"].value + 3,
        "StandardDeviation": math.sqrt(values["stat_var"].value),
    }


def _shape(region: Region) -> dict[str, float]:
    values = {v.tag: v for v in morphology(region, spatial_autocorrelation=False)}
    found = {name: values[tag].value for name, tag in SAME["shape"].items()}
    n = int(region.morphological.sum())
    biased = math.sqrt((n - 1) / n)  # N - 1 to N
    for name, tag in (("Major", "maj"), ("Minor", "min"), ("Least", "least")):
        found[f"{name}AxisLength"] = biased * values[f"morph_pca_{tag}_axis"].value
    start, shape = bounding_box(region.morphological)
    part = tuple(slice(a, a + k) for a, k in zip(start, shape, strict=True))
    mask = np.pad(region.morphological[part].cpu().numpy(), 1)
    for axis, name in enumerate(("Slice", "Column", "Row")):
        diameter = _planar_diameter(mask, region.grid.spacing_mm, axis)
        found[f"Maximum2DDiameter{name}"] = diameter
    return found


def _texture(name: str, levels: Levels, settings: Settings) -> dict[str, float]:
    aggregation = _aggregation(name, settings)
    rows: list[dict[str, Value]] = []
    for distance in settings.distances if name == "glcm" else settings.distances[:1]:
        values = texture(
            levels,
            families={_TEXTURE[name]},
            aggregations={aggregation},
            distance=distance,
            coarseness=settings.gldm_a,
        )
        rows.append({v.tag: v for v in values})
    return {
        feature: float(np.mean([_filled(name, feature, row[tag]) for row in rows]))
        for feature, tag in SAME[name].items()
    }


def _aggregation(name: str, settings: Settings) -> Aggregation:
    if name in ("glcm", "glrlm"):
        if settings.weightingNorm is not None:
            return "2_5D_comb" if settings.force2D else "3D_comb"
        return "2_5D_avg" if settings.force2D else "3D_avg"
    return "2_5D" if settings.force2D else "3D"


def _filled(name: str, feature: str, value: Value) -> float:
    if not math.isnan(value.value):
        return value.value
    return FILL.get(f"{name}_{feature}", math.nan)


def _mcc(levels: Levels, settings: Settings) -> float:
    """Average the maximal correlation coefficient over the directions that have pairs."""
    directions = IN_PLANE if settings.force2D else IN_PLANE + THROUGH_PLANE
    found = []
    for distance in settings.distances:
        counts = cooccurrence(levels.data, directions=directions, distance=distance)
        matrix = counts.matrix.cpu().numpy()
        if settings.weightingNorm is not None:  # one matrix over all directions
            matrix = np.zeros_like(matrix)
        for k in np.unique(matrix):
            mine = matrix == k
            cells = (counts.row, counts.column, counts.count)
            row, column, count = (c.cpu().numpy()[mine] for c in cells)
            found.append(_second_eigenvalue(row, column, count))
    return float(np.mean(found)) if found else math.nan


def _second_eigenvalue(
    row: NDArray[np.int64], column: NDArray[np.int64], count: NDArray[np.int64]
) -> float:
    used = np.unique(np.concatenate([row, column]))
    if len(used) < 2:
        return 1.0
    i, j = np.searchsorted(used, row), np.searchsorted(used, column)
    p = np.zeros((len(used), len(used)))
    each = np.where(i == j, count / 2, count)  # the diagonal is added twice
    np.add.at(p, (i, j), each)
    np.add.at(p, (j, i), each)
    p /= p.sum()
    root = 1 / np.sqrt(p.sum(axis=1))
    # Q = D^-1 P D^-1 P' is similar to the square of this symmetric matrix
    values = np.linalg.eigvalsh(root[:, None] * p * root[None, :]) ** 2
    return float(np.sqrt(np.sort(values)[-2]))


def _planar_diameter(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float], axis: int
) -> float:
    planes = np.moveaxis(mask, axis, 0)
    rows, columns = (s for a, s in enumerate(spacing) if a != axis)
    size = np.array([rows, columns])
    best = 0.0
    for k in range(len(planes) - 1):
        here = planes[k]
        across = np.argwhere(here[:, 1:] != here[:, :-1]) + np.array([0, 0.5])
        down = np.argwhere(here[1:] != here[:-1]) + np.array([0.5, 0])
        between = np.argwhere(here != planes[k + 1])
        for points in (np.concatenate([across, down]), between.astype(np.float64)):
            best = max(best, _diameter(points * size))
    return best


def _diameter(points: NDArray[np.float64]) -> float:
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    if len(points) < 2:
        return 0.0
    if len(points) > 3:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # all on a line: take the ends
            spread = points - points.mean(axis=0)
            along = spread @ np.linalg.svd(spread, full_matrices=False)[2][0]
            points = points[[int(along.argmin()), int(along.argmax())]]
    return float(pdist(points).max())


def _normalised(image: Image, settings: Settings) -> Image:
    if not settings.normalize:
        return image
    x = image.data.double()
    z = (x - x.mean()) / x.std()
    if settings.removeOutliers is not None:
        z = z.clamp(-settings.removeOutliers, settings.removeOutliers)
    return Image(z * settings.normalizeScale, image.grid, "1")


def _resampled(
    image: Image, mask: Bool[Tensor, "z y x"], settings: Settings
) -> tuple[Image, Bool[Tensor, "nz ny nx"]]:
    assert settings.resampledPixelSpacing is not None
    start, shape = bounding_box(mask)
    grid = image.grid
    wanted = tuple(reversed(settings.resampledPixelSpacing))
    index, step, size = [], [], []
    for axis in range(3):
        old = grid.spacing_mm[axis]
        new = old if wanted[axis] == 0 or shape[axis] == 1 else wanted[axis]
        ratio = old / new
        first, last = start[axis], start[axis] + shape[axis] - 1
        low = max(0.0, math.floor((first - 0.5) * ratio - settings.padDistance))
        top = math.ceil(grid.shape[axis] * ratio) - 1
        high = min(float(top), math.ceil((last + 0.5) * ratio + settings.padDistance))
        index.append(0.5 * (new - old) / old + low / ratio)
        step.append(1 / ratio)
        size.append(int(high - low) + 1)
    move = torch.eye(4, dtype=torch.float64)
    move[:3, :3] = torch.diag(torch.tensor(step, dtype=torch.float64))
    move[:3, 3] = torch.tensor(index, dtype=torch.float64)
    new_shape = (size[0], size[1], size[2])
    values = resample_affine(
        image.data.double(), move, shape=new_shape, interpolation="cubic", border="mirror"
    )
    if not image.data.is_floating_point():  # SimpleITK keeps the pixel type, cutting off decimals
        values = values.trunc()
    share = resample_affine(
        mask[None].to(torch.uint8), move, shape=new_shape, interpolation="nearest"
    )
    return Image(values, Grid(new_shape, grid.affine @ move), image.unit), share[0] > 0


def _check_size(mask: Bool[Tensor, "z y x"], settings: Settings) -> None:
    _, shape = bounding_box(mask)
    dimensions = sum(n > 1 for n in shape)
    if dimensions < settings.minimumROIDimensions:
        raise RegionError(
            f"region must have {settings.minimumROIDimensions} dimensions "
            f"(minimumROIDimensions), it has {dimensions}"
        )
    count = int(mask.sum())
    if settings.minimumROISize is not None and count <= settings.minimumROISize:
        raise RegionError(
            f"region must have more than {settings.minimumROISize} voxels (minimumROISize), "
            f"it has {count}"
        )


def _resegmented(x: Tensor, drawn: Tensor, settings: Settings) -> Tensor:
    if settings.resegmentRange is None:
        return drawn
    limits = list(settings.resegmentRange)
    inside = x[drawn]
    if settings.resegmentMode == "relative":
        limits = [limit * float(inside.max()) for limit in limits]
    elif settings.resegmentMode == "sigma":
        mean, sd = float(inside.mean()), float(inside.std(correction=0))
        limits = [mean + limit * sd for limit in limits]
    kept = drawn & (x >= limits[0])
    return kept & (x <= limits[1]) if len(limits) > 1 else kept
