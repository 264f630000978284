"""Local correlation: value and derivative against a slow loop and autograd, windows, weights."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from vesalius.ops._local_ncc import (
    REFRESH,
    box_sum,
    central_differences,
    fixed_windows,
    local_ncc,
    local_ncc_force,
    local_ncc_gradient,
)

RADII = [(2, 2, 2), (1, 3, 2), (0, 2, 4), (3, 1, 7)]
FLOOR = 1e-3


def pair(shape, generator, dtype=torch.float64):
    fixed, noise = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    return fixed.to(dtype), (0.6 * fixed + 0.5 * noise).to(dtype)


def slow_loss(fixed, warped, radius, weight):
    """One window after the other, straight from the definition."""
    total = norm = 0.0
    for centre in itertools.product(*map(range, fixed.shape)):
        cut = tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(centre, radius, strict=True))
        w, f, g = weight[cut], fixed[cut], warped[cut]
        f = f - (w * f).sum() / w.sum()
        g = g - (w * g).sum() / w.sum()
        cross, a, b = ((w * p).sum() / w.sum() for p in (f * g, f * f, g * g))
        total += weight[centre] * cross**2 / ((a + FLOOR) * (b + FLOOR))
        norm += weight[centre]
    return float(1 - total / norm)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_a_slow_loop(radius, weighted, generator):
    fixed, warped = pair((5, 6, 7), generator)
    weight = torch.rand((5, 6, 7), generator=generator, dtype=torch.float64) + 0.1
    windows = fixed_windows(fixed, radius, weight=weight if weighted else None, floor=FLOOR)
    wanted = slow_loss(fixed, warped, radius, weight if weighted else torch.ones_like(fixed))
    assert local_ncc_gradient(windows, warped)[0] == pytest.approx(wanted, abs=1e-12)
    assert float(local_ncc(windows, warped)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_derivative_is_that_of_autograd(radius, weighted, generator):
    fixed, warped = pair((6, 9, 8), generator)
    weight = torch.rand((6, 9, 8), generator=generator, dtype=torch.float64)
    windows = fixed_windows(fixed, radius, weight=weight if weighted else None, floor=FLOOR)
    warped.requires_grad_()
    (wanted,) = torch.autograd.grad(local_ncc(windows, warped), warped)
    _, found = local_ncc_gradient(windows, warped.detach())
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-15)


def test_running_sums_do_not_drift_in_single_precision(generator):
    """Long axes pass several fresh starts; the error stays that of one window."""
    shape = (3 * REFRESH + 5, 2 * REFRESH + 3, 9)
    fixed, warped = pair(shape, generator)
    exact = local_ncc_gradient(fixed_windows(fixed, (2, 2, 2), floor=FLOOR), warped)
    windows = fixed_windows(fixed.float(), (2, 2, 2), floor=FLOOR)
    loss, slope = local_ncc_gradient(windows, warped.float())
    assert loss == pytest.approx(exact[0], abs=1e-6)
    assert slope.dtype == torch.float32
    assert float((slope - exact[1]).abs().max() / exact[1].abs().max()) < 1e-5


@pytest.mark.parametrize("shape", [(1, 12, 10), (7, 6, 5), (4, 1, 6), (3, 5, 1)])
def test_the_force_is_minus_derivative_times_difference(shape, generator):
    fixed, warped = pair(shape, generator)
    windows = fixed_windows(fixed, (2, 2, 2), floor=FLOOR)
    loss, slope = local_ncc_gradient(windows, warped)
    same, force = local_ncc_force(windows, warped)
    assert same == loss
    torch.testing.assert_close(force, -slope * central_differences(warped))
    assert all(force[a].any() == (shape[a] > 1) for a in range(3))


def test_central_differences_of_a_ramp_are_its_slope():
    z, y, x = (torch.arange(n, dtype=torch.float64) for n in (4, 5, 6))
    ramp = 3 * z[:, None, None] - 2 * y[:, None] + 0.5 * x
    inside = central_differences(ramp)[:, 1:-1, 1:-1, 1:-1]
    wanted = torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64)[:, None, None, None]
    torch.testing.assert_close(inside, wanted.expand_as(inside))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_the_result(threads, generator):
    fixed, warped = pair((13, 8, 9), generator, torch.float32)
    windows = fixed_windows(fixed, (2, 3, 1), floor=FLOOR)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = local_ncc_gradient(windows, warped)
        torch.set_num_threads(threads)
        shared = local_ncc_gradient(windows, warped)
    finally:
        torch.set_num_threads(before)
    assert shared[0] == pytest.approx(alone[0], abs=1e-7)
    torch.testing.assert_close(shared[1], alone[1], rtol=1e-4, atol=1e-9)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=20)
def test_box_sums_agree_with_scipy(a, b, c):
    x = torch.randn((7, 11, 8), generator=torch.Generator().manual_seed(a), dtype=torch.float64)
    size = (2 * a + 1, 2 * b + 1, 2 * c + 1)
    wanted = uniform_filter(x.numpy(), size, mode="constant") * size[0] * size[1] * size[2]
    torch.testing.assert_close(box_sum(x, (a, b, c)), torch.from_numpy(wanted))


@given(st.floats(0.2, 5), st.floats(-3, 3))
@settings(max_examples=10)
def test_does_not_see_brightness_or_contrast(contrast, brightness):
    fixed, warped = pair((6, 7, 8), torch.Generator().manual_seed(4))
    windows = fixed_windows(fixed, (2, 2, 2), floor=1e-12)
    same = local_ncc_gradient(windows, contrast * warped + brightness)[0]
    assert same == pytest.approx(local_ncc_gradient(windows, warped)[0], abs=1e-8)


def test_an_image_and_itself_have_no_loss(generator):
    fixed, _ = pair((6, 7, 8), generator)
    windows = fixed_windows(fixed, (2, 2, 2), floor=1e-12)
    assert local_ncc_gradient(windows, fixed)[0] == pytest.approx(0, abs=1e-9)


def test_samples_without_weight_have_no_influence(generator):
    fixed, warped = pair((6, 8, 9), generator)
    weight = (torch.rand((6, 8, 9), generator=generator) > 0.3).double()
    windows = fixed_windows(fixed, (1, 2, 2), weight=weight, floor=FLOOR)
    other = fixed_windows(
        torch.where(weight > 0, fixed, 40.0), (1, 2, 2), weight=weight, floor=FLOOR
    )
    one = local_ncc_gradient(windows, warped)
    two = local_ncc_gradient(other, torch.where(weight > 0, warped, -70.0))
    assert one[0] == pytest.approx(two[0], abs=1e-12)
    torch.testing.assert_close(one[1], two[1], rtol=1e-6, atol=1e-12)
    assert not one[1][weight == 0].any()


def test_flat_windows_count_for_nothing(generator):
    fixed, warped = pair((6, 8, 9), generator)
    windows = fixed_windows(fixed, (1, 1, 1), floor=FLOOR)
    loss, slope = local_ncc_gradient(windows, torch.full_like(warped, 2.0))
    assert loss == pytest.approx(1)
    assert float(slope.abs().max()) < 1e-9


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives(generator):
    fixed, warped = pair((20, 24, 22), generator, torch.float32)
    loss, force = local_ncc_force(fixed_windows(fixed, (2, 2, 2), floor=FLOOR), warped)
    windows = fixed_windows(fixed.cuda(), (2, 2, 2), floor=FLOOR)
    other, there = local_ncc_force(windows, warped.cuda())
    assert other == pytest.approx(loss, rel=1e-4)
    assert float((there.cpu() - force).abs().max() / force.abs().max()) < 1e-4
