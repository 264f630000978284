"""Morphology against the IBSI's references, and its invariances."""

import itertools
import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_regions import blob, by_tag, failures, open_ibsi, references, region, turned

from vesalius.core import Grid
from vesalius.errors import GeometryError, RegionError
from vesalius.measure._morphology import FEATURES, morphology
from vesalius.measure._region import Region

SPACING = (2.5, 1.0, 0.8)
LOOSE = ("hull", "ombb", "mvee", "diam")


def close(tag):
    return 1e-6 if any(word in tag for word in LOOSE) else 1e-10


def same(ours, theirs):
    for tag, value in ours.items():
        assert theirs[tag] == pytest.approx(value, rel=close(tag), abs=1e-12), tag


def reasons(values):
    return {v.tag.removeprefix("morph_"): v.reason for v in values if math.isnan(v.value)}


def test_gives_every_feature_of_the_catalogue_in_order():
    mask, values = blob(0)
    assert [v.tag for v in morphology(region(mask, values))] == [f.tag for f in FEATURES]
    assert len({f.code for f in FEATURES}) == len(FEATURES) == 29


def test_meets_the_reference_values_of_the_digital_phantom(data_dir):
    ibsi = data_dir / "ibsi"
    image, mask, spacing = open_ibsi(ibsi / "ibsi1_digital_phantom")
    expected = references(ibsi / "ibsi1_reference_values" / "ibsi_1_dig_phantom.csv")
    missed, count = failures(morphology(region(mask, image, spacing)), expected)
    assert missed == []
    assert count == 25


def test_meets_the_reference_values_of_the_ct_in_configuration_a(data_dir):
    ibsi = data_dir / "ibsi"
    image, mask, spacing = open_ibsi(ibsi / "ibsi1_ct_phantom")
    expected = references(ibsi / "ibsi1_reference_values" / "ibsi_1_chest_config_a.csv")
    kept = mask & (image >= -500) & (image <= 400)
    missed, count = failures(morphology(region(mask, image, spacing, inside=kept)), expected)
    assert missed == []
    assert count == 25


def test_agrees_with_pyradiomics_on_a_brain_tumour(data_dir):
    sitk = pytest.importorskip("SimpleITK")
    label = sitk.ReadImage(str(data_dir / "radiomics_cases" / "brain1_label.nrrd"))
    mask = sitk.GetArrayFromImage(label) == 1
    found = by_tag(
        morphology(region(mask, spacing=label.GetSpacing()[::-1]), spatial_autocorrelation=False)
    )
    # PyRadiomics baseline_shape.csv; axes there divide by N, here by N - 1
    assert found["morph_volume"] == pytest.approx(16149.4954427, rel=1e-3)
    assert found["morph_area_mesh"] == pytest.approx(6433.7343171, rel=1e-3)
    assert found["morph_vol_approx"] == pytest.approx(16412.6586914, rel=1e-10)
    assert found["morph_diam"] == pytest.approx(69.6009903059, rel=1e-10)
    count = mask.sum()
    ours = found["morph_pca_maj_axis"] * math.sqrt((count - 1) / count)
    assert ours == pytest.approx(61.99722046980879, rel=1e-10)


@given(
    st.integers(0, 10_000),
    st.permutations([0, 1, 2]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(max_examples=25, deadline=None)
def test_turns_and_flips_change_nothing(seed, order, flips):
    mask, values = blob(seed)
    ours = by_tag(morphology(region(mask, values, SPACING)))
    same(ours, by_tag(morphology(turned(mask, values, SPACING, order, flips))))


@pytest.mark.parametrize("seed", [2269, 53, 1096])
def test_no_turn_or_flip_changes_the_least_box(seed):
    mask, values = blob(seed)
    wanted = ombb(region(mask, values, SPACING))
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            found = ombb(turned(mask, values, SPACING, order, flips))
            assert found == pytest.approx(wanted, rel=1e-10)


def ombb(one):
    return by_tag(morphology(one, spatial_autocorrelation=False))["morph_vol_dens_ombb"]


def test_padding_changes_nothing():
    mask, values = blob(4)
    widths = ((1, 3), (0, 2), (5, 1))
    padded = region(np.pad(mask, widths), np.pad(values, widths, constant_values=1e9), SPACING)
    ours = by_tag(morphology(region(mask, values, SPACING)))
    same(ours, by_tag(morphology(padded)))


def test_lengths_areas_and_volumes_scale():
    mask, values = blob(5)
    units = {f.tag: f.unit for f in FEATURES}
    power = {"mm": 1, "mm^2": 2, "mm^3": 3, "1/mm": -1, "1": 0, "{unit} mm^3": 3}
    small = by_tag(morphology(region(mask, values, (1.0, 1.0, 1.0))))
    large = by_tag(morphology(region(mask, values, (2.0, 2.0, 2.0))))
    for tag, value in small.items():
        scaled = value * 2.0 ** power[units[tag]]
        assert large[tag] == pytest.approx(scaled, rel=max(close(tag), 1e-9)), tag


def test_shape_is_of_the_drawn_mask_and_intensity_of_the_resegmented_one():
    mask, values = blob(6)
    kept = mask & (values > 40)
    whole = by_tag(morphology(region(mask, values, SPACING)))
    part = by_tag(morphology(region(mask, values, SPACING, inside=kept)))
    changed = {tag for tag in whole if whole[tag] != part[tag]}
    assert changed == {"morph_com", "morph_integ_int", "morph_moran_i", "morph_geary_c"}
    expected = values[kept].mean() * whole["morph_volume"]
    assert part["morph_integ_int"] == pytest.approx(expected)


def test_an_upright_box_fills_its_box():
    found = by_tag(
        morphology(region(np.ones((6, 8, 10), dtype=bool), np.arange(480.0).reshape(6, 8, 10)))
    )
    assert found["morph_vol_dens_aabb"] == pytest.approx(found["morph_volume"] / 480)
    assert found["morph_vol_dens_ombb"] >= found["morph_vol_dens_aabb"] - 1e-9
    assert found["morph_vol_dens_conv_hull"] == pytest.approx(1, abs=0.01)


def test_one_voxel_has_a_mesh_but_no_axes():
    found = morphology(region(np.ones((1, 1, 1), dtype=bool), np.full((1, 1, 1), 5.0)))
    assert by_tag(found)["morph_volume"] == pytest.approx(1 / 6)
    missing = reasons(found)
    assert set(missing) == {
        "pca_maj_axis",
        "pca_min_axis",
        "pca_least_axis",
        "pca_elongation",
        "pca_flatness",
        "vol_dens_aee",
        "area_dens_aee",
        "moran_i",
        "geary_c",
    }
    assert all(missing.values())
    assert missing["moran_i"] == "one voxel: there is no pair"


def test_a_flat_region_has_no_ellipsoid_volume():
    mask, values = blob(7)
    found = morphology(region(mask[3:4], values[3:4]))
    assert reasons(found) == {"vol_dens_aee": "flat region: an axis of the ellipsoid is 0"}
    assert by_tag(found)["morph_pca_flatness"] == 0.0


def test_a_tilted_plane_is_flat_to_the_last_digit():
    mask = np.zeros((6, 6, 6), dtype=bool)
    for y in range(6):
        for x in range(6):
            if x + y < 6:
                mask[x + y, y, x] = True
    found = morphology(region(mask, np.random.default_rng(0).random(mask.shape)))
    assert by_tag(found)["morph_pca_least_axis"] == 0.0
    assert "vol_dens_aee" in reasons(found)


def test_voxels_in_a_line_have_no_ellipsoid_at_all():
    found = morphology(region(np.ones((1, 1, 4), dtype=bool), np.arange(4.0).reshape(1, 1, 4)))
    assert set(reasons(found)) == {"vol_dens_aee", "area_dens_aee"}


def test_a_constant_region_has_no_autocorrelation():
    found = morphology(region(np.ones((2, 3, 4), dtype=bool), np.full((2, 3, 4), 7.0)))
    why = "constant intensity: variance is 0"
    assert reasons(found) == {"moran_i": why, "geary_c": why}


def test_intensities_that_sum_to_zero_have_no_centre_of_mass():
    found = morphology(region(np.ones((1, 1, 2), dtype=bool), np.array([[[-1.0, 1.0]]])))
    assert reasons(found)["com"] == "intensities sum to 0: they have no centre of mass"


def test_autocorrelation_can_be_left_out():
    mask, values = blob(8)
    found = morphology(region(mask, values), spatial_autocorrelation=False)
    assert set(reasons(found)) == {"moran_i", "geary_c"}
    assert "spatial_autocorrelation is off" in reasons(found)["moran_i"]


def test_refuses_a_sheared_grid():
    mask = torch.ones(2, 2, 2, dtype=torch.bool)
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.3
    sheared = Region(Grid((2, 2, 2), affine), torch.ones(2, 2, 2).double(), mask, mask, "1")
    with pytest.raises(GeometryError, match="axes at right angles, this one is sheared"):
        morphology(sheared)


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="region must have a voxel inside to have a shape"):
        morphology(region(np.zeros((2, 2, 2), dtype=bool)))


@pytest.mark.parametrize("seed", [8, 19])
def test_the_least_ellipsoid_is_found_where_plain_steps_become_small(seed):
    rng = np.random.default_rng(seed)
    z, y, x = rng.integers(6, 22, 3).tolist()
    shape = (z, y, x)
    noise = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    mask = torch.from_numpy(noise > np.quantile(noise, 0.6))
    found = []
    for axes in ((), (0,), (1, 2)):
        flipped = mask.flip(axes) if axes else mask
        part = Region(
            Grid.from_spacing(shape, (2.0, 1.0, 1.5)), flipped.double(), flipped, flipped, "1"
        )
        values = {v.tag: v for v in morphology(part, spatial_autocorrelation=False)}
        assert values["morph_vol_dens_mvee"].reason == ""
        found.append(values["morph_area_dens_mvee"].value)
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-6)
