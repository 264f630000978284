"""Back-projection alone: the blur that filtering must undo."""

import pytest
import torch

from vesalius.reconstruct.ct._backproject import sum_parallel


def test_back_projection_without_a_filter_blurs_a_point_by_1_over_r():
    angles = torch.arange(720, dtype=torch.float64) * torch.pi / 720
    rows = torch.zeros(1, 720, 129, dtype=torch.float64)
    rows[..., 64] = 1.0
    place = torch.stack([angles.cos(), -angles.sin(), torch.zeros(720)], dim=1)
    place[:, 2] = 64 - 32 * (place[:, 0] + place[:, 1])
    image = sum_parallel(rows, place, (65, 65))[0]
    at = torch.arange(65.0) - 32
    radius = torch.hypot(at[:, None], at[None, :])
    ring = [float(image[(radius - r).abs() < 0.5].mean()) * r for r in (8, 12, 16, 24, 30)]
    assert ring == pytest.approx([720 / torch.pi] * 5, rel=0.02)
