"""Separable footprint: against exact integrals of single voxels and heads, and as an adjoint."""

import pytest
import torch

from vesalius.core import Grid, Linear
from vesalius.errors import GeometryError
from vesalius.physics import Box, Phantom, rasterise, shepp_logan_3d
from vesalius.physics.ct import (
    Projector,
    cone,
    exact_projections,
    fan,
    helical,
    parallel,
    tomosynthesis,
)

ANGLES = torch.arange(0.0, 360.0, 40.0) + 1.0
FINE = {"shape": (33, 37), "pitch_mm": (0.6, 0.7)}
NEAR = {"source_mm": 30.0, "detector_mm": 50.0}
GRID = Grid.from_spacing((9, 12, 14), (1.1, 0.9, 1.2), origin_mm=(-7.0, -5.0, -4.0))
GEOMETRIES = {
    "circle": cone(ANGLES, offset_mm=(0.4, 3.0), **FINE, **NEAR),
    "arc": cone(ANGLES, arc=True, offset_mm=(0.4, -2.0), **FINE, **NEAR),
    "helix": helical(cone(2 * ANGLES, **FINE, **NEAR), pitch_mm_per_turn=6.0),
    "stack of fans": fan(ANGLES, offset_mm=(0.7, 1.0), **FINE, **NEAR),
    "stack of arcs": fan(ANGLES, arc=True, **FINE, **NEAR),
    "parallel": parallel(ANGLES, offset_mm=(0.5, -1.2), **FINE),
    "tomosynthesis": tomosynthesis(torch.tensor([-20.0, 0.0, 17.0]), **FINE, **NEAR),
}
each = pytest.mark.parametrize("name", GEOMETRIES)


def voxel(index):
    """One voxel of the grid as a box, 1/mm."""
    centre = GRID.to_world(torch.tensor(index, dtype=torch.float64)).tolist()
    dz, dy, dx = GRID.spacing_mm
    box = Box(tuple(centre), (dx / 2, dy / 2, dz / 2), 1.0)
    return Phantom((box,), unit="1/mm")


@each
def test_the_shadow_of_one_voxel_is_the_mean_over_each_element(name):
    geometry = GEOMETRIES[name]
    x = torch.zeros(GRID.shape, dtype=torch.float64)
    x[6, 3, 9] = 1.0
    found = Projector(geometry, GRID, "footprint")(x)
    exact = exact_projections(voxel([6, 3, 9]), geometry, subrays=(12, 12)).data
    # 12 sub-rays place an edge to a twelfth of an element
    assert float((found - exact).norm() / exact.norm()) < 0.03
    assert float(found.sum() / exact.sum()) == pytest.approx(1.0, abs=0.02)
    joseph = Projector(geometry, GRID)(x)
    assert float((joseph - exact).norm() / exact.norm()) > 0.2  # a voxel is no pyramid


@each
def test_the_adjoint_is_exact(name, generator):
    project = Projector(GEOMETRIES[name], GRID, "footprint")
    for dtype, bar in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = torch.randn(project.domain, generator=generator, dtype=dtype)
        y = torch.randn(project.codomain, generator=generator, dtype=dtype)
        ax, ay = project(x).double(), project.H(y).double()
        left, right = (ax * y).sum(), (ay * x).sum()
        assert float((left - right).abs() / (ax.norm() * y.norm())) < bar


def test_parallel_rays_keep_the_mass_in_every_view(generator):
    project = Projector(
        parallel(ANGLES, shape=(20, 50), pitch_mm=(1.1, 0.5), offset_mm=(0.2, 0.1)),
        GRID,
        "footprint",
    )
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    mass = project(x).sum(dim=(1, 2)) * 1.1 * 0.5
    expected = x.sum() * GRID.voxel_volume_mm3
    torch.testing.assert_close(mass, expected.expand(len(ANGLES)))


def test_a_grid_upside_down_gives_the_same(generator):
    affine = GRID.affine.clone()
    affine[:3, 3] += affine[:3, 0] * (GRID.shape[0] - 1)
    affine[:3, 0] *= -1
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    for name in ("circle", "arc", "parallel"):
        expected = Projector(GEOMETRIES[name], GRID, "footprint")(x)
        turned = Projector(GEOMETRIES[name], Grid(GRID.shape, affine), "footprint")(x.flip(0))
        torch.testing.assert_close(turned, expected)


def test_a_detector_seen_from_behind_is_the_same_mirrored(generator):
    from dataclasses import replace

    geometry = GEOMETRIES["circle"]
    behind = replace(geometry, u=-geometry.u, middle=(geometry.middle[0], 36 - geometry.middle[1]))
    x = torch.rand(GRID.shape, generator=generator, dtype=torch.float64)
    expected = Projector(geometry, GRID, "footprint")(x)
    torch.testing.assert_close(Projector(behind, GRID, "footprint")(x).flip(2), expected)


def test_is_close_to_joseph_where_the_image_is_smooth():
    n = 21
    grid = Grid.from_spacing((n, n, n), (0.5, 0.5, 0.5), origin_mm=(-5.0, -5.0, -5.0))
    z, y, x = torch.meshgrid(*(torch.arange(n) - 10.0,) * 3, indexing="ij")
    blob = torch.exp(-(z**2 + y**2 + x**2) / 18.0).double()
    for geometry in GEOMETRIES.values():
        a = Projector(geometry, grid, "footprint")(blob)
        b = Projector(geometry, grid)(blob)
        assert float((a - b).norm() / b.norm()) < 0.03


def test_a_head_is_within_2_per_cent_of_the_mean_over_each_element():
    grid = Grid.from_spacing((64, 64, 64), (2.0, 2.0, 2.0), origin_mm=(-63.0, -63.0, -63.0))
    beam = cone(
        torch.arange(4) * 90.0 + 11.0,
        shape=(32, 32),
        pitch_mm=(6.0, 6.0),
        source_mm=1000.0,
        detector_mm=1500.0,
    )
    phantom = shepp_logan_3d(half_size_mm=64.0)
    x = rasterise(phantom, grid, supersample=4).data[0].float()
    exact = exact_projections(phantom, beam, subrays=(8, 8)).data
    errors = [
        float((Projector(beam, grid, method)(x) - exact).norm() / exact.norm())
        for method in ("footprint", "joseph")
    ]
    assert errors[0] < 0.02
    assert errors[1] > 1.3 * errors[0]  # the rays between the middles are not seen by Joseph


def test_refuses_a_detector_that_leans():
    moved = GEOMETRIES["circle"].moved(Linear.rotation((3.0, 0.0, 0.0), centre_mm=(0.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match="needs slices across the rows of the detector"):
        Projector(moved, GRID, "footprint")


def test_refuses_a_source_inside_the_volume():
    inside = cone(ANGLES, source_mm=4.0, detector_mm=50.0, **FINE)
    with pytest.raises(GeometryError, match="every voxel must lie in front of the source"):
        Projector(inside, GRID, "footprint")
