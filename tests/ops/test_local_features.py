"""Local features: those of SciPy and scikit-image, the same in the world whatever the lattice."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.feature import hessian_matrix_eigvals

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._local_features import FEATURES, feature_names, local_features

ONE = (1.0, 1.0, 1.0)


def smooth_noise(*shape, sigma=3.0):
    x = np.random.default_rng(0).normal(size=shape)
    width = [sigma if n > 1 else 0 for n in shape]
    return torch.from_numpy(gaussian_filter(x, width) * 10).float()


def near(found, expected, share):
    """Away from the border, closer than ``share`` of the spread."""
    here = tuple(slice(6, -6) if n > 1 else slice(None) for n in found.shape)
    a, b = np.asarray(found)[here], np.asarray(expected)[here]
    assert np.abs(a - b).max() < share * b.std()


@pytest.mark.parametrize("shape", [(1, 40, 50), (20, 24, 22), (1, 1, 60)])
def test_there_is_a_plane_for_each_name(shape):
    dims = sum(n > 1 for n in shape)
    found = local_features(smooth_noise(*shape), spacing=ONE, sigmas=(2.0, 1.0))
    names = feature_names(FEATURES, (2.0, 1.0), dims=dims)
    assert found.shape == (len(names), *shape)
    assert len(set(names)) == len(names)
    assert bool(torch.isfinite(found).all())


def test_the_value_is_a_gaussian():
    x = smooth_noise(1, 60, 64, sigma=1.0)
    found = local_features(x, spacing=ONE, sigmas=(1.0, 2.0), features=("value",))
    for k, sigma in enumerate((1.0, 2.0)):
        near(found[k, 0], gaussian_filter(x[0].double().numpy(), sigma, mode="nearest"), 0.05)


@pytest.mark.parametrize("shape", [(1, 48, 52), (24, 26, 28)])
def test_eigenvalues_are_those_of_the_finite_differences(shape):
    x = smooth_noise(*shape)
    dims = sum(n > 1 for n in shape)
    found = local_features(x, spacing=ONE, sigmas=(1.5,), features=("hessian",))
    smoothed = gaussian_filter(x.double().squeeze().numpy(), 1.5, mode="nearest")
    second = []
    for a in range(dims):
        for b in range(a, dims):
            if a == b:
                twice = np.roll(smoothed, 1, a) + np.roll(smoothed, -1, a) - 2 * smoothed
            else:
                twice = np.gradient(np.gradient(smoothed, axis=a), axis=b)
            second.append(1.5**2 * twice)
    expected = hessian_matrix_eigvals(second)
    assert bool((found.diff(dim=0) <= 1e-6).all())
    for k in range(dims):
        near(found[k].squeeze(), expected[k], 0.1)


@pytest.mark.parametrize("shape", [(1, 48, 52), (24, 26, 28)])
def test_the_gradient_is_sigma_times_the_slope(shape):
    z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij")
    ramp = 0.5 * y + 1.2 * x + (0.3 * z if shape[0] > 1 else 0)
    slope = (0.25 + 1.44 + (0.09 if shape[0] > 1 else 0)) ** 0.5
    found = local_features(ramp, spacing=ONE, sigmas=(2.0,), features=("gradient",))
    middle = tuple(n // 2 for n in shape)
    assert float(found[0][middle]) == pytest.approx(2 * slope, rel=1e-3)


def test_the_structure_tensor_of_a_ramp_has_one_direction():
    ramp = torch.arange(60.0)[None, None] * torch.ones(1, 50, 1)
    found = local_features(ramp, spacing=ONE, sigmas=(1.5,), features=("structure",))
    assert float(found[0, 0, 25, 30]) == pytest.approx(1.5**2, rel=1e-3)
    assert float(found[1, 0, 25, 30]) == pytest.approx(0.0, abs=1e-3)


def test_scales_are_lengths_and_not_samples():
    x = smooth_noise(1, 40, 44)
    metres = local_features(x, spacing=(2e-3, 1e-3, 1e-3), sigmas=(2e-3,))
    mm = local_features(x, spacing=(2.0, 1.0, 1.0), sigmas=(2.0,))
    torch.testing.assert_close(metres, mm, atol=1e-4, rtol=1e-4)


def test_a_turned_image_has_turned_features():
    x = smooth_noise(1, 40, 40)
    one = local_features(x, spacing=ONE, sigmas=(1.0,))
    two = local_features(x.transpose(1, 2).contiguous(), spacing=ONE, sigmas=(1.0,))
    torch.testing.assert_close(one.transpose(2, 3), two, atol=2e-4, rtol=1e-3)


def test_coarse_scales_on_fewer_samples_are_near_the_full_ones():
    x = smooth_noise(1, 128, 120, sigma=2.0)
    found = local_features(x, spacing=ONE, sigmas=(8.0,), features=("value",))
    near(found[0, 0], gaussian_filter(x[0].double().numpy(), 8.0, mode="nearest"), 0.15)


def test_a_constant_has_no_edges_and_no_curvature():
    found = local_features(torch.full((1, 30, 30), 7.0), spacing=ONE, sigmas=(1.0, 5.0))
    names = feature_names(FEATURES, (1.0, 5.0), dims=2)
    for plane, name in zip(found, names, strict=True):
        expected = 7.0 if name.startswith("value") else 0.0
        assert float((plane - expected).abs().max()) < 1e-4


def test_refuses_scales_that_are_none():
    with pytest.raises(ConfigError, match="features and sigmas must not be empty"):
        local_features(torch.zeros(1, 4, 4), spacing=ONE, sigmas=())
    with pytest.raises(IntensityError, match="samples must be finite to be described"):
        local_features(torch.full((1, 4, 4), float("nan")), spacing=ONE, sigmas=(1.0,))
