"""Spline coefficients against SciPy and the definition."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch

from vesalius.ops._spline import extend_coefficients, spline_coefficients


@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 3, 2), (1, 9, 1), (40, 3, 300)])
def test_agrees_with_scipy_for_mirrored_borders(shape, generator):
    x = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    ours = spline_coefficients(x, extension="mirror").numpy()
    theirs = np.stack([ndi.spline_filter(v, order=3, mode="mirror") for v in x.numpy()])
    assert np.abs(ours - theirs).max() < 1e-12


@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 3, 2), (9, 4, 30)])
def test_agrees_with_scipy_for_repeated_edges(shape, generator):
    x = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    coefficients = spline_coefficients(x, extension="nearest")
    ours = extend_coefficients(coefficients, ((12, 12),) * 3, extension="nearest")[0].numpy()
    # SciPy repeats 12 samples, which leaves 1e-7 of the infinite signal; compare well inside
    theirs = ndi.spline_filter(np.pad(x[0].numpy(), 30, mode="edge"), order=3, mode="nearest")
    assert np.abs(ours - theirs[18:-18, 18:-18, 18:-18]).max() < 1e-9


@pytest.mark.parametrize("extension", ["nearest", "mirror"])
def test_the_spline_goes_through_the_samples(extension, generator):
    x = torch.rand(1, 4, 5, 6, generator=generator, dtype=torch.float64)
    coefficients = spline_coefficients(x, extension=extension)
    c = extend_coefficients(coefficients, ((1, 1),) * 3, extension=extension)
    for axis in (1, 2, 3):
        n = c.shape[axis] - 2
        c = (c.narrow(axis, 0, n) + 4 * c.narrow(axis, 1, n) + c.narrow(axis, 2, n)) / 6
    torch.testing.assert_close(c, x)


def test_mirrored_coefficients_are_mirrored(generator):
    c = torch.rand(1, 3, 4, 5, generator=generator)
    out = extend_coefficients(c, ((2, 2), (3, 1), (6, 7)), extension="mirror")
    theirs = np.pad(c[0].numpy(), ((2, 2), (3, 1), (6, 7)), mode="reflect")
    assert np.array_equal(out[0].numpy(), theirs)


@pytest.mark.parametrize("extension", ["nearest", "mirror"])
def test_far_outside_single_precision_keeps_five_digits(extension, generator):
    x = torch.rand(1, 30, 31, 32, generator=generator, dtype=torch.float64)
    double = spline_coefficients(x, extension=extension)
    single = spline_coefficients(x.float(), extension=extension)
    assert single.dtype == torch.float32
    assert (single.double() - double).abs().max() < 1e-5


@pytest.mark.parametrize("extension", ["nearest", "mirror"])
def test_derivatives_are_right(extension, generator):
    x = torch.rand(1, 2, 3, 1, generator=generator, dtype=torch.float64, requires_grad=True)

    def f(v):
        c = spline_coefficients(v, extension=extension)
        return extend_coefficients(c, ((2, 1), (1, 2), (1, 1)), extension=extension)

    assert torch.autograd.gradcheck(f, (x,))
    assert torch.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("extension", ["nearest", "mirror"])
def test_leaves_the_input_untouched(extension, generator):
    x = torch.rand(1, 4, 5, 6, generator=generator)
    before = x.clone()
    spline_coefficients(x, extension=extension)
    assert torch.equal(x, before)
