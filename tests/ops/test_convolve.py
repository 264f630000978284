"""Axis-wise convolution against SciPy, NumPy and its own algebra."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._convolve import (
    AXES,
    Taps,
    apply_axis,
    axis_matrix,
    boundary_index,
    chain_reach,
    convolve_separable,
    flip_chain,
    pad,
)

SCIPY = {"mirror": "reflect", "nearest": "nearest", "periodic": "wrap", "zero": "constant"}
NUMPY = {"mirror": "symmetric", "nearest": "edge", "periodic": "wrap", "zero": "constant"}
boundaries = st.sampled_from(sorted(SCIPY))


def volume(seed, shape=(1, 7, 9, 11)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 999), st.integers(1, 6), st.sampled_from(AXES), boundaries)
@settings(max_examples=60, deadline=None)
def test_agrees_with_scipy_along_every_axis_and_border(seed, count, axis, boundary):
    x = volume(seed)
    taps = volume(seed + 1, (count,)).tolist()
    matrix = axis_matrix((Taps.of(tuple(taps)),), x.shape[axis + 1], boundary)
    got = apply_axis(x, matrix, axis)
    want = ndimage.convolve1d(x[0].numpy(), taps, axis=axis, mode=SCIPY[boundary])
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-13)


@given(st.integers(1, 9), st.integers(0, 25), boundaries)
@settings(max_examples=60, deadline=None)
def test_extends_an_axis_as_numpy_does_even_beyond_its_size(size, margin, boundary):
    x = torch.arange(1.0, size + 1)
    index = boundary_index(size, margin, boundary)
    got = torch.where(index < 0, 0.0, x[index.clamp(min=0)])
    np.testing.assert_array_equal(got.numpy(), np.pad(x.numpy(), margin, mode=NUMPY[boundary]))


@pytest.mark.parametrize("boundary", sorted(NUMPY))
def test_pads_a_volume_as_numpy_does(boundary):
    x = volume(3)
    want = np.pad(x.numpy(), ((0, 0), (2, 2), (0, 0), (14, 14)), mode=NUMPY[boundary])
    np.testing.assert_array_equal(pad(x, (2, 0, 14), boundary).numpy(), want)


def test_filters_all_axes_one_after_the_other():
    x = volume(5)
    chains = tuple((Taps.of((0.2, 0.3, float(k))),) for k in range(3))
    want = x[0].numpy()
    for axis, chain in enumerate(chains):
        want = ndimage.convolve1d(want, chain[0].values, axis=axis, mode="reflect")
    np.testing.assert_allclose(
        convolve_separable(x, chains, "mirror")[0].numpy(), want, rtol=0, atol=1e-13
    )


def test_an_empty_chain_leaves_the_axis_alone():
    x = volume(6)
    torch.testing.assert_close(convolve_separable(x, ((), (), ()), "mirror"), x)
    torch.testing.assert_close(axis_matrix((), 4, "zero"), torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("boundary", sorted(SCIPY))
def test_a_chain_folds_the_border_in_at_every_step(boundary):
    x = volume(7)
    first, second = Taps.of((0.1, 0.7, 0.4, 0.2)), Taps.of((1.0, -0.5, 2.0))
    both = convolve_separable(x, ((), (first, second), ()), boundary)
    once = convolve_separable(x, ((), (first,), ()), boundary)
    torch.testing.assert_close(both, convolve_separable(once, ((), (second,), ()), boundary))


def test_a_flipped_kernel_filters_the_flipped_volume():
    x = volume(8)
    chain = (Taps.of((0.1, 0.7, 0.4, 0.2)), Taps(values=(1.0, 2.0), centre=0))
    got = convolve_separable(x, ((), (), flip_chain(chain)), "mirror")
    want = convolve_separable(x.flip(-1), ((), (), chain), "mirror").flip(-1)
    torch.testing.assert_close(got, want)
    assert flip_chain(flip_chain(chain)) == chain


@given(st.integers(0, 999), boundaries)
@settings(max_examples=20, deadline=None)
def test_is_linear(seed, boundary):
    a, b = volume(seed), volume(seed + 1)
    chains = ((Taps.of((1.0, -2.0)),), (), (Taps.of((0.3, 0.3, 0.3, 0.1, 0.2)),))
    left = convolve_separable(2 * a - b, chains, boundary)
    right = 2 * convolve_separable(a, chains, boundary) - convolve_separable(b, chains, boundary)
    torch.testing.assert_close(left, right)


def test_long_axes_are_cut_in_blocks_without_a_trace():
    x = volume(9, (1, 2, 3, 200))
    taps = Taps.of(tuple(volume(1, (31,)).tolist()))
    got = convolve_separable(x, ((), (), (taps,)), "mirror")
    want = ndimage.convolve1d(x[0].numpy(), taps.values, axis=2, mode="reflect")
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-12)


def test_is_differentiable():
    x = volume(10, (1, 3, 4, 5)).requires_grad_()
    chains = ((Taps.of((1.0, -2.0)),), (Taps.of((0.5, 0.5, 0.1)),), (Taps.of((0.3, 0.3, 0.3)),))
    assert torch.autograd.gradcheck(lambda v: convolve_separable(v, chains, "mirror"), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_dtype_shape_batch_and_input(dtype):
    x = volume(11, (2, 3, 4, 5, 6)).to(dtype)
    before = x.clone()
    chains = ((Taps.of((0.25, 0.5, 0.25)),),) * 3
    out = convolve_separable(x, chains, "zero")
    assert (out.dtype, out.shape) == (dtype, x.shape)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    torch.testing.assert_close(out[1, 2], convolve_separable(x[1, 2], chains, "zero"))


@pytest.mark.gpu
def test_agrees_between_cpu_and_gpu():
    x = volume(12, (1, 40, 50, 60))
    chains = ((Taps.of((0.25, 0.5, 0.25, 0.3)),),) * 3
    cpu = convolve_separable(x, chains, "mirror")
    torch.testing.assert_close(convolve_separable(x.cuda(), chains, "mirror").cpu(), cpu)


def test_reach_adds_up_along_a_chain():
    assert Taps.of((1.0, 2.0, 3.0, 4.0)).reach == 2
    assert chain_reach((Taps.of((1.0, 2.0, 3.0, 4.0)), Taps.of((1.0, 2.0, 3.0)))) == 3
    assert chain_reach(()) == 0


@pytest.mark.parametrize("centre", [-1, 2])
def test_refuses_a_centre_that_is_no_tap(centre):
    with pytest.raises(ShapeError, match="centre must be the index of a tap"):
        Taps((1.0, 2.0), centre)


def test_refuses_integers():
    with pytest.raises(UnitError, match=r"x must be floating point to be filtered, got torch.int"):
        convolve_separable(torch.ones(2, 2, 2, dtype=torch.int32), ((),) * 3, "zero")
