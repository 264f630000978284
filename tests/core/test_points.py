"""Points and Mesh: places and surfaces in the world."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from vesalius.core import Linear, Mesh, Points
from vesalius.errors import ShapeError, UnitError


def cube(side=1.0, place=(0.0, 0.0, 0.0)):
    corners = np.array(list(itertools.product([0.0, side], repeat=3))) + place
    hull = ConvexHull(corners)
    faces = hull.simplices.copy()
    normal = np.cross(
        corners[faces[:, 1]] - corners[faces[:, 0]], corners[faces[:, 2]] - corners[faces[:, 0]]
    )
    inwards = (normal * hull.equations[:, :3]).sum(axis=1) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return Mesh(torch.from_numpy(corners), torch.from_numpy(faces.astype(np.int64)))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.tuples(*[st.floats(-1e4, 1e4)] * 3))
def test_a_cube_has_its_volume_and_area_wherever_it_is(side, place):
    mesh = cube(side, place)
    assert mesh.volume_mm3 == pytest.approx(side**3, rel=1e-6)
    assert mesh.area_mm2 == pytest.approx(6 * side**2, rel=1e-6)


def test_a_convex_hull_has_the_volume_and_area_of_qhull(generator):
    points = torch.randn(60, 3, generator=generator, dtype=torch.float64).numpy()
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    a, b, c = (points[faces[:, k]] for k in range(3))
    flip = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    faces[flip] = faces[flip][:, ::-1]
    mesh = Mesh(torch.from_numpy(points), torch.from_numpy(faces.astype(np.int64)))
    assert mesh.volume_mm3 == pytest.approx(hull.volume)
    assert mesh.area_mm2 == pytest.approx(hull.area)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_turning_changes_neither_volume_nor_area(turn):
    mesh = cube(2.0)
    move = Linear.rotation(turn, centre_mm=(5.0, 6.0, 7.0))
    turned = Mesh(move(mesh.vertices), mesh.faces)
    assert turned.volume_mm3 == pytest.approx(8.0)
    assert turned.area_mm2 == pytest.approx(24.0)


def test_a_mesh_without_faces_has_no_area():
    mesh = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert (mesh.volume_mm3, mesh.area_mm2) == (0.0, 0.0)


@pytest.mark.parametrize("face", [[0, 1, 3], [0, 1, -1]])
def test_refuses_a_face_without_its_vertex(face):
    with pytest.raises(ShapeError, match="faces must index vertices 0 to 2"):
        Mesh(torch.zeros(3, 3), torch.tensor([face]))


def test_refuses_faces_of_another_shape():
    with pytest.raises(ShapeError, match=r"faces must have shape \(M, 3\), got \(1, 4\)"):
        Mesh(torch.zeros(3, 3), torch.zeros(1, 4, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_refuses_faces_that_are_not_integers(dtype):
    with pytest.raises(UnitError, match="faces must be integer indices"):
        Mesh(torch.zeros(3, 3), torch.zeros(1, 3, dtype=dtype))


@pytest.mark.parametrize("make", [Points, lambda v: Mesh(v, torch.zeros(0, 3, dtype=torch.int64))])
def test_refuses_vertices_of_another_shape_or_type(make):
    with pytest.raises(ShapeError, match=r"must have shape \(N, 3\), \(L, P, S\) mm, got \(3, 2\)"):
        make(torch.zeros(3, 2))
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        with pytest.raises(UnitError, match="coordinates are never float16"):
            make(torch.zeros(3, 3, dtype=dtype))


def test_points_know_their_number_and_names():
    points = Points(torch.zeros(2, 3), ("carina", "apex"))
    assert len(points) == 2
    assert points.names == ("carina", "apex")


def test_refuses_names_for_some_points_only():
    with pytest.raises(ShapeError, match="names must name all 3 points or none, got 1"):
        Points(torch.zeros(3, 3), ("one",))


def test_a_ball_of_many_triangles_comes_near_its_volume():
    angle = np.linspace(0, math.pi, 40)[1:-1]
    ring = np.linspace(0, 2 * math.pi, 80, endpoint=False)
    points = np.array(
        [
            [math.sin(a) * math.cos(r), math.sin(a) * math.sin(r), math.cos(a)]
            for a in angle
            for r in ring
        ]
        + [[0, 0, 1.0], [0, 0, -1.0]]
    )
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    a, b, c = (points[faces[:, k]] for k in range(3))
    flip = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    faces[flip] = faces[flip][:, ::-1]
    mesh = Mesh(torch.from_numpy(10 * points), torch.from_numpy(faces.astype(np.int64)))
    assert mesh.volume_mm3 == pytest.approx(4 / 3 * math.pi * 1000, rel=5e-3)
