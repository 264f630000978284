"""Beam hardening: a wedge calibrates, water is flat again."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, IntensityError, UnitError
from vesalius.physics.ct import Projections, parallel
from vesalius.physics.quality import mu_water
from vesalius.reconstruct.ct import (
    Linearisation,
    calibrate_hardening,
    linearise,
    water_hardening,
)

KEV = torch.tensor([40.0, 60.0, 80.0, 100.0], dtype=torch.float64)
PHOTONS = torch.tensor([1.0, 3.0, 2.0, 1.0], dtype=torch.float64)
STEPS = torch.linspace(0, 300, 31, dtype=torch.float64)


def polychromatic(thickness_mm: torch.Tensor) -> torch.Tensor:
    """Line integrals of water in the spectrum, by a loop over energies."""
    passed = torch.zeros_like(thickness_mm)
    for energy, share in zip(KEV.tolist(), PHOTONS.tolist(), strict=True):
        passed += share * torch.exp(-thickness_mm * mu_water(energy))
    return -(passed / PHOTONS.sum()).log()


def scan(values: torch.Tensor) -> Projections:
    geometry = parallel(torch.zeros(1), shape=(1, len(values)))
    return Projections(values[None, None], geometry)


def test_water_of_any_thickness_is_as_of_one_energy():
    by = water_hardening(KEV, photons=PHOTONS, reference_kev=70.0, largest_mm=300.0)
    thick = torch.linspace(0, 300, 77, dtype=torch.float64)
    measured = polychromatic(thick)
    # 300 mm of water look 4 % too thin
    assert float(measured[-1]) < 0.97 * float(measured[1] / thick[1] * 300)
    mended = linearise(scan(measured), by=by).data[0, 0]
    torch.testing.assert_close(mended, mu_water(70.0) * thick, rtol=2e-3, atol=5e-4)


@settings(max_examples=20)
@given(st.floats(0.005, 0.1), st.floats(0, 0.05), st.floats(0, 0.01))
def test_a_wedge_that_follows_a_cubic_gives_its_coefficients(a, b, c):
    measured = torch.linspace(0, 6, 40, dtype=torch.float64)
    mu = 0.02
    thick = (a * measured + b * measured**2 + c * measured**3) / mu
    fit = calibrate_hardening(measured, thickness_mm=thick, mu_per_mm=mu)
    assert fit.coefficients == pytest.approx((a, b, c), abs=1e-9)
    assert fit.limit == pytest.approx(6.0)
    mended = linearise(scan(measured), by=fit).data[0, 0]
    torch.testing.assert_close(mended, mu * thick, rtol=1e-9, atol=1e-12)


def test_beyond_the_wedge_and_below_zero_it_goes_straight_on():
    by = Linearisation((1.0, 0.5), limit=2.0, mu_per_mm=0.02)
    got = linearise(scan(torch.tensor([-1.0, 0.0, 2.0, 3.0])), by=by).data[0, 0]
    # slope 1 at 0; value 4 and slope 3 at 2
    assert got.tolist() == pytest.approx([-1.0, 0.0, 4.0, 7.0])
    assert got.dtype == torch.float32


def test_the_cupping_of_a_water_cylinder_goes():
    s = torch.linspace(-99, 99, 199, dtype=torch.float64)
    chord = 2 * (100**2 - s**2).sqrt()
    measured = polychromatic(chord)
    by = calibrate_hardening(
        polychromatic(STEPS), thickness_mm=STEPS, mu_per_mm=mu_water(70.0), degree=4
    )
    per_mm = linearise(scan(measured), by=by).data[0, 0] / chord
    before = measured / chord
    assert float(before.max() / before.min()) > 1.02
    assert float(per_mm.max() / per_mm.min()) < 1.003


def test_too_few_steps_are_refused():
    two = torch.tensor([0.0, 1.0])
    with pytest.raises(ConfigError, match="degree must be 1 or more with at least as many samples"):
        calibrate_hardening(two, thickness_mm=two, mu_per_mm=0.02, degree=3)
    with pytest.raises(ConfigError, match="2 samples and 31 thicknesses"):
        calibrate_hardening(two, thickness_mm=STEPS, mu_per_mm=0.02, degree=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 0.0])
def test_samples_that_are_no_wedge_are_refused(bad):
    with pytest.raises(IntensityError, match="samples of the wedge must be finite and not"):
        calibrate_hardening(torch.full((31,), bad), thickness_mm=STEPS, mu_per_mm=0.02)


def test_a_fit_that_does_not_rise_is_refused():
    measured = torch.linspace(0, 6, 31, dtype=torch.float64)
    with pytest.raises(IntensityError, match="the fit must rise from 0 to 6"):
        calibrate_hardening(measured, thickness_mm=STEPS.flip(0), mu_per_mm=0.02)


def test_a_spectrum_without_photons_or_outside_the_table_is_refused():
    for photons in (torch.zeros(4), torch.tensor([1.0, -1.0, 1.0, 1.0])):
        with pytest.raises(IntensityError, match="photons must not be negative and some positive"):
            water_hardening(KEV, photons=photons, reference_kev=70.0)
    with pytest.raises(UnitError, match="kev must be 10 to 500 keV"):
        water_hardening(KEV, photons=PHOTONS, reference_kev=120000.0)


def test_counts_are_refused():
    counts = Projections(torch.ones(1, 1, 3), parallel(torch.zeros(1), shape=(1, 3)), "counts")
    with pytest.raises(IntensityError, match="projections must be line integrals to be linearised"):
        linearise(counts, by=Linearisation((1.0,), 1.0, 0.02))
