"""Cone-beam Joseph: against the ray-by-ray way, a slow loop, and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Linear
from vesalius.physics import rasterise, shepp_logan_3d
from vesalius.physics.ct import (
    Projector,
    cone,
    exact_projections,
    fan,
    helical,
    parallel,
    tomosynthesis,
)
from vesalius.physics.ct._joseph3d import column_traversal
from vesalius.physics.ct._joseph_rays import RayTraversal
from vesalius.physics.ct._projector_torch import TorchTraversal

ANGLES = torch.arange(0.0, 360.0, 15.0)  # with the diagonals, where x and y tie
SMALL = {"shape": (13, 17), "pitch_mm": (1.3, 1.4)}
NEAR = {"source_mm": 30.0, "detector_mm": 50.0}
GRID = Grid.from_spacing((9, 12, 14), (1.1, 0.9, 1.2), origin_mm=(-7.0, -5.0, -4.0))
CIRCLE = cone(ANGLES, offset_mm=(0.4, 3.0), **SMALL, **NEAR)
GEOMETRIES = {
    "circle": CIRCLE,
    "arc": cone(ANGLES, arc=True, **SMALL, **NEAR),
    "helix": helical(cone(2 * ANGLES, **SMALL, **NEAR), pitch_mm_per_turn=6.0),
    "one row": cone(ANGLES, shape=(1, 17), pitch_mm=(1.3, 1.4), **NEAR),
    "two rows": cone(ANGLES, shape=(2, 17), pitch_mm=(1.3, 1.4), **NEAR),
    "stack of fans": fan(ANGLES, **SMALL, **NEAR),
    "parallel": parallel(ANGLES, **SMALL),
    "tomosynthesis": tomosynthesis(torch.tensor([-20.0, 0.0, 17.0]), **SMALL, **NEAR),
    "source in the volume": cone(
        ANGLES, shape=(13, 17), pitch_mm=(1.3, 1.4), source_mm=4.0, detector_mm=50.0
    ),
}


def flipped(grid):
    """The same voxels, with z running down and x running to the right."""
    affine = grid.affine.clone()
    last = torch.tensor([grid.shape[0] - 1, 0, grid.shape[2] - 1, 1.0], dtype=torch.float64)
    affine[:, 3] = affine @ last
    affine[:3, 0] *= -1
    affine[:3, 2] *= -1
    return Grid(grid.shape, affine)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_agrees_with_the_way_ray_by_ray(name, generator):
    fast, slow = column_traversal(GEOMETRIES[name], GRID), RayTraversal(GEOMETRIES[name], GRID)
    assert fast is not None
    x = torch.rand(2, *GRID.shape, generator=generator, dtype=torch.float64)
    y = slow.forward(x)
    torch.testing.assert_close(fast.forward(x), y, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(fast.back(y), slow.back(y), rtol=1e-7, atol=1e-6)


lengths = st.floats(0.3, 3.0)


@settings(max_examples=12)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    spacing=st.tuples(*[lengths] * 3),
    detector=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    pitch=st.tuples(lengths, lengths),
    offset=st.tuples(*[st.floats(-4.0, 4.0)] * 2),
    source_mm=st.floats(2.0, 60.0),
    arc=st.booleans(),
)
def test_agrees_with_the_way_ray_by_ray_wherever_it_is_taken(
    shape, spacing, detector, pitch, offset, source_mm, arc
):
    grid = Grid.from_spacing(
        shape,
        spacing,
        origin_mm=tuple(-n * d / 2 for n, d in zip(shape, spacing, strict=True))[::-1],
    )
    beam = cone(
        ANGLES,
        shape=detector,
        pitch_mm=pitch,
        source_mm=source_mm,
        detector_mm=1.7 * source_mm,
        offset_mm=offset,
        arc=arc,
    )
    fast, slow = column_traversal(beam, grid), RayTraversal(beam, grid)
    if fast is None:
        return
    x = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = slow.forward(x)
    torch.testing.assert_close(fast.forward(x), y, rtol=1e-6, atol=1e-6)
    back = fast.back(y)
    torch.testing.assert_close(back, slow.back(y), rtol=1e-6, atol=1e-5)
    assert float((fast.forward(x) * y).sum()) == pytest.approx(float((back * x).sum()), rel=1e-10)


def test_a_plane_through_the_source_counts_however_it_is_rounded(generator):
    grid = Grid.from_spacing((1, 1, 2), (1.0, 2.0, 1.0), origin_mm=(-1.0, -1.0, 0.2))
    beam = cone(ANGLES, shape=(1, 3), pitch_mm=(1.0, 2.0), source_mm=2.0, detector_mm=3.4)
    x = torch.rand(1, *grid.shape, generator=generator, dtype=torch.float64)
    y = RayTraversal(beam, grid).forward(x)
    torch.testing.assert_close(Projector(beam, grid)(x), y)
    torch.testing.assert_close(TorchTraversal(beam, grid).forward(x), y)


@pytest.mark.parametrize("name", ["circle", "arc", "helix"])
def test_agrees_with_a_slow_loop_over_planes(name, generator):
    geometry = GEOMETRIES[name]
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    found = Projector(geometry, GRID)(x)
    start, unit = geometry.rays()
    for view, row, column in [(1, 0, 3), (4, 12, 8), (9, 6, 10), (17, 5, 16)]:
        expected = walk(x, start[view, row, column], unit[view, row, column])
        assert float(found[view, row, column]) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def walk(x, start, unit):
    """Sum bilinear values at the crossings with planes of x or y, times the way between them."""
    z, y, xx = GRID.to_index(start).tolist()
    dz, dy, dx = (GRID.to_index(start + unit) - GRID.to_index(start)).tolist()
    total = 0.0
    planes = range(GRID.shape[2]) if abs(dx) > abs(dy) else range(GRID.shape[1])
    for i in planes:
        t = (i - xx) / dx if abs(dx) > abs(dy) else (i - y) / dy
        at = (z + t * dz, y + t * dy, xx + t * dx)
        for k in range(GRID.shape[0]):
            for j in range(GRID.shape[1]):
                for m in range(GRID.shape[2]):
                    w = [max(0.0, 1 - abs(a - b)) for a, b in zip(at, (k, j, m), strict=True)]
                    total += math.prod(w) * float(x[k, j, m])
    return total / max(abs(dx), abs(dy))


def test_a_flipped_grid_gives_the_same_projections(generator):
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    turned = flipped(GRID)
    assert column_traversal(CIRCLE, turned) is not None
    torch.testing.assert_close(
        Projector(CIRCLE, turned)(x.flip(0, 2)), Projector(CIRCLE, GRID)(x), rtol=1e-7, atol=1e-7
    )


def test_a_column_that_leans_goes_ray_by_ray(generator):
    moved = CIRCLE.moved(Linear.rotation((3.0, -2.0, 1.0), centre_mm=(0.0, 0.0, 0.0)))
    assert column_traversal(moved, GRID) is None
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    expected = RayTraversal(moved, GRID).forward(x[None])[0]
    torch.testing.assert_close(Projector(moved, GRID)(x), expected)


def test_rays_that_climb_faster_than_they_cross_go_ray_by_ray():
    steep = cone(ANGLES, shape=(9, 5), pitch_mm=(20.0, 1.0), **NEAR)
    assert column_traversal(steep, GRID) is None
    lying = Grid(GRID.shape, GRID.affine[:, [2, 1, 0, 3]])
    assert column_traversal(CIRCLE, lying) is None


def test_the_sums_do_not_depend_on_the_number_of_threads(generator):
    project = Projector(CIRCLE, GRID)
    x = torch.rand(GRID.shape, generator=generator)
    y = torch.rand(project.codomain, generator=generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = project(x), project.H(y)
        torch.set_num_threads(3)
        three = project(x), project.H(y)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one[0], three[0])
    assert torch.equal(one[1], three[1])


def test_the_adjoint_leaves_a_single_row_alone(generator):
    project = Projector(GEOMETRIES["one row"], GRID)
    y = torch.rand(project.codomain, generator=generator)
    kept = y.clone()
    project.H(y)
    assert torch.equal(y, kept)


@pytest.mark.parametrize("name", ["circle", "arc", "helix"])
def test_the_adjoint_is_exact(name, generator):
    project = Projector(GEOMETRIES[name], GRID)
    for dtype, bar in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = torch.randn(project.domain, generator=generator, dtype=dtype)
        y = torch.randn(project.codomain, generator=generator, dtype=dtype)
        ax, ay = project(x).double(), project.H(y).double()
        left, right = (ax * y).sum(), (ay * x).sum()
        assert float((left - right).abs() / (ax.norm() * y.norm())) < bar


def test_a_column_of_water_is_as_long_as_its_chord():
    grid = Grid.from_spacing((20, 20, 20), origin_mm=(-9.5, -9.5, -9.5))
    beam = cone(
        torch.tensor([0.0, 90.0, 180.0, 270.0]),
        shape=(1, 1),
        pitch_mm=(1.0, 1.0),
        source_mm=100.0,
        detector_mm=150.0,
    )
    found = Projector(beam, grid)(torch.full(grid.shape, 0.02))
    torch.testing.assert_close(found.flatten(), torch.full((4,), 0.4))


def head(n, *, contrast="modified", supersample=1):
    """Our projections of the head on n^3 voxels, and exact integrals through the sharp solids."""
    size = 128.0 / n
    grid = Grid.from_spacing((n, n, n), (size,) * 3, origin_mm=(-(n - 1) / 2 * size,) * 3)
    beam = cone(
        torch.arange(6) * 60.0 + 11.0,
        shape=(n, n),
        pitch_mm=(1.5 * size, 1.5 * size),
        source_mm=1000.0,
        detector_mm=1500.0,
    )
    phantom = shepp_logan_3d(half_size_mm=64.0, contrast=contrast)
    x = rasterise(phantom, grid, supersample=supersample).data[0].float()
    return Projector(beam, grid)(x), phantom, beam


def error(y, phantom, beam, subrays=1):
    truth = exact_projections(phantom, beam, subrays=(subrays, subrays)).data
    return float((y - truth).norm() / truth.norm())


def test_is_within_3_7_per_cent_of_the_sharp_ellipsoids_at_128():
    errors = [error(*head(n)) for n in (32, 64, 128)]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert errors[2] <= 0.037


def test_is_within_1_5_per_cent_of_an_anti_aliased_head_at_128():
    assert error(*head(128, contrast="original", supersample=4), subrays=4) <= 0.015
    # a skull five times as dense as the brain has sharper edges than any linear interpolation
    assert error(*head(128, supersample=4), subrays=4) <= 0.020
