"""Local intensity peaks."""

import numpy as np
import pytest
from shape_regions import by_tag, failures, open_ibsi, references, region

from vesalius.measure._local_intensity import FEATURES, PEAK_RADIUS_MM, local_intensity


def test_the_sphere_has_one_cubic_centimetre():
    assert 4 / 3 * np.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000)
    assert abs(PEAK_RADIUS_MM - 6.2) < 0.01


@pytest.mark.parametrize(
    ("folder", "table", "bounds"),
    [
        ("ibsi1_digital_phantom", "ibsi_1_dig_phantom.csv", (-np.inf, np.inf)),
        ("ibsi1_ct_phantom", "ibsi_1_chest_config_a.csv", (-500, 400)),
    ],
)
def test_meets_the_reference_values(data_dir, folder, table, bounds):
    ibsi = data_dir / "ibsi"
    image, mask, spacing = open_ibsi(ibsi / folder)
    kept = mask & (image >= bounds[0]) & (image <= bounds[1])
    expected = references(ibsi / "ibsi1_reference_values" / table)
    found = local_intensity(region(mask, image, spacing, inside=kept))
    missed, count = failures(found, expected)
    assert missed == []
    assert count == len(FEATURES) == 2


def test_the_sphere_reaches_out_of_the_region():
    values = np.zeros((31, 31, 31))
    mask = np.zeros(values.shape, dtype=bool)
    mask[15, 15, 15] = True
    values[15, 15, 15] = 1.0
    low = by_tag(local_intensity(region(mask, values)))["loc_peak_glob"]
    values[15, 15, 21] = 1.0  # 6 mm away
    values[15, 15, 8] = 1.0  # 7 mm away
    assert by_tag(local_intensity(region(mask, values)))["loc_peak_glob"] == pytest.approx(2 * low)


def test_flips_and_turns_change_nothing():
    rng = np.random.default_rng(2)
    values, mask = rng.normal(size=(9, 20, 18)), rng.random((9, 20, 18)) < 0.2
    ours = by_tag(local_intensity(region(mask, values, (3.0, 1.0, 2.0))))
    other = region(mask.transpose(2, 0, 1)[::-1], values.transpose(2, 0, 1)[::-1], (2.0, 3.0, 1.0))
    assert by_tag(local_intensity(other)) == pytest.approx(ours, rel=1e-10)


def test_a_constant_image_peaks_at_its_constant():
    values = np.full((4, 5, 6), 3.5)
    found = by_tag(local_intensity(region(np.ones(values.shape, dtype=bool), values)))
    assert found == pytest.approx({"loc_peak_loc": 3.5, "loc_peak_glob": 3.5})
