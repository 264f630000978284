"""Content: what a report says of a number is what the table says of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.core import Image
from vesalius.study._content import (
    KEYS,
    Truth,
    family_tables,
    friendly,
    histograms,
    key_rows,
    rounded,
    truth_rows,
    undefined,
)
from vesalius.study._views import outline

VOLUME = {"family": "morphology", "feature": "morph_volume", "unit": "mm^3"}
VARIANCE = {"family": "statistics", "feature": "stat_var", "unit": "HU^2"}
MEDIAN = {"family": "statistics", "feature": "stat_median", "unit": "HU"}


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (1234.567, 1.0, "1234.6"),
        (1234.567, 34.0, "1235"),
        (1234.567, 340.0, "1230"),
        (-0.01234567, 0.001, "−0.0123"),
        (3.14159265, None, "3.1416"),
        (0.0, None, "0.0000"),
        (-0.0001, 0.5, "0.00"),
        (5e9, None, "5.0000e+09"),
        (2.5e-7, 1e-8, "2.50e-07"),
        (math.nan, None, "–"),
        (math.inf, 1.0, "–"),
    ],
)
def test_numbers_are_rounded_to_what_their_error_supports(value, sd, text):
    assert rounded(value, sd) == text


@given(
    st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-3),
    st.floats(1e-6, 1e5),
)
def test_rounding_never_moves_a_number_by_more_than_a_tenth_of_its_error(value, sd):
    back = float(rounded(value, sd).replace("−", "-"))
    assert abs(back - value) <= max(0.06 * sd, 1e-6 * abs(value))


def test_volumes_are_shown_in_ml_and_small_ones_in_mm3(make_part):
    part = make_part(
        VOLUME | {"value": 3050.0, "perturb_sd": 50.0, "mdc95": 138.6},
        VOLUME | {"label": "right", "value": 80.0},
    )
    left, right = (row.cells[0] for row in key_rows((part,), {}))
    assert (left.text, left.unit, left.half_text, left.mdc_text) == ("3.050", "mL", "0.098", "0.14")
    assert (right.text, right.unit) == ("80.000", "mm³")


def test_the_sd_is_the_root_of_the_variance_and_so_is_its_error(make_part):
    part = make_part(VARIANCE | {"value": 400.0, "perturb_sd": 8.0, "mdc95": 22.0})
    (row,) = key_rows((part,), {})
    cell = row.cells[[key.title for key in KEYS].index("SD")]
    assert (cell.value, cell.unit) == (20.0, "HU")
    assert cell.sd == pytest.approx(8.0 / 40.0)
    assert cell.mdc95 == pytest.approx(22.0 / 40.0)


def test_the_sd_of_a_constant_region_is_zero(make_part):
    (row,) = key_rows((make_part(VARIANCE | {"value": 0.0, "perturb_sd": 0.0}),), {})
    assert row.cells[2].value == 0.0


def test_a_quantity_that_was_not_measured_says_so(make_part):
    (row,) = key_rows((make_part(VOLUME | {"value": 1.0}),), {})
    assert row.cells[1].value is None
    assert row.cells[1].reason == "not measured"
    assert row.cells[1].text == "–"


def test_truth_is_compared_in_the_unit_shown(make_part):
    part = make_part(VOLUME | {"value": 3100.0, "perturb_sd": 60.0, "mdc95": 1.0})
    truths = (Truth("left", "morph_volume", "Volume", 3000.0, "ball"),)
    (row,) = truth_rows((part,), truths)
    assert (row.truth, row.truth_text, row.measured.unit) == (3.0, "3.000", "mL")
    assert row.error_text == "+3.33%"
    assert row.inside is True


def test_truth_outside_the_error_bar_is_called_so(make_part):
    part = make_part(VOLUME | {"value": 3100.0, "perturb_sd": 40.0})
    (row,) = truth_rows((part,), (Truth("left", "morph_volume", "Volume", 3000.0, ""),))
    assert row.inside is False


def test_truth_without_error_bar_is_neither_in_nor_out(make_part):
    part = make_part(VOLUME | {"value": 3100.0})
    (row,) = truth_rows((part,), (Truth("left", "morph_volume", "Volume", 3000.0, ""),))
    assert row.inside is None
    assert row.span >= abs(row.error)


def test_hounsfield_units_are_compared_by_difference(make_part):
    part = make_part(MEDIAN | {"value": 33.0, "perturb_sd": 4.0})
    (row,) = truth_rows((part,), (Truth("left", "stat_median", "Median", 40.0, ""),))
    assert row.error_text == "−7.0 HU"


def test_a_truth_of_something_not_measured_is_left_out(make_part):
    part = make_part(VOLUME | {"value": 3100.0})
    assert truth_rows((part,), (Truth("liver", "morph_volume", "Volume", 1.0, ""),)) == ()


def test_a_value_without_number_has_no_difference(make_part):
    part = make_part(VOLUME | {"reason": "empty"})
    (row,) = truth_rows((part,), (Truth("left", "morph_volume", "Volume", 1.0, ""),))
    assert (row.error, row.error_text) == (None, "–")


def test_histogram_counts_the_voxels_of_the_region(scan):
    image, labels = scan
    outlines = outline(labels, ((0, 3), (0, 5)), names=("left", "right"))
    for histogram, value in zip(histograms(image, outlines, bins=20), (3, 5), strict=True):
        inside = image.data[labels.data == value].double().numpy()
        assert histogram.voxels == inside.size
        low, high = np.quantile(inside, (0.005, 0.995))
        counts, _ = np.histogram(inside[(inside >= low) & (inside <= high)], 20, (low, high))
        np.testing.assert_allclose(histogram.heights, counts / counts.max())


def test_histogram_of_a_constant_and_of_an_unusable_region(scan):
    image, labels = scan
    outlines = outline(labels, ((0, 3),), names=("left",))
    flat = Image(torch.full_like(image.data, 7.0), image.grid)
    (histogram,) = histograms(flat, outlines)
    assert histogram.low < histogram.high
    assert histograms(Image(torch.full_like(image.data, math.nan), image.grid), outlines) == ()


def test_every_value_stands_in_a_family_table(make_part):
    part = make_part(
        VOLUME | {"value": 1.0},
        VOLUME | {"label": "right", "value": 2.0},
        {"family": "glcm", "feature": "cm_contrast", "aggregation": "3D_comb", "value": 3.0},
        {"family": "glcm", "feature": "cm_contrast", "aggregation": "3D_avg", "value": 4.0},
        {"family": "glcm", "feature": "no_such", "label": "right", "value": 5.0},
    )
    shape, texture = family_tables((part,))
    assert (shape.title, texture.title) == ("Morphology", "GLCM")
    assert [cell.value for cell in shape.rows[0].cells] == [1.0, 2.0]
    assert [row.aggregation for row in texture.rows] == ["3D_comb", "3D_avg", ""]
    assert [row.name for row in texture.rows] == ["Contrast", "Contrast", "no_such"]
    assert texture.rows[2].cells[0].reason == "not measured"


def test_missing_values_are_counted_by_reason(make_part):
    part = make_part(
        VOLUME | {"reason": "flat"}, VOLUME | {"reason": "flat"}, VOLUME | {"reason": "a"}
    )
    assert list(undefined((part,)).items()) == [("flat", 2), ("a", 1)]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "ellipsoid must be within 1e-07 after 100000 steps, it is within 1e-05: give more",
            "the enclosing ellipsoid did not converge",
        ),
        ("fewer than 4 voxels.", "fewer than 4 voxels"),
        (
            "bins must be wide enough for the intensities of the region to be counted: widen them",
            "bins must be wide enough for the intensities of the region to be counted",
        ),
    ],
)
def test_reasons_are_given_in_a_few_words(reason, words):
    assert friendly(reason) == words
