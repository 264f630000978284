"""Energies and Green's operators against numbers that can be worked out by hand, and each other."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from vesalius.core import Displacement, Grid, Image
from vesalius.core._displacement import to_mm
from vesalius.errors import IntensityError
from vesalius.register.regularise import (
    Bending,
    Curvature,
    CurvatureSolver,
    Diffusion,
    DiffusionSolver,
    Elastic,
    ElasticSolver,
    FluidSolver,
    FoldingBarrier,
    InverseConsistency,
    LogJacobian,
    Rigidity,
    Sobolev,
    VolumeChange,
    VolumePreserving,
)

SPACING = (3.0, 1.0, 2.0)
SHAPE = (6, 5, 4)
GRID = Grid.from_spacing(SHAPE, SPACING)


def affine_field(matrix) -> torch.Tensor:
    """Give the displacement of x -> M x about the first sample, mm along (z, y, x)."""
    axes = [torch.arange(n).double() * h for n, h in zip(SHAPE, SPACING, strict=True)]
    at = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    matrix = torch.as_tensor(matrix, dtype=torch.float64) - torch.eye(3).double()
    return torch.einsum("ca,azyx->czyx", matrix, at)


def turn(angle: float) -> torch.Tensor:
    skew = torch.tensor([[0, -angle, 0], [angle, 0, 0.3 * angle], [0, -0.3 * angle, 0]]).double()
    return torch.linalg.matrix_exp(skew)


def region() -> Image:
    return Image(torch.ones(1, *SHAPE), GRID)


def cells(of: float) -> float:
    """Give the mean over samples of a density that is ``of`` in every cell."""
    return of * math.prod(n - 1 for n in SHAPE) / math.prod(SHAPE)


def noise(generator, shape=SHAPE) -> torch.Tensor:
    return torch.randn(3, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("mu", "lame"), [(1.0, 0.0), (0.5, 2.0)])
def test_the_elastic_energy_of_even_strains(mu, lame):
    pull = affine_field(torch.diag(torch.tensor([1.0, 1.0, 1.1])))
    shear = affine_field([[1, 0, 0], [0, 1, 0.1], [0, 0, 1]])
    energy = Elastic(1.0, mu, lame)
    assert float(energy(pull, GRID)) == pytest.approx(cells(0.01 * (mu + lame / 2)))
    assert float(energy(shear, GRID)) == pytest.approx(cells(0.01 * mu / 2))


def test_the_elastic_energy_equals_a_slow_loop_over_corners(generator):
    u, mu, lame = noise(generator).numpy(), 0.7, 1.3
    total = 0.0
    for cell in product(*(range(n - 1) for n in SHAPE)):
        for corner in product((0, 1), repeat=3):
            gradient = np.zeros((3, 3))
            for a in range(3):
                low = [c + s for c, s in zip(cell, corner, strict=True)]
                low[a] = cell[a]
                high = list(low)
                high[a] += 1
                gradient[:, a] = (u[(slice(None), *high)] - u[(slice(None), *low)]) / SPACING[a]
            strain = gradient + gradient.T
            total += (mu / 4 * (strain**2).sum() + lame / 2 * np.trace(gradient) ** 2) / 8
    found = Elastic(1.0, mu, lame)(torch.from_numpy(u), GRID)
    assert float(found) == pytest.approx(total / math.prod(SHAPE), rel=1e-12)


def test_a_small_turn_is_free_for_elasticity_and_a_large_one_for_rigidity():
    small, large = affine_field(turn(1e-4)), affine_field(turn(1.0))
    assert float(Elastic()(small, GRID)) < 1e-6 * float(Diffusion()(small, GRID))
    assert float(Elastic()(large, GRID)) > 0.01
    assert float(Rigidity(region())(large, GRID)) == pytest.approx(0.0, abs=1e-20)
    assert float(Rigidity(region())(1.1 * large, GRID)) > 1e-3


def test_rigidity_in_a_plane_lets_it_turn_in_that_plane():
    plane = Grid.from_spacing((1, 6, 5))
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    c, s = math.cos(0.7), math.sin(0.7)
    field = torch.stack([0 * y, c * y - s * x - y, s * y + c * x - x])[:, None]
    whole = Image(torch.ones(1, 1, 6, 5), plane)
    assert float(Rigidity(whole)(field, plane)) == pytest.approx(0.0, abs=1e-10)


def test_rigidity_and_volumes_count_in_their_region_alone():
    field = torch.zeros(3, *SHAPE).double()
    field[2, :, :, 2:] = 0.9
    left = Image((torch.arange(4) < 1).float().expand(1, *SHAPE).clone(), GRID)
    assert float(Rigidity(left)(field, GRID)) == 0.0
    assert float(VolumePreserving(left)(field, GRID)) == 0.0
    assert float(Rigidity(region())(field, GRID)) > 0
    assert float(VolumePreserving(region())(field, GRID)) > 0


def test_bending_leaves_affine_deformations_alone_and_has_the_value_of_a_parabola():
    wild = affine_field([[1.5, 0.3, 0], [-0.4, 0.8, 0.2], [0, 0.1, 2.0]])
    assert float(Bending()(wild, GRID)) == pytest.approx(0.0, abs=1e-20)
    x = torch.arange(4).double() * 2.0
    bent = torch.zeros(3, *SHAPE).double()
    bent[1] = 0.5 * x * x  # second derivative 1 at the two samples inside, of four
    assert float(Bending()(bent, GRID)) == pytest.approx(0.5)
    y = torch.arange(5).double()
    twisted = torch.zeros(3, *SHAPE).double()
    twisted[0] = y[:, None] * x  # mixed derivative 1, counted twice
    assert float(Bending()(twisted, GRID)) == pytest.approx(2 * (4 * 3) / (5 * 4))


def test_diffusion_has_the_value_of_an_even_slope():
    slope = affine_field([[1, 0, 0], [0, 1, 0], [0.2, 0, 1]])  # x moves by 0.2 z: 5 of 6 edges
    assert float(Diffusion(2.0)(slope, GRID)) == pytest.approx(2 * 0.04 * 5 / 6)


def test_the_derivative_of_curvature_is_what_its_solver_undoes(generator):
    """alpha Lap^2 u + F = 0: the solver's answer to -F makes energy and work balance."""
    force = noise(generator)
    force -= force.mean(dim=(1, 2, 3), keepdim=True)
    answer = CurvatureSolver(2.0, "static")(-force, GRID).requires_grad_()
    (slope,) = torch.autograd.grad(Curvature(2.0)(answer, GRID) * math.prod(SHAPE), answer)
    torch.testing.assert_close(slope + force, torch.zeros_like(force), atol=1e-8, rtol=0)


def test_implicit_steps_balance_their_energies(generator):
    """The implicit step minimises |u - f|^2 / 2 plus its energy."""
    field = noise(generator)
    smooth = DiffusionSolver(1.5)(field, GRID).requires_grad_()
    energy = Diffusion(0.25 * 1.5**2)(smooth, GRID) * math.prod(SHAPE)
    (slope,) = torch.autograd.grad(0.5 * ((smooth - field) ** 2).sum() + energy, smooth)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)
    bent = CurvatureSolver(3.0)(field, GRID).requires_grad_()
    energy = Curvature(3.0)(bent, GRID) * math.prod(SHAPE)
    (slope,) = torch.autograd.grad(0.5 * ((bent - field) ** 2).sum() + energy, bent)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)


def test_two_sobolev_steps_of_order_one_are_one_of_order_two(generator):
    field = noise(generator)
    once = Sobolev(1.5, 1.0)
    torch.testing.assert_close(once(once(field, GRID), GRID), Sobolev(1.5, 2.0)(field, GRID))
    torch.testing.assert_close(
        Sobolev(1.5, 1.0)(field, GRID), DiffusionSolver(1.5 * math.sqrt(2))(field, GRID)
    )


def test_an_elastic_step_without_stiffness_changes_nothing(generator):
    field = noise(generator)
    torch.testing.assert_close(ElasticSolver(0.0)(field, GRID), field)


def test_a_fluid_with_friction_alone_is_a_division(generator):
    field = noise(generator)
    torch.testing.assert_close(FluidSolver(0.0, 0.0, 4.0)(field, GRID), field / 4)


def test_the_diffusion_step_spreads_by_its_sigma():
    grid = Grid.from_spacing((41, 1, 1), (0.5, 1.0, 1.0))
    impulse = torch.zeros(3, 41, 1, 1).double()
    impulse[:, 20] = 1
    found = DiffusionSolver(1.5)(impulse, grid)[0].flatten()
    at = (torch.arange(41).double() - 20) * 0.5
    assert float(found.sum()) == pytest.approx(1.0)
    assert float((found * at**2).sum()) ** 0.5 == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.3])
def test_costs_of_an_even_change_of_volume(scale):
    field = affine_field(scale * torch.eye(3).double())
    j = scale**3
    assert float(LogJacobian()(field, GRID)) == pytest.approx(cells(math.log(j) ** 2), abs=1e-12)
    assert float(VolumeChange()(field, GRID)) == pytest.approx(cells((j - 1) ** 2), abs=1e-12)
    barrier = cells(max(0.0, 1 - j / 0.2) ** 2)
    assert float(FoldingBarrier()(field, GRID)) == pytest.approx(barrier, abs=1e-12)


def test_the_logarithm_goes_on_smoothly_where_cells_fold():
    costs = [LogJacobian().cost(torch.tensor(0.1 + d, dtype=torch.float64)) for d in (-1e-6, 1e-6)]
    assert float(costs[0] - costs[1]) == pytest.approx(-2 * 2e-6 * math.log(0.1) / 0.1, rel=1e-4)
    folded = LogJacobian().cost(torch.tensor([-1.0, 0.0, 0.05, 0.1]))
    assert torch.isfinite(folded).all()
    assert (folded.diff() < 0).all()


def test_a_barrier_without_a_least_volume_is_refused():
    with pytest.raises(IntensityError, match="least must be a positive determinant, got 0"):
        FoldingBarrier(1.0, least=0.0)


def test_inverse_consistency_is_zero_for_the_inverse_and_measures_its_miss():
    shift = torch.zeros(3, *SHAPE).double()
    shift[2], shift[0] = 2.0, 3.0  # x runs to L, z to S
    right = torch.tensor([-2.0, 0.0, -3.0]).double()
    wrong = torch.tensor([-2.0, 0.5, -3.0]).double()

    def back(by):
        return Displacement(by[:, None, None, None].expand(3, *SHAPE).clone(), GRID)

    assert float(InverseConsistency(back(right))(shift, GRID)) == pytest.approx(0.0, abs=1e-20)
    assert float(InverseConsistency(back(wrong), 2.0)(shift, GRID)) == pytest.approx(0.5)


def test_inverse_consistency_speaks_world_axes_on_a_turned_lattice(generator):
    affine = torch.tensor([[0, 2.0, 0, 5], [0, 0, -1.0, 7], [3.0, 0, 0, -2], [0, 0, 0, 1]])
    grid = Grid((8, 9, 10), affine.double())
    flow = 0.3 * torch.randn(3, 1, 1, 1, generator=generator, dtype=torch.float64)
    flow = flow.expand(3, *grid.shape).clone()
    back = Displacement(to_mm(-flow, grid), grid)
    mm = flow * torch.tensor(grid.spacing_mm).double()[:, None, None, None]
    assert float(InverseConsistency(back)(mm, grid)) == pytest.approx(0.0, abs=1e-20)
