"""The long table and how it came to be."""

import re

import numpy as np
import pytest
import torch
from measure.cases import blob, image

from vesalius.core import Image, Labels, Step
from vesalius.enhance import LogFilter
from vesalius.errors import GeometryError, RegionError, ShapeError
from vesalius.measure import COLUMNS, Config, catalogue, extract, wide

QUICK = Config(
    features={"families": ["statistics", "morphology", "glcm"], "spatial_autocorrelation": False},
    perturb={"count": 6},
)


def pair(unit: str = "HU") -> tuple[Image, Labels]:
    values, mask = blob()
    img = image(values, unit=unit)
    data = mask[None].to(torch.uint8)
    data[0, 4:6, 4:6, 4:6] = 2
    return img, Labels(data, img.grid, {(0, 1): "shell", (0, 2): "core"})


def test_the_table_has_the_canonical_columns():
    result = extract(*pair(), config=QUICK, subject="case 1")
    assert tuple(result.table.columns) == COLUMNS
    assert set(result.table["label"]) == {"shell", "core"}
    assert set(result.table["subject"]) == {"case 1"}
    assert set(result.table["version"]) == {result.provenance.version}


def test_a_missing_value_has_a_reason_everywhere():
    values, mask = blob()
    flat = image(torch.full_like(values, 3.0))
    table = extract(flat, Labels(mask[None].to(torch.uint8), flat.grid), config=Config()).table
    missing = table["value"].isna()
    assert missing.any()
    assert (table.loc[missing, "reason"] != "").all()


def test_units_follow_the_image():
    table = extract(*pair("HU"), config=QUICK).table.drop_duplicates("feature").set_index("feature")
    assert table.loc["stat_mean", "unit"] == "HU"
    assert table.loc["stat_var", "unit"] == "HU^2"
    assert table.loc["morph_volume", "unit"] == "mm^3"
    assert table.loc["stat_skew", "unit"] == "1"
    bare = extract(*pair("1"), config=QUICK).table.set_index("feature")
    assert set(bare.loc["stat_var", "unit"]) == {"1"}


def test_the_square_of_a_unit_with_a_fraction_is_written_with_brackets():
    config = Config(filters=(LogFilter(sigma_mm=2.0),), features={"families": ["statistics"]})
    table = extract(*pair("HU"), config=config).table
    units = table[table["filter"] != "original"].set_index("feature")["unit"]
    assert units["stat_mean"].iloc[0] == "HU/voxel^2"
    assert units["stat_var"].iloc[0] == "(HU/voxel^2)^2"


def test_codes_come_from_the_catalogue():
    table = extract(*pair(), config=QUICK).table
    codes = {f.tag: f.code for f in catalogue()}
    assert all(row.ibsi_code == codes[row.feature] for row in table.itertuples())


def test_regions_are_picked_by_value():
    assert set(extract(*pair(), config=QUICK, regions=(2,)).table["label"]) == {"core"}


def test_overlapping_layers_are_measured_each():
    img, labels = pair()
    two = Labels(torch.cat([labels.data, labels.data.flip(1)]), labels.grid, labels.names)
    assert len(set(extract(img, two, config=QUICK).table["label"])) == 4


def test_error_bars_fill_their_columns():
    result = extract(*pair(), config=QUICK, regions=(1,), uncertainty=True)
    mean = result.table.set_index("feature").loc["stat_mean"]
    assert mean["perturb_sd"] > 0
    assert mean["mdc95"] == pytest.approx(1.96 * np.sqrt(2) * mean["perturb_sd"])
    assert mean["perturb_p2_5"] <= mean["perturb_p97_5"]
    assert np.isnan(mean["icc"])
    assert mean["grade"] == ""
    assert dict(result.perturbations) == {"shell": 6}


def test_error_bars_do_not_depend_on_threads():
    one = extract(*pair(), config=QUICK, regions=(1,), uncertainty=True).table
    two = QUICK.model_copy(update={"compute": QUICK.compute.model_copy(update={"threads": 2})})
    other = extract(*pair(), config=two, regions=(1,), uncertainty=True).table
    assert one.equals(other)


def test_a_region_that_fails_stops_no_other():
    img, labels = pair()
    config = QUICK.model_copy(
        update={"resegment": QUICK.resegment.model_copy(update={"range": (100.0, None)})}
    )
    values = img.data.clone()
    values[labels.data == 2] = 500
    result = extract(Image(values, img.grid, "HU"), labels, config=config)
    assert set(result.table["label"]) == {"core"}
    assert result.failures["shell"].startswith("RegionError: re-segmentation must keep")


def test_normalisation_is_told_in_the_row():
    config = QUICK.model_copy(
        update={"normalise": QUICK.normalise.model_copy(update={"method": "zscore"})}
    )
    img, labels = pair("1")
    table = extract(img, labels, config=config).table
    x = img.data
    text = table["normalisation"].iloc[0]
    assert text.startswith("zscore: ")
    assert f"{float(x.mean()):.6g}" in text
    mean = table.set_index(["label", "feature"]).loc[("shell", "stat_mean"), "value"]
    expected = (x[labels.data == 1].mean() - x.mean()) / x.std(correction=0)
    assert float(mean) == pytest.approx(float(expected), rel=0.01)


def test_hashes_are_of_content_not_of_files():
    img, labels = pair()
    one = extract(img, labels, config=QUICK).table
    as_float = img.map(lambda x: x.float())
    assert extract(as_float, labels, config=QUICK).table["image_hash"].equals(one["image_hash"])
    moved = img.map(lambda x: x + 1)
    assert not extract(moved, labels, config=QUICK).table["image_hash"].equals(one["image_hash"])


def test_steps_are_told():
    steps: list[Step] = []
    extract(*pair(), config=QUICK, on_step=steps.append)
    assert [(s.what, s.done, s.total) for s in steps] == [
        ("measure: shell", 1, 2),
        ("measure: core", 2, 2),
    ]


def test_findings_name_small_and_cut_regions():
    img, labels = pair()
    found = " ".join(extract(img, labels, config=QUICK).findings)
    assert "core: only 8 voxels" in found
    assert "touches the border" in " ".join(
        extract(img, Labels(torch.ones_like(labels.data), img.grid), config=QUICK).findings
    )


def test_one_slice_is_said():
    values, mask = blob((1, 12, 12))
    img = image(values)
    result = extract(img, Labels(mask[None].to(torch.uint8), img.grid), config=QUICK)
    assert any("one slice" in text for text in result.findings)


def test_a_region_of_one_slice_and_of_one_voxel_is_said():
    img, labels = pair()
    flat = torch.zeros_like(labels.data)
    flat[0, 3, 3:7, 3:7] = 1
    flat[0, 5, 5, 5] = 2
    found = extract(img, Labels(flat, img.grid), config=QUICK).findings
    assert "label 1: lies in one slice; its 3-D texture is 2-D texture." in found
    assert any(text.startswith("label 2: only 1 voxel;") for text in found)


def test_pet_that_is_not_in_suv_is_said():
    img, labels = pair()
    config = Config(modality="PET", features={"families": ("statistics",)})
    found = extract(img, labels, config=config, regions=(1,)).findings
    assert any("not SUV" in text and "--unit SUV" in text for text in found)
    suv = Image(img.data, img.grid, "SUV")
    assert "SUV" not in " ".join(extract(suv, labels, config=config, regions=(1,)).findings)


def test_the_wide_table_has_plain_column_names():
    table = wide(extract(*pair(), config=QUICK).table)
    assert len(table) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in table.columns)
    assert "cm_contrast_3D_comb_bin_count_32" in table.columns
    assert "stat_mean" in table.columns


def test_refuses_grids_that_differ_and_says_in_what():
    img, labels = pair()
    moved = Labels(labels.data, labels.grid.crop((0, 0, 1), labels.grid.shape))
    with pytest.raises(GeometryError, match=r"origin differs by 1\.5 mm.*--on-mismatch resample"):
        extract(img, moved)


def test_refuses_several_channels():
    img, labels = pair()
    with pytest.raises(ShapeError, match="image must have one channel to be measured, got 3"):
        extract(Image(img.data.expand(3, -1, -1, -1), img.grid), labels)


def test_refuses_labels_that_are_not_there():
    with pytest.raises(
        RegionError, match="label 7, 9 must occur in the labels, it does not; labels there: 1, 2"
    ):
        extract(*pair(), regions=(7, 2, 9))


def test_refuses_labels_without_a_label():
    img, labels = pair()
    with pytest.raises(RegionError, match="labels must hold at least one region, every voxel is 0"):
        extract(img, Labels(torch.zeros_like(labels.data), img.grid))


@pytest.mark.parametrize(
    ("config", "unit", "spacing", "words"),
    [
        ({"modality": "CT"}, "1", (1.0, 1.0, 1.0), "not HU"),
        ({"modality": "MR"}, "1", (1.0, 1.0, 1.0), "nothing normalises the intensities"),
        ({}, "1", (3.0, 1.0, 1.0), "3 times as long as wide"),
    ],
)
def test_findings_name_the_usual_traps(config, unit, spacing, words):
    values, mask = blob()
    img = image(values, spacing, unit)
    labels = Labels(mask[None].to(torch.uint8), img.grid)
    families = {"features": {"families": ["statistics", "glcm"]}}
    found = extract(img, labels, config=Config(**config, **families)).findings
    assert any(words in text for text in found)


def test_findings_stay_silent_where_there_is_no_trap():
    values, mask = (torch.nn.functional.pad(part, (1,) * 6) for part in blob())
    img = image(values, (1.0, 1.0, 1.0), "HU")
    labels = Labels(mask[None].to(torch.uint8), img.grid)
    config = Config(modality="CT", features={"families": ["statistics", "glcm"]})
    assert extract(img, labels, config=config).findings == ()
    flat = Config(features={"families": ["glcm"], "aggregations": ["2D_avg"]})
    tall = image(values, (3.0, 1.0, 1.0))
    assert extract(tall, Labels(labels.data, tall.grid), config=flat).findings == ()
