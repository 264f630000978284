"""Isotropic wavelets against their transfer function and symmetries."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import numpy as np
import pytest
import torch

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._isotropic import isotropic_wavelet, transfer


def volume(shape=(1, 12, 15, 16), seed=2):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(x, family, level):
    """The full complex transform of every mirror image of the volume, the real part's mean."""
    out = 0
    for dims in itertools.product((False, True), repeat=x.ndim):
        flips = [d for d, flip in enumerate(dims) if flip]
        out = out + np.flip(one_way(np.flip(x, flips), family, level), flips)
    return out / 2**x.ndim


def one_way(x, family, level):
    axes = [(np.arange(n) - (n - 1) / 2) / ((n - 1) / 2) for n in x.shape]
    r = np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij")))
    top = 2.0 ** (1 - level)
    if family == "shannon":
        gain = (r >= top / 2) & (r <= top)
    else:
        inside = (r >= top / 4) & (r <= top)
        octaves = np.log2(2 * np.where(inside, r, top / 2) / top)
        gain = np.where(inside, np.cos(np.pi / 2 * octaves), 0)
    gain = np.fft.ifftshift(gain)
    gain[(0,) * x.ndim] = 0
    return np.fft.ifftn(np.fft.fftn(x) * gain).real


@pytest.mark.parametrize("family", ["simoncelli", "shannon"])
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("shape", [(12, 15, 16), (9, 8, 7)])
def test_agrees_with_the_full_complex_transform(family, level, shape):
    x = volume((1, *shape))
    want = slow(x[0].numpy(), family, level)
    got = isotropic_wavelet(x, family, level)
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-12)


def test_slices_are_filtered_one_by_one_in_the_plane():
    x = volume()
    got = isotropic_wavelet(x, "simoncelli", 1, in_plane=True)
    for z in range(12):
        np.testing.assert_allclose(
            got[0, z].numpy(), slow(x[0, z].numpy(), "simoncelli", 1), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("level", [1, 2])
def test_a_constant_gives_zero(boundary, level):
    x = torch.full((1, 8, 9, 10), 5.0, dtype=torch.float64)
    got = isotropic_wavelet(x, "simoncelli", level, boundary=boundary)
    assert float(got.abs().max()) < 1e-12


def test_mirror_continues_the_volume_by_its_image():
    x = volume((1, 6, 7, 8))
    wide = x
    for dim in (-3, -2, -1):
        wide = torch.cat((wide, wide.flip(dim)), dim)
    want = isotropic_wavelet(wide, "simoncelli", 2)[:, :6, :7, :8]
    torch.testing.assert_close(isotropic_wavelet(x, "simoncelli", 2, boundary="mirror"), want)


@pytest.mark.parametrize("boundary", ["periodic", "mirror"])
@pytest.mark.parametrize("size", [8, 9])
def test_turning_the_volume_turns_the_response(boundary, size):
    x = volume((1, size, size, size))
    plain = isotropic_wavelet(x, "simoncelli", 1, boundary=boundary)
    got = isotropic_wavelet(torch.rot90(x, 1, (-2, -1)), "simoncelli", 1, boundary=boundary)
    torch.testing.assert_close(got, torch.rot90(plain, 1, (-2, -1)), rtol=0, atol=1e-12)


def test_levels_add_up_in_energy_between_their_octaves():
    gains = [transfer([257], "simoncelli", level) for level in (1, 2, 3)]
    f = torch.arange(129) / 128
    inner = (f >= 0.2) & (f <= 0.5)
    total = sum(g**2 for g in gains)
    torch.testing.assert_close(total[inner], torch.ones_like(total[inner]), rtol=0, atol=0.02)
    assert float(gains[0][64]) == pytest.approx(math.cos(0), abs=1e-3)


def test_shannon_keeps_an_octave_whole():
    gain = transfer([65], "shannon", 1)
    assert set(gain.tolist()) <= {0.0, 0.5, 1.0}
    assert float(gain[0]) == 0.0
    assert float(gain[-1]) == 1.0


def test_an_axis_of_one_sample_is_left_alone():
    x = volume((1, 1, 12, 13))
    flat = isotropic_wavelet(x, "simoncelli", 1, in_plane=True)
    torch.testing.assert_close(isotropic_wavelet(x, "simoncelli", 1), flat)


def test_keeps_single_precision():
    assert isotropic_wavelet(volume().float(), "shannon", 1).dtype == torch.float32


def test_refuses_level_0():
    with pytest.raises(ShapeError, match="level must be at least 1, got 0"):
        isotropic_wavelet(volume(), "shannon", 0)


def test_refuses_integers():
    with pytest.raises(UnitError, match="x must be floating point"):
        isotropic_wavelet(torch.ones(1, 3, 3, dtype=torch.int32), "shannon", 1)
