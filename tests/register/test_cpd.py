"""Coherent point drift: linear and smooth maps between sets without pairs, against slow sums."""

import math

import pytest
import torch

from register.landmark_cases import cloud, lung, motion, somewhere
from vesalius.core import Linear, Points
from vesalius.errors import ConfigError, GeometryError
from vesalius.register._cpd import _expect
from vesalius.register.landmarks import Drift, PointSearch, drift, drift_linear, icp


def shuffled(points: torch.Tensor) -> Points:
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    return Points(points[order])


@pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
def test_finds_the_motion_of_a_shape_whose_points_are_shuffled(model):
    shape, wanted = cloud(), motion(model, 5.0)
    fit = drift_linear(Points(shape), shuffled(wanted(shape)), model=model, outliers=0.0)
    torch.testing.assert_close(fit.transform.matrix, wanted.matrix, rtol=0, atol=1e-5)
    assert fit.converged
    assert fit.rms_mm < 1e-3


def test_reaches_further_than_the_closest_points():
    shape = cloud()
    turned = Linear.rotation((0, 0, 50), centre_mm=(0, 0, 0))
    soft = drift_linear(Points(shape), Points(turned(shape)))
    hard = icp(Points(shape), Points(turned(shape)))
    assert float((soft.transform(shape) - turned(shape)).norm(dim=1).mean()) < 0.01
    assert float((hard.transform(shape) - turned(shape)).norm(dim=1).mean()) > 1


def test_bears_with_strangers():
    shape, wanted = cloud(), motion("rigid", 5.0)
    noise = torch.rand(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    crowd = Points(torch.cat([wanted(shape), noise * 160 - 80]))
    fit = drift_linear(Points(shape), crowd, outliers=0.3)
    assert float((fit.transform(shape) - wanted(shape)).norm(dim=1).mean()) < 0.2


def test_the_sums_equal_a_slow_loop():
    generator = torch.Generator().manual_seed(3)
    moved = torch.rand(5, 3, dtype=torch.float64, generator=generator)
    target = torch.rand(7, 3, dtype=torch.float64, generator=generator)
    variance, outliers = 0.05, 0.2
    spread = float(((target - target.mean(dim=0)) ** 2).sum(dim=1).mean())
    each, goal = torch.zeros(5).double(), torch.zeros(5, 3).double()
    for x in target:
        terms = [math.exp(-float(((x - y) ** 2).sum()) / (2 * variance)) for y in moved]
        uniform = (2 * math.pi * variance / spread) ** 1.5 * outliers / (1 - outliers) * 5 / 7
        for m, term in enumerate(terms):
            p = term / (sum(terms) + uniform)
            each[m] += p
            goal[m] += p * x
    found = _expect(moved, target, variance, outliers, 3)
    torch.testing.assert_close(found.each, each)
    torch.testing.assert_close(found.goal, goal / each[:, None])
    assert float(found.other.sum()) == pytest.approx(float(each.sum()))


def test_far_points_and_narrow_widths_make_no_nan():
    near = torch.zeros(4, 3).double()
    far = torch.full((4, 3), 1e6).double()
    for outliers in (0.0, 0.5):
        found = _expect(near, far, 1e-9, outliers, 3)
        assert bool(torch.isfinite(found.goal).all() and torch.isfinite(found.each).all())


def test_finds_a_smooth_deformation():
    shape = cloud(120)
    bent = shape + 4 * torch.stack(
        [(shape[:, 1] / 30).sin(), (shape[:, 2] / 40).cos(), (shape[:, 0] / 35).sin()], dim=1
    )
    fit = drift(Points(shape), shuffled(bent), how=Drift(30.0), outliers=0.0)
    before = float((shape - bent).norm(dim=1).mean())
    assert float((fit.transform(shape) - bent).norm(dim=1).mean()) < 0.1 * before
    assert float(torch.linalg.det(fit.transform.jacobian(shape)).min()) > 0


def test_a_stiffer_drift_bends_less():
    shape = cloud(60)
    generator = torch.Generator().manual_seed(4)
    rough = shape + torch.randn(shape.shape, dtype=torch.float64, generator=generator)
    bends = []
    for weight in (0.1, 10.0, 1000.0):
        fit = drift(Points(shape), Points(rough), how=Drift(20.0, weight=weight))
        bends.append(float(fit.transform.weights.norm()))
    assert bends == sorted(bends, reverse=True)


def test_far_from_the_points_only_the_shift_is_left():
    shape = cloud(60)
    fit = drift(Points(shape), Points(shape + 5), how=Drift(20.0))
    far = somewhere() + 1000
    torch.testing.assert_close(fit.transform(far), far + 5, rtol=0, atol=1e-9)


def test_brings_the_key_points_of_a_breath_nearer(data_dir):
    fixed, moving = (Points(p.data[::10]) for p in lung(data_dir, 1, "keypoints"))
    fit = drift(fixed, moving, how=Drift(40.0), search=PointSearch(steps=60, tol=1e-4))
    before = float((fixed.data - moving.data).norm(dim=1).mean())
    assert float((fit.transform(fixed.data) - moving.data).norm(dim=1).mean()) < 0.6 * before


def test_points_of_a_plane_stay_in_it():
    shape = cloud() * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    turned = Linear.rotation((0, 0, 15), centre_mm=(0, 0, 0))
    for model in ("rigid", "similarity", "affine"):
        fit = drift_linear(Points(shape), shuffled(turned(shape)), model=model, dimension=2)
        torch.testing.assert_close(fit.transform.matrix, turned.matrix, rtol=0, atol=1e-4)
    bent = shape + 3 * torch.stack([(shape[:, 1] / 30).sin()] * 2 + [0 * shape[:, 0]], dim=1)
    found = drift(Points(shape), shuffled(bent), how=Drift(30.0), dimension=2).transform
    assert float((found(shape) - bent).norm(dim=1).mean()) < 0.3
    assert float(found(shape)[:, 2].abs().max()) < 1e-9


def test_refuses_numbers_out_of_range():
    shape = Points(cloud(60))
    for outliers in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="outliers must be at least 0 and below 1"):
            drift_linear(shape, shape, outliers=outliers)
        with pytest.raises(ConfigError, match="outliers must be at least 0 and below 1"):
            drift(shape, shape, how=Drift(5.0), outliers=outliers)
    for wrong in ((0.0, 1.0), (1.0, 0.0), (math.inf, 1.0)):
        with pytest.raises(ConfigError, match="sigma_mm and weight must be positive"):
            Drift(*wrong)


def test_refuses_sets_too_small():
    shape = Points(cloud(60))
    with pytest.raises(GeometryError, match="fixed must hold at least 1 points, got 0"):
        drift(Points(shape.data[:0]), shape, how=Drift(5.0))
    with pytest.raises(GeometryError, match="moving must hold at least 4 points, got 3"):
        drift_linear(shape, Points(shape.data[:3]))
    one = Points(shape.data[:1].expand(9, 3))
    with pytest.raises(GeometryError, match="moving points must lie in more than one place, the"):
        drift(shape, one, how=Drift(5.0))
    with pytest.raises(GeometryError, match="moving points must lie in more than one place, the"):
        drift_linear(shape, one)
