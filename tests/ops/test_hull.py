"""Convex hulls of masks and points."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError, ShapeError
from vesalius.ops._hull import (
    convex_hull,
    convex_polygon,
    largest_distance,
    lattice_hull,
    row_spans,
    surface_corners,
)

seeds = st.integers(0, 10_000)


def random_mask(seed, share=0.2):
    mask = np.random.default_rng(seed).random((5, 7, 6)) < share
    mask[2, 3, 2] = True
    return torch.from_numpy(mask)


def mesh_points(mask):
    """Every vertex of the marching-cubes mesh, in half samples, by definition."""
    inside = np.pad(mask.numpy(), 1)
    points = []
    for spot in np.argwhere(inside):
        for axis, step in itertools.product(range(3), (-1, 1)):
            way = np.eye(3, dtype=int)[axis] * step
            if not inside[tuple(spot + way)]:
                points.append(2 * (spot - 1) + way)
    return np.array(points)


@given(seeds, st.floats(0.01, 0.9))
@settings(max_examples=40, deadline=None)
def test_the_few_corners_span_the_hull_of_the_whole_mesh(seed, share):
    scipy_spatial = pytest.importorskip("scipy.spatial")
    mask = random_mask(seed, share)
    few, every = surface_corners(mask).numpy(), mesh_points(mask)
    ours, theirs = scipy_spatial.ConvexHull(few), scipy_spatial.ConvexHull(every)
    assert ours.volume == pytest.approx(theirs.volume, rel=1e-9)
    assert ours.area == pytest.approx(theirs.area, rel=1e-9)


def test_finds_the_ends_of_rows():
    mask = torch.zeros(1, 3, 5, dtype=torch.bool)
    mask[0, 0, 1] = mask[0, 0, 3] = mask[0, 2, 4] = True
    assert row_spans(mask).tolist() == [[[1, -1, 4]], [[3, -1, 4]]]


def test_an_empty_mask_has_no_corners():
    with pytest.raises(RegionError, match="mask must have a voxel inside to have a hull"):
        surface_corners(torch.zeros(2, 2, 2, dtype=torch.bool))


def test_the_hull_of_a_box_has_six_faces():
    corners = torch.tensor(list(itertools.product((0.0, 2.0), (0.0, 3.0), (0.0, 5.0))))
    hull = convex_hull(corners)
    assert hull.volume == pytest.approx(30)
    assert hull.area == pytest.approx(62)
    assert sorted(hull.face_areas.tolist()) == pytest.approx([6, 6, 10, 10, 15, 15])
    assert hull.vertices.shape == (8, 3)


@given(seeds, st.integers(30, 400), st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_the_hull_of_lattice_points_is_that_of_qhull(seed, count, size):
    points = np.unique(np.random.default_rng(seed).integers(0, size, (count, 3)), axis=0)
    scale = (1.25, 0.5, 0.4)
    expected = convex_hull(torch.from_numpy(points * np.array(scale)))
    ours = lattice_hull(torch.from_numpy(points), scale)
    assert ours.volume == pytest.approx(expected.volume, rel=1e-12)
    assert ours.area == pytest.approx(expected.area, rel=1e-12)
    np.testing.assert_allclose(ours.face_areas.sort()[0], expected.face_areas.sort()[0], atol=1e-9)
    assert largest_distance(ours.vertices) == pytest.approx(largest_distance(expected.vertices))
    assert len(ours.edges) >= len(expected.edges)  # an edge may be in parts


def test_a_flipped_lattice_has_the_flipped_hull():
    points = np.unique(np.random.default_rng(3).integers(0, 30, (200, 3)), axis=0)
    ours = lattice_hull(torch.from_numpy(points), (0.7, 0.3, 1.1))
    other = lattice_hull(torch.from_numpy(29 - points), (0.7, 0.3, 1.1))
    assert ours.volume == pytest.approx(other.volume, rel=1e-14)
    ends, flipped = ours.vertices.max(dim=0).values, -other.vertices.min(dim=0).values
    assert torch.equal(ends, flipped)  # the middle is exactly 0


def test_many_lattice_points_go_to_qhull(monkeypatch):
    points = torch.from_numpy(np.unique(np.random.default_rng(1).integers(0, 9, (90, 3)), axis=0))
    ours = lattice_hull(points, (1.0, 1.0, 1.0))
    monkeypatch.setattr("vesalius.ops._hull._WRAPPED", 1)
    assert lattice_hull(points, (1.0, 1.0, 1.0)).volume == pytest.approx(ours.volume)


def test_refuses_lattice_points_in_one_plane():
    points = torch.tensor([[0, y, x] for y in range(3) for x in range(3)])
    with pytest.raises(RegionError, match="must not all lie in one plane to have a hull, got 9"):
        lattice_hull(points, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("count", [0, 3, 9])
def test_refuses_points_in_one_plane(count):
    points = torch.rand(count, 3, dtype=torch.float64)
    points[:, 0] = 0
    with pytest.raises(RegionError, match="must not all lie in one plane"):
        convex_hull(points)


@given(seeds, st.integers(2, 60), st.integers(2, 3))
@settings(max_examples=40, deadline=None)
def test_the_largest_distance_is_that_of_all_pairs(seed, count, axes):
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, axes)))
    assert largest_distance(points) == pytest.approx(float(torch.cdist(points, points).max()))


def test_a_single_point_has_no_distance():
    assert largest_distance(torch.zeros(1, 3)) == 0.0


@given(seeds, st.integers(3, 300))
@settings(max_examples=40, deadline=None)
def test_the_polygon_agrees_with_scipy(seed, count):
    scipy_spatial = pytest.importorskip("scipy.spatial")
    points = np.random.default_rng(seed).normal(size=(count, 2))
    expected = points[scipy_spatial.ConvexHull(points).vertices]
    ours = convex_polygon(torch.from_numpy(points)).numpy()
    assert {tuple(p) for p in ours} == {tuple(p) for p in expected}


def test_the_polygon_drops_points_on_its_edges_and_twins():
    points = torch.tensor([[0.0, 0], [1, 0], [2, 0], [2, 2], [0, 2], [0, 1], [0, 0], [1, 1]])
    assert {tuple(p) for p in convex_polygon(points).tolist()} == {(0, 0), (2, 0), (2, 2), (0, 2)}


def test_points_on_a_line_have_two_ends():
    points = torch.tensor([[0.0, 0], [1, 1], [3, 3], [2, 2]])
    assert {tuple(p) for p in convex_polygon(points).tolist()} == {(0, 0), (3, 3)}


def test_refuses_no_points():
    with pytest.raises(ShapeError, match="points must hold at least one point"):
        convex_polygon(torch.zeros(0, 2))
