"""Damping of the divergence: against NumPy, its torch twin, and fields that have none."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.ops._divergence import _by_torch, damp_divergence

SHAPES = [(5, 6, 7), (1, 6, 7), (3, 1, 2), (1, 1, 1), (2, 2, 2)]


def central(x, axis):
    """Half the difference of both neighbours; borders repeat."""
    n = x.shape[axis]
    up, down = np.minimum(np.arange(n) + 1, n - 1), np.maximum(np.arange(n) - 1, 0)
    return (np.take(x, up, axis) - np.take(x, down, axis)) / 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_numpy(shape, dtype, generator):
    field = torch.randn((3, *shape), generator=generator, dtype=dtype)
    scale, u = (0.5, 1.0, 0.8), field.double().numpy()
    divergence = sum(s * central(u[k], k) for k, s in enumerate(scale))
    wanted = u + 0.2 * np.stack([s * central(divergence, k) for k, s in enumerate(scale)])
    found = damp_divergence(field, 0.2, scale=scale)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), torch.from_numpy(wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_loops_and_torch_agree(shape, generator):
    field = torch.randn((3, *shape), generator=generator, dtype=torch.float64)
    scale = (1.0, 0.3, 0.7)
    torch.testing.assert_close(
        damp_divergence(field, 0.3, scale=scale), _by_torch(field, 0.3, scale)
    )


def test_is_the_same_whatever_the_threads(generator):
    field = torch.randn((3, 40, 70, 60), generator=generator)
    before = torch.get_num_threads()
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(damp_divergence(field, 0.1))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_leaves_a_rotation_and_a_shear(generator):
    """Their divergence is 0, so nothing changes, borders included where they repeat nothing."""
    z, y, x = torch.meshgrid(*[torch.arange(6.0)] * 3, indexing="ij")
    rotation = torch.stack([y - x, x - z, z - y])
    torch.testing.assert_close(damp_divergence(rotation, 0.3), rotation)


def test_lessens_a_ripple_of_volume_but_not_its_shear():
    """A wave along its own axis shrinks by 1 - weight sin^2(k); across its axis it stays."""
    n, k = 64, 2 * torch.pi / 16
    wave = torch.sin(k * torch.arange(float(n), dtype=torch.float64)).expand(n, n, n)
    along = torch.zeros(3, n, n, n, dtype=torch.float64)
    across = along.clone()
    along[2], across[1] = wave, wave
    inside = (slice(None), *[slice(4, -4)] * 3)
    torch.testing.assert_close(
        damp_divergence(along, 0.25)[inside],
        along[inside] * (1 - 0.25 * np.sin(k) ** 2),
    )
    assert torch.equal(damp_divergence(across, 0.25), across)


@given(weight=st.floats(0, 1 / 3))
@settings(max_examples=20)
def test_never_makes_a_field_longer_inside(weight):
    field = torch.zeros(3, 9, 9, 9, dtype=torch.float64)
    field[:, 3:6, 3:6, 3:6] = torch.randn((3, 3, 3, 3), dtype=torch.float64)
    assert float(damp_divergence(field, weight).norm()) <= float(field.norm()) * (1 + 1e-12)


def test_zero_gives_the_field_itself():
    field = torch.ones(3, 2, 2, 2)
    assert damp_divergence(field, 0.0) is field


def test_a_gradient_goes_through():
    field = torch.randn((3, 3, 4, 3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: damp_divergence(u, 0.2), field)


@pytest.mark.parametrize("weight", [-0.1, 0.34, float("nan"), float("inf")])
def test_refuses_a_weight_that_turns_ripples_over(weight):
    with pytest.raises(ConfigError, match=r"must be from 0 to 1/3, got .*take a smaller one"):
        damp_divergence(torch.zeros(3, 2, 2, 2), weight)
