"""Separable wavelets against PyWavelets and the theory of orthogonal filter banks."""
# SPDX-License-Identifier: Apache-2.0

from typing import get_args

import numpy as np
import pytest
import pywt
import torch

from vesalius.errors import ShapeError
from vesalius.ops._convolve import convolve_separable
from vesalius.ops._wavelets import Family, wavelet_chain, wavelet_taps

FAMILIES = get_args(Family)


@pytest.mark.parametrize("family", FAMILIES)
def test_taps_are_those_of_pywavelets(family):
    wavelet = pywt.Wavelet(family)
    assert wavelet_taps(family, "L").values == pytest.approx(wavelet.dec_lo, abs=1e-14)
    assert wavelet_taps(family, "H").values == pytest.approx(wavelet.dec_hi, abs=1e-14)


@pytest.mark.parametrize("family", FAMILIES)
def test_filters_are_orthonormal_and_only_the_low_pass_has_a_mean(family):
    low = np.array(wavelet_taps(family, "L").values)
    high = np.array(wavelet_taps(family, "H").values)
    assert low.sum() == pytest.approx(np.sqrt(2), abs=1e-9)
    assert high.sum() == pytest.approx(0, abs=1e-9)
    for shift in range(0, len(low), 2):
        assert low[shift:] @ low[: len(low) - shift] == pytest.approx(float(shift == 0), abs=1e-9)
        assert high[shift:] @ low[: len(low) - shift] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_bands_are_those_of_the_stationary_transform_up_to_a_shift(family, level, generator):
    x = torch.randn(64, generator=generator, dtype=torch.float64)
    coefficients = pywt.swt(x.numpy(), family, level=level)
    for band, want in zip("LH", coefficients[0], strict=True):
        chain = wavelet_chain(family, band, level)
        got = convolve_separable(x[None, None], ((), (), chain), "periodic")[0, 0].numpy()
        shifts = [np.abs(np.roll(got, s) - want).max() for s in range(64)]
        assert min(shifts) < 1e-10


def test_bands_keep_the_energy_of_a_periodic_signal(generator):
    x = torch.randn((8, 8, 8), generator=generator, dtype=torch.float64)
    total = 0.0
    for names in ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH"):
        chains = tuple(wavelet_chain("db3", band, 1) for band in names)
        total += float((convolve_separable(x, chains, "periodic") ** 2).sum())
    assert total == pytest.approx(8 * float((x**2).sum()), rel=1e-9)


def test_a_level_spreads_its_taps_and_low_passes_first():
    first, second = wavelet_chain("haar", "H", 2)
    assert first == wavelet_taps("haar", "L")
    assert second.values == pytest.approx((-np.sqrt(0.5), 0, np.sqrt(0.5), 0))
    assert second.centre == 2


def test_refuses_level_0():
    with pytest.raises(ShapeError, match="level must be at least 1, got 0"):
        wavelet_chain("haar", "L", 0)
