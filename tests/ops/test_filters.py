"""The separable Gaussian against SciPy, and its properties."""

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, UnitError
from vesalius.ops._filters import gaussian

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}
sigmas = st.tuples(*[st.floats(0, 3)] * 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [(1.0, 1.0, 1.0), (0.0, 2.5, 0.4), (4.0, 0.0, 0.1)])
def test_agrees_with_scipy(dtype, sigma, generator):
    x = torch.rand(2, 3, 9, 17, 33, generator=generator, dtype=torch.float64)
    theirs = ndi.gaussian_filter(x.numpy(), (0, 0, *sigma), mode="nearest")
    ours = gaussian(x.to(dtype), sigma)
    assert ours.dtype == dtype
    assert np.abs(ours.double().numpy() - theirs).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("truncate", [1.0, 3.0, 6.0])
def test_cuts_the_kernel_where_scipy_does(truncate, generator):
    x = torch.rand(1, 8, 9, 10, generator=generator, dtype=torch.float64)
    theirs = ndi.gaussian_filter(x[0].numpy(), 1.3, mode="nearest", truncate=truncate)
    ours = gaussian(x, (1.3, 1.3, 1.3), truncate=truncate)
    assert np.abs(ours[0].numpy() - theirs).max() < 1e-13


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 1, 3), (1, 1, 1), (3, 2, 1100)])
def test_handles_short_and_long_axes(shape, generator):
    x = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    theirs = ndi.gaussian_filter(x[0].numpy(), 2.0, mode="nearest")
    ours = gaussian(x, (2.0, 2.0, 2.0))
    assert np.abs(ours[0].numpy() - theirs).max() < 1e-13


@settings(max_examples=20, deadline=None)
@given(sigmas)
def test_is_linear(sigma):
    a, b = torch.rand(2, 2, 5, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(
        gaussian(2 * a - b, sigma), 2 * gaussian(a, sigma) - gaussian(b, sigma)
    )


@settings(max_examples=20, deadline=None)
@given(sigmas, st.floats(-1e3, 1e3))
def test_keeps_a_constant(sigma, value):
    x = torch.full((1, 4, 5, 6), value, dtype=torch.float64)
    torch.testing.assert_close(gaussian(x, sigma), x, rtol=1e-12, atol=1e-10)


def test_the_variances_of_two_passes_add(generator):
    x = torch.zeros(1, 41, 41, 41, dtype=torch.float64)
    x[0, 20, 20, 20] = 1
    twice = gaussian(gaussian(x, (1.5, 1.5, 1.5), truncate=8), (2.0, 2.0, 2.0), truncate=8)
    once = gaussian(x, (2.5, 2.5, 2.5), truncate=8)
    assert (twice - once).abs().max() < 1e-4 * once.max()


def test_zero_leaves_the_samples_alone(generator):
    x = torch.rand(1, 3, 4, 5, generator=generator)
    assert torch.equal(gaussian(x, (0.0, 0.0, 0.0)), x)


def test_the_order_of_a_batch_does_not_matter(generator):
    x = torch.rand(4, 5, 6, 7, generator=generator)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(gaussian(x, (1, 1, 1))[order], gaussian(x[order], (1, 1, 1)))


def test_leaves_the_input_untouched(generator):
    x = torch.rand(1, 6, 7, 8, generator=generator)
    before = x.clone()
    gaussian(x, (1.0, 2.0, 1.0))
    assert torch.equal(x, before)


def test_derivatives_are_right(generator):
    x = torch.rand(1, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def f(v):
        return gaussian(v, (0.7, 1.0, 0.5))

    assert torch.autograd.gradcheck(f, (x,))
    assert torch.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_refuses_samples_it_would_have_to_cast(dtype):
    with pytest.raises(UnitError, match="gaussian smoothing needs float32 or float64"):
        gaussian(torch.zeros(1, 2, 2, 2, dtype=dtype), (1, 1, 1))


@pytest.mark.parametrize("sigma", [(-1.0, 1.0, 1.0), (math.nan, 1.0, 1.0), (1.0, math.inf, 1.0)])
def test_refuses_a_sigma_that_is_negative_or_not_finite(sigma):
    with pytest.raises(IntensityError, match="sigma and truncate must be finite"):
        gaussian(torch.zeros(1, 2, 2, 2), sigma)


@pytest.mark.gpu
def test_gives_the_same_on_the_gpu(generator):
    x = torch.rand(2, 9, 10, 11, generator=generator)
    cpu, gpu = gaussian(x, (1.0, 0.5, 2.0)), gaussian(x.cuda(), (1.0, 0.5, 2.0))
    assert (gpu.cpu() - cpu).abs().max() < 2e-6


@pytest.mark.parametrize("sigma", [3.0, 40.0, 1000.0])
def test_a_kernel_longer_than_the_axis_is_folded_onto_its_ends(sigma):
    x = torch.rand(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wanted = ndi.gaussian_filter(x.numpy(), sigma, mode="nearest")
    torch.testing.assert_close(gaussian(x, (sigma, sigma, sigma)), torch.from_numpy(wanted))
