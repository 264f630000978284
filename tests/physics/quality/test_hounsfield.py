"""Hounsfield units: the table of water, both directions, calibration drift."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.core import Grid, Image
from vesalius.errors import IntensityError, UnitError
from vesalius.physics.quality import drift_hu, mu_water, to_hu, to_mu

GRID = Grid.from_spacing((2, 3, 4))


def image(values: torch.Tensor, unit: str) -> Image:
    return Image(values, GRID, unit)


@pytest.mark.parametrize(
    ("kev", "cm2_per_g"),  # NISTIR 5632, table 4, water
    [(10.0, 5.329), (30.0, 0.3756), (60.0, 0.2059), (100.0, 0.1707), (500.0, 0.09687)],
)
def test_water_agrees_with_the_table_of_nist(kev, cm2_per_g):
    assert mu_water(kev) == pytest.approx(cm2_per_g / 10, rel=1e-12)


def test_water_between_two_points_agrees_with_a_fit_through_logarithms():
    # oracle: interpolation by numpy on log axes of the two neighbours
    expected = np.exp(np.interp(np.log(70), np.log([60, 80]), np.log([0.2059, 0.1837])))
    assert mu_water(70.0) == pytest.approx(expected / 10, rel=1e-12)
    # XCOM itself, 70 keV: 0.1929 cm^2/g
    assert mu_water(70.0) == pytest.approx(0.01929, rel=0.01)


@given(st.floats(10, 499), st.floats(0.01, 1))
def test_water_lets_more_through_at_a_higher_energy(kev, more):
    assert mu_water(kev + more) < mu_water(kev)


def test_water_is_0_hu_and_nothing_is_minus_1000():
    water = torch.full((1, 2, 3, 4), mu_water(70.0), dtype=torch.float64)
    there = to_hu(image(water, "1/mm"), kev=70.0)
    torch.testing.assert_close(there.data, torch.zeros_like(water), atol=1e-9, rtol=0)
    assert there.unit == "HU"
    empty = to_hu(image(torch.zeros_like(water), "1/mm"), kev=70.0)
    assert bool((empty.data == -1000).all())


@given(st.integers(0, 2**31), st.floats(10, 500))
def test_going_there_and_back_changes_nothing(seed, kev):
    drawn = torch.rand((1, 2, 3, 4), generator=torch.Generator().manual_seed(seed))
    hu = image(drawn.double() * 4000 - 1000, "HU")
    back = to_hu(to_mu(hu, kev=kev), kev=kev)
    torch.testing.assert_close(back.data, hu.data, atol=1e-9, rtol=1e-12)
    assert back.unit == "HU"


def test_the_number_type_grid_and_names_stay():
    mu = to_mu(Image(torch.zeros(1, 2, 3, 4), GRID, "HU", ("ct",)), kev=70.0)
    assert (mu.dtype, mu.unit, mu.channels, mu.grid) == (torch.float32, "1/mm", ("ct",), GRID)


def test_45_hu_drift_by_5_when_water_is_half_a_percent_off():
    drift = drift_hu(torch.tensor([45.0, -1000.0], dtype=torch.float64), error=0.005)
    assert float(drift[0]) == pytest.approx(-5.199, abs=1e-3)
    assert float(drift[1]) == 0.0


@given(st.floats(-0.2, 0.2), st.floats(-1000, 3000))
def test_the_drift_is_what_a_wrong_water_value_does(error, hu):
    # mu from the true water value, HU from the wrong one
    mu = mu_water(70.0) * (1 + hu / 1000)
    wrong = 1000 * (mu / (mu_water(70.0) * (1 + error)) - 1)
    drift = drift_hu(torch.tensor(hu, dtype=torch.float64), error=error)
    assert float(drift) == pytest.approx(wrong - hu, abs=1e-8)


@pytest.mark.parametrize("kev", [9.9, 501.0, 120_000.0, float("nan")])
def test_an_energy_outside_the_table_is_refused(kev):
    with pytest.raises(UnitError, match="kev must be 10 to 500 keV to find water in the table"):
        mu_water(kev)


def test_a_wrong_unit_is_refused():
    with pytest.raises(UnitError, match="to_mu must be given an image in HU, got unit '1/mm'"):
        to_mu(image(torch.zeros(1, 2, 3, 4), "1/mm"), kev=70.0)
    with pytest.raises(UnitError, match="to_hu must be given an image in 1/mm, got unit 'HU'"):
        to_hu(image(torch.zeros(1, 2, 3, 4), "HU"), kev=70.0)


def test_integers_are_refused():
    with pytest.raises(UnitError, match="must be given floating point samples, got"):
        to_mu(image(torch.zeros(1, 2, 3, 4, dtype=torch.int16), "HU"), kev=70.0)


@pytest.mark.parametrize("error", [-1.0, -2.0, float("nan")])
def test_an_error_that_leaves_no_attenuation_is_refused(error):
    with pytest.raises(IntensityError, match="error must be a relative error above -1"):
        drift_hu(torch.zeros(1), error=error)
