"""Textbook: sparsity beats energy as a prior when a detector has blurred and binned."""

import math

import pytest
import torch

from vesalius.physics.optics import Blur, Downsample
from vesalius.physics.sparse import Gradient
from vesalius.reconstruct.solve import L1, TV, fista, tikhonov

SHAPE = (1, 48, 48)
WEIGHTS = (3e-4, 1e-3, 3e-3, 1e-2)


def seen(truth):
    """Blur by 1.5 samples, bin 2 x 2, add noise of 1 % of the peak."""
    op = Downsample(SHAPE, (1, 2, 2)) @ Blur(SHAPE, (0.0, 1.5, 1.5))
    generator = torch.Generator().manual_seed(0)
    y = op(truth)
    return op, y + 0.01 * torch.randn(y.shape, generator=generator, dtype=torch.float64)


def psnr(x, truth):
    return 10 * math.log10(float(truth.max()) ** 2 / float((x - truth).square().mean()))


def best(solve, truth):
    """PSNR at the strength that suits each prior best: what is compared is the prior alone."""
    scores = [psnr(solve(weight).x, truth) for weight in WEIGHTS]
    assert max(scores) > max(scores[0], scores[-1]) - 1e-9
    return max(scores)


def beads():
    generator = torch.Generator().manual_seed(3)
    truth = torch.zeros(SHAPE, dtype=torch.float64)
    where = torch.randint(4, 44, (25, 2), generator=generator)
    truth[0, where[:, 0], where[:, 1]] = 0.5 + 0.5 * torch.rand(25, generator=generator).double()
    return truth


def cartoon():
    """Discs and a bar of constant values."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    body = 0.6 * ((x - 24) ** 2 + (y - 24) ** 2 < 20**2).double()
    lesion = 0.4 * ((x - 30) ** 2 + (y - 18) ** 2 < 5**2).double()
    bar = 0.3 * ((x - 17).abs().le(3) & (y - 27).abs().le(8)).double()
    return (body + lesion - bar)[None]


def test_the_sum_of_moduli_beats_the_sum_of_squares_on_beads():
    truth = beads()
    op, y = seen(truth)
    squares = best(lambda w: tikhonov(op, y, weight=w), truth)
    moduli = best(lambda w: fista(op, y, L1(), weight=w, steps=120), truth)
    assert moduli >= squares + 1.5


def test_the_sum_of_moduli_of_slopes_beats_that_of_squares_on_a_cartoon():
    truth = cartoon()
    op, y = seen(truth)
    slope = Gradient(SHAPE, (1.0, 1.0))
    squares = best(lambda w: tikhonov(op, y, weight=w, analysis=slope), truth)
    moduli = best(lambda w: fista(op, y, TV(steps=20), weight=w, steps=60), truth)
    assert moduli >= squares + 1.5


def test_neither_invents_beads_where_nothing_was_seen():
    op, y = seen(torch.zeros(SHAPE, dtype=torch.float64))
    found = fista(op, y, L1(), weight=0.05, steps=50)
    assert torch.count_nonzero(found.x) == 0
    assert float(op.H(y).abs().max()) <= 0.05


@pytest.mark.parametrize("truth", [beads(), cartoon()], ids=["beads", "cartoon"])
def test_binning_without_a_prior_cannot_tell_fine_from_coarse(truth):
    op, y = seen(truth)
    loose = tikhonov(op, y, weight=1e-9, steps=200)
    assert loose.residual[-1] < 0.02
    assert psnr(loose.x, truth) < best(lambda w: tikhonov(op, y, weight=w), truth)
