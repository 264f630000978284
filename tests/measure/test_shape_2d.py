"""Shape in the largest slice."""

import math

import numpy as np
import pytest
from shape_regions import blob, by_tag, region

from vesalius.measure._shape_2d import FEATURES, shape_2d

# PyRadiomics baseline_shape2D.csv, the slice of the label with most pixels
BASELINE = {
    "brain1": {
        "area": 600.28076171875,
        "area_pixel": 600.5859374999998,
        "perimeter": 101.0913825153671,
        "pa": 0.16840683387206656,
        "sphericity": 0.8591480496460206,
        "diam": 35.579054802299055,
        "maj_axis": 33.85279086841539,
        "min_axis": 23.785948973581707,
        "elongation": 0.7026288930220511,
    },
    "breast1": {
        "area": 35.9397346973,
        "area_pixel": 36.160223867208,
        "perimeter": 23.6116203532,
        "pa": 0.656978148339,
        "sphericity": 0.9000498705600878,
        "diam": 8.39979371027,
        "maj_axis": 8.259750107622313,
        "min_axis": 5.729800201543435,
        "elongation": 0.6937013985757058,
    },
}


@pytest.mark.parametrize("case", sorted(BASELINE))
def test_equals_pyradiomics(data_dir, case):
    sitk = pytest.importorskip("SimpleITK")
    label = sitk.ReadImage(str(data_dir / "radiomics_cases" / f"{case}_label.nrrd"))
    mask = sitk.GetArrayFromImage(label) == 1
    found = by_tag(shape_2d(region(mask, spacing=label.GetSpacing()[::-1])))
    for tag, value in BASELINE[case].items():
        assert found["shape2d_" + tag] == pytest.approx(value, rel=1e-9), tag


def test_gives_every_feature_in_order():
    mask, _ = blob(0)
    assert [v.tag for v in shape_2d(region(mask))] == [f.tag for f in FEATURES]


def test_takes_the_slice_with_most_pixels():
    mask = np.zeros((3, 6, 6), dtype=bool)
    mask[0, 1:3, 1:3] = mask[1, 1:5, 1:5] = mask[2, 2:4, 1:5] = True
    ours = by_tag(shape_2d(region(mask)))
    assert ours == by_tag(shape_2d(region(mask[1:2])))
    assert ours == by_tag(shape_2d(region(mask[::-1])))


def test_of_equally_large_slices_the_order_does_not_matter():
    mask = np.zeros((2, 6, 6), dtype=bool)
    mask[0, 1:3, 1:3], mask[1, 1, 1:5] = True, True
    assert by_tag(shape_2d(region(mask))) == by_tag(shape_2d(region(mask[::-1])))


def test_one_pixel_has_no_axes():
    found = shape_2d(region(np.ones((1, 1, 1), dtype=bool)))
    missing = {v.tag: v.reason for v in found if math.isnan(v.value)}
    assert set(missing) == {"shape2d_maj_axis", "shape2d_min_axis", "shape2d_elongation"}
    assert set(missing.values()) == {"one pixel in the slice: positions have no spread"}


def test_pixels_in_a_row_have_no_width():
    found = by_tag(shape_2d(region(np.ones((1, 1, 5), dtype=bool))))
    assert found["shape2d_min_axis"] == found["shape2d_elongation"] == 0.0
