"""Erratum 24: central differences call a checkerboard fold smooth; the tetrahedra see it."""

import numpy as np
import pytest
import torch

from vesalius.core import Displacement, Grid
from vesalius.register.evaluate import folding


@pytest.mark.parametrize("shape", [(8, 8, 8), (1, 10, 10)])
def test_central_differences_miss_a_checkerboard_that_the_tetrahedra_see(shape):
    grid = Grid.from_spacing(shape)
    odd = torch.from_numpy(np.indices(shape).sum(axis=0) % 2).double()
    data = torch.zeros(3, *shape, dtype=torch.float64)
    data[0] = 1.4 * (odd - 0.5)  # neighbours along x pass each other
    found = folding(Displacement(data, grid), grid)
    interior = (slice(None), slice(1, -1), slice(1, -1))
    central = 1 + torch.gradient(data[0], dim=2)[0][interior]
    assert float(central.min()) == pytest.approx(1)  # as if nothing moved
    assert found.folded_cells_percent == 100
    assert found.non_diffeomorphic_percent > 5


def test_a_smooth_map_is_called_smooth_by_both():
    grid = Grid.from_spacing((8, 8, 8))
    place = torch.from_numpy(np.indices((8, 8, 8)).astype(float))
    data = torch.stack([torch.sin(place[k] / 2) / 2 for k in range(3)])
    found = folding(Displacement(data, grid), grid)
    assert found.folded_percent == found.folded_cells_percent == 0
    assert found.non_diffeomorphic_mm3 == 0
