"""All values of one region: order, invariances, IBSI's reference values end to end."""

import math

import numpy as np
import pytest
import torch
from measure.cases import blob, image, passes, references

from vesalius import io
from vesalius.core import Image
from vesalius.enhance import LogFilter, MeanFilter, apply_filter
from vesalius.errors import IntensityError
from vesalius.measure._catalogue import by_tag, catalogue
from vesalius.measure._config import ALL_AGGREGATIONS, Config, Discretise, Features
from vesalius.measure._engine import measure_region
from vesalius.measure._prepare import prepare

ALL = Features(aggregations=ALL_AGGREGATIONS)
LOOSE = ("conv_hull", "ombb", "mvee", "morph_diam")
"""Features that stand on a hull: rotations change them by rounding of the hull's facets."""

PHANTOM = {"features": ALL, "discretise": {"method": "none"}}
PLANAR = [a for a in ALL_AGGREGATIONS if not a.startswith("3D")]
SPATIAL = [a for a in ALL_AGGREGATIONS if a.startswith("3D")]
CT: dict[str, dict[str, object]] = {
    "ibsi_1_chest_config_a": {
        "resegment": {"range": [-500, 400]},
        "features": {"aggregations": PLANAR},
    },
    "ibsi_1_chest_config_b": {
        "resample": {"spacing_mm": [3, 2, 2], "in_plane": True},
        "resegment": {"range": [-500, 400]},
        "discretise": {"method": "bin_count", "bin_count": 32},
        "features": {"aggregations": PLANAR},
    },
    "ibsi_1_chest_config_c": {
        "resample": {"spacing_mm": [2, 2, 2]},
        "resegment": {"range": [-1000, 400]},
        "ivh": {"method": "bin_width", "bin_width": 2.5},
        "features": {"aggregations": SPATIAL},
    },
}


def measured(values: torch.Tensor, mask: torch.Tensor, spacing, config: Config) -> dict[str, float]:
    found = measure_region(prepare(image(values, spacing), mask, config), config)
    return {v.key: v.value for v in found}


def failures(root, name: str, folder: str, config: Config) -> tuple[int, list[str]]:
    """Compare with a reference file: how many rows were compared, and those that fail."""
    path = root / "ibsi" / folder
    mask = io.open_labels(path / "mask.nii.gz").mask(1)
    values = measure_region(prepare(io.open(path / "image.nii.gz").read(), mask, config), config)
    found = {v.key: v.value for v in values}
    rows = {k: v for k, v in references(root, name).items() if not k.endswith(("_img", "_roi"))}
    rows = {k: v for k, v in rows.items() if k.split("_")[0] in PREFIXES}
    return len(rows), [k for k, (v, tol) in rows.items() if not passes(found[k], v, tol)]


PREFIXES = {f.tag.split("_")[0] for f in catalogue()}


def test_all_482_rows_of_the_digital_phantom_pass(data_dir):
    count, failed = failures(
        data_dir, "ibsi_1_dig_phantom", "ibsi1_digital_phantom", Config(**PHANTOM)
    )
    assert count == 482
    assert failed == []


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ibsi_1_chest_config_a", 346),
        ("ibsi_1_chest_config_b", 346),
        ("ibsi_1_chest_config_c", 210),
    ],
)
def test_all_rows_of_the_ct_configurations_pass(data_dir, name, rows):
    count, failed = failures(data_dir, name, "ibsi1_ct_phantom", Config(modality="CT", **CT[name]))
    assert count == rows
    assert failed == []


def test_gives_487_values_of_174_features():
    values, mask = blob()
    config = Config(features=ALL)
    found = measure_region(prepare(image(values), mask, config), config)
    assert len(found) == 487
    assert len({v.tag for v in found}) == 174
    assert len({v.key for v in found}) == 487


def test_the_catalogue_knows_174_features_of_the_standard():
    families = {f.family for f in catalogue() if f.code}
    assert sum(f.family in families for f in catalogue()) == 174
    assert len({f.tag for f in catalogue()}) == len(catalogue())


def test_codes_and_tags_agree_with_the_published_table(data_dir):
    lines = (data_dir / "ibsi" / "ibsi_feature_codes.csv").read_text().splitlines()[1:]
    codes = {line.split(";")[0]: line.split(";")[2] for line in lines}
    ours = {f.tag: f.code for f in catalogue() if f.code}
    assert {tag: codes.get(tag) for tag in ours} == ours


@pytest.mark.parametrize("turn", ["flip_z", "flip_y", "flip_x", "rot_zy", "rot_zx", "rot_yx"])
def test_turning_the_grid_by_90_degrees_changes_no_3d_feature(turn):
    values, mask = blob()
    features = Features(aggregations=("3D_avg", "3D_comb", "3D"))
    config = Config(features=features, discretise=Discretise(bin_count=8))
    spacing = [2.0, 1.0, 1.5]
    axes = {"z": 0, "y": 1, "x": 2}
    if turn.startswith("flip"):
        turned = [t.flip(axes[turn[-1]]) for t in (values, mask)]
    else:
        a, b = axes[turn[-2]], axes[turn[-1]]
        turned = [torch.rot90(t, 1, (a, b)) for t in (values, mask)]
        spacing[a], spacing[b] = spacing[b], spacing[a]
    one = measured(values, mask, (2.0, 1.0, 1.5), config)
    two = measured(turned[0], turned[1], tuple(spacing), config)
    for key, value in one.items():
        rel = 1e-6 if any(word in key for word in LOOSE) else 1e-10
        assert two[key] == pytest.approx(value, rel=rel, abs=1e-10, nan_ok=True), key


def test_padding_the_image_changes_no_feature():
    values, mask = blob()
    config = Config(features=ALL)
    pads = (3, 8, 9, 1, 2, 7)
    wide = torch.nn.functional.pad(values, pads, value=-50.0)
    one = measured(values, mask, (2.0, 1.0, 1.5), config)
    two = measured(wide, torch.nn.functional.pad(mask, pads), (2.0, 1.0, 1.5), config)
    peaks = {"loc_peak_loc", "loc_peak_glob"}  # they look outside the region, by definition
    for key in set(one) - peaks:
        assert two[key] == pytest.approx(one[key], rel=1e-12, abs=1e-12, nan_ok=True), key


def test_only_what_is_asked_for_is_measured():
    values, mask = blob()
    config = Config(features={"families": ["glcm"], "aggregations": ["2D_comb", "3D"]})
    found = measure_region(prepare(image(values), mask, config), config)
    assert {by_tag()[v.tag].family for v in found} == {"glcm"}
    assert {v.aggregation for v in found} == {"2D_comb"}


def test_a_filter_is_measured_on_its_response_without_shape():
    values, mask = blob()
    spec = MeanFilter(size=3, dimension="3D")
    config = Config(filters=(spec,), features={"families": ["morphology", "statistics"]})
    found = measure_region(prepare(image(values), mask, config), config)
    filtered = {v.tag: v.value for v in found if v.filtered}
    assert len(filtered) == 18
    response = apply_filter(Image(values[None].double(), image(values).grid), spec)
    assert filtered["stat_mean"] == pytest.approx(float(response.data[0][mask].mean()), rel=1e-12)


def test_cropping_before_a_filter_changes_nothing():
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(40, 42, 44, generator=generator, dtype=torch.float64)
    mask = torch.zeros(40, 42, 44, dtype=torch.bool)
    mask[18:23, 17:24, 19:25] = True
    spec = LogFilter(sigma_mm=1.5)
    config = Config(filters=(spec,), features={"families": ["statistics"]})
    img = image(values, (1.0, 1.0, 1.0))
    region = prepare(img, mask, config)
    assert region.intensity.numel() < values.numel()
    found = {v.tag: v.value for v in measure_region(region, config) if v.filtered}
    whole = apply_filter(img, spec).data[0][mask]
    assert found["stat_mean"] == pytest.approx(float(whole.mean()), abs=1e-9)
    assert found["stat_max"] == pytest.approx(float(whole.max()), rel=1e-9)


def test_nan_beside_the_region_is_refused_by_a_filter():
    values, mask = blob()
    values[~mask] = math.nan
    config = Config(filters=(MeanFilter(size=3),))
    with pytest.raises(IntensityError, match="image must be finite to be filtered"):
        measure_region(prepare(image(values), mask, config), config)


@pytest.mark.parametrize("case", ["one_voxel", "constant", "line", "plane"])
def test_degenerate_regions_give_numbers_or_reasons(case):
    values, _ = blob()
    mask = torch.zeros(values.shape, dtype=torch.bool)
    part = {
        "one_voxel": np.s_[4:5, 4:5, 4:5],
        "constant": np.s_[3:6, 3:6, 3:6],
        "line": np.s_[4:5, 4:5, 2:9],
        "plane": np.s_[4:5, 2:8, 2:9],
    }[case]
    mask[part] = True
    if case == "constant":
        values[part] = 4.0
    config = Config(features=ALL)
    found = measure_region(prepare(image(values), mask, config), config)
    assert len(found) == 487
    for value in found:
        assert math.isfinite(value.value) or (math.isnan(value.value) and value.reason), value


def test_a_single_slice_is_measured_in_three_dimensions_too():
    values, mask = blob((1, 12, 12))
    config = Config(features=ALL)
    found = measure_region(prepare(image(values), mask, config), config)
    by_key = {v.key: v for v in found}
    assert by_key["cm_contrast_2D_comb"].value == pytest.approx(by_key["cm_contrast_3D_comb"].value)
    assert by_key["szm_sze_2D"].value == pytest.approx(by_key["szm_sze_3D"].value)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_values():
    values, mask = blob((20, 21, 22))
    here = measured(values, mask, (1.0, 1.0, 1.0), Config(features=ALL))
    there = measured(
        values, mask, (1.0, 1.0, 1.0), Config(features=ALL, compute={"device": "cuda"})
    )
    for key, value in here.items():
        assert there[key] == pytest.approx(value, rel=1e-4, nan_ok=True), key
