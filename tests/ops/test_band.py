"""Bands against the dense matrix they stand for, and threads against one thread."""

import numpy as np
import pytest
import torch

from vesalius.ops._band import Band, apply_band
from vesalius.ops._parts import SMALL, in_parts


def some_band(taps, rows, size):
    rng = np.random.default_rng(3)
    return Band(rng.integers(0, size, (rows, taps)), rng.normal(size=(rows, taps)), size)


def dense(band):
    out = np.zeros((len(band.index), band.size))
    for row, (index, weight) in enumerate(zip(band.index, band.weight, strict=True)):
        np.add.at(out[row], index, weight)
    return torch.from_numpy(out)


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 7, 8, 11])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_is_the_product_with_its_dense_matrix(taps, axis, generator):
    x = torch.randn(6, 19, 5, generator=generator, dtype=torch.float64)
    band = some_band(taps, 9, x.shape[axis])
    expected = torch.tensordot(dense(band), x, dims=([1], [axis])).movedim(0, axis)
    torch.testing.assert_close(apply_band(x, band, axis=axis), expected)


@pytest.mark.parametrize("axis", [0, 2])
def test_derivatives_are_right(axis, generator):
    x = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    band = some_band(3, 5, x.shape[axis])
    assert torch.autograd.gradcheck(lambda v: apply_band(v, band, axis=axis), (x,))
    assert torch.autograd.gradgradcheck(lambda v: apply_band(v, band, axis=axis), (x,))


def test_takes_rows_longer_than_a_block(generator):
    x = torch.randn(2, 3, 2500, generator=generator, dtype=torch.float64)
    band = some_band(4, 3, 3)
    expected = torch.tensordot(dense(band), x, dims=([1], [1])).movedim(0, 1)
    torch.testing.assert_close(apply_band(x, band, axis=1), expected)


@pytest.mark.parametrize("cost", [1, SMALL])
def test_every_step_is_done_once(cost):
    before = torch.get_num_threads()
    done = np.zeros(17, dtype=int)

    def work(start, stop):
        done[start:stop] += 1

    try:
        torch.set_num_threads(3)
        in_parts(work, 17, cost=cost)
    finally:
        torch.set_num_threads(before)
    assert (done == 1).all()


def test_an_error_in_a_part_is_not_lost():
    before = torch.get_num_threads()

    def work(start, stop):
        raise ZeroDivisionError("in a part")

    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError, match="in a part"):
            in_parts(work, 2, cost=SMALL)
    finally:
        torch.set_num_threads(before)
