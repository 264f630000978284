"""Projector: places in millimetres, whole lines against closed forms, and every refusal."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Linear
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import Projector, cone, exact_projections, fan, parallel
from vesalius.physics.ct._joseph_rays import RayTraversal

SPOT = (7.3, -11.6)
"""Where the blob is, (L, P), mm."""

ANGLES = torch.arange(0.0, 360.0, 30.0, dtype=torch.float64) + 7.0
FAR = {"source_mm": 120.0, "detector_mm": 200.0}


def centred(shape, spacing_mm=(1.0, 1.0, 1.0), shift_mm=(0.0, 0.0, 0.0)):
    """A grid about the isocentre, moved by a shift (L, P, S)."""
    half = [(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True)]
    origin = tuple(m - h for m, h in zip(shift_mm, reversed(half), strict=True))
    return Grid.from_spacing(shape, spacing_mm, origin_mm=origin)


def blob(grid, spot=SPOT, sigma_mm=2.5):
    """A Gaussian at a world point of the plane through the isocentre, (z, y, x) float64."""
    z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in grid.shape), indexing="ij"
    )
    left, posterior, _ = grid.to_world(torch.stack([z, y, x], dim=-1)).unbind(-1)
    away = (left - spot[0]) ** 2 + (posterior - spot[1]) ** 2
    return torch.exp(-away / (2 * sigma_mm**2))


def centroid_mm(y, pitch_mm, offset_mm=0.0):
    """Mean place of the counts along a centred detector row, mm, for each view."""
    column = torch.arange(y.shape[-1], dtype=torch.float64) - (y.shape[-1] - 1) / 2
    row = y[:, 0]
    return (row * column).sum(dim=1) / row.sum(dim=1) * pitch_mm + offset_mm


def expected_mm(beam, spot=SPOT):
    """Where a point is seen along u, from the written convention alone."""
    angle = torch.deg2rad(ANGLES)
    side = -spot[0] * angle.sin() + spot[1] * angle.cos()
    if beam == "parallel":
        return side
    depth = FAR["source_mm"] - spot[0] * angle.cos() - spot[1] * angle.sin()
    if beam == "fan":
        return side / depth * FAR["detector_mm"]
    return torch.atan2(side, depth) * FAR["detector_mm"]


def beam_of(kind, columns, pitch_mm, offset_mm=0.0):
    if kind == "parallel":
        pitches, offsets = (1.0, pitch_mm), (0.0, offset_mm)
        return parallel(ANGLES, shape=(1, columns), pitch_mm=pitches, offset_mm=offsets)
    return fan(
        ANGLES,
        shape=(1, columns),
        pitch_mm=(1.0, pitch_mm),
        offset_mm=(0.0, offset_mm),
        arc=kind == "arc",
        **FAR,
    )


@pytest.mark.parametrize("kind", ["parallel", "fan", "arc"])
@pytest.mark.parametrize("columns", [120, 121])
@pytest.mark.parametrize("size", [(64, 64), (65, 65), (65, 64)])
def test_sees_a_blob_where_it_is_for_even_and_odd_sizes(kind, columns, size):
    grid = centred((1, *size))
    y = Projector(beam_of(kind, columns, 1.0), grid)(blob(grid))
    seen = centroid_mm(y, 1.0)
    # a divergent view weighs the near side of the blob more: its centroid is that of its shadow
    torch.testing.assert_close(
        seen, expected_mm(kind), rtol=0, atol=0.02 + 0.04 * (kind != "parallel")
    )


@pytest.mark.parametrize("kind", ["parallel", "fan", "arc"])
@pytest.mark.parametrize("offset_mm", [0.25, -7.0, 45.0])
def test_sees_a_blob_where_it_is_on_a_moved_detector(kind, offset_mm):
    grid = centred((1, 64, 64))
    y = Projector(beam_of(kind, 201, 0.9, offset_mm), grid)(blob(grid))
    seen = centroid_mm(y, 0.9, offset_mm)
    torch.testing.assert_close(seen, expected_mm(kind), rtol=0, atol=0.06)


def test_a_half_fan_sees_one_side_of_the_full_fan():
    grid = centred((1, 64, 64))
    full = Projector(beam_of("fan", 161, 1.0), grid)(blob(grid))
    half = Projector(beam_of("fan", 81, 1.0, 40.0), grid)(blob(grid))
    torch.testing.assert_close(half, full[..., 80:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["parallel", "fan", "arc"])
def test_sees_a_blob_where_it_is_with_pixels_that_are_not_square(kind):
    grid = centred((1, 90, 50), (2.0, 0.7, 1.3), (1.7, -2.2, 0.3))
    y = Projector(beam_of(kind, 140, 0.9), grid)(blob(grid))
    torch.testing.assert_close(centroid_mm(y, 0.9), expected_mm(kind), rtol=0, atol=0.06)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("mirrored", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_same_voxels_in_another_order_give_the_same_projections(order, mirrored, generator):
    grid = centred((5, 12, 14), (1.1, 0.9, 1.2), (0.3, 1.2, -0.2))
    image = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    affine = grid.affine.clone()
    for axis in mirrored:
        affine[:3, 3] += (grid.shape[axis] - 1) * affine[:3, axis]
        affine[:3, axis] *= -1
    affine = affine[:, [*order, 3]]
    other = Grid(tuple(grid.shape[axis] for axis in order), affine)
    geometry = parallel(ANGLES, shape=(6, 20), pitch_mm=(1.3, 1.0))
    again = image.flip(mirrored).permute(order)
    one, two = Projector(geometry, grid), Projector(geometry, other)
    torch.testing.assert_close(two(again), one(image), rtol=1e-9, atol=1e-9)
    y = torch.rand(geometry.codomain, generator=generator, dtype=torch.float64)
    back = one.H(y).flip(mirrored).permute(order)
    torch.testing.assert_close(two.H(y), back, rtol=1e-9, atol=1e-9)


def test_values_do_not_change_when_all_is_moved_and_turned_together(generator):
    grid, geometry = centred((3, 11, 13)), parallel(ANGLES, shape=(3, 20))
    turn, _ = torch.linalg.qr(torch.rand(3, 3, generator=generator, dtype=torch.float64))
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turn * torch.linalg.det(turn), torch.tensor([3.0, -40.0, 11.0])
    moved = Grid(grid.shape, pose @ grid.affine)
    image = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    there = Projector(geometry.moved(Linear(pose)), moved)(image)
    torch.testing.assert_close(there, Projector(geometry, grid)(image), rtol=1e-9, atol=1e-9)


def test_lines_through_a_disc_are_within_four_thousandths_of_the_closed_form():
    size, views = 513, 720
    angles = torch.arange(views, dtype=torch.float64) * 180 / views
    grid, geometry = centred((1, size, size)), parallel(angles, shape=(1, size))
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    # 4 x 4 points in a pixel, so that its edge is that of a disc
    inside = torch.zeros(size, size, dtype=torch.float64)
    for dy in (-0.375, -0.125, 0.125, 0.375):
        for dx in (-0.375, -0.125, 0.125, 0.375):
            away = (x + dx - 276.0) ** 2 + (y + dy - 226.0) ** 2
            inside += (away < 100.0**2).double() / 16
    side = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    turn = torch.deg2rad(angles)[:, None]
    middle = -20.0 * turn.sin() + -30.0 * turn.cos()
    truth = 2 * (100.0**2 - (side - middle) ** 2).clamp_min(0).sqrt()
    found = Projector(geometry, grid)(inside[None].float())[:, 0].double()
    assert float((found - truth).norm() / truth.norm()) < 0.004


def test_shepp_logan_is_within_four_thousandths_of_the_closed_form():
    """Area means of the phantom in pixels against means over each detector element."""
    size, phantom = 513, shepp_logan()
    pitch = 2.0 / 0.92 * max(s.semi_axes_mm[1] for s in phantom.solids) / size
    angles = torch.arange(0.0, 180.0, 12.0, dtype=torch.float64) + 0.25
    geometry = parallel(angles, shape=(1, size), pitch_mm=(pitch, pitch))
    grid = centred((1, size, size), (pitch, pitch, pitch))
    truth = exact_projections(phantom, geometry, subrays=(1, 4)).data
    found = Projector(geometry, grid)(rasterise(phantom, grid, supersample=4).data[0].float())
    assert float((found - truth).norm() / truth.norm()) < 0.004


def test_agrees_with_a_slow_loop_over_rays_and_rows(generator):
    grid, geometry = centred((1, 9, 11)), parallel(ANGLES, shape=(1, 15))
    image = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    found = Projector(geometry, grid)(image)
    for view, angle in enumerate(torch.deg2rad(ANGLES).tolist()):
        for column in range(15):
            total = slow_line(image[0], angle, column - 7.0)
            assert float(found[view, 0, column]) == pytest.approx(total, abs=1e-9)


def slow_line(image, angle, side):
    """One line of Joseph's method, written from its definition: -x sin + y cos = side."""
    if abs(math.cos(angle)) > abs(math.sin(angle)):  # runs along x: exchange the axes
        return slow_line(image.T, math.pi / 2 - angle, -side)
    height, width = image.shape
    total = 0.0
    for row in range(height):
        y = row - (height - 1) / 2
        x = (y * math.cos(angle) - side) / math.sin(angle) + (width - 1) / 2
        low = math.floor(x)
        for column, weight in ((low, low + 1 - x), (low + 1, x - low)):
            if 0 <= column < width:
                total += weight * float(image[row, column])
    return total / abs(math.sin(angle))


@given(st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=10)
def test_is_linear(a, b):
    grid, project = centred((2, 6, 6)), None
    project = Projector(parallel(ANGLES[:4], shape=(2, 9)), grid)
    x, y = torch.rand(2, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(project(a * x + b * y), a * project(x) + b * project(y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (0,)])
def test_batches_of_any_strides_pass_through(dtype, batch, generator):
    grid, geometry = centred((2, 7, 7)), parallel(ANGLES, shape=(3, 10))
    project = Projector(geometry, grid)
    x = torch.rand(*batch, 7, 7, 2, generator=generator, dtype=dtype).movedim(-1, -3)
    y = project(x)
    assert y.shape == (*batch, *geometry.codomain)
    assert y.dtype == dtype
    for one, values in zip(x.reshape(-1, 2, 7, 7), y.reshape(-1, *geometry.codomain), strict=True):
        torch.testing.assert_close(project(one), values)
    back = project.H(y.transpose(-1, -2).contiguous().transpose(-1, -2))
    torch.testing.assert_close(back, project.H(y))


def test_rays_begin_at_a_source_inside_the_volume():
    grid = centred((1, 41, 41))
    ones = torch.ones(grid.shape, dtype=torch.float64)
    geometry = fan(
        torch.zeros(1), shape=(1, 1), pitch_mm=(1.0, 1.0), source_mm=10.0, detector_mm=90.0
    )
    # from x = 10 on, towards -x: planes 10, 9, ..., -20
    assert float(Projector(geometry, grid)(ones)) == pytest.approx(31.0)


def test_a_single_row_of_a_cone_is_a_fan(generator):
    grid = centred((1, 21, 21))
    image = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    sizes = {"shape": (1, 40), "pitch_mm": (1.0, 1.5), **FAR}
    one, two = (Projector(beam(ANGLES, **sizes), grid)(image) for beam in (fan, cone))
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_the_plain_way_is_the_adjoint_of_itself_for_a_tilted_grid(generator):
    turn, _ = torch.linalg.qr(torch.rand(3, 3, generator=generator, dtype=torch.float64))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = turn * torch.tensor([1.0, 0.7, 1.3])
    affine[:3, 3] = -affine[:3, :3] @ torch.tensor([5.0, 7.0, 8.0], dtype=torch.float64)
    project = Projector(
        cone(ANGLES, shape=(8, 9), pitch_mm=(3.0, 3.0), **FAR), Grid((11, 15, 17), affine)
    )
    assert isinstance(project._traversal, RayTraversal)
    x = torch.randn(2, *project.domain, generator=generator, dtype=torch.float64)
    y = torch.randn(2, *project.codomain, generator=generator, dtype=torch.float64)
    gap = float((project(x) * y).sum() - (x * project.H(y)).sum())
    assert abs(gap) < 1e-12 * float(project(x).norm() * y.norm())
    # a volume of ones weighs a ray by its length inside
    length = project(torch.ones(project.domain, dtype=torch.float64))
    assert 0 < float(length.max()) < math.hypot(11, 15 * 0.7, 17 * 1.3) + 2


def test_refuses_a_sheared_grid():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.2
    with pytest.raises(GeometryError, match="axes at right angles"):
        Projector(parallel(ANGLES, shape=(1, 9)), Grid((1, 8, 8), affine))


@pytest.mark.parametrize("shift_mm", [(0.0, 0.0, 40.0), (900.0, 900.0, 0.0)])
def test_refuses_rays_that_miss_the_volume(shift_mm):
    with pytest.raises(GeometryError, match="rays must meet the volume"):
        Projector(parallel(ANGLES, shape=(1, 9)), centred((1, 8, 8), shift_mm=shift_mm))


def test_refuses_a_volume_behind_the_source():
    still = fan(torch.zeros(1), shape=(1, 9), pitch_mm=(1.0, 1.0), **FAR)
    with pytest.raises(GeometryError, match="rays must meet the volume"):
        Projector(still, centred((1, 8, 8), shift_mm=(300.0, 0.0, 0.0)))


@pytest.mark.parametrize("dtype", [torch.int16, torch.float16, torch.complex64])
def test_refuses_numbers_that_are_not_single_or_double(dtype):
    project = Projector(parallel(ANGLES, shape=(1, 9)), centred((1, 8, 8)))
    with pytest.raises(UnitError, match="must be float32 or float64"):
        project.apply(torch.ones(1, 8, 8).to(dtype))


def test_refuses_another_shape():
    project = Projector(parallel(ANGLES, shape=(1, 9)), centred((1, 8, 8)))
    with pytest.raises(ShapeError, match="input of a projector must end in shape"):
        project.apply(torch.ones(1, 8, 7))
    with pytest.raises(ShapeError, match="input of a projector must end in shape"):
        project.adjoint(torch.ones(1, 8, 8))
