"""Soft assignment of points to centres by Student's t, and the sharper target it learns from."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError

Shares = Float[Tensor, "n k"]


def soft_assignment(
    x: Float[Tensor, "n d"], centres: Float[Tensor, "k d"], *, tau: float = 1.0
) -> Shares:
    """Share each point among centres by Student's t of its distance; differentiable.

    The kernel is (1 + d^2 / tau)^(-(tau + 1) / 2), d^2 the squared distance. (It is often printed
    with the distance to the first power: that has a kink at the centre and heavier tails.)

    Args:
        x: (n, d).
        centres: (k, d).
        tau: Degrees of freedom; large values tend to a Gaussian.

    Returns:
        Rows that add up to 1.

    Raises:
        ConfigError: ``tau`` is not positive.

    References:
        Xie, Girshick & Farhadi (2016), arXiv:1511.06335, eq. (1).
    """
    if not tau > 0:
        raise ConfigError(f"tau, the degrees of freedom, must be positive, got {tau}")
    square = (x[:, None, :] - centres[None, :, :]).square().sum(dim=2)
    return torch.softmax(-0.5 * (tau + 1) * torch.log1p(square / tau), dim=1)


def sharpened(shares: Shares) -> Shares:
    """Give the target distribution of deep embedded clustering: sure points count more.

    Args:
        shares: From ``soft_assignment``.

    Returns:
        Squared shares over the size of each group, rows normalised.

    References:
        Xie, Girshick & Farhadi (2016), arXiv:1511.06335, eq. (3).
    """
    weight = shares.square() / shares.sum(dim=0, keepdim=True)
    return weight / weight.sum(dim=1, keepdim=True)
