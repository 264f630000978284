"""The compiled sums of landmark splines equal their formulas, at any number of points."""

import math

import pytest
import torch

from vesalius.ops._radial_sum import LANES, elastic_sum, radial_slope, radial_sum

FORMULAS = {
    "-r": lambda r, _: -r,
    "r^2 log r": lambda r, _: r * r * math.log(r),
    "gaussian": lambda r, s: math.exp(-r * r / (2 * s * s)),
    "wendland 2": lambda r, s: max(1 - r / s, 0) ** 4 * (4 * r / s + 1),
    "wendland 4": lambda r, s: max(1 - r / s, 0) ** 6 * (35 * (r / s) ** 2 + 18 * r / s + 3) / 3,
}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator) * 2


@pytest.mark.parametrize("form", FORMULAS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_equals_a_slow_loop(form, dimension):
    points, centres, weights = random(7, dimension), random(5, dimension, seed=1), random(5, 3)
    wanted = torch.zeros(7, 3, dtype=torch.float64)
    for m, x in enumerate(points):
        for p, w in zip(centres, weights, strict=True):
            wanted[m] += w * FORMULAS[form](float((x - p).norm()), 3.0)
    found = radial_sum(points, centres, weights, form=form, scale=3.0)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", FORMULAS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_slope_equals_differences(form, dimension):
    points, centres, weights = random(40, dimension), random(5, dimension, seed=1), random(5, 3)
    columns = []
    for step in torch.eye(dimension).double() * 1e-5:
        ahead = radial_sum(points + step, centres, weights, form=form, scale=3.0)
        behind = radial_sum(points - step, centres, weights, form=form, scale=3.0)
        columns.append((ahead - behind) / 2e-5)
    found = radial_slope(points, centres, weights, form=form, scale=3.0)
    torch.testing.assert_close(found, torch.stack(columns, dim=-1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("force", ["r", "1/r"])
def test_the_elastic_sum_equals_a_slow_loop(force):
    points, centres, weights = random(6, 3), random(4, 3, seed=1), random(4, 3, seed=2)
    wanted = torch.zeros(6, 3, dtype=torch.float64)
    for m, x in enumerate(points):
        for p, w in zip(centres, weights, strict=True):
            y = x - p
            r = y.norm()
            if force == "r":
                wanted[m] += (7.0 * r**2 * w - 3 * y * (y @ w)) * r
            else:
                wanted[m] += (7.0 * r**2 * w - y * (y @ w)) / r
    found = elastic_sum(points, centres, weights, force=force, direct=7.0)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES, LANES + 1, 5 * LANES + 3])
def test_the_number_of_points_does_not_matter(count):
    points, centres, weights = random(count, 3), random(4, 3, seed=1), random(4, 3)
    together = radial_sum(points, centres, weights, form="-r")
    force = elastic_sum(points, centres, weights, force="r", direct=5.0)
    assert together.shape == force.shape == (count, 3)
    for i in range(0, count, 7):
        one = points[i : i + 1]
        assert torch.equal(radial_sum(one, centres, weights, form="-r")[0], together[i])
        alone = elastic_sum(one, centres, weights, force="r", direct=5.0)
        assert torch.equal(alone[0], force[i])


@pytest.mark.parametrize("form", FORMULAS)
def test_a_point_on_a_centre_is_no_trouble(form):
    at = random(3, 3)
    assert bool(torch.isfinite(radial_sum(at, at, at, form=form, scale=2.0)).all())
    assert bool(torch.isfinite(radial_slope(at, at, at, form=form, scale=2.0)).all())
    for force in ("r", "1/r"):
        assert bool(torch.isfinite(elastic_sum(at, at, at, force=force, direct=3.0)).all())
