"""Engine: all values of one prepared region, in one fixed order."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.core import Image
from vesalius.enhance import apply_filter, filter_name
from vesalius.measure._config import Config
from vesalius.measure._diameters import diameters
from vesalius.measure._distance_shape import distance_shape
from vesalius.measure._feature import Family, Value
from vesalius.measure._histogram import histogram
from vesalius.measure._ivh import ivh
from vesalius.measure._local_intensity import local_intensity
from vesalius.measure._morphology import morphology
from vesalius.measure._pet import pet
from vesalius.measure._prepare import discretise_region
from vesalius.measure._region import Levels, Region
from vesalius.measure._shape_2d import shape_2d
from vesalius.measure._statistics import statistics
from vesalius.measure._texture import texture
from vesalius.ops._inside import Distribution, distribution, level_histogram

SHAPE: frozenset[Family] = frozenset(
    {"morphology", "distance_shape", "shape_2d", "diameters", "pet"}
)
"""Families that look at the mask, or need the unfiltered image."""

TEXTURE: frozenset[Family] = frozenset({"glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"})


def measure_region(region: Region, config: Config) -> list[Value]:
    """Measure everything that a configuration asks for on one region.

    Args:
        region: The prepared region; its block must reach as far around it as the filters read.
        config: ``features``, ``discretise``, ``ivh``, ``filters`` and the re-segmentation bounds
            are used.

    Returns:
        The values of the image, then of each filter's response, family by family in the order of
        IBSI-1; each NaN has a reason.

    Raises:
        IntensityError: The block holds NaN or infinity and a filter would spread it.
    """
    values = _measure(region, config, filtered=False)
    for spec in config.filters:
        image = Image(region.intensity[None], region.grid, region.unit)
        response = apply_filter(image, spec)
        masks = (region.morphological, region.mask)
        view = Region(region.grid, response.data[0], *masks, response.unit)
        name = filter_name(spec)
        values += [v._replace(filtered=name) for v in _measure(view, config, filtered=True)]
    return values


def _measure(region: Region, config: Config, *, filtered: bool) -> list[Value]:
    """Measure the image, or a response: without shape, and without the image's bounds."""
    wanted = set(config.features.families)
    if filtered:
        wanted -= SHAPE
    bounds = (None, None) if filtered else config.resegment.range
    values = _shape(region, config, wanted)
    if wanted & {"statistics", "ivh"}:
        x, counts = _distribution(region)
        values += statistics(x, counts) if "statistics" in wanted else []
        values += ivh(x, config.ivh, bounds=bounds, counts=counts) if "ivh" in wanted else []
    if wanted & (TEXTURE | {"histogram"}):
        features = config.features
        levels = discretise_region(
            region, config.discretise, lower_bound=bounds[0], pad=max(1, features.distance)
        )
        if config.compute.device == "cuda":
            levels = _on_gpu(levels)
        values += histogram(level_counts(levels)) if "histogram" in wanted else []
        if wanted & TEXTURE:
            values += texture(
                levels,
                families=wanted & TEXTURE,
                aggregations=features.aggregations,
                distance=features.distance,
                coarseness=features.ngldm_coarseness,
            )
    return values


def _on_gpu(levels: Levels) -> Levels:
    data, morphological = levels.data.cuda(), levels.morphological.cuda()
    return Levels(data, morphological, levels.count, levels.pad, levels.spacing_mm)


def _distribution(region: Region) -> Distribution:
    """Give the intensities inside the intensity mask, ascending, and how often each occurs."""
    intensity = region.intensity.detach().to("cpu", torch.float64).contiguous()
    return distribution(intensity.numpy(), region.mask.cpu().contiguous().numpy())


def sorted_intensities(region: Region) -> NDArray[np.float64]:
    """Give the intensities inside the intensity mask, ascending."""
    values, counts = _distribution(region)
    return values if counts is None else np.repeat(values, counts.astype(np.int64))


def level_counts(levels: Levels) -> NDArray[np.int64]:
    """Count the voxels at level 1 to Ng."""
    return level_histogram(levels.data.cpu().contiguous().numpy(), levels.count)


def _shape(region: Region, config: Config, wanted: set[Family]) -> list[Value]:
    values: list[Value] = []
    if "morphology" in wanted:
        autocorrelation = config.features.spatial_autocorrelation
        values += morphology(region, spatial_autocorrelation=autocorrelation)
    if "local_intensity" in wanted:
        values += local_intensity(region)
    if "pet" in wanted:
        values += pet(region, config.pet)
    if "distance_shape" in wanted:
        values += distance_shape(region)
    if "shape_2d" in wanted:
        values += shape_2d(region)
    if "diameters" in wanted:
        values += diameters(region)
    return values
