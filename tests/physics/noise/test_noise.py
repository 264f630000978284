"""Noise: what is drawn has the moments of its law, what scores is that law to the last constant."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics import Ellipsoid, Phantom
from vesalius.physics.ct import exact_projections, parallel
from vesalius.physics.noise import (
    gaussian,
    gaussian_nll,
    mixed,
    mixed_nll,
    poisson,
    poisson_nll,
    rician,
    rician_nll,
    scan,
    speckle,
    speckle_nll,
    to_transmission,
)

N = 200_000


def full(value, *shape, dtype=torch.float64):
    return torch.full(shape or (N,), float(value), dtype=dtype)


def moments(x):
    return float(x.mean()), float(x.var())


def test_gaussian_noise_has_its_mean_and_variance(generator):
    mean, variance = moments(gaussian(full(3.0), 2.0, generator=generator))
    assert mean == pytest.approx(3.0, abs=5 * 2 / math.sqrt(N))
    assert variance == pytest.approx(4.0, rel=0.02)


def test_complex_noise_has_sigma_in_each_part(generator):
    noisy = gaussian(torch.zeros(N, dtype=torch.complex128), 2.0, generator=generator)
    assert float(noisy.real.std()) == pytest.approx(2.0, rel=0.01)
    assert float(noisy.imag.std()) == pytest.approx(2.0, rel=0.01)


def test_poisson_counts_have_a_variance_equal_to_their_mean(generator):
    mean, variance = moments(poisson(full(7.5), generator=generator))
    assert mean == pytest.approx(7.5, rel=0.005)
    assert variance == pytest.approx(7.5, rel=0.02)


def test_mixed_noise_adds_both_variances(generator):
    mean, variance = moments(mixed(full(6.0), 3.0, generator=generator))
    assert mean == pytest.approx(6.0, rel=0.01)
    assert variance == pytest.approx(6.0 + 9.0, rel=0.02)


@pytest.mark.parametrize("signal", [0.0, 1.0, 6.0])
def test_rician_magnitudes_follow_their_law(signal, generator):
    drawn = rician(full(signal), 2.0, generator=generator)
    law = scipy.stats.rice(signal / 2.0, scale=2.0)
    assert float(drawn.mean()) == pytest.approx(law.mean(), rel=0.01)
    assert float(drawn.var()) == pytest.approx(law.var(), rel=0.02)


def test_the_phase_does_not_matter_to_a_magnitude(generator):
    turned = rician(full(6.0) * (0.6 + 0.8j), 2.0, generator=generator)
    assert float(turned.mean()) == pytest.approx(scipy.stats.rice(3.0, scale=2.0).mean(), rel=0.01)


@pytest.mark.parametrize("looks", [1, 4])
def test_speckle_keeps_the_mean_and_spreads_by_looks(looks, generator):
    mean, variance = moments(speckle(full(3.0), looks=looks, generator=generator))
    assert mean == pytest.approx(3.0, rel=0.02)
    assert variance == pytest.approx(9.0 / looks, rel=0.04)


DRAWS = {
    "gaussian": lambda x, g: gaussian(x, 1.0, generator=g),
    "poisson": lambda x, g: poisson(x, generator=g),
    "mixed": lambda x, g: mixed(x, 1.0, generator=g),
    "rician": lambda x, g: rician(x, 1.0, generator=g),
    "speckle": lambda x, g: speckle(x, generator=g),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_one_seed_gives_one_draw_and_the_input_stays(name):
    x = full(5.0, 40, 3, dtype=torch.float32)
    one, two, other = (DRAWS[name](x, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32
    assert torch.equal(x, full(5.0, 40, 3, dtype=torch.float32))


@pytest.mark.parametrize("name", list(DRAWS))
def test_integers_are_refused(name, generator):
    with pytest.raises(UnitError, match=r"samples must be floating point, got torch\.int64"):
        DRAWS[name](torch.ones(3, dtype=torch.int64), generator)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_means_below_zero_or_not_finite_are_refused(bad, generator):
    with pytest.raises(IntensityError, match="expected values must be at least 0 and finite"):
        poisson(full(bad, 3), generator=generator)
    with pytest.raises(IntensityError, match="expected values must be at least 0 and finite"):
        speckle(full(bad, 3), generator=generator)
    with pytest.raises(IntensityError, match="sigma must be at least 0 and finite"):
        gaussian(full(1.0, 3), bad, generator=generator)


def test_counts_that_float32_cannot_hold_are_refused(generator):
    with pytest.raises(IntensityError, match=r"expected counts must stay below 16777216"):
        poisson(full(2e7, 3, dtype=torch.float32), generator=generator)
    assert float(poisson(full(2e7, 3), generator=generator).mean()) == pytest.approx(2e7, rel=1e-3)


def test_complex_means_are_refused(generator):
    with pytest.raises(UnitError, match="expected counts must be real"):
        poisson(torch.ones(3, dtype=torch.complex64), generator=generator)


def test_fewer_than_one_look_is_refused(generator):
    with pytest.raises(IntensityError, match="looks must be at least 1"):
        speckle(full(1.0, 3), looks=0, generator=generator)


# --- likelihoods -------------------------------------------------------------------------------

GRID = torch.linspace(0.3, 12.0, 40, dtype=torch.float64)


def test_gaussian_score_is_that_of_scipy():
    got = gaussian_nll(GRID, full(4.0, 40), sigma=1.7)
    expected = -scipy.stats.norm(4.0, 1.7).logpdf(GRID.numpy())
    torch.testing.assert_close(got, torch.from_numpy(expected))


def test_poisson_score_is_that_of_scipy():
    k = torch.arange(40, dtype=torch.float64)
    expected = -scipy.stats.poisson(7.3).logpmf(k.numpy())
    torch.testing.assert_close(poisson_nll(k, full(7.3, 40)), torch.from_numpy(expected))


def test_no_counts_from_nothing_are_certain_and_some_are_impossible():
    got = poisson_nll(torch.tensor([0.0, 2.0]), torch.zeros(2))
    assert got.tolist() == [0.0, math.inf]


def test_rician_score_is_that_of_scipy():
    for signal in (0.0, 2.0, 500.0):
        x = GRID + signal
        expected = -scipy.stats.rice(signal / 1.5, scale=1.5).logpdf(x.numpy())
        got = rician_nll(x, full(signal, 40), sigma=1.5)
        torch.testing.assert_close(got, torch.from_numpy(expected), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("looks", [1, 5])
def test_speckle_score_is_that_of_scipy(looks):
    expected = -scipy.stats.gamma(looks, scale=3.0 / looks).logpdf(GRID.numpy())
    got = speckle_nll(GRID, full(3.0, 40), looks=looks)
    torch.testing.assert_close(got, torch.from_numpy(expected))


def slow_mixed(y, mean, sigma, most=4000):
    """Sum over all counts one by one."""
    total = 0.0
    for k in range(most):
        log = (
            k * math.log(mean) - mean - math.lgamma(k + 1)
            if mean > 0
            else (0.0 if k == 0 else -1e9)
        )
        log -= (y - k) ** 2 / (2 * sigma**2) + 0.5 * math.log(2 * math.pi * sigma**2)
        total += math.exp(log) if log > -740 else 0.0
    return -math.log(total)


@settings(max_examples=30)
@given(st.floats(0.0, 300.0), st.floats(0.3, 20.0), st.floats(-3.0, 3.0))
def test_mixed_score_is_the_slow_sum(mean, sigma, off):
    y = mean + off * math.sqrt(mean + sigma**2)
    got = mixed_nll(full(y, 1), full(mean, 1), sigma=sigma)
    assert float(got) == pytest.approx(slow_mixed(y, mean, sigma), rel=1e-9, abs=1e-9)


def test_mixed_score_far_from_the_mean_is_still_exact():
    for y, mean, sigma in ((60.0, 5.0, 3.0), (-20.0, 5.0, 3.0), (0.0, 200.0, 2.0)):
        got = float(mixed_nll(full(y, 1), full(mean, 1), sigma=sigma))
        assert got == pytest.approx(slow_mixed(y, mean, sigma), rel=1e-9)


def test_mixed_law_integrates_to_one_and_has_its_moments():
    y = torch.linspace(-20, 60, 8001, dtype=torch.float64)
    density = (-mixed_nll(y, full(4.0, 8001), sigma=1.3)).exp() * 0.01
    assert float(density.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float((density * y).sum()) == pytest.approx(4.0, abs=1e-8)
    assert float((density * (y - 4.0) ** 2).sum()) == pytest.approx(4.0 + 1.69, abs=1e-7)


def test_at_many_counts_mixed_is_a_gaussian():
    y = torch.tensor([9900.0, 10000.0, 10080.0], dtype=torch.float64)
    got = mixed_nll(y, full(10_000.0, 3), sigma=50.0)
    expected = gaussian_nll(y, full(10_000.0, 3), sigma=math.sqrt(10_000.0 + 2500.0))
    torch.testing.assert_close(got, expected, rtol=0, atol=5e-3)


def test_the_gradient_of_the_mixed_score_is_the_expected_count():
    mean = torch.tensor([2.0, 5.0, 0.7], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3.2, -1.0, 0.4], dtype=torch.float64)
    (got,) = torch.autograd.grad(mixed_nll(y, mean, sigma=1.1).sum(), mean)
    k = torch.arange(60, dtype=torch.float64)
    log = k * mean.detach().log()[:, None] - torch.lgamma(k + 1) - (y[:, None] - k) ** 2 / 2.42
    expected = 1 - (torch.softmax(log, dim=1) * k).sum(dim=1) / mean.detach()
    torch.testing.assert_close(got, expected)


SCORES = {
    "gaussian": lambda y, m: gaussian_nll(y, m, sigma=1.3),
    "poisson": poisson_nll,
    "mixed": lambda y, m: mixed_nll(y, m, sigma=1.3),
    "rician": lambda y, m: rician_nll(y, m, sigma=1.3),
    "speckle": lambda y, m: speckle_nll(y, m, looks=3),
}


@pytest.mark.parametrize("name", list(SCORES))
def test_scores_can_be_differentiated_twice_by_the_mean(name):
    y = torch.tensor([3.0, 1.0, 4.0], dtype=torch.float64)
    m = torch.tensor([2.5, 1.5, 6.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda mean: SCORES[name](y, mean), m)
    assert torch.autograd.gradgradcheck(lambda mean: SCORES[name](y, mean), m)


@pytest.mark.parametrize("name", list(SCORES))
def test_scores_refuse_shapes_that_differ(name):
    with pytest.raises(ShapeError, match="measured and mean must have one shape"):
        SCORES[name](torch.ones(3), torch.ones(4))


def test_scores_refuse_what_has_no_density():
    with pytest.raises(IntensityError, match="sigma must be positive to score noise"):
        mixed_nll(torch.ones(2), torch.ones(2), sigma=0.0)
    with pytest.raises(IntensityError, match="measured samples must be finite"):
        mixed_nll(torch.tensor([math.nan]), torch.ones(1), sigma=1.0)


# --- low-dose CT -------------------------------------------------------------------------------


def clean():
    ball = Phantom((Ellipsoid.sphere((0.0, 0.0, 0.0), 100.0, value=0.02),), unit="1/mm")
    rays = parallel(torch.arange(0.0, 180.0, 1.0), shape=(1, 61), pitch_mm=(2.0, 2.0))
    return exact_projections(ball, rays)


def test_counts_follow_beer_lambert(generator):
    truth = clean()
    counts = scan(truth, photons=1e4, electronic=5.0, generator=generator)
    assert counts.quantity == "counts"
    middle = counts.data[:, 0, 30].double()
    mean = 1e4 * math.exp(-2.0)
    assert float(middle.mean()) == pytest.approx(mean, rel=0.01)
    assert float(middle.var()) == pytest.approx(mean + 25.0, rel=0.35)
    air = counts.data[:, 0, :5].double()
    assert float(air.var()) == pytest.approx(1e4 + 25.0, rel=0.15)


def test_transmissions_are_scanned_alike(generator):
    truth = clean()
    passed = type(truth)((-truth.data).exp(), truth.geometry, "transmission")
    same = torch.Generator().manual_seed(3)
    first = scan(truth, photons=1e4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(scan(passed, photons=1e4, generator=same).data, first.data)


def test_counts_become_transmissions_and_few_ones_are_lifted(generator):
    counts = scan(clean(), photons=3.0, electronic=2.0, generator=generator)
    assert float(counts.data.min()) < 0
    assert float(to_transmission(counts, photons=3.0).data.min()) == 0.0
    lifted = to_transmission(counts, photons=3.0, least=0.5)
    assert float(lifted.data.min()) == pytest.approx(0.5 / 3.0)
    assert lifted.quantity == "transmission"


def test_a_scan_refuses_what_it_cannot_count(generator):
    counts = scan(clean(), photons=1e3, generator=generator)
    with pytest.raises(UnitError, match="must be line integrals or transmissions to be scanned"):
        scan(counts, photons=1e3, generator=generator)
    with pytest.raises(UnitError, match="projections must be counts to be divided by photons"):
        to_transmission(clean(), photons=1e3)
    with pytest.raises(IntensityError, match="photons must be positive and finite"):
        scan(clean(), photons=0.0, generator=generator)
    with pytest.raises(IntensityError, match="least must be at least 0 counts"):
        to_transmission(counts, photons=1e3, least=-1.0)
    with pytest.raises(IntensityError, match="expected counts must stay below"):
        scan(clean(), photons=1e9, generator=generator)
