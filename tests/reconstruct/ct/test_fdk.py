"""Cone beams: values, layers, scans, and what is refused."""

import math

import pytest
import torch

from vesalius.core import Grid, Linear
from vesalius.errors import GeometryError, UnitError
from vesalius.physics import Box, Cylinder, Ellipsoid, Phantom
from vesalius.physics.ct import Projections, cone, exact_projections, fan, helical, parallel
from vesalius.reconstruct.ct import fbp, fdk

MU = 0.02
CONE = {"pitch_mm": (1.5, 1.5), "source_mm": 300.0, "detector_mm": 500.0}


def turn(views: int, span: float) -> torch.Tensor:
    """Angles over a span without its end, degrees."""
    return torch.arange(views) * (span / views)


def cube(shape: tuple[int, int, int], step: float = 1.0) -> Grid:
    """A grid about the isocentre."""
    z, y, x = (-(n - 1) / 2 * step for n in shape)
    return Grid.from_spacing(shape, (step, step, step), origin_mm=(x, y, z))


def away(grid: Grid, at: tuple[float, float, float]) -> torch.Tensor:
    """Distance of each voxel from a point, mm."""
    index = torch.cartesian_prod(*(torch.arange(float(n)) for n in grid.shape)).double()
    points = grid.to_world(index) - torch.tensor(at, dtype=torch.float64)
    return points.norm(dim=1).reshape(grid.shape)


BALL = Phantom(
    (
        Ellipsoid((0.0, 0.0, 0.0), (30.0, 30.0, 30.0), MU),
        Ellipsoid((10.0, -6.0, 5.0), (7.0, 7.0, 7.0), MU),
    ),
    0.0,
    "1/mm",
    "add",
)
SCANS = {}
for _arc in (False, True):
    _kind = "arc" if _arc else "flat"
    _make = {"shape": (90, 90), "arc": _arc, **CONE}
    SCANS[f"{_kind}, full"] = (cone(turn(180, 360.0), **_make), "full")
    SCANS[f"{_kind}, short"] = (cone(20 - turn(120, 210.0), **_make), "short")
    _side = {"shape": (90, 60), "offset_mm": (0.0, 22.0), "arc": _arc, **CONE}
    SCANS[f"{_kind}, half"] = (cone(turn(200, 360.0), **_side), "half-fan")


@pytest.mark.parametrize("name", SCANS)
def test_finds_the_attenuation_of_two_balls(name):
    geometry, scan = SCANS[name]
    grid = cube((57, 64, 64))
    found = fdk(exact_projections(BALL, geometry), like=grid, scan=scan)
    volume = found.image.data[0]
    outer, inner = away(grid, (0.0, 0.0, 0.0)), away(grid, (10.0, -6.0, 5.0))
    assert (found.method, found.image.unit) == ("fdk", "1/mm")
    assert float(volume[(outer < 25) & (inner > 10)].mean()) == pytest.approx(MU, rel=1e-2)
    assert float(volume[inner < 4].mean()) == pytest.approx(2 * MU, rel=1e-2)
    assert float(volume[outer > 34].mean()) == pytest.approx(0.0, abs=1e-2 * MU)


def test_a_ball_lies_where_it_is():
    at = (9.3, -7.1, 11.6)
    ball = Phantom((Ellipsoid(at, (5.0, 5.0, 5.0), MU),), 0.0, "1/mm")
    geometry = cone(turn(120, 360.0), shape=(91, 90), offset_mm=(2.2, -1.7), **CONE)
    grid = cube((50, 51, 52))
    volume = fdk(exact_projections(ball, geometry), like=grid, window="hann").image.data[0]
    near = volume.double() * (away(grid, at) < 8)
    index = torch.cartesian_prod(*(torch.arange(float(n)) for n in grid.shape)).double()
    centroid = (grid.to_world(index) * near.reshape(-1, 1)).sum(dim=0) / near.sum()
    assert centroid.tolist() == pytest.approx(at, abs=0.05)


def test_the_central_plane_is_that_of_a_fan():
    angles = turn(90, 360.0)
    column = Phantom((Cylinder((3.0, 4.0, 0.0), (20.0, 12.0, 400.0), MU),), 0.0, "1/mm")
    flat = fan(angles, shape=(1, 80), **CONE)
    wide = cone(angles, shape=(5, 80), **CONE)
    grid = cube((1, 48, 48))
    one = fbp(exact_projections(column, flat), like=grid).image.data
    two = fdk(exact_projections(column, wide), like=grid).image.data
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", SCANS)
def test_the_torch_way_gives_the_same_numbers(name):
    whole, scan = SCANS[name]
    geometry = whole.take(slice(None, None, 10))
    data = exact_projections(BALL, geometry).data.double()
    grid = cube((9, 32, 32), 2.0)
    compiled = fdk(Projections(data, geometry), like=grid, scan=scan).image.data
    torched = fdk(Projections(data.clone().requires_grad_(), geometry), like=grid, scan=scan)
    assert float((compiled - torched.image.data.detach()).abs().max()) < 1e-4 * MU


def test_a_scan_and_a_grid_moved_alike_give_the_same_volume():
    geometry = cone(turn(60, 360.0), shape=(60, 70), **CONE)
    measured = exact_projections(BALL, geometry)
    grid = cube((20, 32, 32), 2.0)
    pose = Linear.rotation((20.0, -35.0, 50.0), centre_mm=(1.0, 2.0, 3.0))
    moved = Projections(measured.data, geometry.moved(pose))
    there = Grid(grid.shape, pose.matrix.double() @ grid.affine)
    one = fdk(measured, like=grid).image.data
    two = fdk(moved, like=there).image.data
    assert float((one - two).abs().max()) < 1e-3 * MU


def test_a_grid_that_runs_downwards_is_the_same_world():
    geometry = cone(turn(60, 360.0), shape=(60, 70), **CONE)
    measured = exact_projections(BALL, geometry)
    grid = cube((21, 24, 25), 2.0)
    affine = grid.affine.clone()
    affine[:3, 3] += 20 * affine[:3, 0]
    affine[:3, 0] *= -1
    down = fdk(measured, like=Grid(grid.shape, affine)).image.data
    up = fdk(measured, like=grid).image.data
    torch.testing.assert_close(down.flip(1), up, rtol=1e-4, atol=1e-6)


def test_voxels_above_the_detector_are_left_empty():
    geometry = cone(turn(60, 360.0), shape=(10, 70), **CONE)
    measured = exact_projections(BALL, geometry)
    volume = fdk(measured, like=cube((41, 24, 24))).image.data[0]
    assert float(volume[0].abs().max()) == 0.0
    assert float(volume[20].abs().max()) > MU


def test_discs_far_from_the_plane_fade_as_feldkamp_must():
    """A stack of thin plates is what a circle cannot see: worse off the plane, right on it."""
    plates = tuple(Box((0.0, 0.0, z), (20.0, 20.0, 2.5), MU) for z in (-20.0, 0.0, 20.0))
    geometry = cone(turn(120, 360.0), shape=(100, 80), **CONE)
    grid = cube((51, 8, 8))
    volume = (
        fdk(exact_projections(Phantom(plates, 0.0, "1/mm"), geometry), like=grid, window="hann")
        .image.data[0, :, 3:5, 3:5]
        .mean(dim=(1, 2))
    )
    middle, high = float(volume[25]), float(volume[45])
    assert middle == pytest.approx(MU, rel=0.03)
    assert 0.7 * MU < high < middle


def test_refuses_parallel_rays_and_helices():
    level = parallel(turn(9, 180.0), shape=(4, 8))
    with pytest.raises(GeometryError, match=r"fdk takes a cone beam, got parallel rays: use fbp"):
        fdk(Projections(torch.ones(9, 4, 8), level), like=cube((4, 4, 4)))
    spiral = helical(cone(turn(9, 720.0), shape=(4, 8), **CONE), pitch_mm_per_turn=10.0)
    with pytest.raises(GeometryError, match=r"source that stays in one plane, got a climb of"):
        fdk(Projections(torch.ones(9, 4, 8), spiral), like=cube((4, 4, 4)))


def test_refuses_counts():
    geometry = cone(turn(9, 360.0), shape=(4, 8), **CONE)
    with pytest.raises(UnitError, match=r"got counts: use"):
        fdk(Projections(torch.ones(9, 4, 8), geometry, "counts"), like=cube((4, 4, 4)))


@pytest.mark.gpu
@pytest.mark.slow
def test_512_cubed_from_720_views_takes_less_than_5_seconds_on_a_gpu():
    import time

    geometry = cone(turn(720, 360.0), shape=(512, 512), **CONE)
    data = torch.rand(720, 512, 512, device="cuda")
    grid = cube((512, 512, 512), 0.8)
    fdk(Projections(data, geometry), like=grid)
    torch.cuda.synchronize()
    start = time.perf_counter()
    fdk(Projections(data, geometry), like=grid)
    torch.cuda.synchronize()
    assert time.perf_counter() - start < 5.0


@pytest.mark.gpu
def test_a_gpu_gives_the_numbers_of_the_cpu():
    geometry, scan = SCANS["flat, full"]
    data = exact_projections(BALL, geometry).data
    grid = cube((20, 32, 32), 2.0)
    here = fdk(Projections(data, geometry), like=grid, scan=scan).image.data
    there = fdk(Projections(data.cuda(), geometry), like=grid, scan=scan).image.data
    assert there.device.type == "cuda"
    assert float((here - there.cpu()).norm() / here.norm()) < 1e-4


def test_the_mean_over_a_ball_is_right_at_every_cone_angle_of_a_small_scan():
    ball = Phantom((Ellipsoid((0.0, 0.0, 0.0), (15.0, 15.0, 15.0), MU),), 0.0, "1/mm")
    for distance in (200.0, 1000.0):
        geometry = cone(
            turn(90, 360.0),
            shape=(60, 60),
            pitch_mm=(1.0, 1.0),
            source_mm=distance,
            detector_mm=1.4 * distance,
        )
        grid = cube((25, 32, 32))
        volume = fdk(exact_projections(ball, geometry), like=grid).image.data[0]
        assert math.isclose(
            float(volume[away(grid, (0.0, 0.0, 0.0)) < 11].mean()), MU, rel_tol=5e-3
        )
