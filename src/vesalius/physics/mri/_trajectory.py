"""Trajectories through k-space: radial and spiral."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError

Order = Literal["uniform", "golden"]

GOLDEN_DEG = 180.0 / ((1.0 + math.sqrt(5.0)) / 2.0)
"""Angle between golden-angle spokes, 111.246 degrees (Winkelmann et al. 2007,
doi:10.1109/TMI.2006.885337)."""


def radial(
    spokes: int, *, samples: int, order: Order = "golden"
) -> Float[Tensor, "spoke sample axis"]:
    """Give full spokes through the centre of k-space.

    Args:
        spokes: Number of spokes.
        samples: Along a spoke, from -1/2 up to below 1/2 cycles per voxel.
        order: ``"golden"``: each spoke turns by the golden angle; ``"uniform"``: over half a turn.

    Returns:
        (spoke, sample, axis), float64, cycles per voxel, axes (y, x). The first spoke runs along x
        and the next turn towards y.

    Raises:
        ShapeError: There is no spoke, or fewer than 2 samples.
    """
    _check(spokes, samples)
    step = GOLDEN_DEG if order == "golden" else 180.0 / spokes
    angle = torch.deg2rad(torch.arange(spokes, dtype=torch.float64) * step)[:, None]
    r = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return torch.stack((r * torch.sin(angle), r * torch.cos(angle)), dim=-1)


def spiral(
    interleaves: int, *, samples: int, turns: float, power: float = 1.0
) -> Float[Tensor, "interleave sample axis"]:
    """Give spirals from the centre of k-space outwards.

    Args:
        interleaves: Number of spirals, each turned by its part of a full turn.
        samples: Along one spiral.
        turns: Of one spiral. ``interleaves * turns`` of at least half the voxels across the field
            of view meets the Nyquist distance where ``power`` is 1.
        power: The radius grows as time to this power; 1 is Archimedes' spiral in equal angles.

    Returns:
        (interleave, sample, axis), float64, cycles per voxel, axes (y, x).

    Raises:
        ShapeError: There is no interleave, fewer than 2 samples, or ``turns`` is not positive.
    """
    _check(interleaves, samples)
    if not 0 < turns < math.inf or not 0 < power < math.inf:
        raise ShapeError(f"turns and power must be above 0 and finite, got {turns} and {power}")
    t = torch.arange(samples, dtype=torch.float64) / samples
    start = 2 * math.pi * torch.arange(interleaves, dtype=torch.float64)[:, None] / interleaves
    angle, r = start + 2 * math.pi * turns * t, 0.5 * t**power
    return torch.stack((r * torch.sin(angle), r * torch.cos(angle)), dim=-1)


def _check(lines: int, samples: int) -> None:
    if lines < 1 or samples < 2:
        raise ShapeError(
            f"a trajectory must have at least 1 line of 2 samples, got {lines} of {samples}"
        )
