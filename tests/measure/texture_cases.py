"""Level volumes that the tests of texture share."""

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.measure._feature import DIRECTIONAL, ZONAL, Value
from vesalius.measure._region import Levels
from vesalius.measure._texture import CATALOGUE, texture

EVERY = (*DIRECTIONAL, *ZONAL)
SOLID = ("3D_avg", "3D_comb", "3D")


def pad_levels(
    data: NDArray[np.integer], morphological: NDArray[np.bool_], count: int, pad: int = 1
) -> Levels:
    """Crop to the morphological mask and pad, as the engine does."""
    where = np.argwhere(morphological)
    box = tuple(slice(a, b) for a, b in zip(where.min(0), where.max(0) + 1, strict=True))
    return Levels(
        data=torch.from_numpy(np.pad(data[box], pad).astype(np.int16)),
        morphological=torch.from_numpy(np.pad(morphological[box], pad)),
        count=count,
        pad=pad,
        spacing_mm=(1.0, 1.0, 1.0),
    )


def random_case(
    seed: int = 0, shape: tuple[int, int, int] = (6, 9, 11), top: int = 5, pad: int = 1
) -> Levels:
    """Make a random region whose intensity mask is smaller than its morphological mask."""
    random = np.random.default_rng(seed)
    morphological = random.random(shape) < 0.85
    kept = morphological & (random.random(shape) < 0.9)
    return pad_levels(random.integers(1, top + 1, shape) * kept, morphological, top, pad)


def measured(
    levels: Levels, families: tuple[str, ...] = tuple(CATALOGUE), **options: int
) -> dict[str, Value]:
    """Measure all aggregations; give the values by key."""
    values = texture(levels, families=families, aggregations=EVERY, **options)
    return {value.key: value for value in values}


def of_one(data: NDArray[np.integer]) -> Levels:
    """Make a region whose two masks are where the data are not 0."""
    return pad_levels(data, data > 0, int(data.max()))
