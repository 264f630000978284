"""K-space of a slice seen by coils, in closed form: no grid, no operator of ours."""
# SPDX-License-Identifier: Apache-2.0

import torch

from vesalius.physics.mri import ellipse_spectrum

HEAD = torch.tensor(
    [
        # value, half axes, centre x, y, angle: in units of half the field of view
        [1.0, 0.69, 0.92, 0.0, 0.0, 0.0],
        [-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0],
        [-0.2, 0.11, 0.31, 0.22, 0.0, -18.0],
        [-0.2, 0.16, 0.41, -0.22, 0.0, 18.0],
        [0.1, 0.21, 0.25, 0.0, 0.35, 0.0],
        [0.1, 0.046, 0.046, 0.0, 0.1, 0.0],
        [0.1, 0.046, 0.046, 0.0, -0.1, 0.0],
        [0.1, 0.046, 0.023, -0.08, -0.605, 0.0],
        [0.1, 0.023, 0.023, 0.0, -0.606, 0.0],
        [0.1, 0.023, 0.046, 0.06, -0.605, 0.0],
    ],
    dtype=torch.float64,
)
"""The modified Shepp-Logan slice (Toft 1996, table B.3)."""

WAVES = ((0.0, 0.0), (0.25, 0.0), (0.0, 0.25), (-0.25, 0.0), (0.0, -0.25))
"""Coil maps are sums of slow waves of these cycles over half a field of view, (y, x)."""


def coil_waves(coils):
    """Give the (coil, wave) factors of the maps."""
    generator = torch.Generator().manual_seed(3)
    factors = torch.randn(coils, len(WAVES), generator=generator, dtype=torch.complex128)
    factors[:, 0] += 1.0
    return factors


def true_maps(n, coils):
    """Give the maps on a lattice of n x n, as they are (not normalised)."""
    at = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
    y, x = torch.meshgrid(at, at, indexing="ij")
    waves = torch.stack([torch.exp(2j * torch.pi * (qy * y + qx * x)) for qy, qx in WAVES])
    return torch.tensordot(coil_waves(coils), waves, dims=1)


def head_kspace(n, coils):
    """Give the exact samples (coil, n, n) of the centred unitary transform."""
    frequency = (torch.arange(n, dtype=torch.float64) - n // 2) / 2
    k = torch.stack(torch.meshgrid(frequency, frequency, indexing="ij"), dim=-1)
    # a wave moves the spectrum: the transform of x exp(2 pi i q r) at k is that of x at k - q
    moved = torch.stack([ellipse_spectrum(HEAD, k=k - torch.tensor(q).double()) for q in WAVES])
    return torch.tensordot(coil_waves(coils), moved, dims=1) * (n / 4)
