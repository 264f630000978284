"""Polyaffine: each region moves as told, the rest follows without a fold, the inverse is exact."""

import pytest
import torch

from register.landmark_cases import slope_by_differences
from vesalius.core import Grid, Labels, Linear
from vesalius.errors import ConfigError, GeometryError, RegionError, ShapeError
from vesalius.register.atlas import polyaffine

GRID = Grid.from_spacing((12, 20, 36), (2.0, 2.0, 2.0), origin_mm=(-36.0, -20.0, -12.0))


def bones() -> Labels:
    data = torch.zeros(GRID.shape, dtype=torch.uint8)
    data[3:9, 6:14, 2:12] = 1
    data[3:9, 6:14, 24:34] = 2
    return Labels(data[None], GRID)


MOTIONS = {
    1: Linear.rotation((0, 0, 20), centre_mm=(-10, 0, 0)),
    2: Linear.translation((0, -3, 4)) @ Linear.rotation((10, 5, -25), centre_mm=(10, 0, 0)),
}


def inner(value: int) -> torch.Tensor:
    """World points of the middle of a bone."""
    at = torch.nonzero(bones().data[0] == value).double()
    middle = (at - at.mean(dim=0)).abs() < torch.tensor([2.0, 2.0, 2.0])
    return GRID.to_world(at[middle.all(dim=1)])


def everywhere() -> torch.Tensor:
    axes = [torch.arange(2, n - 2, 3).double() + 0.3 for n in GRID.shape]
    return GRID.to_world(torch.cartesian_prod(*axes))


def test_each_bone_moves_by_its_own_map():
    joined = polyaffine(bones(), MOTIONS, sigma_mm=3.0)
    for value, motion in MOTIONS.items():
        at = inner(value)
        torch.testing.assert_close(joined(at), motion(at), rtol=0, atol=0.02)


def test_the_same_map_for_all_regions_is_that_map_everywhere():
    motion = MOTIONS[2]
    joined = polyaffine(bones(), {1: motion, 2: motion})
    at = everywhere()
    torch.testing.assert_close(joined(at), motion(at), rtol=0, atol=1e-6)
    slope = motion.jacobian(at)
    torch.testing.assert_close(joined.jacobian(at), slope, rtol=0, atol=1e-6)


def test_the_inverse_leads_back_and_nothing_folds():
    joined = polyaffine(bones(), MOTIONS)
    at = everywhere()
    away = (joined.inverse()(joined(at)) - at).norm(dim=1)
    assert float(away.max()) < 0.01
    assert float(torch.linalg.det(joined.jacobian(at)).min()) > 0
    assert float((joined(at) - at).norm(dim=1).max()) > 8


def test_the_mean_of_the_maps_themselves_would_not_lead_back():
    """Average the mapped points by the same weights: the inverses' average is another map."""
    joined = polyaffine(bones(), MOTIONS)

    def averaged(points, maps):
        index = GRID.to_index(points).round().long()
        weight = joined.weights[:, index[:, 0], index[:, 1], index[:, 2]]
        return sum(w[:, None] * m(points) for w, m in zip(weight, maps, strict=True))

    at = everywhere()
    there = averaged(at, MOTIONS.values())
    index = GRID.to_index(there)
    inside = ((index >= 0) & (index <= torch.tensor(GRID.shape) - 1)).all(dim=1)
    back = averaged(there[inside], [m.inverse() for m in MOTIONS.values()])
    assert float((back - at[inside]).norm(dim=1).max()) > 0.5


def test_the_derivative_equals_differences():
    joined = polyaffine(bones(), MOTIONS)
    at = everywhere()
    # the weights have kinks at the voxels: two differences straddle one here and there
    away = (joined.jacobian(at) - slope_by_differences(joined, at)).abs().amax(dim=(1, 2))
    assert float(away.median()) < 1e-3
    assert float(away.mean()) < 0.01


def test_a_wide_sigma_shares_and_a_narrow_one_divides():
    middle = torch.tensor([[-8.0, 0.0, 0.0]], dtype=torch.float64)
    alone = MOTIONS[1](middle)
    narrow = polyaffine(bones(), MOTIONS, sigma_mm=1.0)(middle)
    wide = polyaffine(bones(), MOTIONS, sigma_mm=30.0)(middle)
    assert float((narrow - alone).norm()) < 1e-6
    assert float((wide - alone).norm()) > 1


def test_far_from_all_regions_nothing_is_nan():
    joined = polyaffine(bones(), MOTIONS, sigma_mm=0.1)
    far = torch.tensor([[500.0, 0.0, 0.0], [0.0, -900.0, 300.0]], dtype=torch.float64)
    assert bool(torch.isfinite(joined(far)).all())
    assert bool(torch.isfinite(joined.jacobian(far)).all())
    assert joined(torch.zeros(2, 5, 3)).dtype == torch.float32
    assert "fixed -> moving, mm, LPS, 2 regions" in repr(joined)


def test_the_background_may_be_held_still():
    joined = polyaffine(bones(), {**MOTIONS, 0: Linear.identity()}, sigma_mm=2.0)
    corner = GRID.to_world(torch.tensor([[0.0, 0.0, 18.0]], dtype=torch.float64))
    assert float((joined(corner) - corner).norm()) < 0.01


def test_refuses_maps_without_a_real_logarithm():
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    half = Linear.rotation((180, 0, 0), centre_mm=(0, 0, 0))
    for motion in (Linear(mirror), half):
        with pytest.raises(GeometryError, match="the map of region 2 must have a real logarithm"):
            polyaffine(bones(), {1: MOTIONS[1], 2: motion})


def test_refuses_what_leaves_the_regions_open():
    with pytest.raises(ConfigError, match="polyaffine needs the map of at least one region"):
        polyaffine(bones(), {})
    with pytest.raises(ConfigError, match="a positive sigma_mm, got 2 maps and 0"):
        polyaffine(bones(), MOTIONS, sigma_mm=0.0)
    with pytest.raises(RegionError, match="label 7 must occur"):
        polyaffine(bones(), {7: MOTIONS[1]})
    double = Labels(bones().data.repeat(2, 1, 1, 1), GRID)
    with pytest.raises(ShapeError, match="regions must have one layer, got 2"):
        polyaffine(double, MOTIONS)
    sheared = GRID.affine.clone()
    sheared[:3, 1] += 0.3 * sheared[:3, 2]
    with pytest.raises(GeometryError, match="regions must have a grid with orthogonal axes"):
        polyaffine(Labels(bones().data, Grid(GRID.shape, sheared)), MOTIONS)
