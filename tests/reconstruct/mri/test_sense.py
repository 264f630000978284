"""SENSE with and without priors, on k-space in closed form and on a real scan."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
import torch
from coil_phantom import head_kspace

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError, IntensityError, ShapeError, UnitError
from vesalius.physics.mri import (
    KSpace,
    fourier,
    inverse_fourier,
    measured,
    poisson_disk,
    simulated_maps,
)
from vesalius.reconstruct.mri import (
    CycleSpin,
    Sense,
    complex_of,
    espirit,
    image_of,
    sense,
)
from vesalius.reconstruct.solve import L1, Box

N, COILS = 64, 6


def grid_of(*shape):
    return Grid(shape, torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=torch.float64)))


@pytest.fixture(scope="module")
def scan():
    """A head of closed form, four times undersampled, noisy: k-space, maps, the full image."""
    generator = torch.Generator().manual_seed(4)
    full = head_kspace(N, COILS)[:, None]
    noise = torch.randn(full.shape, generator=generator, dtype=torch.complex128)
    mask = poisson_disk((N, N), acceleration=4, centre=20, generator=generator)[None]
    maps = espirit(full[:, 0] * mask, mask=mask[0]).maps[:, None]
    best = (maps.conj() * inverse_fourier(full, axes=(-2, -1))).sum(0)
    data = (full + 0.02 * noise) * mask
    return KSpace(data, mask, grid_of(1, N, N)), maps, best


def error(found, truth):
    return float((complex_of(found.image) - truth).norm() / truth.norm())


def test_fully_sampled_data_without_noise_give_the_image_back(generator):
    x = torch.randn(1, 8, 10, generator=generator, dtype=torch.complex128)
    maps = simulated_maps((1, 8, 10), coils=3)
    data = fourier(maps * x, axes=(-2, -1))
    mask = torch.ones(1, 8, 10, dtype=torch.bool)
    found = sense(
        KSpace(data, mask, grid_of(1, 8, 10)),
        maps=maps,
        options=Sense("tikhonov", 0.0, 50, 1e-12),
    )
    torch.testing.assert_close(complex_of(found.image), x)
    assert found.residual[-1] < 1e-10
    assert found.identifiable


def test_four_coils_unfold_every_second_line(generator):
    x = torch.randn(1, 12, 10, generator=generator, dtype=torch.complex128)
    maps = simulated_maps((1, 12, 10), coils=4)
    mask = torch.zeros(1, 12, 10, dtype=torch.bool)
    mask[:, ::2] = True
    data = fourier(maps * x, axes=(-2, -1)) * mask
    scan = KSpace(data, mask, grid_of(1, 12, 10))
    found = sense(scan, maps=maps, options=Sense("tikhonov", 0.0, 200, 1e-13))
    torch.testing.assert_close(complex_of(found.image), x, atol=1e-6, rtol=1e-5)


def test_conjugate_gradients_find_the_solution_of_the_normal_equations(generator):
    """Against the dense solution, column by column."""
    maps = simulated_maps((1, 5, 4), coils=2)
    mask = torch.rand(1, 5, 4, generator=generator) > 0.4
    data = torch.randn(2, 1, 5, 4, generator=generator, dtype=torch.complex128) * mask
    columns = torch.eye(20, dtype=torch.complex128).reshape(20, 1, 1, 5, 4)
    a = (fourier(columns * maps, axes=(-2, -1)) * mask).reshape(20, -1).T
    expected = torch.linalg.solve(
        a.mH @ a + 0.1 * torch.eye(20, dtype=torch.complex128), a.mH @ data.reshape(-1)
    )
    scan = KSpace(data, mask, grid_of(1, 5, 4))
    found = sense(scan, maps=maps, options=Sense("tikhonov", 0.1, 100, 1e-13))
    torch.testing.assert_close(complex_of(found.image).reshape(-1), expected)


def test_priors_beat_zero_filling_and_sparse_ones_beat_tikhonov(scan):
    kspace, maps, best = scan
    zero_filled = (maps.conj() * inverse_fourier(kspace.data, axes=(-2, -1))).sum(0)
    filled = float((zero_filled - best).norm() / best.norm())
    plain = error(sense(kspace, maps=maps, options=Sense("tikhonov", 1e-3)), best)
    wavelet = error(sense(kspace, maps=maps), best)
    tv = error(sense(kspace, maps=maps, options=Sense("tv", 0.003)), best)
    assert plain < 0.8 * filled
    assert wavelet < 0.8 * plain
    assert tv < 0.8 * plain


def test_the_unit_of_kspace_does_not_matter(scan):
    kspace, maps, _ = scan
    scaled = KSpace(1000 * kspace.data, kspace.mask, kspace.grid)
    one, two = (sense(k, maps=maps, options=Sense(steps=5)) for k in (kspace, scaled))
    torch.testing.assert_close(1000 * one.image.data[0], two.image.data[0])
    assert two.weight == pytest.approx(1000 * one.weight)


def test_a_result_says_how_it_was_made(scan):
    kspace, maps, _ = scan
    seen = []
    found = sense(kspace, maps=maps, options=Sense(steps=3), on_step=seen.append)
    assert found.method == "sense, wavelet"
    assert found.image.channels == ("magnitude", "phase")
    assert found.image.grid is kspace.grid
    assert found.steps == len(seen) == 3
    assert found.operator_norm == pytest.approx(1.0, abs=0.05)
    assert f"{int(kspace.mask.sum()) * COILS} measured samples of 6 coils" in found.remarks[0]


def test_too_few_samples_without_a_prior_are_not_identifiable(generator):
    maps = simulated_maps((1, 8, 8), coils=2)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 4] = True
    data = torch.randn(2, 1, 8, 8, generator=generator, dtype=torch.complex128) * mask
    scan = KSpace(data, mask, grid_of(1, 8, 8))
    assert not sense(scan, maps=maps, options=Sense("tikhonov", 0.0)).identifiable
    assert sense(scan, maps=maps, options=Sense("tikhonov", 0.1)).identifiable


def test_nan_that_was_not_measured_does_no_harm(scan):
    kspace, maps, _ = scan
    spoiled = torch.where(kspace.mask, kspace.data, torch.full((), math.nan).to(torch.complex128))
    options = Sense("tikhonov", 0.01, 5)
    a = sense(kspace, maps=maps, options=options)
    b = sense(KSpace(spoiled, kspace.mask, kspace.grid), maps=maps, options=options)
    assert torch.equal(a.image.data, b.image.data)


def test_volumes_and_odd_sizes_are_reconstructed(generator):
    maps = simulated_maps((3, 17, 33), coils=2)
    mask = torch.ones(3, 17, 33, dtype=torch.bool)
    data = fourier(maps.to(torch.complex64), axes=(-3, -2, -1))
    found = sense(KSpace(data, mask, grid_of(3, 17, 33)), maps=maps.to(torch.complex64))
    assert found.image.dtype == torch.float32
    assert float((found.image.data[0] - 1).abs().mean()) < 0.05


def test_refuses_maps_that_do_not_fit(scan):
    kspace, maps, _ = scan
    with pytest.raises(ShapeError, match=r"maps must have the shape.*calibrate with as many coils"):
        sense(kspace, maps=maps[:4])
    with pytest.raises(UnitError, match="coil maps must be complex"):
        sense(kspace, maps=maps.real)
    with pytest.raises(IntensityError, match="coil maps must be finite"):
        sense(kspace, maps=maps * math.nan)


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_refuses_a_weight_out_of_range(weight):
    with pytest.raises(ConfigError, match="weight must be at least 0 and below 1"):
        Sense(weight=weight)


@pytest.mark.parametrize("prior", ["tikhonov", "wavelet", "tv"])
def test_silence_gives_a_black_image(prior):
    maps = simulated_maps((1, 16, 16), coils=2)
    mask = torch.ones(1, 16, 16, dtype=torch.bool)
    scan = KSpace(torch.zeros_like(maps), mask, grid_of(1, 16, 16))
    assert not sense(scan, maps=maps, options=Sense(prior, steps=3)).image.data[0].any()


def test_refuses_wavelets_on_images_too_small_for_them():
    maps = simulated_maps((1, 8, 8), coils=2)
    scan = KSpace(maps, torch.ones(1, 8, 8, dtype=torch.bool), grid_of(1, 8, 8))
    with pytest.raises(ShapeError, match="wavelet prior needs an axis of at least 16 samples"):
        sense(scan, maps=maps)


def test_magnitude_and_phase_join_to_what_was_parted(generator):
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.complex128)
    torch.testing.assert_close(complex_of(image_of(x, grid_of(2, 3, 4))), x)


def test_other_images_are_not_taken_for_magnitude_and_phase():
    image = Image(torch.zeros(2, 1, 2, 2), grid_of(1, 2, 2))
    with pytest.raises(ShapeError, match=r"image must have the channels \('magnitude', 'phase'\)"):
        complex_of(image)


def test_spinning_averages_the_prior_over_shifts(generator):
    """A prior that keeps even places alone: after many shifts every place is kept alike."""
    weights = torch.tensor([0.0, 1.0] * 8, dtype=torch.float64)
    spin = CycleSpin(L1(weights=weights), (16,), 2, 400)
    x = torch.ones(16, dtype=torch.float64)
    out, memory = spin.warm(x, 1.0, None)
    assert int(memory) == 400
    torch.testing.assert_close(out, 0.5 * x, atol=0.01, rtol=0)
    assert torch.equal(spin(x, 1.0), 1 - weights)
    assert spin.value(x) == 8.0


def test_spinning_goes_on_where_it_stopped_and_is_the_same_every_time(generator):
    spin = CycleSpin(L1(weights=torch.arange(16.0).double()), (16,), 16, 1)
    x = 20 * torch.rand(16, generator=generator, dtype=torch.float64)
    first, memory = spin.warm(x, 1.0, None)
    second, _ = spin.warm(x, 1.0, memory)
    assert not torch.equal(first, second)
    assert torch.equal(second, spin.warm(x, 1.0, memory)[0])


def test_spinning_refuses_periods_that_are_none():
    with pytest.raises(ShapeError, match="period and shifts must be at least 1"):
        CycleSpin(Box(), (4,), 0)
    with pytest.raises(ShapeError, match="period and shifts must be at least 1"):
        CycleSpin(Box(), (4,), 2, 0)


def test_predicts_held_out_samples_of_a_real_scan(data_dir):
    """8 coils, 8.04 times undersampled; BART 0.8 (ecalib, pics -l1 -r 5e-3) has 0.2529 here."""
    data = torch.from_numpy(
        np.load(data_dir / "reconstruction" / "mri_sigpy" / "cartesian_ksp.npy")
    )[:, None]
    mask = measured(data)
    outside = mask.clone()
    outside[:, 115 - 12 : 115 + 12, 90 - 12 : 90 + 12] = False
    at = np.flatnonzero(outside.numpy())
    held = torch.zeros(mask.numel(), dtype=torch.bool)
    held[np.random.default_rng(0).choice(at, len(at) // 10, replace=False)] = True
    held = held.reshape(mask.shape)
    known = mask & ~held
    kspace = KSpace(data * known, known, Grid((1, 230, 180), torch.eye(4, dtype=torch.float64)))
    maps = espirit(kspace.data, mask=known).maps
    errors = {}
    for options in (Sense(), Sense("tikhonov", 0.01)):
        x = complex_of(sense(kspace, maps=maps, options=options).image)
        gap = (fourier(maps * x, axes=(-2, -1)) - data)[:, held]
        errors[options.prior] = float(gap.norm() / data[:, held].norm())
    assert errors["wavelet"] <= 1.05 * 0.2529
    assert errors["wavelet"] < 0.85 * errors["tikhonov"] < 0.30
