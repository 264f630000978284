"""Noise: how measurements scatter, and how likely one is.

Part of the room ``physics``. What draws takes a generator; what scores gives the exact negative
log-likelihood of each sample, differentiable by the mean.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.noise._draw import gaussian, mixed, poisson, rician, speckle
from vesalius.physics.noise._likelihood import (
    gaussian_nll,
    mixed_nll,
    poisson_nll,
    rician_nll,
    speckle_nll,
)
from vesalius.physics.noise._scan import scan, to_transmission

__all__ = [
    "gaussian",
    "gaussian_nll",
    "mixed",
    "mixed_nll",
    "poisson",
    "poisson_nll",
    "rician",
    "rician_nll",
    "scan",
    "speckle",
    "speckle_nll",
    "to_transmission",
]
