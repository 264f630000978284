"""Gradient vector flow: the gradient of an edge map, carried smoothly to where there is none."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._chan_vese import ratios

Field = Float[Tensor, "3 z y x"]
Kind = Literal["constant", "adaptive"]


def gradient_vector_flow(
    edges: Float[Tensor, "z y x"],
    spacing: tuple[float, float, float],
    *,
    weight: float = 0.2,
    kind: Kind = "constant",
    steps: int = 100,
) -> Field:
    """Carry the gradient of an edge map into flat regions.

    Minimises the roughness of a vector field that must be the gradient where that is strong. The
    field is found on a coarse lattice first and refined, so that it reaches far in few steps.

    Args:
        edges: (z, y, x), large on edges; scaled to 0..1.
        spacing: Size of a voxel along (z, y, x), any unit.
        weight: Of smoothness; for ``"adaptive"`` the slope that counts as strong.
        kind: ``"constant"`` smoothness (GVF), or ``"adaptive"``: less where the gradient is
            strong (generalised GVF), which enters long thin concavities.
        steps: Relaxations on each lattice.

    Returns:
        (3, z, y, x): direction along (z, y, x) per sample of the finest axis; 0 along an axis of
        one sample.

    Raises:
        ConfigError: The weight or the steps are not positive.

    References:
        Xu and Prince (1998), doi:10.1109/83.661186, eq. (12) and (13); generalised: Xu and
        Prince (1998), doi:10.1016/S0165-1684(98)00140-6, eq. (6). Solved by damped Jacobi steps
        from coarse to fine instead of explicit time steps.
    """
    if not 0 < weight < float("inf") or steps < 1:
        raise ConfigError(
            f"weight and steps must be positive for a gradient vector flow, got {weight}, {steps}"
        )
    low, high = edges.min(), edges.max()
    scaled = (edges - low) / (high - low).clamp(min=1e-30)
    pace = ratios(edges.shape, spacing)
    goal = torch.stack(
        [
            torch.gradient(scaled, dim=a)[0] * r if r > 0 else torch.zeros_like(scaled)
            for a, r in enumerate(pace)
        ]
    )
    squares = (goal**2).sum(dim=0)
    if kind == "adaptive":
        smooth = torch.exp(-squares.sqrt() / weight)
        hold = 1 - smooth
    else:
        smooth, hold = torch.full_like(squares, weight), squares
    return _solved(_Terms(hold, hold * goal, smooth), [r * r for r in pace], steps)


class _Terms(NamedTuple):
    """What each sample asks for: ``smooth * (roughness) = pull - hold * field``."""

    hold: Tensor
    pull: Tensor
    smooth: Tensor


def _solved(terms: _Terms, pace: list[float], steps: int) -> Tensor:
    """Relax, after the same on half the samples along long axes."""
    shape = terms.hold.shape
    halved = [n >= 16 for n in shape]
    field = terms.pull / (terms.hold + 2 * terms.smooth * sum(pace)).clamp(min=1e-30)
    if any(halved):
        size = [2 if h else 1 for h in halved]
        coarse = _Terms(*(_pooled(t, size) for t in terms))
        fewer = [r / k**2 for r, k in zip(pace, size, strict=True)]
        found = _solved(coarse, fewer, steps)
        field = torch.nn.functional.interpolate(found[None], size=shape, mode="trilinear")[0]
    below = (terms.hold + 2 * terms.smooth * sum(pace)).clamp(min=1e-30)
    for _ in range(steps):
        around = sum(
            (r * _neighbours(field, a + 1) for a, r in enumerate(pace) if r > 0),
            torch.zeros_like(field),
        )
        field = (terms.pull + terms.smooth * around) / below
    return field


def _pooled(field: Tensor, size: list[int]) -> Tensor:
    whole = field if field.ndim == 4 else field[None]
    found = torch.nn.functional.avg_pool3d(whole[None], size, ceil_mode=True)[0]
    return found if field.ndim == 4 else found[0]


def _neighbours(field: Tensor, axis: int) -> Tensor:
    """Sum both neighbours along an axis; edge samples repeat."""
    n = field.shape[axis]
    ahead = torch.cat([field.narrow(axis, 1, n - 1), field.narrow(axis, n - 1, 1)], axis)
    back = torch.cat([field.narrow(axis, 0, 1), field.narrow(axis, 0, n - 1)], axis)
    return ahead + back
