"""Permutohedral lattice: near the exact Gaussian sums, linear, symmetric."""

import pytest
import torch

from vesalius.errors import IntensityError
from vesalius.ops._permutohedral import permutohedral


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dims", [1, 2, 3, 5])
def test_means_are_near_those_of_the_exact_gaussian(dims):
    x = 3 * rand(400, dims)
    values = torch.sin(2 * x).sum(dim=1, keepdim=True)
    lattice = permutohedral(x)
    found = lattice.blur(values) / lattice.blur(torch.ones_like(values))
    kernel = torch.exp(-0.5 * torch.cdist(x, x).square())
    exact = kernel @ values / kernel.sum(dim=1, keepdim=True)
    assert float((found - exact).abs().mean()) < 0.1 * float(values.std())
    assert float(torch.corrcoef(torch.cat([found, exact], dim=1).T)[0, 1]) > 0.9


def test_filtering_is_linear_and_nearly_symmetric():
    lattice = permutohedral(4 * rand(60, 3))
    a, b = rand(60, 1, seed=1), rand(60, 1, seed=2)
    both = lattice.blur(2 * a - b)
    torch.testing.assert_close(both, 2 * lattice.blur(a) - lattice.blur(b), atol=1e-5, rtol=0)
    eye = lattice.blur(torch.eye(60, dtype=torch.float64))
    away = (eye - eye.T).abs().max()
    assert float(away) < 0.25 * float(eye.max())


def test_columns_do_not_mix():
    lattice, values = permutohedral(4 * rand(50, 2)), rand(50, 3, seed=3)
    alone = torch.cat([lattice.blur(values[:, k : k + 1]) for k in range(3)], dim=1)
    torch.testing.assert_close(lattice.blur(values), alone)


def test_points_far_apart_do_not_hear_each_other():
    lattice = permutohedral(torch.tensor([[0.0, 0.0], [100.0, 100.0]], dtype=torch.float64))
    assert lattice.blur(torch.tensor([[1.0], [0.0]]))[1, 0] == 0


def test_equal_points_share_a_simplex():
    lattice = permutohedral(torch.ones(7, 2, dtype=torch.float64))
    assert lattice.vertices == 3
    torch.testing.assert_close(torch.from_numpy(lattice.share).sum(dim=1), torch.ones(7))


def test_refuses_positions_that_cannot_be_numbered():
    with pytest.raises(IntensityError, match="positions must be finite"):
        permutohedral(torch.tensor([[float("nan")]]))
    with pytest.raises(IntensityError, match="below 2\\^25 standard deviations"):
        permutohedral(torch.tensor([[1e9]]))
