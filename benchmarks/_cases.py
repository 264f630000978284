"""The inputs of all benchmarks, made from fixed seeds: same work for us and for the rival."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
from torch import Tensor

SEED = 20261121


def noise_volume(size: int = 256, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Give white noise of ``size``^3 samples, the worst case for interpolation; (z, y, x)."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.rand(size, size, size, generator=generator, dtype=torch.float64).to(dtype)


def rotated_index_map(size: int = 256, *, angle_deg: float = 7.0) -> Tensor:
    """Give the (4, 4) map of output index to input index: a rotation about the centre.

    All three axes turn (the rotation vector is (1, 2, 3) in z, y, x), so no axis stays aligned.
    """
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0) * np.deg2rad(angle_deg)
    a, b, c = axis
    skew = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.linalg.matrix_exp(skew)
    centre = torch.full((3,), (size - 1) / 2, dtype=torch.float64)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    return matrix


def scaled_index_map(scale: tuple[float, float, float] = (0.8, 1.1, 0.93)) -> Tensor:
    """Give an axis-aligned (4, 4) map of output index to input index: scale and shift."""
    matrix = torch.diag(torch.tensor([*scale, 1.0], dtype=torch.float64))
    matrix[:3, 3] = torch.tensor([0.3, 0.7, 0.1], dtype=torch.float64)
    return matrix
