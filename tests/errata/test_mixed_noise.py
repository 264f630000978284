"""Erratum 8: the mixed Poisson-Gaussian law needs k! and the term k = 0 as they are."""

import math

import pytest
import torch

from vesalius.physics.noise import mixed, mixed_nll

MEANS = torch.arange(3.0, 6.0, 0.1, dtype=torch.float64)
SIGMA = 1.0


def printed(y, mean):
    """Sum from k = 0 by Stirling's formula, where k = 0 is nearly infinite and must be cut off."""
    k = torch.arange(60, dtype=torch.float64).clamp_min(1e-10)
    stirling = k * k.log() - k + 0.5 * (2 * math.pi * k).log()
    log = k * math.log(mean) - mean - stirling - (y[:, None] - k) ** 2 / (2 * SIGMA**2)
    return -torch.logsumexp(log, dim=1).sum()


def test_the_exact_sum_finds_a_mean_of_five_and_the_printed_one_does_not(generator):
    y = mixed(torch.full((1500,), 5.0, dtype=torch.float64), SIGMA, generator=generator)
    exact = [mixed_nll(y, torch.full_like(y, float(mean)), sigma=SIGMA).sum() for mean in MEANS]
    best = float(MEANS[torch.stack(exact).argmin()])
    assert best == pytest.approx(5.0, abs=5 * math.sqrt((5 + SIGMA**2) / 1500))
    wrong = float(MEANS[torch.stack([printed(y, float(mean)) for mean in MEANS]).argmin()])
    assert 3.5 <= wrong <= 4.4
