"""Sums for linear registration: against a slow loop, SciPy, torch, and themselves."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vesalius.ops._linear_sums import (
    Pull,
    _by_torch,
    _chain_torch,
    _lookup,
    compared,
    linear_chain,
    linear_sums,
    linear_warp,
)

MATRIX = np.array(
    [
        [0.9731, 0.1117, -0.0713, 0.3137],
        [-0.0919, 1.0371, 0.0531, -0.2791],
        [0.0613, -0.0417, 0.9573, 0.8713],
    ]
)
CENTRE = np.array([2.5, 3.0, 3.5])


def smooth(shape, seed):
    """Draw a volume without flat places, so that slopes hardly jump between cells."""
    place = np.stack(np.indices(shape)).astype(np.float64)
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    wave = sum(
        np.sin(0.35 * (k + 1) * p + f) for k, (p, f) in enumerate(zip(place, phase, strict=True))
    )
    return torch.from_numpy(wave.astype(np.float32))


def pull(*, masks=False, stride=1, shape=(6, 7, 9), moving=(7, 8, 8)):
    weights = (smooth(shape, 7).abs().clamp(max=1), smooth(moving, 8).abs().clamp(max=1))
    given = weights if masks else (None, None)
    return Pull(smooth(shape, 1), smooth(moving, 2), *given, stride)


def slow(job, matrix, centre):
    """Do the same sample by sample, with SciPy's interpolation and a one-sided difference."""
    f, m = job.fixed.numpy().astype(float), job.moving.numpy().astype(float)
    size = np.array(m.shape)
    moments, first, second = np.zeros(6), np.zeros((3, 12)), np.zeros((12, 12))
    for index in np.ndindex(f.shape):
        z, y, x = index
        if (x - (z * 3 + y * 5)) % job.stride or x // job.stride >= job.count:
            continue
        at = matrix[:, :3] @ index + matrix[:, 3]
        real = size > 1
        if (real & ((at < 0) | (at > size - 1))).any():
            continue
        at = np.where(real, at, 0)
        w = np.where(real, np.minimum(1, np.minimum(at, size - 1 - at)), 1).prod()
        if job.fixed_weight is not None:
            w *= float(job.fixed_weight[index])
            w *= look(job.moving_weight.numpy(), at)
        value, cell = look(m, at), np.floor(at)
        slope = np.zeros(3)
        for axis in np.flatnonzero(real):
            ends = [np.where(np.arange(3) == axis, cell + k, at) for k in (0, 1)]
            slope[axis] = look(m, ends[1]) - look(m, ends[0])
        j = np.outer(slope, [1, *(np.array(index) - centre)]).ravel()
        moments += w * np.array([1, f[index], value, f[index] ** 2, value**2, f[index] * value])
        first += w * np.outer([1, f[index], value], j)
        second += w * np.outer(j, j)
    return moments, first, second


def look(volume, at):
    return float(map_coordinates(volume.astype(float), at[:, None], order=1, mode="nearest")[0])


def require_equal(found, true):
    for one, two in zip((found.moments, found.first, found.second), true, strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=2e-5 * np.abs(two).max())


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("stride", [1, 3])
def test_sums_equal_those_of_a_slow_loop(masks, stride):
    job = pull(masks=masks, stride=stride)
    found = linear_sums(job, MATRIX, CENTRE)
    require_equal(found, slow(job, MATRIX, CENTRE))


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_torch_gives_the_same_sums(masks, stride):
    job = pull(masks=masks, stride=stride)
    one, two = linear_sums(job, MATRIX, CENTRE), _by_torch(job, MATRIX, CENTRE)
    np.testing.assert_allclose(one.moments, two.moments, rtol=1e-5)
    np.testing.assert_allclose(one.first, two.first, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(one.second, two.second, rtol=1e-4, atol=1e-2)


def test_a_volume_of_one_slice_has_no_slope_across_it_and_does_not_end_there():
    job = pull(shape=(1, 7, 9), moving=(1, 8, 8))
    matrix = MATRIX.copy()
    matrix[0] = (1.0, 0.0, 0.0, 0.4)
    found = linear_sums(job, matrix, CENTRE)
    assert not found.first[:, :4].any()
    assert np.isfinite(found.second).all()
    require_equal(found, slow(job, matrix, CENTRE))
    other = _by_torch(job, matrix, CENTRE)
    np.testing.assert_allclose(found.moments, other.moments, rtol=1e-5)


def test_sums_do_not_depend_on_the_number_of_threads():
    job = pull(shape=(40, 40, 40), moving=(40, 40, 40))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = linear_sums(job, MATRIX, CENTRE)
        torch.set_num_threads(3)
        three = linear_sums(job, MATRIX, CENTRE)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one.second, three.second)
    np.testing.assert_array_equal(one.moments, three.moments)


def test_sums_are_continuous_where_samples_leave_the_volume():
    job = pull()
    shifts = np.linspace(0.0, 3.0, 601)
    overlaps = []
    for shift in shifts:
        matrix = np.eye(3, 4)
        matrix[2, 3] = shift
        overlaps.append(linear_sums(job, matrix, CENTRE).moments[0])
    assert np.abs(np.diff(overlaps)).max() < 0.02 * overlaps[0]
    assert overlaps[-1] < 0.7 * overlaps[0]


def test_nothing_is_summed_where_nothing_overlaps():
    matrix = np.eye(3, 4)
    matrix[0, 3] = 100.0
    found = linear_sums(pull(), matrix, CENTRE)
    assert not found.moments.any()
    assert not found.second.any()


@pytest.mark.parametrize("stride", [1, 2])
def test_the_warp_is_that_of_scipy(stride):
    job = pull(stride=stride, masks=True)
    value, weight = linear_warp(job, MATRIX)
    assert value.shape == (6, 7, 9 // stride)
    for z, y, k in ((2, 3, 1), (4, 4, 2), (1, 5, 3)):
        x = (z * 3 + y * 5) % stride + k * stride
        at = MATRIX[:, :3] @ (z, y, x) + MATRIX[:, 3]
        assert float(weight[z, y, k]) > 0
        assert float(value[z, y, k]) == pytest.approx(look(job.moving.numpy(), at), abs=1e-5)


def test_the_compared_samples_are_those_of_the_warp():
    job = pull(stride=3)
    columns = compared(job)
    for z, y, k in ((0, 0, 0), (1, 1, 2), (5, 6, 1)):
        x = (z * 3 + y * 5) % 3 + 3 * k
        assert float(columns[z, y, k]) == float(job.fixed[z, y, x])
    whole = pull()
    torch.testing.assert_close(compared(whole), whole.fixed)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_chain_of_a_weight_times_a_value_is_the_first_order_sum(stride):
    job = pull(masks=True, stride=stride)
    value, weight = linear_warp(job, MATRIX)
    found = linear_chain(job, weight * value, MATRIX, CENTRE)
    np.testing.assert_allclose(found, linear_sums(job, MATRIX, CENTRE).first[2], rtol=1e-4)
    other = _chain_torch(job, weight * value, MATRIX, CENTRE)
    np.testing.assert_allclose(found, other, rtol=1e-4, atol=1e-4)


def test_torch_looks_up_the_same_values_and_weights():
    job = pull(masks=True)
    value, weight = linear_warp(job, MATRIX)
    other = _lookup(job, MATRIX, slice(0, 6))
    torch.testing.assert_close(value, other.value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight, other.weight, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_the_gpu_gives_the_sums_of_the_cpu():
    job = pull(masks=True, shape=(30, 31, 32), moving=(32, 31, 30))
    there = Pull(*(t.cuda() for t in (job.fixed, job.moving, job.fixed_weight, job.moving_weight)))
    one, two = linear_sums(job, MATRIX, CENTRE), linear_sums(there, MATRIX, CENTRE)
    np.testing.assert_allclose(one.moments, two.moments, rtol=1e-4)
    scale = np.abs(one.second).max()
    np.testing.assert_allclose(one.second, two.second, rtol=1e-4, atol=1e-4 * scale)
    value, weight = linear_warp(there, MATRIX)
    slope = linear_chain(there, value * weight, MATRIX, CENTRE)
    scale = np.abs(two.first[2]).max()
    np.testing.assert_allclose(slope, two.first[2], rtol=1e-4, atol=1e-4 * scale)
