"""ICP: finds the map of a shape without pairs, trims strangers, slides along planes."""

import pytest
import torch

from register.landmark_cases import cloud, lung, motion, sheet
from vesalius.core import Linear, Mesh, Points
from vesalius.errors import ConfigError, GeometryError
from vesalius.register._icp import vertex_normals
from vesalius.register.landmarks import PointSearch, icp

MODELS = ("rigid", "similarity", "affine")


@pytest.mark.parametrize("model", MODELS)
def test_finds_the_motion_of_a_shape_whose_points_are_shuffled(model):
    shape, wanted = sheet().vertices, motion(model)
    order = torch.randperm(len(shape), generator=torch.Generator().manual_seed(0))
    fit = icp(Points(shape), Points(wanted(shape)[order]), model=model)
    assert fit.converged
    assert fit.rms_mm < 1e-9
    torch.testing.assert_close(fit.transform.matrix, wanted.matrix, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_planes_meet_a_surface_that_was_sampled_elsewhere(model):
    shape, wanted = sheet(), motion(model, 1.5)
    centres = shape.vertices[shape.faces].mean(dim=1)
    moved = Mesh(wanted(shape.vertices), shape.faces)
    planes = icp(Points(centres), moved, model=model, metric="plane")
    points = icp(Points(centres), moved, model=model)
    missed = (planes.transform(centres) - wanted(centres)).norm(dim=1).mean()
    assert float(missed) < 0.7  # a flat triangle lies below the tangent plane
    assert float((points.transform(centres) - wanted(centres)).norm(dim=1).mean()) > 1
    assert planes.steps < points.steps


def test_trims_points_without_a_counterpart():
    shape, wanted = sheet().vertices, motion("rigid")
    generator = torch.Generator().manual_seed(1)
    strangers = torch.randn(200, 3, dtype=torch.float64, generator=generator) * 10 + 120
    fixed = Points(torch.cat([shape, strangers]))
    kept = len(shape) / len(fixed.data) - 0.01
    trimmed = icp(fixed, Points(wanted(shape)), search=PointSearch(keep=kept))
    whole = icp(fixed, Points(wanted(shape)))
    missed = (trimmed.transform(shape) - wanted(shape)).norm(dim=1).mean()
    assert float(missed) < 1e-6
    assert float((whole.transform(shape) - wanted(shape)).norm(dim=1).mean()) > 1


def test_begins_where_it_is_told():
    shape = sheet().vertices
    turned = Linear.rotation((0, 0, 100), centre_mm=(0, 0, 0))
    near = Linear.rotation((0, 0, 97), centre_mm=(0, 0, 0))
    assert icp(Points(shape), Points(turned(shape)), start=near).rms_mm < 1e-9
    assert icp(Points(shape), Points(turned(shape))).rms_mm > 0.5


def test_a_step_never_makes_the_points_lie_further_apart():
    shape, wanted = sheet().vertices, motion("rigid")
    errors = [
        icp(Points(shape), Points(wanted(shape)), search=PointSearch(steps=n, tol=0)).rms_mm
        for n in (1, 2, 4, 8)
    ]
    assert errors == sorted(errors, reverse=True)


def test_points_of_a_plane_stay_in_it():
    shape = cloud() * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    turned = Linear.rotation((0, 0, 5), centre_mm=(10, 0, 0))
    for model in MODELS:
        fit = icp(Points(shape), Points(turned(shape).flip(0)), model=model, dimension=2)
        torch.testing.assert_close(fit.transform.matrix, turned.matrix, rtol=0, atol=1e-9)
    with pytest.raises(GeometryError, match="use dimension=2 for a plane"):
        icp(Points(shape), Points(shape), model="affine")


def test_says_when_the_steps_ran_out():
    shape = sheet().vertices
    fit = icp(Points(shape), Points(motion("rigid")(shape)), search=PointSearch(steps=2))
    assert (fit.converged, fit.steps) == (False, 2)


def test_normals_of_a_sphere_point_outwards():
    shape = sheet(20)
    round_ = Mesh(shape.vertices / shape.vertices.norm(dim=1, keepdim=True), shape.faces)
    inner = slice(40, -40)  # without the rims of the two open poles
    along = (vertex_normals(round_) * round_.vertices).sum(dim=1)[inner]
    assert float(along.min()) > 0.99


def test_brings_the_key_points_of_a_breath_nearer(data_dir):
    fixed, moving = lung(data_dir, 1, "keypoints")
    before = icp(fixed, moving, search=PointSearch(steps=1)).rms_mm
    fit = icp(fixed, moving, model="affine", search=PointSearch(keep=0.9))
    assert fit.converged
    assert fit.rms_mm < 0.7 * before


def test_refuses_planes_without_normals():
    shape = Points(sheet().vertices)
    with pytest.raises(GeometryError, match="metric='plane' needs a Mesh as moving"):
        icp(shape, shape, metric="plane")
    with pytest.raises(GeometryError, match="metric='plane' needs a Mesh as moving"):
        icp(shape, sheet(), metric="plane", dimension=2)


def test_refuses_sets_too_small_or_not_finite():
    shape = sheet().vertices
    with pytest.raises(GeometryError, match="fixed must hold at least 4 points, got 3"):
        icp(Points(shape[:3]), Points(shape))
    with pytest.raises(GeometryError, match="moving must hold at least 1 points, got 0"):
        icp(Points(shape), Points(shape[:0]))
    broken = shape.clone()
    broken[5] = torch.inf
    with pytest.raises(GeometryError, match="moving points must be finite"):
        icp(Points(shape), Points(broken))


@pytest.mark.parametrize("wrong", [{"keep": 0.0}, {"keep": 1.1}, {"steps": 0}, {"tol": -1.0}])
def test_refuses_a_search_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match="keep must be above 0 and at most 1"):
        PointSearch(**wrong)
