"""TimeVelocity: integrates in the order of time, goes back exactly, and is searched as a basis."""

import pytest
import torch
from register_fields import GRID, error_mm, levels_of, voxels

from vesalius.core import Grid, Linear, Velocity
from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.register import _variational
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Lbfgs, Scale, Stage
from vesalius.register._watch import Watch
from vesalius.register.fields import TimeForm, TimeVelocity
from vesalius.register.regularise import Bending


def swirl(size: float) -> torch.Tensor:
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    fade = size * torch.exp(-3 * (z**2 + y**2 + x**2))
    return torch.stack([-y, x, 0.3 * z]) * fade


def push(size: float) -> torch.Tensor:
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    fade = size * torch.exp(-3 * (z**2 + y**2 + x**2))
    return torch.stack([fade, 0 * fade, 0.5 * fade])


def inside() -> torch.Tensor:
    return voxels(GRID)[4:-4, 4:-4, 4:-4].float()


def test_one_span_is_a_stationary_velocity():
    points = inside()
    found = TimeVelocity(swirl(8)[None], GRID)(points)
    torch.testing.assert_close(found, Velocity(swirl(8), GRID)(points))


def test_spans_act_in_the_order_of_time():
    points = inside()
    both = TimeVelocity(torch.stack([swirl(20), push(12)]), GRID)
    first, second = Velocity(swirl(20) / 2, GRID), Velocity(push(12) / 2, GRID)
    right = (second(first(points)) - both(points)).norm(dim=-1)
    wrong = (first(second(points)) - both(points)).norm(dim=-1)
    assert float(right.mean()) < 0.05
    assert float(wrong.mean()) > 5 * float(right.mean())


def test_time_run_backwards_is_the_inverse():
    flow = TimeVelocity(torch.stack([swirl(20), push(10), -swirl(8)]), GRID)
    points = inside()
    back = flow.inverse()(flow(points))
    assert float((back - points).norm(dim=-1).mean()) < 0.05 * 2.0
    torch.testing.assert_close(flow.inverse().inverse().data, flow.data)


def test_the_derivative_and_the_field_are_those_of_the_flow():
    flow = TimeVelocity(torch.stack([swirl(10), push(6)]), GRID)
    points = inside().reshape(-1, 3)[::37]
    torch.testing.assert_close(flow.to_field(GRID)(points), flow(points))
    jacobian = flow.jacobian(points.double())
    step = 1e-4
    at = points.double() + 0.05
    slow = (flow(at + torch.tensor([step, 0, 0])) - flow(at - torch.tensor([step, 0, 0]))) / (
        2 * step
    )
    torch.testing.assert_close(flow.jacobian(at)[..., 0], slow, atol=5e-3, rtol=0)
    assert float(torch.linalg.det(jacobian).min()) > 0


def test_it_says_what_it_maps():
    text = repr(TimeVelocity(torch.zeros(3, 3, *GRID.shape), GRID))
    assert "fixed -> moving, mm, LPS, 3 spans" in text


def test_data_without_a_span_or_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="with at least one span of time"):
        TimeVelocity(torch.zeros(3, *GRID.shape), GRID)
    with pytest.raises(ShapeError, match="to fit its grid"):
        TimeVelocity(torch.zeros(2, 3, 4, 4, 4), GRID)
    with pytest.raises(GeometryError, match="must be finite"):
        TimeVelocity(torch.full((1, 3, *GRID.shape), float("nan")), GRID)
    with pytest.raises(ConfigError, match="spans of time must be at least 1, got 0"):
        TimeForm(10.0, 0)


def test_its_basis_follows_a_known_deformation_and_can_go_back():
    plan = Stage(TimeForm(8.0, 2), MeanSquare(), Lbfgs(), (Scale(4.0, 20),), (Bending(0.05),))
    found = _variational.solve(levels_of(plan.scales), plan, Watch())
    assert isinstance(found, TimeVelocity)
    assert error_mm(found) < 0.6 * error_mm(Linear.identity())
    points = inside()
    assert float((found.inverse()(found(points)) - points).norm(dim=-1).mean()) < 0.1


def test_a_basis_at_rest_does_not_move():
    grid = Grid.from_spacing((1, 8, 9))
    basis = TimeForm(4.0, 3)
    start = basis.start(grid)
    assert start.shape[:2] == (3, 3)
    assert not basis.flow(start, grid).any()
