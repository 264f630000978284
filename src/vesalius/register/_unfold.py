"""Unfold: smooth a field where the map folds, and only there, until it folds nowhere."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._filters import gaussian
from vesalius.ops._jacobian import folding
from vesalius.ops._local_ncc import box_sum
from vesalius.ops._warp import exponential

Flow = Float[Tensor, "3 z y x"]
LEAST = 0.02  # smallest corner determinant that is left
ROUNDS = 8  # with one width of the smoother, before it is widened


def unfold(flow: Flow) -> Flow:
    """Give a flow whose cells keep their orientation at all 8 corners.

    A greedy search composes maps that do not fold, but its result is kept by linear interpolation
    on a lattice, and there a few cells can turn over. Each round blends the flow with its own
    Gaussian around those cells; the Gaussian widens while that does not help, so that it ends.

    Args:
        flow: (3, z, y, x), samples.

    Returns:
        The flow itself where it does not fold.
    """
    return _unfolded(flow, _turned)


def unfold_velocity(velocity: Flow) -> Flow:
    """Give a velocity whose exponential, forward and backward, does not fold; see ``unfold``."""
    return _unfolded(velocity, _turned_velocity)


def _turned_velocity(velocity: Flow) -> Tensor | None:
    ways = [_turned(exponential(v)) for v in (velocity, -velocity)]
    found = [w for w in ways if w is not None]
    return torch.stack(found).amax(0) if found else None


def _turned(flow: Flow) -> Tensor | None:
    """Give 1 at the samples of cells that fold or nearly do, else 0; None where none does."""
    bad = folding(flow) < LEAST
    if not bool(bad.any()):
        return None
    cells = torch.zeros(flow.shape[1:], dtype=flow.dtype, device=flow.device)
    z, y, x = bad.shape
    cells[:z, :y, :x] = bad.to(flow.dtype)
    return cells


def _unfolded(field: Flow, turned: Callable[[Flow], Tensor | None]) -> Flow:
    sigma, count = 1.0, 0
    while (cells := turned(field)) is not None:
        count += 1
        reach = 2 * int(sigma)
        near = box_sum(cells, (reach,) * 3).clamp_max(1)
        blend = gaussian(near, (sigma,) * 3)
        field = field + blend * (gaussian(field, (sigma,) * 3) - field)
        if count % ROUNDS == 0:
            sigma *= 1.5
    return field
