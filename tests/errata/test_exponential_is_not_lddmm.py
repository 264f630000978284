"""Erratum 7: exp(v) flows along one stationary velocity; large-deformation maps integrate v_t."""

import torch

from vesalius.core import Grid, Velocity
from vesalius.register.fields import TimeVelocity

GRID = Grid.from_spacing((1, 40, 40))


def test_a_velocity_that_changes_is_not_the_exponential_of_its_mean():
    """First a push, then a turn: not the flow of their mean, and not of the two the other way."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 2, indexing="ij")
    fade = torch.exp(-4 * (y**2 + x**2))
    turn = torch.stack([-20 * y * fade, 20 * x * fade, 0 * fade])[:, None]
    push = torch.stack([8 * fade, 0 * fade, 0 * fade])[:, None]
    changing = TimeVelocity(torch.stack([push, turn]), GRID)
    mean = Velocity((push + turn) / 2, GRID)
    points = GRID.to_world(torch.tensor([[0.0, j, i] for j in (15, 20) for i in (15, 24)]))
    assert float((changing(points) - mean(points)).norm(dim=-1).max()) > 0.5
    still = TimeVelocity(torch.stack([mean.data, mean.data]), GRID)
    torch.testing.assert_close(still(points), mean(points), atol=0.02, rtol=0)
