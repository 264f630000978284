"""Partial Fourier: exact for real images, close for slow phases; and radial SENSE."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from coil_phantom import HEAD, coil_waves, head_kspace, true_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError
from vesalius.physics.mri import (
    Coils,
    Each,
    NonUniformFourier,
    ellipse_spectrum,
    fourier,
    inverse_fourier,
    radial,
)
from vesalius.reconstruct.mri import homodyne
from vesalius.reconstruct.solve import tikhonov


def lines_of(n, count, *, low):
    at = torch.arange(n)
    return at < count if low else at >= n - count


@settings(max_examples=25)
@given(st.integers(6, 13), st.integers(0, 3), st.booleans())
def test_a_real_image_comes_back_exactly_from_little_more_than_half(n, more, low):
    generator = torch.Generator().manual_seed(n)
    smooth = torch.rand(n, 5, generator=generator, dtype=torch.float64) + 50  # phase 0 in the band
    lines = lines_of(n, min(n // 2 + 2 + more, n), low=low)
    kspace = fourier(smooth, axes=(-2, -1))
    if n % 2 == 0:
        kspace[0] = 0.0  # the line at -n/2 has no mirror image: where it is missing it is lost
    smooth = inverse_fourier(kspace, axes=(-2, -1)).real
    torch.testing.assert_close(homodyne(kspace * lines[:, None], lines=lines), smooth)


def test_a_slow_phase_is_taken_off_and_edges_stay_sharp():
    n = 64
    at = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
    y, x = at[:, None], at[None]
    image = ((y / 0.8) ** 2 + (x / 0.6) ** 2 < 1).double()
    phased = torch.polar(image, 0.8 * y - 0.5 * x + 0.4 * y * x)
    lines = lines_of(n, 40, low=False)
    kspace = fourier(phased, axes=(-2, -1)) * lines[:, None]
    found = homodyne(kspace, lines=lines)
    filled = inverse_fourier(kspace, axes=(-2, -1)).abs()
    gap, zero = (float((v - image).norm() / image.norm()) for v in (found, filled))
    assert gap < 0.04
    assert gap < 0.5 * zero


def test_coils_are_a_batch(generator):
    kspace = torch.randn(3, 8, 6, generator=generator, dtype=torch.complex128)
    lines = lines_of(8, 6, low=True)
    kspace = kspace * lines[:, None]
    for c in range(3):
        torch.testing.assert_close(
            homodyne(kspace, lines=lines)[c], homodyne(kspace[c], lines=lines)
        )


@pytest.mark.parametrize(
    "lines",
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 1, 1, 1, 0],
    ],
)
def test_refuses_lines_that_do_not_hold_half_of_kspace(lines):
    kspace = torch.ones(8, 4, dtype=torch.complex64)
    with pytest.raises(RegionError, match="from one end of k-space without a gap"):
        homodyne(kspace, lines=torch.tensor(lines, dtype=torch.bool))


def test_refuses_what_does_not_fit():
    lines = torch.ones(8, dtype=torch.bool)
    with pytest.raises(UnitError, match="k-space must be complex"):
        homodyne(torch.ones(8, 4), lines=lines)
    with pytest.raises(ShapeError, match=r"lines must have the shape \(8,\)"):
        homodyne(torch.ones(8, 4, dtype=torch.complex64), lines=lines[1:])


def test_radial_sense_from_a_quarter_of_the_spokes_gives_the_head():
    """K-space in closed form along spokes, through known coils, solved on the lattice."""
    n, coils = 48, 6
    k = radial(24, samples=2 * n)
    q = torch.tensor([(0.0, 0.0), (0.25, 0.0), (0.0, 0.25), (-0.25, 0.0), (0.0, -0.25)])
    spectra = torch.stack([ellipse_spectrum(HEAD, k=k * (n / 2) - w.double()) for w in q])
    y = torch.tensordot(coil_waves(coils), spectra, dims=1) * (n / 4)
    op = Each(coils, NonUniformFourier((n, n), k)) @ Coils(true_maps(n, coils))
    found = tikhonov(op, y, weight=1e-2, steps=40).x
    full = inverse_fourier(head_kspace(n, coils), axes=(-2, -1))
    maps = true_maps(n, coils)
    best = (maps.conj() * full).sum(0) / (maps.abs() ** 2).sum(0)
    filled = op.H(y)
    filled = filled * (torch.vdot(filled.flatten(), best.flatten()) / filled.norm() ** 2)
    assert float((found - best).norm() / best.norm()) < 0.2
    assert float((found - best).norm()) < 0.5 * float((filled - best).norm())


def test_refuses_spoiled_kspace():
    lines = torch.arange(8) < 6
    with pytest.raises(IntensityError, match="k-space must be finite"):
        homodyne(torch.full((8, 8), float("nan"), dtype=torch.complex64), lines=lines)
