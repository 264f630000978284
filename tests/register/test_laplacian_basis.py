"""LaplacianBasis: modes of a chain are known cosines; fields, devices of the contract, refusals."""

import math

import numpy as np
import pytest
import torch
from register_fields import FIXED, GRID, error_mm, levels_of

from vesalius.core import Grid, Labels, Linear
from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.graph import slic
from vesalius.register import _variational
from vesalius.register._laplacian_basis import LaplacianBasis
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Lbfgs, Scale, Stage
from vesalius.register._watch import Watch


def chain(n: int = 8) -> Labels:
    """Give n slabs in a row, three samples each."""
    data = (torch.arange(3 * n) // 3 + 1).to(torch.int32).expand(1, 4, 4, 3 * n).clone()
    return Labels(data, Grid.from_spacing((4, 4, 3 * n)))


def test_the_modes_of_a_chain_are_cosines():
    basis = LaplacianBasis(chain(8), 4, sigma_mm=0.01)
    assert not basis._modes[0].any()
    for order in range(4):
        wave = np.cos(math.pi * order * (np.arange(8) + 0.5) / 8)
        found = basis._modes[1:, order]
        share = abs(found @ wave) / np.linalg.norm(found) / np.linalg.norm(wave)
        assert share == pytest.approx(1.0)
        assert (found**2).mean() == pytest.approx(1.0)


def test_the_first_mode_shifts_everything_and_parameters_are_mm():
    pieces = chain()
    basis = LaplacianBasis(pieces, 3)
    parameters = basis.start(pieces.grid).double()
    parameters[2, 0] = 1.5
    flow = basis.flow(parameters, pieces.grid)
    torch.testing.assert_close(flow[2].abs(), torch.full_like(flow[2], 1.5))
    assert not flow[:2].any()
    coarse = Grid.from_spacing((2, 2, 12), (2.0, 2.0, 2.0), origin_mm=(0.5, 0.5, 0.5))
    half = basis.flow(parameters, coarse)[2].abs()
    torch.testing.assert_close(half, torch.full_like(half, 0.75))


def test_its_flow_is_linear_and_its_transform_gives_it_back(generator):
    pieces = chain()
    basis = LaplacianBasis(pieces, 4)
    a, b = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    both = basis.flow(2 * a - b, pieces.grid)
    torch.testing.assert_close(both, 2 * basis.flow(a, pieces.grid) - basis.flow(b, pieces.grid))
    torch.testing.assert_close(basis.transform(a, pieces.grid).flow(), basis.flow(a, pieces.grid))


def test_supervoxels_of_an_image_carry_a_registration():
    labels = slic(
        FIXED.data,
        spacing=GRID.spacing_mm,
        size=8.0,
        compactness=3.0,
        steps=5,
        mask=torch.ones(GRID.shape, dtype=torch.bool),
    )
    basis = LaplacianBasis(Labels(labels[None], GRID), 40, sigma_mm=3.0)
    plan = Stage(basis, MeanSquare(), Lbfgs(), (Scale(4.0, 20),))
    found = _variational.solve(levels_of(plan.scales), plan, Watch())
    assert error_mm(found) < 0.8 * error_mm(Linear.identity())


def test_a_slice_moves_within_its_plane(generator):
    data = chain().data[:, :1]
    plane = Labels(data, Grid.from_spacing((1, 4, 24)))
    flow = LaplacianBasis(plane, 3).flow(torch.randn(3, 3, generator=generator), plane.grid)
    assert not flow[0].any()
    assert flow[1:].abs().max() > 0


def test_too_few_pieces_and_empty_requests_are_refused():
    with pytest.raises(RegionError, match="a basis of 8 modes needs 9 to 4000 pieces, got 8"):
        LaplacianBasis(chain(8), 8)
    with pytest.raises(ConfigError, match="count and sigma_mm of modes must be positive"):
        LaplacianBasis(chain(8), 0)
    many = torch.arange(1, 5001).to(torch.int32).reshape(1, 1, 50, 100)
    with pytest.raises(RegionError, match="needs 4 to 4000 pieces, got 5000"):
        LaplacianBasis(Labels(many, Grid.from_spacing((1, 50, 100))), 3)


def test_pieces_of_several_layers_or_below_0_are_refused():
    grid = Grid.from_spacing((4, 4, 4))
    one = torch.arange(64).reshape(1, 4, 4, 4)
    with pytest.raises(ShapeError, match="pieces must have one layer, got 2"):
        LaplacianBasis(Labels(torch.cat([one, one]), grid), count=4)
    with pytest.raises(RegionError, match="pieces must be numbered from 1, 0 being none, got -3"):
        LaplacianBasis(Labels(one - 3, grid), count=4)
