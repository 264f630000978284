"""Erratum 6: a fluid carries its displacement, du/dt = v - (grad u) v; to add v alone folds it.

In the house a displacement points from the fixed to the moving image, so that the sign of both
parts turns: du/dt = v + (grad u) v.
"""

import torch

from vesalius.core import Grid
from vesalius.ops._stencils import corner_slopes, determinant
from vesalius.ops._warp import warp
from vesalius.register.regularise import FluidSolver, advance

GRID = Grid.from_spacing((1, 40, 40))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Give a disc with a wide notch, a letter C, and the disc."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 2, indexing="ij")
    r, angle = torch.hypot(y, x), torch.atan2(y, x)
    disc = torch.sigmoid(30 * (0.7 - r))
    notch = torch.sigmoid(30 * (r - 0.3)) * torch.sigmoid(12 * (0.5 - angle.abs()))
    return (disc * (1 - notch))[None, None], disc[None, None]


def folds(flow: torch.Tensor) -> float:
    worst = torch.stack([determinant(s) for s in corner_slopes(flow, (1, 1, 1))]).amin(dim=0)
    return float((worst <= 0).double().mean())


def flow_to(fixed, moving, *, carried: bool, steps: int = 90) -> tuple[torch.Tensor, list[float]]:
    """Push by the mean square difference through a fluid; transport the displacement or add."""
    flow, losses = torch.zeros(3, *GRID.shape), []
    for _ in range(steps):
        warped = warp(moving, flow)
        slope = torch.stack(torch.gradient(warped[0, 0])) * (fixed - warped)[0, 0]
        losses.append(float(((fixed - warped) ** 2).mean()))
        force = torch.cat([torch.zeros(1, 1, 40, 40), slope[:, None]])
        velocity = FluidSolver(1.0, 0.0, 0.02)(force, GRID)
        velocity = velocity * (0.4 / velocity.norm(dim=0).max().clamp(min=1e-6))
        flow = advance(flow, velocity) if carried else flow + velocity
    return flow, losses


def test_a_disc_becomes_a_c_without_a_fold_only_if_the_displacement_is_carried():
    fixed, moving = images()
    carried, losses = flow_to(fixed, moving, carried=True)
    added, _ = flow_to(fixed, moving, carried=False)
    assert min(losses) < 0.15 * losses[0]
    assert float(carried.norm(dim=0).max()) > 6  # samples: far from small
    assert folds(carried) == 0
    assert folds(added) > 0.01


def test_a_small_step_of_the_flow_is_v_plus_grad_u_v(generator):
    y, x = torch.meshgrid(*[torch.arange(24).double()] * 2, indexing="ij")
    flow = torch.stack([0 * y, 1.5 * torch.sin(0.3 * x + 0.1 * y), torch.cos(0.2 * y)])[:, None]
    velocity = torch.stack([0 * y, torch.cos(0.15 * x), torch.sin(0.2 * (x + y))])[:, None]
    step = 1e-6
    rate = (advance(flow, step * velocity) - flow) / step
    # the interpolant's slope is the one-sided difference on the side of the velocity
    ahead = velocity.new_zeros(flow.shape)
    for axis in (1, 2):
        after = torch.roll(flow, -1, axis + 1) - flow
        before = flow - torch.roll(flow, 1, axis + 1)
        ahead += torch.where(velocity[axis] > 0, after, before) * velocity[axis]
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(rate[inside], (velocity + ahead)[inside], atol=1e-6, rtol=1e-6)
    assert float((rate - velocity)[inside].abs().max()) > 0.1
