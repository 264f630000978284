"""Erratum 11: "homogeneity" names two features, and "energy" is the angular second moment."""

import numpy as np
import pytest
from measure.cases import blob, image

from vesalius.measure import Config
from vesalius.measure._catalogue import by_tag
from vesalius.measure._engine import measure_region
from vesalius.measure._prepare import prepare


def cooccurrence(levels: np.ndarray) -> np.ndarray:
    """Count symmetric pairs over the 13 directions of a padded volume, slowly, and normalise."""
    top = int(levels.max())
    p = np.zeros((top, top))
    where = np.argwhere(levels > 0)
    steps = [(z, y, x) for z in (0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    steps = [s for s in steps if s > (0, 0, 0)]
    for k, j, i in where:
        for z, y, x in steps:
            other = levels[k + z, j + y, i + x]
            if other > 0:
                p[levels[k, j, i] - 1, other - 1] += 1
                p[other - 1, levels[k, j, i] - 1] += 1
    return p / p.sum()


def test_both_homogeneities_have_their_own_name_and_formula():
    values, mask = blob()
    levels = np.pad((values * mask).long().numpy(), 1)
    p = cooccurrence(levels)
    i, j = np.indices(p.shape)
    features = {"families": ["glcm"], "aggregations": ["3D_comb"]}
    config = Config(features=features, discretise={"method": "none"})
    found = {v.tag: v.value for v in measure_region(prepare(image(values), mask, config), config)}
    squared, absolute = (p / (1 + (i - j) ** 2)).sum(), (p / (1 + abs(i - j))).sum()
    assert found["cm_inv_diff_mom"] == pytest.approx(squared, rel=1e-12)
    assert found["cm_inv_diff"] == pytest.approx(absolute, rel=1e-12)
    assert abs(squared - absolute) > 0.01
    assert found["cm_energy"] == pytest.approx((p**2).sum(), rel=1e-12)
    assert by_tag()["cm_energy"].name == "Angular second moment"
