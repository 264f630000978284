"""Metal: streaks go, the metal stays, the rest of the data is untouched."""

from functools import partial

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError, RegionError
from vesalius.physics.ct import Projections, parallel
from vesalius.reconstruct.ct import Metal, fbp, reduce_metal
from vesalius.reconstruct.ct._metal import bridge

GRID = Grid.from_spacing((1, 120, 120), origin_mm=(-59.5, -59.5, 0.0))
BODY = [(2.0, -3.0, 50.0, 0.02), (0.0, 20.0, 9.0, 0.03), (-10.0, -25.0, 8.0, 0.03)]
SCREWS = [(-22.0, 6.0, 3.0, 0.4), (24.0, 8.0, 3.0, 0.4)]
LIMITS = Metal(metal=0.1, bone=0.026, air=0.01)


def discs(those: list[tuple[float, float, float, float]]) -> torch.Tensor:
    angles = torch.arange(120, dtype=torch.float64) * 1.5
    s = torch.arange(161, dtype=torch.float64) - 80
    theta = torch.deg2rad(angles)[:, None]
    total = torch.zeros(120, 161, dtype=torch.float64)
    for x, y, radius, mu in those:
        away = s - (y * theta.cos() - x * theta.sin())
        total += mu * 2 * (radius**2 - away**2).clamp_min(0).sqrt()
    return total[:, None]


def scan(data: torch.Tensor) -> Projections:
    geometry = parallel(torch.arange(120, dtype=torch.float64) * 1.5, shape=(1, 161))
    return Projections(data, geometry)


def hardened() -> Projections:
    """Metal that stops soft photons first: its line integral saturates at 3."""
    return scan(discs(BODY) + 3 * (1 - torch.exp(-discs(SCREWS) / 3)))


def far() -> torch.Tensor:
    """Voxels inside the body, 2 radii off each screw."""
    y, x = torch.meshgrid(torch.arange(120) - 59.5, torch.arange(120) - 59.5, indexing="ij")
    kept = (x - 2) ** 2 + (y + 3) ** 2 < 46**2
    for a, b, radius, _ in SCREWS:
        kept &= (x - a) ** 2 + (y - b) ** 2 > (2 * radius) ** 2
    return kept


def error(data: torch.Tensor, truth: torch.Tensor) -> float:
    return float((data - truth)[0, 0][far()].square().mean().sqrt())


RECONSTRUCT = partial(fbp, like=GRID)


def test_streaks_go_and_normalising_is_better_than_straight_lines():
    truth = RECONSTRUCT(scan(discs(BODY))).image.data
    raw = RECONSTRUCT(hardened())
    line = reduce_metal(hardened(), RECONSTRUCT, limits=LIMITS, method="linear")
    norm = reduce_metal(hardened(), RECONSTRUCT, limits=LIMITS)
    errors = [error(r.image.data, truth) for r in (raw, line, norm)]
    assert errors[1] < 0.75 * errors[0]
    assert errors[2] < 0.9 * errors[1]


def test_the_metal_is_put_back_and_the_report_says_so():
    raw = RECONSTRUCT(hardened()).image.data
    found = reduce_metal(hardened(), RECONSTRUCT, limits=LIMITS)
    metal = raw > 0.1
    assert int(metal.sum()) == pytest.approx(2 * 28, abs=15)  # two circles of radius 3 mm
    assert torch.equal(found.image.data[metal], raw[metal])
    assert found.image.unit == "1/mm"
    assert "of the rays crossed metal and were replaced (normalised)" in found.remarks[-1]
    assert found.method.endswith(", metal")


def test_rays_outside_the_shadow_are_untouched_and_inside_go_straight():
    data = discs(BODY)
    shadow = torch.zeros_like(data, dtype=torch.bool)
    shadow[3, 0, 50:60] = True
    spoiled = data.clone()
    spoiled[shadow] = 99.0
    got = bridge(scan(spoiled), shadow).data
    assert torch.equal(got[~shadow], data[~shadow])
    part = torch.arange(1, 11, dtype=torch.float64) / 11
    low, high = data[3, 0, 49], data[3, 0, 60]
    torch.testing.assert_close(got[3, 0, 50:60], low + part * (high - low))


def test_no_metal_is_refused():
    with pytest.raises(RegionError, match="metal must show in the first image"):
        reduce_metal(scan(discs(BODY)), RECONSTRUCT, limits=LIMITS)


def test_a_row_that_is_all_shadow_is_refused():
    shadow = torch.zeros(120, 1, 161, dtype=torch.bool)
    shadow[7, 0] = True
    with pytest.raises(RegionError, match="view 7, row 0 is all shadow"):
        bridge(scan(discs(BODY)), shadow)


@pytest.mark.parametrize("limits", [(0.1, 0.2, 0.01), (0.1, 0.01, 0.02), (0.1, 0.05, -0.1)])
def test_limits_that_do_not_rise_are_refused(limits):
    metal, bone, air = limits
    with pytest.raises(ConfigError, match="limits must rise from air to bone to metal"):
        Metal(metal=metal, bone=bone, air=air)
