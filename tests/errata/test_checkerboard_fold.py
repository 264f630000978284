"""Erratum 24: central differences of the map miss a fold that alternates from sample to sample."""

import torch

from vesalius.ops._jacobian import determinants, folding


def test_the_corners_find_a_checkerboard_fold_that_central_differences_miss():
    z, y, x = torch.meshgrid(*[torch.arange(8)] * 3, indexing="ij")
    flow = torch.zeros(3, 8, 8, 8)
    flow[2] = 0.75 * (1 - 2 * ((z + y + x) % 2))  # neighbours trade places: 1.5 > 1 apart
    inside = (slice(1, -1),) * 3
    assert torch.equal(determinants(flow)[inside], torch.ones(6, 6, 6))  # all looks well
    assert float(folding(flow).max()) < 0  # and every cell is turned inside out
