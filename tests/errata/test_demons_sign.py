"""Erratum 13: the demons force has a sign that depends on the direction of the map."""

import pytest
import torch

from vesalius.ops._demons import Optics, demons_force
from vesalius.ops._warp import warp

OPTICS = [Optics((1.0, 1.0, 1.0), 2.0, mix, (1.0,), (0.0,)) for mix in (0.0, 0.5, 1.0)]


def ball(at: float) -> torch.Tensor:
    x = torch.arange(24.0)
    profile = torch.exp(-((x - at) ** 2) / 18)
    return (profile[None, :] * torch.exp(-((x - 12) ** 2) / 18)[:, None])[None, None]


@pytest.mark.parametrize("optics", OPTICS, ids=["warped", "symmetric", "thirion"])
@pytest.mark.parametrize("shift", [-1.0, 1.0])
@pytest.mark.parametrize("bright", [-1.0, 1.0])
def test_the_force_points_to_where_the_moving_image_has_the_value(optics, shift, bright):
    """The moving ball lies ``shift`` further: a pulled image must look it up there."""
    fixed, moving = bright * ball(12), bright * ball(12 + shift)
    loss, force = demons_force(fixed, moving, None, optics)
    ring = moving[0].abs() > 0.2
    assert float((force[2][ring] * shift).mean()) > 0.3
    better, _ = demons_force(fixed, warp(moving, force), None, optics)
    worse, _ = demons_force(fixed, warp(moving, -force), None, optics)
    assert better < 0.5 * loss < loss < worse
