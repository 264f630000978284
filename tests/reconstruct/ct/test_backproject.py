"""Back-projection alone: its sums, and the blur that filtering must undo."""

from dataclasses import replace

import pytest
import torch

from vesalius.reconstruct.ct._backproject import Divergent, sum_divergent, sum_parallel


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


SHAPES = {
    "flat": (0.0, 1.0),
    "arc": (60.0, 80.0),
    "fan": (0.0, 0.0),
}


def divergent(kind: str, hz: float, *, views: int = 5) -> Divergent:
    """Rays at random around a block of voxels whose middle falls on the detector's."""
    draw = torch.Generator().manual_seed(len(kind))
    bend, lift = SHAPES[kind]
    angle = torch.rand(views, generator=draw, dtype=torch.float64) * 2 * torch.pi
    away = 80.0 if kind == "arc" else 1.0
    reach = 0.004 * away
    zero = torch.zeros(views, dtype=torch.float64)
    across = torch.stack([angle.sin(), angle.cos(), zero], dim=1)
    depth = torch.stack([angle.cos() * reach, -angle.sin() * reach, zero + away], dim=1)
    across[:, 2] -= 9 * across[:, 0] + 10 * across[:, 1]
    depth[:, 2] -= 9 * depth[:, 0] + 10 * depth[:, 1]
    along = torch.tensor([[hz, -18.3 * hz]], dtype=torch.float64).expand(views, 2)
    return Divergent(across, depth, along, (11.2, 14.6), away, bend, lift)


def slow_sum(lines: torch.Tensor, rays: Divergent, shape: tuple[int, int, int]) -> torch.Tensor:
    """Add up view by view with scipy, as the formulas are written."""
    from scipy.ndimage import map_coordinates

    y, x, z = torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij")
    total = torch.zeros(shape, dtype=torch.float64)
    columns, rows = lines.shape[1:]
    for v, line in enumerate(lines.double().numpy()):
        a, b, c = rays.across[v]
        d, e, f = rays.depth[v]
        across, away = a * y + b * x + c, d * y + e * x + f
        if rays.bend > 0:
            column, away = torch.atan2(across, away) * rays.bend, torch.hypot(across, away)
        else:
            column = across / away
        row = (rays.along[v, 0] * z + rays.along[v, 1]) * (rays.lift / away if rays.lift else 1.0)
        row, column = row + rays.first[1], column + rays.first[0]
        seen = (row >= 0.5) & (row <= rows - 1.5) & (column >= 0) & (column < columns - 1)
        value = torch.from_numpy(map_coordinates(line, [column.numpy(), row.numpy()], order=1))
        total += torch.where(seen, value * (rays.scale / away) ** 2, 0.0)
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("hz", [0.8, -0.8, 1.0, 0.05, 2.3, -7.0, 40.0])
@pytest.mark.parametrize("kind", SHAPES)
def test_agrees_with_a_slow_sum_at_any_magnification(kind, hz, dtype):
    lines = torch.rand(5, 23, 31, generator=torch.Generator().manual_seed(3), dtype=dtype)
    lines[:, [0, -1]] = 0.0
    rays, shape = divergent(kind, hz), (19, 21, 37)
    total = torch.ones(shape, dtype=dtype)
    sum_divergent(lines, rays, total)
    expected = slow_sum(lines, rays, shape)
    assert float(expected.abs().max()) > 1.0
    # a voxel on the limit of the detector may fall on either side of it
    off = (total.double() - 1.0 - expected).abs()
    assert float(off.max()) < (2e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize(
    ("columns", "rows", "views"), [(3, 4, 1), (3, 9, 1), (4, 40, 1), (5, 3, 2)]
)
def test_detectors_narrower_than_a_window_give_the_same_as_large_ones(columns, rows, views):
    lines = torch.rand(views, columns, rows, generator=torch.Generator().manual_seed(0))
    rays = replace(divergent("flat", 0.7, views=views), first=(columns / 2, rows / 2))
    one, two = torch.zeros(9, 10, 37), torch.zeros(9, 10, 37, dtype=torch.float64)
    sum_divergent(lines, rays, one)
    sum_divergent(lines.double(), rays, two)
    torch.testing.assert_close(one.double(), two, rtol=1e-5, atol=1e-5)


def test_more_threads_give_the_same_sums():
    lines = torch.rand(5, 23, 31, generator=torch.Generator().manual_seed(3))
    sums, before = [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        sums.append(torch.zeros(29, 21, 37))
        sum_divergent(lines, divergent("flat", 0.8), sums[-1])
    torch.set_num_threads(before)
    assert torch.equal(*sums)


def test_no_sum_is_written_outside_the_volume():
    """The last lanes of a line may reach beyond it; they must not touch what lies there."""
    room = torch.full((19 * 21 * 37 + 64,), 5.0)
    total = room[32:-32].view(19, 21, 37)
    lines = torch.rand(5, 23, 31, generator=torch.Generator().manual_seed(3))
    sum_divergent(lines, divergent("flat", 0.8), total)
    assert room[:32].tolist() + room[-32:].tolist() == [5.0] * 64
    assert float(total.max()) > 6.0


def test_nan_in_one_view_reaches_only_voxels_that_it_falls_on():
    lines = torch.rand(1, 23, 31, generator=torch.Generator().manual_seed(3))
    lines[0, 12, 20] = torch.nan
    fast, slow = torch.zeros(19, 21, 37), torch.zeros(19, 21, 37, dtype=torch.float64)
    rays = divergent("flat", 0.8, views=1)
    sum_divergent(lines, rays, fast)
    sum_divergent(lines.double(), rays, slow)
    assert 0 < int(fast.isnan().sum()) < fast.numel() // 10
    assert torch.equal(fast.isnan(), slow.isnan())
