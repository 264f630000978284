"""The PET system: attenuation and normalisation around any projector."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch

from vesalius.core import Grid, Identity
from vesalius.errors import IntensityError, ShapeError
from vesalius.physics.ct import Projector, parallel
from vesalius.physics.pet import System, attenuation_factors

ANGLES = torch.arange(0, 180, 30.0)
GRID = Grid.from_spacing((1, 32, 32), (4.0, 4.0, 4.0), origin_mm=(-62.0, -62.0, 0.0))


def projector() -> Projector:
    return Projector(parallel(ANGLES, shape=(1, 32), pitch_mm=(4.0, 4.0)), GRID)


def test_weights_what_the_projector_gives():
    n, a = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    system = System(2.0 * Identity((3, 4)), a, 7 * n)
    x = torch.ones(3, 4, dtype=torch.float64)
    torch.testing.assert_close(system(x), 14 * n * a)
    torch.testing.assert_close(system.H(x), 14 * n * a)


def test_the_middle_line_through_a_water_cylinder_is_attenuated_by_its_diameter():
    y, x = torch.meshgrid(*(torch.arange(32) * 4.0 - 62,) * 2, indexing="ij")
    mu = 0.0096 * ((x**2 + y**2) < 50**2)[None].double()
    factors = attenuation_factors(projector(), mu)
    middle = factors[:, 0, 15:17].mean(dim=1)
    expected = torch.exp(torch.tensor(-0.96, dtype=torch.float64)).expand(6)
    torch.testing.assert_close(middle, expected, rtol=0.05, atol=0)
    assert float(factors[:, 0, 0].min()) == pytest.approx(1)


def test_is_differentiable_in_the_activity():
    op = projector()
    half = torch.full(op.codomain, 0.5, dtype=torch.float64)
    system = System(op, half, 2 * half)
    x = torch.ones(op.domain, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(system(x).sum(), x)
    torch.testing.assert_close(gradient, system.H(torch.ones(op.codomain, dtype=torch.float64)))


def test_refuses_factors_of_another_shape():
    with pytest.raises(ShapeError, match="normalisation must have one factor per line of response"):
        System(Identity((3,)), torch.ones(3), torch.ones(4))


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_refuses_factors_that_are_negative_or_not_finite(bad):
    with pytest.raises(IntensityError, match="finite and at least 0, got"):
        System(Identity((2,)), torch.ones(2), torch.tensor([1.0, bad]))


def test_refuses_a_correction_factor_where_the_part_that_passes_is_meant():
    with pytest.raises(IntensityError, match="attenuation must be at most 1"):
        System(Identity((2,)), torch.tensor([1.0, 3.2]), torch.ones(2))


@pytest.mark.parametrize("bad", [-0.01, float("nan"), 40.0])
def test_refuses_attenuation_coefficients_that_are_none_such_as_hu(bad):
    with pytest.raises(IntensityError, match=r"mu must be finite and from 0 to 0\.5 per mm"):
        attenuation_factors(Identity((2,)), torch.tensor([0.0, bad]))
