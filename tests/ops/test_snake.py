"""Snakes and gradient vector flow: stiffness, pins, pressure, concavities, refusals."""

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._gradient_vectors import gradient_vector_flow
from vesalius.ops._snake import Elastic, snake

NOTHING = torch.zeros(2, 60, 60)


def ring(radius, centre=(30.0, 30.0), count=60):
    angle = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    return torch.stack([centre[0] + radius * angle.sin(), centre[1] + radius * angle.cos()], dim=1)


def size(points):
    return float((points - points.mean(dim=0)).norm(dim=1).mean())


def test_a_free_circle_shrinks_by_its_elasticity():
    """One implicit step divides the radius by 1 + alpha k^2, k^2 = 4 sin^2(pi / n) / d^2."""
    points = ring(12.0, count=76)
    elastic = Elastic(0.5, 0.0, steps=1, distance=2 * np.pi * 12 / 76)
    after = snake(NOTHING, points, elastic).points
    d = 2 * np.pi * 12 / 76
    expected = 12 / (1 + 0.5 * 4 * np.sin(np.pi / 76) ** 2 / d**2)
    assert size(after) == pytest.approx(expected, rel=2e-3)


def test_rigidity_smooths_corners():
    square = torch.tensor([[15.0, 15.0], [15.0, 45.0], [45.0, 45.0], [45.0, 15.0]])
    after = snake(NOTHING, square, Elastic(0.0, 5.0, steps=20)).points
    corner = (after - torch.tensor([15.0, 15.0])).norm(dim=1).min()
    assert float(corner) > 1.0


def test_points_are_spread_evenly():
    uneven = torch.cat([ring(15.0, count=200)[:150], ring(15.0, count=200)[150::10]])
    after = snake(NOTHING, uneven, Elastic(0.0, 0.0, steps=1)).points
    parts = (after - after.roll(1, dims=0)).norm(dim=1)
    assert float(parts.max() / parts.min()) < 1.1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pressure", [0.4, -0.4])
def test_a_balloon_pushes_outwards_whichever_way_the_line_runs(turned, pressure):
    points = ring(15.0).flip(0) if turned else ring(15.0)
    after = snake(NOTHING, points, Elastic(0.0, 0.0, pressure, steps=10)).points
    assert size(after) == pytest.approx(15.0 + 10 * pressure, abs=0.2)


def test_an_open_line_keeps_its_ends_and_straightens():
    x = torch.linspace(10.0, 50.0, 41, dtype=torch.float64)
    bent = torch.stack([30 + 8 * torch.sin((x - 10) / 40 * torch.pi), x], dim=1)
    after = snake(NOTHING, bent, Elastic(1.0, 0.0, closed=False, steps=3000, tol=1e-4)).points
    assert torch.allclose(after[0], bent[0])
    assert torch.allclose(after[-1], bent[-1])
    assert float((after[:, 0] - 30).abs().max()) < 0.5


def test_the_line_goes_through_its_fixed_points():
    fixed = torch.tensor([[30.0, 50.0], [12.0, 30.0]], dtype=torch.float64)
    after = snake(NOTHING, ring(12.0), Elastic(0.5, 0.1, steps=60), fixed=fixed).points
    for point in fixed:
        assert float((after - point).norm(dim=1).min()) < 1e-9


def test_is_drawn_to_a_valley_of_potential():
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    far = ((y - 30) ** 2 + (x - 30) ** 2).sqrt().clamp(min=1e-3)
    pull = torch.stack([y - 30, x - 30]) / far * (18 - far).clamp(-1, 1)
    rest = snake(pull, ring(12.0), Elastic(0.01, 0.01))
    assert rest.settled
    assert size(rest.points) == pytest.approx(18.0, abs=0.3)


def test_stays_inside_the_image_and_tells_of_each_step():
    heard = []
    rest = snake(
        NOTHING,
        ring(25.0),
        Elastic(balloon=1.0, steps=20),
        on_step=lambda number, move: heard.append((number, move)),
    )
    assert float(rest.points.min()) >= 0
    assert float(rest.points.max()) <= 59
    assert heard == list(enumerate(rest.moves, start=1))


def explicit_flow(edges, weight, count):
    """Iterate eq. (15) of Xu and Prince with small steps; edge samples repeat."""
    fy, fx = np.gradient(edges)
    b = fy**2 + fx**2
    u, v = fy.copy(), fx.copy()
    for _ in range(count):
        for field, goal in ((u, fy), (v, fx)):
            p = np.pad(field, 1, mode="edge")
            around = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * field
            field += 0.2 * (weight * around - b * (field - goal))
    return np.stack([u, v])


def test_the_flow_solves_the_equation_of_xu_and_prince():
    g = torch.Generator().manual_seed(5)
    edges = torch.rand(1, 14, 15, generator=g, dtype=torch.float64)
    edges = (edges - edges.min()) / (edges.max() - edges.min())
    found = gradient_vector_flow(edges, (1.0, 1.0, 1.0), weight=0.2, steps=3000)
    expected = explicit_flow(edges[0].numpy(), 0.2, 6_000)
    np.testing.assert_allclose(found[1:, 0].numpy(), expected, atol=2e-3)
    assert not bool(found[0].any())


@pytest.mark.parametrize("kind", ["constant", "adaptive"])
def test_the_flow_points_to_edges_from_afar(kind):
    edges = torch.zeros(1, 40, 64)
    edges[:, :, 50] = 1
    flow = gradient_vector_flow(edges, (1.0, 1.0, 1.0), weight=0.2, kind=kind)
    assert bool((flow[2, 0, :, 15:49] > 0).all())
    assert bool((flow[2, 0, :, 52:60] < 0).all())


def test_the_flow_of_a_volume_keeps_to_the_spacing():
    z, y, x = torch.meshgrid(*(torch.arange(n).double() for n in (12, 24, 24)), indexing="ij")
    far = ((2 * (z - 5.5)) ** 2 + (y - 11.5) ** 2 + (x - 11.5) ** 2).sqrt()
    flow = gradient_vector_flow(torch.exp(-((far - 8) ** 2)), (2.0, 1.0, 1.0))
    outwards = torch.stack([2 * (z - 5.5), y - 11.5, x - 11.5]) / far
    along = (flow * outwards).sum(dim=0) / flow.norm(dim=0)
    assert float(along[(far > 3) & (far < 7)].min()) > 0.8
    assert float(along[(far > 9) & (far < 11)].max()) < -0.8


@pytest.mark.parametrize("name", ["elasticity", "rigidity", "tol"])
def test_refuses_negative_settings(name):
    with pytest.raises(ConfigError, match=f"{name} must be 0 or a positive number, got -1"):
        Elastic(**{name: -1.0})


@pytest.mark.parametrize("name", ["distance", "time_step", "steps"])
def test_refuses_settings_that_are_not_positive(name):
    with pytest.raises(ConfigError, match=f"{name} must be a positive number, got 0"):
        Elastic(**{name: 0})


def test_refuses_an_endless_balloon():
    with pytest.raises(ConfigError, match="balloon must be a finite pressure, got inf"):
        Elastic(balloon=float("inf"))


def test_refuses_too_few_points():
    with pytest.raises(ShapeError, match="a snake needs at least 3 points, got 2"):
        snake(NOTHING, torch.zeros(2, 2), Elastic())


@pytest.mark.parametrize(("weight", "steps"), [(0.0, 10), (0.2, 0), (float("nan"), 10)])
def test_refuses_a_flow_without_weight_or_steps(weight, steps):
    with pytest.raises(ConfigError, match="weight and steps must be positive"):
        gradient_vector_flow(torch.rand(1, 8, 8), (1.0, 1.0, 1.0), weight=weight, steps=steps)
