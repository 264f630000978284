"""Grid: geometry without samples."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Linear, differences
from vesalius.errors import GeometryError, ShapeError

lengths = st.floats(0.05, 20)
spacings = st.tuples(lengths, lengths, lengths)
places = st.tuples(*[st.floats(-500, 500)] * 3)
turns = st.tuples(*[st.floats(-80, 80)] * 3)
shapes = st.tuples(*[st.integers(1, 40)] * 3)


def grid_of(shape, spacing, origin, turn):
    rotation = Linear.rotation(turn, centre_mm=(0.0, 0.0, 0.0)).matrix
    return Grid(shape, rotation @ Grid.from_spacing(shape, spacing, origin_mm=origin).affine)


def test_maps_the_axes_of_a_straight_grid_to_lps():
    grid = Grid.from_spacing((5, 6, 7), (3.0, 2.0, 1.0), origin_mm=(10.0, 20.0, 30.0))
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    expected = [[10, 20, 30], [10, 20, 33], [10, 22, 30], [11, 20, 30]]
    assert grid.to_world(corners).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(shapes, spacings, places, turns)
def test_index_and_world_are_inverse(shape, spacing, origin, turn):
    grid = grid_of(shape, spacing, origin, turn)
    index = torch.rand(5, 3, dtype=torch.float64) * 30
    back = grid.to_index(grid.to_world(index))
    torch.testing.assert_close(back, index, rtol=0, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(shapes, spacings, places, turns)
def test_spacing_and_volume_do_not_change_under_rotation(shape, spacing, origin, turn):
    grid = grid_of(shape, spacing, origin, turn)
    assert grid.spacing_mm == pytest.approx(spacing)
    assert grid.voxel_volume_mm3 == pytest.approx(math.prod(spacing))
    assert grid.is_orthogonal


@settings(max_examples=40, deadline=None)
@given(shapes, spacings, places, turns)
def test_direction_is_orthonormal_and_letters_are_three_axes(shape, spacing, origin, turn):
    grid = grid_of(shape, spacing, origin, turn)
    torch.testing.assert_close(
        grid.direction.T @ grid.direction, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-10
    )
    pairs = {"L": "LR", "R": "LR", "P": "PA", "A": "PA", "S": "SI", "I": "SI"}
    assert {pairs[letter] for letter in grid.orientation} == {"LR", "PA", "SI"}


@pytest.mark.parametrize(
    ("columns", "letters"),
    [
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0]], "SPL"),
        ([[0, 0, -1], [0, 1, 0], [-1, 0, 0]], "IPR"),
        ([[1, 0, 0], [0, 0, -1], [0, -1, 0]], "LIA"),
    ],
)
def test_names_the_direction_of_growth(columns, letters):
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.tensor(columns, dtype=torch.float64).T
    assert Grid((2, 2, 2), affine).orientation == letters


def test_names_each_pair_of_directions_once_at_45_degrees():
    turned = grid_of((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 45.0))
    assert turned.orientation[0] == "S"
    assert set(turned.orientation[1:]) in ({"L", "P"}, {"R", "P"})


def test_a_sheared_grid_is_legal_and_says_so():
    affine = Grid.from_spacing((4, 4, 4), (2.0, 1.0, 1.0)).affine.clone()
    affine[1, 0] = 0.7  # a tilted gantry
    grid = Grid((4, 4, 4), affine)
    assert not grid.is_orthogonal
    assert grid.voxel_volume_mm3 == pytest.approx(2.0)
    assert grid.spacing_mm[0] == pytest.approx(math.hypot(2.0, 0.7))


@settings(max_examples=30, deadline=None)
@given(shapes, spacings, places, turns, st.tuples(*[st.integers(-5, 5)] * 3))
def test_a_crop_lies_on_the_same_lattice(shape, spacing, origin, turn, start):
    grid = grid_of(shape, spacing, origin, turn)
    part = grid.crop(start, (3, 4, 5))
    index = torch.rand(4, 3, dtype=torch.float64) * 4
    torch.testing.assert_close(
        part.to_world(index),
        grid.to_world(index + torch.tensor(start, dtype=torch.float64)),
        rtol=0,
        atol=1e-8,
    )
    assert part.shape == (3, 4, 5)


def test_keeps_batch_axes_dtype_and_does_not_touch_the_input():
    grid = Grid.from_spacing((3, 3, 3), (2.0, 1.0, 1.0))
    points = torch.rand(2, 5, 3)
    before = points.clone()
    assert grid.to_world(points).shape == (2, 5, 3)
    assert grid.to_world(points).dtype == torch.float32
    assert grid.to_index(points).dtype == torch.float32
    assert torch.equal(points, before)


def test_does_not_change_when_the_given_affine_does():
    affine = torch.eye(4, dtype=torch.float64)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 99
    assert grid.origin_mm == (0.0, 0.0, 0.0)


def test_cannot_be_changed():
    grid = Grid.from_spacing((2, 2, 2))
    with pytest.raises(AttributeError, match="cannot assign"):
        grid.shape = (3, 3, 3)


def test_says_what_it_is():
    grid = Grid.from_spacing((5, 6, 7), (3.0, 2.0, 1.0), origin_mm=(1.5, 0.0, -2.0))
    assert repr(grid) == "Grid(zyx 5 x 6 x 7, 3 x 2 x 1 mm, SPL, origin LPS (1.5, 0, -2))"


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, -1, 2)])
def test_refuses_an_empty_shape(shape):
    with pytest.raises(ShapeError, match="use z = 1 for a 2-D image"):
        Grid(shape, torch.eye(4, dtype=torch.float64))


def test_refuses_an_affine_of_another_shape():
    with pytest.raises(ShapeError, match=r"affine must have shape \(4, 4\), got \(3, 3\)"):
        Grid((2, 2, 2), torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_an_affine_that_is_not_finite(value):
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 3] = value
    with pytest.raises(GeometryError, match="affine must be finite"):
        Grid((2, 2, 2), affine)


def test_refuses_a_projective_map():
    affine = torch.eye(4, dtype=torch.float64)
    affine[3, 0] = 0.1
    with pytest.raises(GeometryError, match=r"must end in the row \(0, 0, 0, 1\)"):
        Grid((2, 2, 2), affine)


@pytest.mark.parametrize("column", [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
def test_refuses_axes_that_span_no_volume(column):
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 0] = torch.tensor(column, dtype=torch.float64)
    with pytest.raises(GeometryError, match="affine must be invertible"):
        Grid((2, 2, 2), affine)


def test_takes_voxels_of_a_tenth_of_a_micrometre():
    assert Grid.from_spacing((2, 2, 2), (1e-4, 1e-4, 1e-4)).spacing_mm == (1e-4,) * 3


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_spacing_that_is_not_positive(bad):
    with pytest.raises(GeometryError, match="spacing_mm must be positive"):
        Grid.from_spacing((2, 2, 2), (1.0, bad, 1.0))


def test_equal_grids_do_not_differ():
    grid = grid_of((10, 20, 30), (3.0, 1.0, 1.0), (5.0, 6.0, 7.0), (10.0, 20.0, 30.0))
    rounded = grid.affine.clone()
    rounded[:3] += 1e-7
    assert differences(grid, Grid(grid.shape, rounded)) == ()


def test_says_that_the_size_differs():
    found = differences(Grid.from_spacing((2, 3, 4)), Grid.from_spacing((2, 3, 5)))
    assert found == ("size differs: (2, 3, 4) against (2, 3, 5) voxels (z, y, x)",)


def test_says_by_how_much_the_spacing_differs():
    first = Grid.from_spacing((9, 9, 9), (3.0, 1.0, 1.0))
    (found,) = differences(first, Grid.from_spacing((9, 9, 9), (2.5, 1.0, 1.0)))
    assert found.startswith("spacing differs by up to 0.5 mm")


def test_says_by_how_many_degrees_the_direction_differs():
    first = Grid.from_spacing((10, 10, 10))
    second = Grid(
        first.shape,
        Linear.rotation((0.0, 0.0, 2.0), centre_mm=(0.0, 0.0, 0.0)).matrix @ first.affine,
    )
    (found,) = differences(first, second)
    assert found.startswith("direction differs by up to 2 deg (0.349 mm at the far end)")


def test_says_by_how_many_mm_the_origin_differs():
    first = Grid.from_spacing((4, 4, 4))
    second = Grid.from_spacing((4, 4, 4), origin_mm=(3.0, 4.0, 0.0))
    (found,) = differences(first, second)
    assert found.startswith("origin differs by 5 mm")


def test_names_every_difference_at_once():
    first = Grid.from_spacing((4, 4, 4))
    second = grid_of((5, 4, 4), (2.0, 1.0, 1.0), (9.0, 0.0, 0.0), (0.0, 0.0, 30.0))
    words = [line.split()[0] for line in differences(first, second)]
    assert words == ["size", "spacing", "direction", "origin"]


@pytest.mark.parametrize(("shift", "count"), [(0.0005, 0), (0.002, 1)])
def test_lets_a_thousandth_of_a_millimetre_pass(shift, count):
    second = Grid.from_spacing((4, 4, 4), origin_mm=(shift, 0.0, 0.0))
    assert len(differences(Grid.from_spacing((4, 4, 4)), second)) == count


def test_small_voxels_are_compared_by_their_own_size():
    fine = Grid.from_spacing((4, 4, 4), (1e-4, 1e-4, 1e-4))
    moved = Grid.from_spacing((4, 4, 4), (1e-4, 1e-4, 1e-4), origin_mm=(1e-4, 0.0, 0.0))
    assert differences(fine, fine) == ()
    assert [text.split()[0] for text in differences(fine, moved)] == ["origin"]
