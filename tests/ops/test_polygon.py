"""Filling polygons: against slow loops, scikit-image and exact areas."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import GeometryError, ShapeError
from vesalius.ops._polygon import fill_polygons, inside_polygons

SHAPE = (9, 11)
halves = st.integers(-8, 40).map(lambda n: n / 4)
vertices = st.lists(st.tuples(halves, halves), min_size=3, max_size=9)
sets = st.lists(vertices, min_size=1, max_size=3)


def packed(polygons):
    """Points and starts of several polygons."""
    starts = np.cumsum([0] + [len(p) for p in polygons])[:-1]
    points = np.concatenate([np.array(p, float).reshape(-1, 2) for p in polygons])
    return torch.from_numpy(points), torch.from_numpy(starts)


def fill(polygons, shape=SHAPE, policy="centre"):
    return fill_polygons(*packed(polygons), shape, policy)


def crosses(polygon, y, x):
    """Count edges at or left of a point, each edge without its lower end; exact in quarters."""
    count = 0
    for a, b in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        (y0, x0), (y1, x1) = sorted([a, b])
        if y0 <= y < y1:
            count += (x - x0) * (y1 - y0) >= (y - y0) * (x1 - x0)
    return count


def slow(polygons, shape=SHAPE):
    rows = [
        [sum(crosses(p, y, x) for p in polygons) % 2 for x in range(shape[1])]
        for y in range(shape[0])
    ]
    return torch.tensor(rows, dtype=torch.bool)


@given(sets)
def test_agrees_with_a_slow_loop_over_all_edges(polygons):
    assert torch.equal(fill(polygons), slow(polygons))


@given(sets)
def test_points_agree_with_pixels(polygons):
    grid = torch.cartesian_prod(torch.arange(9.0), torch.arange(11.0)).double()
    found = inside_polygons(grid, *packed(polygons)).reshape(SHAPE)
    assert torch.equal(found, fill(polygons))


@given(vertices)
def test_the_direction_and_the_first_vertex_do_not_matter(polygon):
    turned = [*polygon[2:], *polygon[:2]]
    assert torch.equal(fill([polygon]), fill([polygon[::-1]]))
    assert torch.equal(fill([polygon]), fill([turned]))


@given(sets, st.integers(-3, 3), st.integers(-3, 3))
def test_moving_by_whole_pixels_moves_the_mask(polygons, down, right):
    wide = (24, 26)
    shifted = [[(y + 6 + down, x + 6 + right) for y, x in p] for p in polygons]
    still = [[(y + 6, x + 6) for y, x in p] for p in polygons]
    moved = torch.roll(fill(still, wide), (down, right), (0, 1))
    inner = (slice(4, 20), slice(4, 22))
    assert torch.equal(fill(shifted, wide)[inner], moved[inner])


@given(st.lists(st.tuples(halves, halves), min_size=2, max_size=6), st.sampled_from(["y", "x"]))
def test_two_polygons_that_share_a_jagged_edge_neither_overlap_nor_leave_a_gap(middle, along):
    """The edge runs across the whole lattice; what is left of it and right of it make all."""
    middle = [(-1.0, middle[0][1]), *sorted(middle), (9.0, middle[-1][1])]
    left = [(-1.0, -3.0), *middle, (9.0, -3.0)]
    right = [(9.0, 20.0), *middle[::-1], (-1.0, 20.0)]
    if along == "x":
        left, right = ([(x, y) for y, x in p] for p in (left, right))
    first, second = (fill([p], (9, 9)) for p in (left, right))
    assert not (first & second).any()
    assert (first | second).all()


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_image_away_from_the_boundary(seed):
    measure = pytest.importorskip("skimage.measure")
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
    radius = rng.uniform(5, 30, 40)
    polygon = np.stack([32 + radius * np.sin(angles), 30 + radius * np.cos(angles)], 1)
    theirs = torch.from_numpy(measure.grid_points_in_poly((64, 60), polygon))
    assert torch.equal(fill([polygon], (64, 60)), theirs)
    assert int(theirs.sum()) > 500


def test_a_hole_and_a_key_hole_are_left_out():
    outer = [(0.5, 0.5), (0.5, 8.5), (7.5, 8.5), (7.5, 0.5)]
    inner = [(2.5, 3.5), (2.5, 5.5), (4.5, 5.5), (4.5, 3.5)]
    key = [*outer[:1], (2.5, 0.5), *inner, inner[0], (2.5, 0.5), *outer[:0:-1]]
    key = [(0.5, 0.5), (2.5, 0.5), *inner, (2.5, 3.5), (2.5, 0.5), (7.5, 0.5), *outer[2:0:-1]]
    wanted = torch.zeros(SHAPE, dtype=torch.bool)
    wanted[1:8, 1:9] = True
    wanted[3:5, 4:6] = False
    assert torch.equal(fill([outer, inner]), wanted)
    assert torch.equal(fill([key]), wanted)
    assert torch.equal(fill([outer, inner], policy="area"), wanted)
    assert torch.equal(fill([key], policy="area"), wanted)


def test_a_centre_on_the_boundary_belongs_to_the_polygon_above_and_right_of_it():
    square = [(2.0, 3.0), (2.0, 6.0), (5.0, 6.0), (5.0, 3.0)]
    wanted = torch.zeros(SHAPE, dtype=torch.bool)
    wanted[2:5, 3:6] = True
    assert torch.equal(fill([square]), wanted)


# ---- areas


def shared(polygons, shape=SHAPE, fine=64):
    """Share of each pixel inside, by many points; good to about 1 / fine."""
    step = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine - 0.5
    y = (torch.arange(shape[0])[:, None] + step).reshape(-1)
    x = (torch.arange(shape[1])[:, None] + step).reshape(-1)
    at = torch.cartesian_prod(y, x) + 1e-7
    inside = inside_polygons(at, *packed(polygons)).double()
    return inside.reshape(shape[0], fine, shape[1], fine).mean(dim=(1, 3))


@pytest.mark.parametrize("seed", range(6))
def test_areas_agree_with_many_points_in_each_pixel_even_where_edges_cross(seed):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-2, 12, (rng.integers(3, 8), 2)) for _ in range(3)]
    share = shared(polygons)
    found = fill(polygons, policy="area")
    sure = (share - 0.5).abs() > 0.03
    assert torch.equal(found[sure], (share > 0.5)[sure])
    assert sure.sum() > 60


@given(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49))
def test_a_box_takes_the_pixels_of_which_it_covers_more_than_half(down, right):
    top, left = 2.5 + down, 3.5 + right
    box = [(top, left), (top, left + 3), (top + 3, left + 3), (top + 3, left)]
    rows = [max(0.0, min(top + 3, y + 0.5) - max(top, y - 0.5)) for y in range(9)]
    columns = [max(0.0, min(left + 3, x + 0.5) - max(left, x - 0.5)) for x in range(11)]
    share = torch.tensor(rows)[:, None] * torch.tensor(columns)
    sure = (share - 0.5).abs() > 1e-6
    assert torch.equal(fill([box], policy="area")[sure], (share > 0.5)[sure])


def test_a_pixel_of_which_exactly_half_is_inside_goes_by_its_centre():
    one = [(1.5, 2.0), (1.5, 5.0), (3.5, 5.0), (3.5, 2.0)]
    assert torch.equal(fill([one], policy="area"), fill([one]))
    other = [(1.5, 5.0), (1.5, 9.0), (3.5, 9.0), (3.5, 5.0)]
    both = [fill([p], policy="area") for p in (one, other)]
    assert not (both[0] & both[1]).any()


@pytest.mark.parametrize("policy", ["centre", "area"])
def test_a_disc_has_its_area(policy):
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    disc = np.stack([100.3 + 80 * np.sin(t), 99.6 + 80 * np.cos(t)], 1)
    area = float(fill([disc], (200, 200), policy).sum())
    assert area == pytest.approx(math.pi * 80**2, rel=2e-3)


# ---- edges of what is allowed


@pytest.mark.parametrize("policy", ["centre", "area"])
def test_polygons_may_leave_the_lattice_and_may_be_empty(policy):
    around = [(-1e6, -1e6), (-1e6, 1e6), (1e6, 1e6), (1e6, -1e6)]
    assert fill([around], policy=policy).all()
    assert not fill([[(y + 1e8, x) for y, x in around]], policy=policy).any()
    none = torch.empty((0, 2), dtype=torch.float64)
    assert not fill_polygons(none, torch.empty(0, dtype=torch.int64), SHAPE, policy).any()
    assert not fill([[(3.0, 3.0)], [(1.0, 1.0), (5.0, 5.0)]], policy=policy).any()


def test_edges_too_short_to_divide_by_do_no_harm():
    sliver = [(0.0, 0.0), (5e-324, 9.0), (4.0, 4.0)]
    assert fill([sliver]).sum() == slow([sliver]).sum()
    assert fill([sliver], policy="area").sum() > 10


def test_refuses_points_that_are_not_finite():
    for bad in (math.nan, math.inf, 1e13):
        with pytest.raises(GeometryError, match=r"points must be finite and within 1e\+12 samples"):
            fill([[(0.0, 0.0), (bad, 1.0), (1.0, 1.0)]])


@pytest.mark.parametrize("starts", [[1], [0, 2, 1], [0, 5]])
def test_refuses_starts_that_do_not_fit(starts):
    points = torch.zeros((3, 2), dtype=torch.float64)
    with pytest.raises(ShapeError, match="starts must ascend from 0 to at most 3"):
        fill_polygons(points, torch.tensor(starts), SHAPE)
    with pytest.raises(ShapeError, match="starts must ascend from 0 to at most 3"):
        inside_polygons(points, points, torch.tensor(starts))


# ---- many edges


def ring(count, jagged=0.0):
    """A circle of radius 40 about (50, 50)."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = 40 + jagged * np.sin(angle * count * 0.618)
    return np.stack([50 + radius * np.sin(angle), 50 + radius * np.cos(angle)], axis=1)


@pytest.mark.parametrize("policy", ["centre", "area"])
def test_a_million_vertices_take_little_time(policy):
    fill([ring(100)], (100, 100), policy)
    start = time.process_time()
    filled = fill([ring(1_000_000)], (100, 100), policy)
    assert time.process_time() - start < 5
    assert float(filled.sum()) == pytest.approx(math.pi * 40**2, rel=5e-3)


def test_areas_of_edges_that_cross_without_end_are_refused_before_they_take_long():
    points = np.random.default_rng(3).uniform(0, 100, (100_000, 2))
    fill([points[:9]], (100, 100), "area")
    start = time.process_time()
    with pytest.raises(GeometryError, match=r"must cross less often for policy='area', 100000 edg"):
        fill([points], (100, 100), "area")
    assert time.process_time() - start < 10
    assert fill([points], (100, 100)).any()


def test_areas_of_a_jagged_ring_are_those_of_the_ring():
    inside = fill([ring(5000, jagged=0.2)], (100, 100), "area")
    plain = fill([ring(5000)], (100, 100), "area")
    assert int((inside != plain).sum()) < 60
    assert inside[50, 50]
    assert not inside[0, 0]


def test_areas_agree_with_scribbles_counted_by_points():
    points = np.random.default_rng(5).uniform(-1, 10, (40, 2))
    found = fill([points], (9, 9), "area")
    fine = (torch.arange(9 * 40, dtype=torch.float64) + 0.5) / 40 - 0.5
    at = torch.cartesian_prod(fine, fine)
    inside = inside_polygons(at, *packed([points])).reshape(9, 40, 9, 40).double()
    share = inside.mean(dim=(1, 3))
    sure = (share - 0.5).abs() > 0.02
    assert int(sure.sum()) > 50
    assert torch.equal(found[sure], (share > 0.5)[sure])
