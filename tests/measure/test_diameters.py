"""Clinical diameters."""

import math

import numpy as np
import pytest
import torch
from shape_regions import blob, by_tag, region, turned

from vesalius.core import Grid
from vesalius.measure._diameters import FEATURES, diameters
from vesalius.measure._morphology import morphology
from vesalius.measure._region import Region


def ellipse(long, short, slices=3):
    n = math.ceil(max(long, short)) + 2
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    return np.repeat(((x / long) ** 2 + (y / short) ** 2 <= 1)[None], slices, axis=0)


def test_gives_every_feature_in_order():
    assert [v.tag for v in diameters(region(blob(0)[0]))] == [f.tag for f in FEATURES]


def test_measures_an_ellipse():
    found = by_tag(diameters(region(ellipse(20, 11))))
    assert found["diam_axial"] == pytest.approx(41, abs=0.1)
    assert found["diam_axial_short"] == pytest.approx(23, abs=0.1)
    assert found["diam_axial_product"] == found["diam_axial"] * found["diam_axial_short"]
    assert found["diam_3d"] > found["diam_axial"]


def test_agrees_with_pyradiomics(data_dir):
    sitk = pytest.importorskip("SimpleITK")
    label = sitk.ReadImage(str(data_dir / "radiomics_cases" / "breast1_label.nrrd"))
    mask = sitk.GetArrayFromImage(label) == 1
    found = by_tag(diameters(region(mask, spacing=label.GetSpacing()[::-1])))
    assert found["diam_axial"] == pytest.approx(8.39979371027, rel=1e-9)
    assert found["diam_coronal"] == pytest.approx(7.12140846294, rel=1e-9)
    assert found["diam_sagittal"] == pytest.approx(8.24091097816, rel=1e-9)
    assert found["diam_3d"] == pytest.approx(9.08101860833, rel=1e-9)


def test_the_longest_in_3d_is_that_of_morphology():
    mask, values = blob(3)
    case = region(mask, values, (3.0, 1.0, 0.5))
    expected = by_tag(morphology(case, spatial_autocorrelation=False))["morph_diam"]
    assert by_tag(diameters(case))["diam_3d"] == pytest.approx(expected, rel=1e-12)


def test_a_slice_is_axial_by_the_world_not_by_the_array():
    mask, _ = blob(4)
    ours = by_tag(diameters(region(mask, spacing=(3.0, 1.0, 0.5))))
    # the same voxels stored with x first: array axis 0 runs along L, 1 along S, 2 along P
    stored = torch.from_numpy(np.ascontiguousarray(mask.transpose(2, 0, 1)))
    columns = [[0.5, 0, 0, 0], [0, 0, 1.0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]]
    grid = Grid(tuple(stored.shape), torch.tensor(columns, dtype=torch.float64))
    other = Region(grid, stored.double(), stored, stored, "1")
    assert by_tag(diameters(other)) == pytest.approx(ours, rel=1e-9)


def test_a_grid_turned_between_the_axes_goes_by_the_order_of_the_array():
    mask, _ = blob(5)
    plain = region(mask)
    turn = torch.eye(4, dtype=torch.float64)
    rows = np.linalg.qr(np.array([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]).T)[0]
    turn[:3, :3] = torch.from_numpy(np.ascontiguousarray(rows))
    oblique = Region(Grid(plain.grid.shape, turn), plain.intensity, plain.mask, plain.mask, "1")
    assert set(by_tag(diameters(oblique))) == set(by_tag(diameters(plain)))


def test_flips_change_nothing():
    mask, values = blob(6)
    ours = by_tag(diameters(region(mask, spacing=(2.0, 1.0, 0.7))))
    for flips in ((True, False, False), (False, True, True)):
        other = turned(mask, values, (2.0, 1.0, 0.7), (0, 1, 2), flips)
        assert by_tag(diameters(other)) == pytest.approx(ours, rel=1e-9)


def test_one_voxel_is_one_voxel_wide():
    found = by_tag(diameters(region(np.ones((1, 1, 1), dtype=bool), spacing=(4.0, 2.0, 1.0))))
    assert found["diam_axial"] == pytest.approx(2.0)
    assert found["diam_axial_short"] == pytest.approx(1.0)
    assert found["diam_3d"] == pytest.approx(4.0)
