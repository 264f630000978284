"""Whitening, compression and combination of coils, on data whose answer is known."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics.mri import simulated_maps
from vesalius.reconstruct.mri import (
    adaptive_combine,
    compress,
    noise_covariance,
    prewhiten,
    root_sum_of_squares,
)


def drawn(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.complex128)


def mixed(coils, samples, generator):
    """Noise of a known covariance."""
    mix = drawn(coils, coils, generator=generator)
    return mix @ drawn(coils, samples, generator=generator), mix @ mix.mH


def test_the_covariance_of_mixed_noise_is_found(generator):
    noise, truth = mixed(3, 200_000, generator)
    found = noise_covariance(noise)
    assert float((found - truth).norm() / truth.norm()) < 0.01


def test_a_constant_offset_is_no_noise(generator):
    noise, _ = mixed(3, 500, generator)
    torch.testing.assert_close(noise_covariance(noise + 7), noise_covariance(noise))


def test_whitened_noise_is_white(generator):
    noise, _ = mixed(4, 1000, generator)
    white = prewhiten(noise.reshape(4, 10, 100), covariance=noise_covariance(noise))
    assert tuple(white.shape) == (4, 10, 100)
    torch.testing.assert_close(noise_covariance(white), torch.eye(4, dtype=torch.complex128))


def test_whitening_keeps_the_number_type(generator):
    data = drawn(2, 5, generator=generator).to(torch.complex64)
    assert prewhiten(data, covariance=torch.eye(2, dtype=torch.complex128)).dtype == data.dtype


def test_the_covariance_refuses_too_few_samples_and_real_ones():
    with pytest.raises(ShapeError, match=r"twice as many samples as coils.*got 5 samples of 3"):
        noise_covariance(torch.zeros(3, 5, dtype=torch.complex64))
    with pytest.raises(UnitError, match="noise must be complex"):
        noise_covariance(torch.zeros(3, 50))


def test_whitening_refuses_covariances_that_are_none():
    data = torch.zeros(2, 5, dtype=torch.complex64)
    with pytest.raises(ShapeError, match=r"covariance must have the shape \(2, 2\)"):
        prewhiten(data, covariance=torch.eye(3, dtype=torch.complex64))
    with pytest.raises(IntensityError, match="covariance must be Hermitian and positive definite"):
        prewhiten(data, covariance=torch.ones(2, 2, dtype=torch.complex64))
    with pytest.raises(IntensityError, match="covariance must be Hermitian and positive definite"):
        prewhiten(data, covariance=torch.full((2, 2), math.nan, dtype=torch.complex64))
    with pytest.raises(UnitError, match="coil data must be complex"):
        prewhiten(data.real, covariance=torch.eye(2, dtype=torch.complex64))


@settings(max_examples=15)
@given(st.integers(1, 4))
def test_compression_keeps_all_of_data_of_low_rank(rank):
    generator = torch.Generator().manual_seed(rank)
    data = drawn(6, rank, generator=generator) @ drawn(rank, 40, generator=generator)
    small = compress(data.reshape(6, 8, 5), coils=rank)
    assert tuple(small.shape) == (rank, 8, 5)
    torch.testing.assert_close(small.norm(), data.norm())


def test_compression_keeps_what_the_singular_values_say(generator):
    data = drawn(5, 30, generator=generator)
    values = torch.linalg.svdvals(data)
    energies = compress(data, coils=3).abs().square().sum(1)
    torch.testing.assert_close(energies, values[:3] ** 2)


def test_compression_to_all_coils_loses_nothing(generator):
    data = drawn(4, 30, generator=generator)
    torch.testing.assert_close(
        root_sum_of_squares(compress(data, coils=4)), root_sum_of_squares(data)
    )


@pytest.mark.parametrize("coils", [0, 5])
def test_compression_refuses_coils_that_are_not_there(coils):
    with pytest.raises(ShapeError, match="coils must lie from 1 to 4"):
        compress(torch.zeros(4, 10, dtype=torch.complex64), coils=coils)


def test_compression_refuses_real_data():
    with pytest.raises(UnitError, match="coil data must be complex"):
        compress(torch.zeros(4, 10), coils=2)


def test_root_sum_of_squares_is_the_modulus_under_maps_of_unit_energy(generator):
    x = drawn(9, 8, generator=generator)
    images = simulated_maps((9, 8), coils=5) * x
    torch.testing.assert_close(root_sum_of_squares(images), x.abs())


def test_adaptive_combination_gives_the_modulus_without_noise(generator):
    smooth = torch.ones(16, 16, dtype=torch.complex128)
    images = simulated_maps((16, 16), coils=5) * smooth
    torch.testing.assert_close(
        adaptive_combine(images, radius=0).abs(), smooth.abs(), atol=1e-9, rtol=1e-9
    )
    assert float((adaptive_combine(images, radius=2).abs() - 1).abs().max()) < 0.02


def test_adaptive_combination_is_less_biased_by_noise_than_the_root_sum_of_squares(generator):
    images = 0.3 * simulated_maps((32, 32), coils=8)
    images = images + 0.2 * drawn(8, 32, 32, generator=generator)
    combined, root = adaptive_combine(images, radius=4).abs(), root_sum_of_squares(images)
    assert float((combined - 0.3).abs().mean()) < 0.6 * float((root - 0.3).abs().mean())


def test_adaptive_combination_correlates_over_the_box_it_says(generator):
    """Against a slow loop over voxels."""
    images = drawn(3, 5, 6, generator=generator)
    combined = adaptive_combine(images, radius=1)
    for y in range(5):
        for x in range(6):
            part = images[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(3, -1)
            vector = torch.linalg.eigh(part @ part.mH).eigenvectors[:, -1]
            expected = torch.vdot(vector, images[:, y, x]).abs()
            torch.testing.assert_close(combined[y, x].abs(), expected)


def test_adaptive_combination_refuses_a_negative_radius_and_real_images():
    with pytest.raises(ShapeError, match="radius must be at least 0, got -1"):
        adaptive_combine(torch.zeros(2, 3, 3, dtype=torch.complex64), radius=-1)
    with pytest.raises(UnitError, match="coil images must be complex"):
        adaptive_combine(torch.zeros(2, 3, 3))


def test_whitened_data_keep_white_noise_through_compression(generator):
    noise, _ = mixed(5, 4000, generator)
    white = prewhiten(noise, covariance=noise_covariance(noise))
    few = compress(white, coils=2)
    torch.testing.assert_close(noise_covariance(few), torch.eye(2).to(few), atol=1e-10, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_spoiled_samples_are_refused_before_they_spread(bad):
    data = torch.full((2, 6, 6), bad, dtype=torch.complex128)
    for use in (
        noise_covariance,
        lambda x: prewhiten(x, covariance=torch.eye(2)),
        lambda x: compress(x, coils=1),
        adaptive_combine,
    ):
        with pytest.raises(IntensityError, match="must be finite, got NaN or infinity"):
            use(data)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 0)])
def test_refuses_data_without_coils_or_samples(shape):
    with pytest.raises(ShapeError, match=r"noise must have shape \(coil, \*samples\)"):
        noise_covariance(torch.zeros(shape, dtype=torch.complex64))


def test_whitening_refuses_a_covariance_that_is_not_hermitian():
    """A Cholesky factor reads one half of the matrix only."""
    lopsided = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(IntensityError, match="covariance must be Hermitian and positive definite"):
        prewhiten(torch.ones(2, 3, dtype=torch.complex64), covariance=lopsided)
