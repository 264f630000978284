"""The non-uniform FFT against the direct sum, its density compensation, trajectories."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics.mri import (
    Fourier,
    NonUniformFourier,
    density,
    ellipse_spectrum,
    radial,
    spiral,
)
from vesalius.physics.mri._spread import interpolate, interpolate_torch, spread, spread_torch


def direct(x, k):
    """The definition, summed sample by sample."""
    at = [torch.arange(n, dtype=torch.float64) - n // 2 for n in x.shape]
    places = torch.cartesian_prod(*at)
    wave = torch.exp(-2j * math.pi * (k.reshape(-1, x.ndim) @ places.T))
    return (wave @ x.reshape(-1)).reshape(k.shape[:-1]) / math.sqrt(x.numel())


def error(a, b):
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def drawn(shape, samples, generator):
    k = torch.rand(samples, len(shape), generator=generator, dtype=torch.float64) - 0.5
    return torch.randn(shape, generator=generator, dtype=torch.complex128), k


@pytest.mark.parametrize("shape", [(30, 33), (17, 8), (9, 12, 11)])
@pytest.mark.parametrize(
    ("width", "oversampling", "bound"),
    [(4, 2.0, 2e-3), (6, 2.0, 1e-5), (8, 2.0, 2e-7), (8, 1.5, 3e-6), (10, 1.25, 3e-6)],
)
def test_agrees_with_the_direct_sum(shape, width, oversampling, bound, generator):
    x, k = drawn(shape, 300, generator)
    op = NonUniformFourier(shape, k, width, oversampling)
    assert error(op(x), direct(x, k)) < bound


@pytest.mark.parametrize("shape", [(1, 7), (5, 1), (3, 2), (1, 12, 13), (4, 31, 5)])
def test_the_edges_of_kspace_and_thin_images_agree_with_the_direct_sum(shape, generator):
    """At -1/2 and 1/2, a hair within and at 0, on sizes down to one voxel."""
    x, _ = drawn(shape, 1, generator)
    k = torch.tensor([-0.5, 0.5, 0.4999999, 0.0, -0.25], dtype=torch.float64)
    k = k[:, None].expand(-1, len(shape)) * (1 - 0.1 * torch.arange(len(shape)))
    y = NonUniformFourier(shape, k, 8)(x)
    torch.testing.assert_close(y, direct(x, k), atol=5e-7, rtol=0)


def test_samples_of_a_cartesian_lattice_stand_for_one_cell_and_finer_ones_for_less():
    for finer, bound in ((1, 0.01), (2, 1e-4)):
        at = [(torch.arange(finer * n).double() - finer * n // 2) / n / finer for n in (12, 10)]
        k = torch.stack(torch.meshgrid(*at, indexing="ij"), dim=-1)
        weight = density(NonUniformFourier((12, 10), k))
        expected = torch.full_like(weight, 1 / finer**2)
        torch.testing.assert_close(weight, expected, rtol=bound, atol=0)


def test_single_precision_agrees_with_the_direct_sum(generator):
    x, k = drawn((24, 20), 200, generator)
    y = NonUniformFourier((24, 20), k)(x.to(torch.complex64))
    assert y.dtype == torch.complex64
    assert error(y.to(torch.complex128), direct(x, k)) < 1e-5


def test_on_the_lattice_it_is_the_centred_unitary_fft(generator):
    x = torch.randn(8, 9, generator=generator, dtype=torch.complex128)
    at = [(torch.arange(n, dtype=torch.float64) - n // 2) / n for n in x.shape]
    k = torch.stack(torch.meshgrid(*at, indexing="ij"), dim=-1)
    y = NonUniformFourier((8, 9), k, 10)(x)
    torch.testing.assert_close(y, Fourier((8, 9), (-2, -1))(x), atol=1e-8, rtol=1e-7)


@settings(max_examples=10)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_whole_cycles_do_not_matter(rows, columns):
    generator = torch.Generator().manual_seed(1)
    x, k = drawn((7, 6), 20, generator)
    moved = k + torch.tensor([rows, columns], dtype=torch.float64)
    torch.testing.assert_close(NonUniformFourier((7, 6), moved)(x), NonUniformFourier((7, 6), k)(x))


@pytest.mark.parametrize("shape", [(6, 7), (4, 5, 6)])
def test_the_torch_path_is_the_compiled_one(shape, generator):
    _, k = drawn(shape, 40, generator)
    op = NonUniformFourier(shape, k, 4)
    grid = torch.randn(2, *op.padded, generator=generator, dtype=torch.complex128)
    samples = torch.randn(2, 40, generator=generator, dtype=torch.complex128)
    torch.testing.assert_close(
        interpolate_torch(grid, op._start, op._weight), interpolate(grid, op._start, op._weight)
    )
    torch.testing.assert_close(
        spread_torch(samples, op._start, op._weight, op.padded),
        spread(samples, op._start, op._weight, op.padded),
    )


def test_density_of_radial_samples_grows_with_the_radius():
    op = NonUniformFourier((32, 32), radial(50, samples=32, order="uniform"))
    weight = density(op).reshape(50, 32)
    r = (torch.arange(32, dtype=torch.float64) - 16).abs()
    inner = slice(4, 13)  # away from the crowded centre and from the open end
    slope = weight[:, inner].mean(0) / r[inner]
    assert float(slope.std() / slope.mean()) < 0.05


def test_density_makes_the_adjoint_an_image():
    """A disk of value 1, sampled in closed form: gridding gives its value back."""
    k = radial(101, samples=64)
    disk = torch.tensor([[1.0, 16.0, 16.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    op = NonUniformFourier((64, 64), k)
    y = ellipse_spectrum(disk, k=k) / 64
    image = op.H(density(op) * y).real
    assert float(image[32 - 6 : 32 + 6, 32 - 6 : 32 + 6].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(image[30:34, 6:12].abs().mean()) < 0.05  # in the field of view, off the disk


def test_density_refuses_no_steps():
    op = NonUniformFourier((4, 4), radial(3, samples=4))
    with pytest.raises(ShapeError, match="steps must be at least 1, got 0"):
        density(op, steps=0)


def test_refuses_what_does_not_fit():
    k = torch.zeros(5, 2, dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"shape must be \(y, x\) or \(z, y, x\)"):
        NonUniformFourier((4,), k)
    with pytest.raises(ShapeError, match=r"trajectory must have shape \(\*samples, 3\)"):
        NonUniformFourier((4, 4, 4), k)
    with pytest.raises(ShapeError, match="trajectory must have shape"):
        NonUniformFourier((4, 4), k[:0])
    with pytest.raises(ShapeError, match=r"width must be 2 to 16 and oversampling 1\.125 to 2"):
        NonUniformFourier((4, 4), k, 6, 1.0)
    with pytest.raises(IntensityError, match="trajectory must be finite"):
        NonUniformFourier((4, 4), k * math.nan)
    with pytest.raises(UnitError, match="the image must be complex"):
        NonUniformFourier((4, 4), k)(torch.zeros(4, 4))
    with pytest.raises(UnitError, match="k-space must be complex"):
        NonUniformFourier((4, 4), k).H(torch.zeros(5))


def test_spokes_pass_the_centre_and_turn_by_their_angle():
    k = radial(4, samples=8, order="uniform")
    assert tuple(k.shape) == (4, 8, 2)
    assert not k[:, 4].any()
    torch.testing.assert_close(k[0, 0], torch.tensor([0.0, -0.5], dtype=torch.float64))
    angles = torch.atan2(k[:, -1, 0], k[:, -1, 1])
    expected = torch.tensor([0.0, 45.0, 90.0, 135.0], dtype=torch.float64)
    torch.testing.assert_close(torch.rad2deg(angles), expected)


def test_golden_spokes_turn_by_111_246_degrees():
    k = radial(2, samples=4)
    turned = math.degrees(math.atan2(float(k[1, -1, 0]), float(k[1, -1, 1])))
    assert turned == pytest.approx(111.246, abs=1e-3)


def test_a_spiral_starts_at_the_centre_and_stays_inside():
    k = spiral(3, samples=100, turns=4.0)
    r = torch.linalg.vector_norm(k, dim=-1)
    assert not r[:, 0].any()
    assert bool((r.diff(dim=1) > 0).all())
    assert float(r.max()) < 0.5
    turns = torch.atan2(k[0, 1:, 0], k[0, 1:, 1]).diff().remainder(2 * math.pi).sum()
    assert float(turns) == pytest.approx(2 * math.pi * 4 * 98 / 100, rel=1e-6)


def test_trajectories_refuse_to_be_empty():
    with pytest.raises(ShapeError, match="a trajectory must have at least 1 line of 2 samples"):
        radial(0, samples=8)
    with pytest.raises(ShapeError, match="a trajectory must have at least 1 line of 2 samples"):
        spiral(1, samples=1, turns=1.0)
    with pytest.raises(ShapeError, match="turns and power must be above 0"):
        spiral(1, samples=8, turns=0.0)
    with pytest.raises(ShapeError, match="above 0 and finite, got inf"):
        spiral(1, samples=8, turns=math.inf)


def test_the_spectrum_of_an_ellipse_is_its_fourier_integral():
    row = torch.tensor([[1.5, 3.0, 2.0, 0.7, -0.4, 30.0]], dtype=torch.float64)
    k = torch.tensor([[0.0, 0.0], [0.05, 0.1], [-0.2, 0.13]], dtype=torch.float64)
    n = torch.linspace(-4, 4, 1601, dtype=torch.float64)
    y, x = torch.meshgrid(n, n, indexing="ij")
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    a, b = (x - 0.7) * c + (y + 0.4) * s, (y + 0.4) * c - (x - 0.7) * s
    inside = 1.5 * ((a / 3) ** 2 + (b / 2) ** 2 <= 1)
    for (ky, kx), value in zip(k.tolist(), ellipse_spectrum(row, k=k), strict=True):
        wave = torch.exp(-2j * math.pi * (kx * x + ky * y))
        slow = complex((inside * wave).sum()) * float(n[1] - n[0]) ** 2
        assert complex(value) == pytest.approx(slow, abs=2e-2)


def test_the_spectrum_refuses_rows_that_are_no_ellipses():
    k = torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"ellipses must be rows of \(value, a, b, x, y"):
        ellipse_spectrum(torch.zeros(1, 5, dtype=torch.float64), k=k)
    for bad in (0.0, math.nan):
        with pytest.raises(ShapeError, match="with positive half axes"):
            ellipse_spectrum(torch.full((1, 6), bad, dtype=torch.float64), k=k)
    with pytest.raises(ShapeError, match=r"k must have shape \(\*samples, 2\)"):
        ellipse_spectrum(torch.ones(1, 6, dtype=torch.float64), k=torch.zeros(3, 3))
