"""Fields of the position: corners and shares are exact, a fit finds a blob, limits are told."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.physics.ct import Projections, Projector, parallel
from vesalius.reconstruct.learned import HashGrid, Implicit, Siren, implicit_ct
from vesalius.reconstruct.learned._field import _corners, _matrices, _Mix, field_at
from vesalius.reconstruct.learned._implicit import smooth_variation, unit_points

SMALL = HashGrid(levels=4, size=512, coarsest=2, finest=16, width=8)


def random_points(count, generator):
    return torch.rand(count, 3, generator=generator)


@pytest.fixture(scope="module")
def scan():
    """A box in 12^3 and its 20 parallel views, from a grid twice as fine."""
    fine = Grid.from_spacing((24, 24, 24), (1.0, 1.0, 1.0), origin_mm=(-11.5, -11.5, -11.5))
    grid = Grid.from_spacing((12, 12, 12), (2.0, 2.0, 2.0), origin_mm=(-11.0, -11.0, -11.0))
    truth = torch.zeros(12, 12, 12)
    truth[3:9, 4:10, 2:8] = 0.02
    sharp = truth.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    geometry = parallel(torch.arange(0.0, 180.0, 9.0), shape=(12, 18), pitch_mm=(2.0, 2.0))
    return truth, Projections(Projector(geometry, fine)(sharp), geometry), grid


@pytest.mark.parametrize("cells", [1, 4, 8, 16])
def test_shares_of_the_corners_sum_to_one(cells, generator):
    index, share, entries = _corners(random_points(100, generator), cells, 512)
    torch.testing.assert_close(share.sum(dim=1), torch.ones(100))
    assert float(share.min()) >= 0.0
    assert 0 <= int(index.min()) <= int(index.max()) < entries


def test_a_dense_level_interpolates_a_linear_function_exactly(generator):
    points = random_points(200, generator)
    index, share, entries = _corners(points, 4, 512)
    assert entries == 125
    axis = torch.arange(5) / 4
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    table = (2 * z - 3 * y + 0.5 * x + 1).flatten()
    expected = points @ torch.tensor([2.0, -3.0, 0.5]) + 1
    torch.testing.assert_close((table[index] * share).sum(dim=1), expected)


def test_a_hashed_level_keeps_its_table_size_and_spreads(generator):
    index, _, entries = _corners(random_points(2000, generator), 16, 512)
    assert entries == 512
    assert len(index.unique()) > 0.9 * 512


def test_neighbours_share_corners_so_that_the_field_is_continuous():
    """On both sides of a cell's face the value is the same."""
    near = torch.tensor([[0.5 - 1e-6, 0.3, 0.7], [0.5 + 1e-6, 0.3, 0.7]])
    index, share, entries = _corners(near, 16, 512)
    table = torch.randn(entries, generator=torch.Generator().manual_seed(0))
    one, two = (table[index] * share).sum(dim=1)
    assert float(one) == pytest.approx(float(two), abs=1e-3)


def test_the_sparse_matrix_and_its_transpose_agree_with_the_plain_sum(generator):
    index, share, entries = _corners(random_points(60, generator).double(), 16, 512)
    forth, back = _matrices(index, share, entries)
    table = torch.randn(entries, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    plain = (table[index] * share[..., None]).sum(dim=1)
    torch.testing.assert_close(_Mix.apply(table, forth, back), plain)
    weight = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    (one,) = torch.autograd.grad((plain * weight).sum(), table)
    (two,) = torch.autograd.grad((_Mix.apply(table, forth, back) * weight).sum(), table)
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("plan", [SMALL, Siren(width=8, depth=2)], ids=["hash", "siren"])
def test_a_field_is_positive_and_comes_from_its_generator(plan, generator):
    points = random_points(50, generator)
    one, two, other = (
        field_at(plan, points, generator=torch.Generator().manual_seed(s))() for s in (1, 1, 2)
    )
    assert one.shape == (50,)
    assert bool((one > 0).all())
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_points_are_voxel_centres_over_the_longest_side():
    grid = Grid.from_spacing((2, 4, 5), (2.0, 1.0, 1.0))
    points = unit_points(grid)
    assert points.shape == (40, 3)
    torch.testing.assert_close(points[0], torch.tensor([1.0, 0.5, 0.5]) / 5)
    torch.testing.assert_close(points[-1], torch.tensor([3.0, 3.5, 4.5]) / 5)


def test_variation_is_the_mean_slope():
    x = torch.zeros(4, 4, 4)
    x[2:] = 3.0
    assert float(smooth_variation(x)) == pytest.approx(3.0 / 4, rel=0.01)
    assert float(smooth_variation(torch.ones(1, 5, 5))) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        (Implicit(SMALL, steps=150, rate=5e-2, weight=1e-3), 0.25),
        (Implicit(Siren(width=24, depth=2, omega=8.0), steps=150, rate=1e-2, weight=1e-3), 0.35),
    ],
    ids=["hash", "siren"],
)
def test_a_fit_finds_a_box(scan, method, part):
    truth, data, grid = scan
    told = []
    g = torch.Generator().manual_seed(0)
    found = implicit_ct(data, like=grid, method=method, generator=g, on_step=told.append)
    error = (found.image.data[0] - truth).square().mean().sqrt()
    assert float(error) < part * float(truth.square().mean().sqrt())
    assert len(found.residual) == len(told) == 150
    assert found.residual[-1] < 0.15 < found.residual[0]
    assert (found.method, found.image.unit, found.weight) == ("implicit", "1/mm", 1e-3)
    assert any("with total variation 0.001" in r for r in found.remarks)


def test_the_same_generator_gives_the_same_image(scan):
    _, data, grid = scan
    method = Implicit(SMALL, steps=3)
    one, two = (
        implicit_ct(
            data, like=grid, method=method, generator=torch.Generator().manual_seed(4)
        ).image.data
        for _ in range(2)
    )
    assert torch.equal(one, two)


def test_more_variation_gives_a_smoother_image(scan):
    _, data, grid = scan
    rough, smooth = (
        implicit_ct(
            data,
            like=grid,
            method=Implicit(SMALL, steps=60, rate=5e-2, weight=w),
            generator=torch.Generator().manual_seed(4),
        ).image.data[0]
        for w in (0.0, 0.3)
    )
    assert float(smooth.diff(dim=0).abs().sum()) < float(rough.diff(dim=0).abs().sum())


def test_a_fit_that_runs_away_is_told(scan):
    _, data, grid = scan
    method = Implicit(SMALL, steps=20, rate=1e30)
    with pytest.raises(ConvergenceError, match="the fit of a field must stay finite"):
        implicit_ct(data, like=grid, method=method, generator=torch.Generator())


def test_cells_grow_from_the_coarsest_to_the_finest():
    cells = HashGrid(levels=5, coarsest=4, finest=64).cells
    assert cells == (4, 8, 16, 32, 64)
    assert HashGrid(levels=1, coarsest=4, finest=4).cells == (4,)


@pytest.mark.parametrize("wrong", [{"levels": 0}, {"features": 0}, {"size": 0}, {"width": 0}])
def test_refuses_an_empty_hash_grid(wrong):
    with pytest.raises(ConfigError, match="of a hash grid must be at least 1"):
        HashGrid(**wrong)


@pytest.mark.parametrize("wrong", [{"coarsest": 0}, {"coarsest": 65}])
def test_refuses_cells_out_of_order(wrong):
    with pytest.raises(ConfigError, match="cells of a hash grid must be 1 <= coarsest"):
        HashGrid(**wrong)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": 0}, {"omega": 0.0}, {"omega": math.inf}])
def test_refuses_an_impossible_siren(wrong):
    with pytest.raises(ConfigError, match="width and depth of a siren must be at least 1"):
        Siren(**wrong)


def test_refuses_points_outside_the_unit_cube(generator):
    with pytest.raises(ConfigError, match="points of a field must lie in"):
        field_at(SMALL, torch.full((3, 3), 1.5), generator=generator)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": 0.0}, {"rate": math.inf}])
def test_refuses_no_steps_and_no_rate(wrong):
    with pytest.raises(ConfigError, match="a field needs at least one step"):
        Implicit(**wrong)


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"photons": -1.0}, {"weight": math.nan}])
def test_refuses_negative_weights_and_photons(wrong):
    with pytest.raises(ConfigError, match="weight and photons of a fit must not be negative"):
        Implicit(**wrong)
