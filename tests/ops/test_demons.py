"""The demons force: against a slow loop, its sign in both directions, silent where all is flat."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vesalius.ops._demons import Optics, _by_torch, demons_force, flat_floor

SPACING = (3.0, 1.0, 2.0)


def optics(from_fixed: float = 0.5, channels: int = 1, floor: float = 0.0) -> Optics:
    weights = (0.25, 0.75) if channels == 2 else (1.0,)
    return Optics(SPACING, 2.0, from_fixed, weights, (floor,) * channels)


def slow(fixed, warped, weight, o: Optics):
    """Work the force out sample by sample."""
    c, *shape = fixed.shape
    out, loss, count = np.zeros((3, *shape)), 0.0, 0.0
    for at in np.ndindex(*shape):
        above, below = np.zeros(3), 0.0
        for k in range(c):
            slope = np.zeros(3)
            for axis in range(3):
                up, down = list(at), list(at)
                up[axis] = min(at[axis] + 1, shape[axis] - 1)
                down[axis] = max(at[axis] - 1, 0)
                for image, part in ((fixed, o.from_fixed), (warped, 1 - o.from_fixed)):
                    rise = float(image[k, *up]) - float(image[k, *down])
                    slope[axis] += part * rise / (2 * o.spacing[axis])
            d = float(fixed[k, *at]) - float(warped[k, *at])
            above += o.channel_weights[k] * d * slope
            alpha2 = (1 / (2 * o.longest)) ** 2
            below += o.channel_weights[k] * (slope @ slope + alpha2 * d * d + o.floor[k])
            loss += o.channel_weights[k] * float(weight[0, *at]) * d * d
        count += float(weight[0, *at])
        if below > 0:
            out[:, *at] = float(weight[0, *at]) * above / below / np.array(o.spacing)
    return loss / count, out


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6)])
@pytest.mark.parametrize("from_fixed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_force_equals_a_slow_loop(shape, from_fixed, channels, generator):
    images = torch.rand(2, channels, *shape, generator=generator, dtype=torch.float64)
    weight = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    o = optics(from_fixed, channels, 0.01)
    loss, force = demons_force(images[0], images[1], weight, o)
    expected_loss, expected = slow(images[0], images[1], weight, o)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(force.numpy(), expected, atol=1e-12)
    if shape[0] == 1:
        assert not force[0].any()


def test_the_path_of_other_devices_gives_the_same(generator):
    images = torch.rand(2, 2, 4, 5, 6, generator=generator)
    weight = torch.rand(1, 4, 5, 6, generator=generator)
    for w in (None, weight):
        one, other = (f(images[0], images[1], w, optics(0.5, 2)) for f in (demons_force, _by_torch))
        assert one[0] == pytest.approx(other[0], rel=1e-5)
        torch.testing.assert_close(one[1], other[1])


def test_no_vector_is_longer_than_was_allowed(generator):
    images = 100 * torch.rand(2, 1, 6, 7, 8, generator=generator)
    _, force = demons_force(images[0], images[1], None, optics())
    mm = (force * torch.tensor(SPACING)[:, None, None, None]).norm(dim=0)
    assert 1.0 < float(mm.max()) <= 2.0 + 1e-5


def test_flat_regions_stay_at_rest_and_give_no_nan():
    """Erratum 13: 0/0 is guarded."""
    flat = torch.full((1, 4, 5, 6), 7.0)
    loss, force = demons_force(flat, flat.clone(), None, optics())
    assert loss == 0.0
    assert not force.any()
    other, force = demons_force(flat, flat + 3, None, optics())
    assert other == pytest.approx(9.0)
    assert not force.any()


def test_noise_in_a_flat_region_pushes_little_beside_an_edge(generator):
    x = torch.arange(24.0)
    edge = torch.sigmoid(x - 16).expand(1, 12, 12, 24)
    noisy = edge + 1e-4 * torch.randn(1, 12, 12, 24, generator=generator)
    o = Optics((1, 1, 1), 2.0, 0.0, (1.0,), flat_floor(edge, (1, 1, 1)))
    _, force = demons_force(torch.roll(edge, 1, -1), noisy, None, o)
    quiet, loud = force[..., 2:8].norm(dim=0).max(), force[..., 14:18].norm(dim=0).max()
    assert float(quiet) < 0.15 * float(loud)
    _, loose = demons_force(torch.roll(edge, 1, -1), noisy, None, replace(o, floor=(0.0,)))
    assert float(loose[..., 2:8].norm(dim=0).max()) > 5 * float(quiet)


def test_weights_that_are_zero_silence_force_and_loss(generator):
    images = torch.rand(2, 1, 4, 5, 6, generator=generator)
    weight = torch.ones(1, 4, 5, 6)
    weight[..., 3:] = 0
    loss, force = demons_force(images[0], images[1], weight, optics())
    assert not force[..., 3:].any()
    expected = ((images[0] - images[1]) ** 2)[..., :3].mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)
    loss, force = demons_force(images[0], images[1], 0 * weight, optics())
    assert loss == 0.0
    assert not force.any()


def test_the_floor_is_a_small_part_of_the_mean_squared_slope():
    x = torch.arange(10.0).expand(1, 3, 4, 10)
    assert flat_floor(2 * x, SPACING) == (pytest.approx(1e-4),)  # (2 per sample / 2 mm)^2
    assert flat_floor(torch.zeros(2, 1, 4, 4), SPACING) == (0.0, 0.0)
