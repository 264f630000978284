"""The least enclosing ellipsoid, and the size of any."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConvergenceError, ShapeError
from vesalius.ops._ellipsoid import ellipsoid_area, ellipsoid_volume, enclosing_ellipsoid

CUBE = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)


def test_the_ellipsoid_of_a_box_has_its_sides_times_root_three():
    box = CUBE * torch.tensor([3.0, 1.0, 2.0]) + 7
    axes = enclosing_ellipsoid(box)
    assert axes == pytest.approx([math.sqrt(3) * s for s in (3, 2, 1)], rel=1e-6)


@given(st.integers(0, 10_000), st.integers(6, 400))
@settings(max_examples=25, deadline=None)
def test_agrees_with_a_plain_khachiyan(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3)) * [3, 1, 2]
    axes = enclosing_ellipsoid(torch.from_numpy(points))
    assert ellipsoid_volume(axes) == pytest.approx(plain_volume(points), rel=2e-3)


def plain_volume(points):
    lifted = np.c_[points, np.ones(len(points))]
    u = np.full(len(points), 1 / len(points))
    for _ in range(3000):
        inverse = np.linalg.inv(lifted.T @ (u[:, None] * lifted))
        spread = np.einsum("ia,ab,ib->i", lifted, inverse, lifted)
        u *= spread / 4
    centre = u @ points
    spread = (points - centre).T @ (u[:, None] * (points - centre))
    return 4 / 3 * math.pi * math.sqrt(np.linalg.det(3 * spread))


def test_many_points_on_a_sphere_give_the_sphere(generator):
    points = torch.randn(3000, 3, generator=generator, dtype=torch.float64)
    axes = enclosing_ellipsoid(5 * points / points.norm(dim=1, keepdim=True) + 20)
    assert axes == pytest.approx((5, 5, 5), rel=1e-6)


def test_the_order_of_points_and_axes_does_not_matter(generator):
    points = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    shuffled = points.flip(0)[:, [1, 2, 0]] * torch.tensor([1.0, -1.0, 1.0])
    assert enclosing_ellipsoid(shuffled) == pytest.approx(enclosing_ellipsoid(points), rel=1e-6)


def test_refuses_three_points():
    with pytest.raises(ShapeError, match="at least four"):
        enclosing_ellipsoid(torch.rand(3, 3))


def test_says_when_it_did_not_converge(generator):
    points = torch.randn(500, 3, generator=generator, dtype=torch.float64)
    with pytest.raises(ConvergenceError, match="give more steps"):
        enclosing_ellipsoid(points, tol=1e-300, steps=10)


def test_a_sphere_has_its_exact_size():
    assert ellipsoid_volume((2, 2, 2)) == pytest.approx(4 / 3 * math.pi * 8)
    assert ellipsoid_area((2.0, 2.0, 2.0)) == pytest.approx(16 * math.pi)


def test_the_area_is_the_series_of_the_standard_not_the_exact_surface():
    # IBSI digital phantom: area 388.07 mm^2, semi-axes below, reference density 1.36 +- 0.01;
    # the exact surface of that ellipsoid would give 1.30
    special = pytest.importorskip("scipy.special")
    a, b, c = 5.70, 4.65, 4.27
    exact = 4 * math.pi * special.elliprg((a * b) ** 2, (a * c) ** 2, (b * c) ** 2)
    assert 388.07 / ellipsoid_area((a, b, c)) == pytest.approx(1.36, abs=0.01)
    assert 388.07 / exact == pytest.approx(1.30, abs=0.01)


def test_the_series_agrees_with_legendre_polynomials():
    a, b, c = 5.0, 3.0, 2.0
    alpha, beta = math.sqrt(1 - (b / a) ** 2), math.sqrt(1 - (c / a) ** 2)
    at = (alpha**2 + beta**2) / (2 * alpha * beta)
    total = sum(
        (alpha * beta) ** n / (1 - 4 * n * n) * np.polynomial.legendre.Legendre.basis(n)(at)
        for n in range(21)
    )
    assert ellipsoid_area((a, b, c)) == pytest.approx(4 * math.pi * a * b * total, rel=1e-9)
