"""Planes lie on the screen as a radiologist expects, for any order and tilt of array axes."""

import itertools

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Linear
from vesalius.study._planes import planes

SIGNED = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def grid_of(order, signs, spacing=(1.0, 2.0, 3.0), shape=(4, 5, 6)):
    affine = torch.zeros(4, 4, dtype=torch.float64)
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[3, 3] = 1
    return Grid(shape, affine)


@pytest.mark.parametrize(("order", "signs"), SIGNED)
def test_letters_are_radiological_for_all_48_axis_orders(order, signs):
    letters = {p.name: p.letters for p in planes(grid_of(order, signs))}
    assert letters == {
        "axial": ("R", "L", "A", "P"),
        "coronal": ("R", "L", "S", "I"),
        "sagittal": ("A", "P", "S", "I"),
    }


@pytest.mark.parametrize(("order", "signs"), SIGNED)
def test_a_cut_shows_the_world_where_the_letters_say(order, signs):
    grid = grid_of(order, signs)
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    world = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)).numpy()
    rows_of = {"axial": (1, 1), "coronal": (2, -1), "sagittal": (2, -1)}
    columns_of = {"axial": 0, "coronal": 0, "sagittal": 1}
    for plane in planes(grid):
        down, sign = rows_of[plane.name]
        along_rows = sign * plane.cut(world[..., down], 1)
        along_columns = plane.cut(world[..., columns_of[plane.name]], 1)
        assert (np.diff(along_rows, axis=0) > 0).all()
        assert (np.diff(along_columns, axis=1) > 0).all()
        assert np.diff(along_rows, axis=0)[0, 0] == pytest.approx(plane.pixel_mm[0])
        assert np.diff(along_columns, axis=1)[0, 0] == pytest.approx(plane.pixel_mm[1])


def test_a_tilted_grid_is_named_oblique_and_has_two_letters():
    turn = Linear.rotation((25.0, 0.0, 0.0), centre_mm=(0.0, 0.0, 0.0)).matrix
    grid = Grid.from_spacing((4, 5, 6), (1.0, 1.0, 1.0))
    tilted = {p.name: p for p in planes(Grid(grid.shape, turn @ grid.affine))}
    assert tilted["axial"].oblique
    assert not tilted["sagittal"].oblique
    assert tilted["axial"].letters[3] == "PS"
    assert tilted["axial"].letters[1] == "L"


def test_a_small_tilt_is_not_named():
    turn = Linear.rotation((3.0, 0.0, 0.0), centre_mm=(0.0, 0.0, 0.0)).matrix
    grid = Grid.from_spacing((4, 5, 6), (1.0, 1.0, 1.0))
    assert not any(p.oblique for p in planes(Grid(grid.shape, turn @ grid.affine)))


@pytest.mark.parametrize(
    ("shape", "name"), [((1, 5, 6), "axial"), ((4, 1, 6), "coronal"), ((4, 5, 1), "sagittal")]
)
def test_one_slice_has_one_plane(shape, name):
    (plane,) = planes(Grid.from_spacing(shape, (1.0, 1.0, 1.0)))
    assert plane.name == name
