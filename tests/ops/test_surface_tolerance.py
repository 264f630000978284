"""Surface Dice, beside MONAI's way by SciPy, closed forms, and cells looked at one by one."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from vesalius.errors import RegionError, UnitError
from vesalius.ops._mesh import cell_areas, mesh_size
from vesalius.ops._surface_tolerance import surface_dice

SPACING = (2.0, 0.7, 1.3)


def blobs(seed, shape=(9, 12, 11)):
    g = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(
        g.random((2, *shape)), (0, *(1.5 if n > 1 else 0 for n in shape))
    )
    return tuple(torch.from_numpy(f > np.quantile(f, 0.6)) for f in field)


def as_monai(one, two, spacing, tolerance):
    """Edges by erosion, distances by a transform, counted: the default of MONAI."""
    a, b = (m.numpy() for m in (one, two))
    if a.shape[0] == 1:
        a, b, spacing = a[0], b[0], spacing[1:]
    edges = [m ^ ndimage.binary_erosion(m) for m in (a, b)]
    away = [ndimage.distance_transform_edt(~e, sampling=spacing) for e in edges]
    near = (away[1][edges[0]] <= tolerance).sum() + (away[0][edges[1]] <= tolerance).sum()
    return near / sum(e.sum() for e in edges)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(9, 12, 11), (1, 25, 23)])
@pytest.mark.parametrize("tolerance", [0.0, 0.9, 2.05])
def test_equals_monais_way(seed, shape, tolerance):
    one, two = blobs(seed, shape)
    expected = as_monai(one, two, SPACING, tolerance)
    assert surface_dice(one, two, SPACING, tolerance=tolerance) == pytest.approx(
        expected, abs=1e-12
    )


def slow_by_area(one, two, spacing, tolerance):
    """Visit every cell; its area is that of a mesh of the cell alone."""
    table, found = cell_areas(spacing), []
    for mask in (one, two):
        x = np.pad(mask.numpy(), 1)
        cells = {}
        for z, y, x0 in itertools.product(*(range(n - 1) for n in x.shape)):
            corners = x[z : z + 2, y : y + 2, x0 : x0 + 2].reshape(-1)
            kind = int(sum(int(c) << k for k, c in enumerate(corners)))
            if kind not in (0, 255):
                cells[z, y, x0] = table[kind]
        found.append(cells)
    near = total = 0.0
    for start, goal in (found, found[::-1]):
        places = np.array(list(goal)) * np.array(spacing)
        for at, area in start.items():
            total += area
            away = np.linalg.norm(places - np.array(at) * np.array(spacing), axis=1).min()
            near += area * (away <= tolerance)
    return near / total


@pytest.mark.parametrize("tolerance", [0.0, 1.35])
def test_by_area_equals_cells_visited_one_by_one(tolerance):
    one, two = blobs(3, (6, 7, 8))
    expected = slow_by_area(one, two, SPACING, tolerance)
    found = surface_dice(one, two, SPACING, tolerance=tolerance, element="area")
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_areas_of_the_cells_add_up_to_the_mesh():
    """One corner cuts off a triangle, a half space a rectangle (Lorensen and Cline, 1987)."""
    dz, dy, dx = SPACING
    table = cell_areas(SPACING)
    sides = (math.hypot(dz, dy), math.hypot(dz, dx), math.hypot(dy, dx))
    half = sum(sides) / 4
    heron = math.sqrt(half * math.prod(half - s / 2 for s in sides))
    assert table[1] == pytest.approx(heron)
    assert table[0b00001111] == pytest.approx(dy * dx)
    one = torch.zeros(3, 3, 3, dtype=torch.bool)
    one[1, 1, 1] = True
    assert mesh_size(one, SPACING).area == pytest.approx(8 * table[1])


def test_by_length_in_a_plane_a_bar_weighs_its_sides():
    """Both long sides (4 mm apart) stay, the far end goes: lengths as they are in mm."""
    one = torch.zeros(1, 8, 40, dtype=torch.bool)
    one[0, 2:6, 2:20] = True
    two = torch.zeros_like(one)
    two[0, 2:6, 2:38] = True
    found = surface_dice(one, two, (9.0, 1.0, 0.5), tolerance=0.6, element="area")
    bevel = math.hypot(1.0, 0.5) / 2  # each corner is cut
    ends, sides = 3.0, (17 * 0.5, 35 * 0.5)
    total = sum(2 * ends + 2 * s + 4 * bevel for s in sides)
    # from the short bar: its far end (its corners and one cell of each side stay near) is inside
    inner = 3.0 - 3 * 1.0
    kept_short = total - (2 * ends + 2 * sides[1] + 4 * bevel) - ends - inner
    reach = 17 + 1 + 1  # cells of a long side of the long bar within 0.6 mm of the short one
    kept_long = 2 * bevel + ends + 2 * 0.5 * (reach - 1)
    assert found == pytest.approx((kept_short + kept_long) / total, abs=0.03)


def test_a_flat_thing_in_a_volume_is_all_surface():
    slab = torch.zeros(5, 8, 8, dtype=torch.bool)
    slab[2, 1:7, 1:7] = True
    hole = slab.clone()
    hole[2, 3:5, 3:5] = False
    found = surface_dice(slab, hole, (1.0, 1.0, 1.0), tolerance=0.0)
    assert found == pytest.approx((32 + 32) / (36 + 32))


@pytest.mark.parametrize("element", ["voxel", "area"])
def test_grows_with_the_tolerance_and_does_not_care_for_order(element):
    one, two = blobs(8)
    found = [
        surface_dice(one, two, SPACING, tolerance=t, element=element) for t in (0, 1, 2, 4, 50)
    ]
    assert found == sorted(found)
    assert found[-1] == 1.0
    swapped = surface_dice(two, one, SPACING, tolerance=2, element=element)
    assert swapped == pytest.approx(found[2])
    assert surface_dice(one, one, SPACING, tolerance=0, element=element) == 1.0


def test_a_distance_that_is_the_tolerance_is_near():
    one = torch.zeros(1, 3, 12, dtype=torch.bool)
    one[0, 1, 1] = True
    assert surface_dice(one, one.roll(3, 2), (1.0, 1.0, 0.1), tolerance=0.3) == 1.0


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_refuses_a_tolerance_that_is_no_distance(tolerance):
    one, two = blobs(1)
    with pytest.raises(UnitError, match="tolerance must be a distance of at least 0"):
        surface_dice(one, two, SPACING, tolerance=tolerance)


@pytest.mark.parametrize("element", ["voxel", "area"])
def test_refuses_an_empty_mask(element):
    one, _ = blobs(1)
    with pytest.raises(RegionError, match="mask must not be empty"):
        surface_dice(one, torch.zeros_like(one), SPACING, tolerance=1.0, element=element)
