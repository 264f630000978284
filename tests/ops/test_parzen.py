"""The joint histogram: its sum, its margins, a slow loop, the spline of SciPy, and its slopes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from vesalius.errors import IntensityError
from vesalius.ops import _parzen
from vesalius.ops._parzen import joint_histogram

CUBIC = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)


def pairs(n, generator, dtype=torch.float64):
    a, b, w = torch.rand(3, n, generator=generator, dtype=dtype)
    a[:4] = torch.tensor([0, 1, 0, 1])
    b[:4] = torch.tensor([0, 1, 1, 0])
    w[w < 0.3] = 0
    return a, b, w


def slow(a, b, w, bins):
    table = np.zeros((bins, bins))
    for x, y, v in zip(a.tolist(), b.tolist(), w.tolist(), strict=True):
        rows, columns = (2 + (bins - 5) * t - np.arange(bins) for t in (x, y))
        table += v * np.outer(np.nan_to_num(CUBIC(rows)), np.nan_to_num(CUBIC(columns)))
    return table


@pytest.mark.parametrize("bins", [8, 32, 64])
def test_agrees_with_a_slow_loop_over_the_spline_of_scipy(bins, generator):
    a, b, w = pairs(60, generator)
    np.testing.assert_allclose(joint_histogram(a, b, w, bins=bins), slow(a, b, w, bins), atol=1e-13)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), bins=st.integers(8, 70))
def test_sums_to_the_weights_and_lies_inside(seed, bins):
    a, b, w = pairs(50, torch.Generator().manual_seed(seed))
    table = joint_histogram(a, b, w, bins=bins)
    assert float(table.sum()) == pytest.approx(float(w.sum()), rel=1e-12)
    assert float(table.min()) >= 0


def test_the_margin_is_the_histogram_of_one_image_whatever_the_other(generator):
    a, b, w = pairs(100, generator)
    one = joint_histogram(a, b, w, bins=16).sum(1)
    other = joint_histogram(a, torch.rand(100, generator=generator).double(), w, bins=16).sum(1)
    torch.testing.assert_close(one, other)


def test_swapping_the_images_transposes_the_table(generator):
    a, b, w = pairs(100, generator)
    torch.testing.assert_close(
        joint_histogram(a, b, w, bins=16), joint_histogram(b, a, w, bins=16).T
    )


def test_the_mean_of_a_margin_is_the_mean_value(generator):
    a, b, w = pairs(100, generator)
    margin = joint_histogram(a, b, w, bins=16).sum(1) / w.sum()
    centres = (torch.arange(16, dtype=torch.float64) - 2) / 11
    assert float(margin @ centres) == pytest.approx(float((a * w).sum() / w.sum()), rel=1e-12)


def test_is_differentiable_by_both_images(generator):
    a, b, w = pairs(20, generator)
    inputs = (a.requires_grad_(), b.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, y: joint_histogram(x, y, w, bins=9), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrix_products_and_loops_agree(dtype, generator):
    a, b, w = pairs(500, generator, dtype)
    tol = 1e-12 if dtype == torch.float64 else 2e-5
    table = _parzen._table(a, b, w, 32)
    assert float((_parzen._table_torch(a, b, w, 32) - table).abs().max()) <= tol * float(w.sum())
    gradient = torch.randn(32, 32, generator=generator, dtype=torch.float64)
    slope = _parzen._slope(a, b, w, gradient)
    error = _parzen._slope_torch(a, b, w, gradient) - slope
    assert float(error.abs().max()) <= tol * float(slope.abs().max())


def test_many_threads_give_what_one_gives(generator, monkeypatch):
    monkeypatch.setattr(_parzen, "LEAST", 10)
    a, b, w = pairs(1000, generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = joint_histogram(a, b, w, bins=16)
        torch.set_num_threads(3)
        three = joint_histogram(a, b, w, bins=16)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(one, three, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.1])
@pytest.mark.parametrize("count", [_parzen._table, _parzen._table_torch], ids=["loop", "matrix"])
def test_refuses_values_outside_where_they_count_and_only_there(bad, count, generator):
    for side, weight in itertools.product((0, 1), (1.0, 0.0)):
        a, b, w = pairs(50, generator)
        (a, b)[side][7] = bad
        w[7] = weight
        if weight:
            with pytest.raises(IntensityError, match="must lie in 0 to 1"):
                count(a, b, w, 16)
        else:
            assert float(count(a, b, w, 16).sum()) == pytest.approx(float(w.sum()))


def test_rounding_beyond_the_range_is_no_error(generator):
    a, b, w = pairs(50, generator)
    a[5], b[6] = -1e-6, 1 + 1e-6
    assert float(joint_histogram(a, b, w, bins=16).sum()) == pytest.approx(float(w.sum()))


@pytest.mark.gpu
def test_the_gpu_counts_as_the_cpu_does(generator):
    a, b, w = pairs(5000, generator, torch.float32)
    table = joint_histogram(a, b, w, bins=32)
    there = joint_histogram(a.cuda(), b.cuda(), w.cuda(), bins=32)
    torch.testing.assert_close(there.cpu(), table, rtol=1e-4, atol=1e-4)
