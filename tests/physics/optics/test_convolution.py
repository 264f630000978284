"""Convolution against direct sums: linear, never circular, for each extent."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import next_fast_len
from scipy.signal import convolve

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.ops._fast_size import fast_size
from vesalius.physics.optics import Convolution

sizes = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=3)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@given(st.integers(1, 5000))
def test_the_fast_size_is_the_next_product_of_2_3_and_5(n):
    found = fast_size(n)
    assert n <= found <= next_fast_len(n, real=True) * 2
    rest = found
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert found == next(k for k in range(n, found + 1) if five_smooth(k))


def five_smooth(k: int) -> bool:
    for prime in (2, 3, 5):
        while k % prime == 0:
            k //= prime
    return k == 1


@given(sizes)
def test_agrees_with_scipys_direct_sum(pairs):
    shape, kernel = tuple(n for n, _ in pairs), tuple(k for _, k in pairs)
    x, psf = numbers(*shape), numbers(*kernel, seed=1)
    full = convolve(x.numpy(), psf.numpy(), mode="full", method="direct")
    full = torch.from_numpy(full.copy())
    torch.testing.assert_close(Convolution(psf, shape, "full")(x), full)
    window = tuple(slice(k // 2, k // 2 + n) for n, k in pairs)
    torch.testing.assert_close(Convolution(psf, shape)(x), full[window])
    if all(n >= k for n, k in pairs):
        window = tuple(slice(k - 1, n) for n, k in pairs)
        torch.testing.assert_close(Convolution(psf, shape, "valid")(x), full[window])


def test_a_point_at_the_border_does_not_come_back_on_the_other_side():
    x = torch.zeros(9, 9)
    x[0, 4] = 1
    psf = torch.ones(5, 5) / 25
    y = Convolution(psf, (9, 9))(x)
    assert float(y[4:].abs().max()) < 1e-7
    assert float(y[:3].sum()) == pytest.approx(15 / 25)


def test_the_sample_at_half_the_size_is_the_origin():
    psf = torch.zeros(4, 5)
    psf[2, 2] = 1
    x = numbers(6, 7)
    torch.testing.assert_close(Convolution(psf.double(), (6, 7))(x), x)


def test_a_psf_of_sum_one_keeps_the_counts_of_an_object_inside():
    x = torch.zeros(20, 20, dtype=torch.float64)
    x[8:12, 8:12] = 3
    psf = numbers(7, 7).abs()
    y = Convolution(psf / psf.sum(), (20, 20))(x)
    assert float(y.sum()) == pytest.approx(48)


def test_float32_and_float64_are_kept_whatever_the_psf_is():
    for kernel in (torch.float32, torch.float64):
        op = Convolution(numbers(3, 3).to(kernel), (5, 5))
        for dtype in (torch.float32, torch.float64):
            assert op(torch.ones(5, 5, dtype=dtype)).dtype == dtype


def test_complex_objects_pass_by_their_parts():
    x = torch.complex(numbers(6, 5), numbers(6, 5, seed=2))
    op = Convolution(numbers(3, 3, seed=3), (6, 5), "valid")
    torch.testing.assert_close(op(x), torch.complex(op(x.real), op(x.imag)))
    y = torch.complex(numbers(4, 3), numbers(4, 3, seed=2))
    torch.testing.assert_close(op.H(y).real, op.H(y.real))


def test_refuses_axes_that_do_not_fit():
    with pytest.raises(ShapeError, match="psf and shape must have the same axes"):
        Convolution(torch.ones(3, 3), (5, 5, 5))
    with pytest.raises(ShapeError, match="none empty"):
        Convolution(torch.ones(3, 0), (5, 5))
    with pytest.raises(ShapeError, match="'valid' convolution must leave at least one sample"):
        Convolution(torch.ones(3, 6), (5, 5), "valid")


def test_refuses_an_integer_psf():
    with pytest.raises(UnitError, match="psf must be float32 or float64"):
        Convolution(torch.ones(3, 3).half(), (5, 5))


def test_refuses_a_psf_with_nan():
    with pytest.raises(IntensityError, match="psf must be finite"):
        Convolution(torch.tensor([1.0, float("nan")]), (5,))
