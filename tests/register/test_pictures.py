"""Pictures of a registration as arrays: what each sample and each line says."""

import numpy as np
import pytest
import torch
from evaluation_cases import GRID, STILL, texture

from vesalius.core import Displacement, Grid, Image, Linear
from vesalius.errors import GeometryError, ShapeError
from vesalius.register.evaluate import (
    Plane,
    checkerboard,
    deformed_grid,
    edge_overlay,
    jacobian_map,
    middle_planes,
)


def scaled(factor):
    return Linear(torch.diag(torch.tensor([factor] * 3 + [1.0], dtype=torch.float64)))


def bump():
    data = torch.zeros(3, *GRID.shape, dtype=torch.float64)
    data[1, 5:9, 6:10, 7:11] = 2.0
    return Displacement(data, GRID)


def test_there_is_a_middle_plane_across_each_axis():
    assert middle_planes(GRID) == (Plane(0, 7), Plane(1, 8), Plane(2, 9))
    assert middle_planes(Grid.from_spacing((1, 5, 5))) == (Plane(0, 0),)


@pytest.mark.parametrize("plane", middle_planes(GRID))
def test_a_checkerboard_of_one_image_is_that_image(plane):
    image = texture()
    shown = checkerboard(image, image, plane)
    section = image.data[0].select(plane.axis, plane.index).numpy()
    assert shown.shape == section.shape
    low, high = np.percentile(section, (1, 99))
    np.testing.assert_allclose(shown, ((section - low) / (high - low)).clip(0, 1))


def test_tiles_of_a_checkerboard_come_from_each_image_in_turn():
    ramp = torch.arange(18.0).expand(1, *GRID.shape).contiguous()
    up, down = Image(ramp, GRID), Image(-ramp, GRID)
    shown = checkerboard(up, down, Plane(0, 3), tile_mm=3.0)  # 3 rows of 1 mm, 2 columns of 1.5
    assert shown[0, 0] == 0
    assert shown[0, 2] > 0.5
    assert shown[3, 0] == 1
    np.testing.assert_array_equal(shown[:3], np.repeat(shown[:1], 3, axis=0))


def test_a_constant_image_is_shown_without_an_error():
    flat = Image(torch.ones((1, *GRID.shape)), GRID)
    assert not checkerboard(flat, flat, Plane(0, 0)).any()
    assert (edge_overlay(flat, flat, Plane(0, 0)) == 0).all()


def test_edges_lie_on_the_outline_of_the_warped_image():
    data = torch.zeros((1, *GRID.shape))
    data[0, :, 5:11, 6:14] = 1
    dark = Image(torch.zeros((1, *GRID.shape)), GRID)
    shown = edge_overlay(dark, Image(data, GRID), Plane(0, 4))
    assert shown.dtype == np.uint8
    rows, columns = np.nonzero((shown == (255, 140, 0)).all(axis=-1))
    assert len(rows) > 10
    on_rows = np.isin(rows, (4, 5, 10, 11))
    on_columns = np.isin(columns, (5, 6, 13, 14))
    assert (on_rows | on_columns).all()


def test_a_strip_has_no_edges():
    thin = Grid.from_spacing((1, 2, 9))
    image = texture(thin)
    assert edge_overlay(image, image, Plane(0, 0)).shape == (2, 9, 3)


@pytest.mark.parametrize(
    ("factor", "colour"), [(2.0, (255, 0, 0)), (0.5, (0, 0, 255)), (1.0, (255, 255, 255))]
)
def test_growth_is_red_and_shrinking_is_blue(factor, colour):
    shown = jacobian_map(scaled(factor), GRID, Plane(1, 3))
    assert shown.shape == (14, 18, 3)
    assert (shown == colour).all()


def test_a_fold_is_yellow():
    mirror = Linear(torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64)))
    assert (jacobian_map(mirror, GRID, Plane(0, 3)) == (255, 220, 0)).all()


def test_half_the_colour_is_half_an_octave():
    shown = jacobian_map(scaled(2 ** (0.5 / 3)), GRID, Plane(0, 3))
    assert (np.abs(shown.astype(int) - (255, 128, 128)) <= 1).all()


def test_the_thickness_of_a_slice_does_not_count():
    flat = Grid.from_spacing((1, 8, 9), (5.0, 1.0, 1.0))
    grown = Linear(torch.diag(torch.tensor([1.25, 1.6, 7.0, 1.0], dtype=torch.float64)))
    assert (jacobian_map(grown, flat, Plane(0, 0)) == (255, 0, 0)).all()


@pytest.mark.parametrize("plane", middle_planes(GRID))
def test_an_affine_map_leaves_the_grid_square(plane):
    turned = Linear.rotation((5, 9, 20), centre_mm=(3, 4, 5)) @ scaled(1.2)
    lines, plain = (deformed_grid(t, GRID, plane, step_mm=4) for t in (turned, STILL))
    assert len(lines) == len(plain)
    for one, two in zip(lines, plain, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_lines_are_as_far_apart_as_asked_and_span_the_plane():
    lines = deformed_grid(STILL, GRID, Plane(0, 7), step_mm=3.0)  # 1 mm rows, 1.5 mm columns
    assert len(lines) == 6 + 9
    np.testing.assert_allclose(lines[1][:, 0], 3)
    np.testing.assert_allclose(lines[0][:, 1], np.arange(18), atol=1e-9)
    np.testing.assert_allclose(lines[6 + 1][:, 1], 2)


def test_lines_bend_where_the_map_does():
    lines = deformed_grid(bump(), GRID, Plane(0, 7), step_mm=1.0)
    row = lines[8]  # 2 mm to the posterior are 2 rows down
    assert row[8, 0] - row[0, 0] == pytest.approx(2, abs=0.5)


def test_a_slice_has_a_grid_too():
    flat = Grid.from_spacing((1, 8, 9))
    turned = Linear.rotation((0, 0, 30), centre_mm=(4, 4, 0))
    lines = deformed_grid(turned, flat, Plane(0, 0), step_mm=2.0)
    np.testing.assert_allclose(lines[0][:, 1], np.arange(9), atol=1e-9)


def test_refuses_images_of_two_grids():
    with pytest.raises(ShapeError, match="both images must be on the fixed grid"):
        checkerboard(texture(), texture(Grid.from_spacing((3, 4, 5))), Plane(0, 0))


@pytest.mark.parametrize("plane", [Plane(0, 14), Plane(0, -1), Plane(3, 0)])
def test_refuses_a_plane_outside_the_grid(plane):
    with pytest.raises(ShapeError, match="plane must be one of axis 0, 1, 2 within the grid"):
        jacobian_map(STILL, GRID, plane)
    with pytest.raises(ShapeError, match="plane must be one of axis 0, 1, 2 within the grid"):
        edge_overlay(texture(), texture(), plane)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_refuses_lines_without_distance(step):
    with pytest.raises(GeometryError, match="step_mm between the lines must be positive"):
        deformed_grid(STILL, GRID, Plane(0, 0), step_mm=step)
