"""Auditing somebody else's feature table."""

import math

import pandas as pd
import pytest
import torch
from measure.cases import blob, image

from vesalius import io
from vesalius.core import Image, Labels
from vesalius.errors import FormatError, GeometryError, RegionError
from vesalius.measure import Audited, audit
from vesalius.measure._config import ALL_AGGREGATIONS, Config
from vesalius.measure._measurement import extract, wide
from vesalius.measure.compat import RadiomicsFeatureExtractor


def pair() -> tuple[Image, Labels]:
    values, mask = blob()
    img = image(values * 7 + 3)
    return img, Labels(mask[None].to(torch.uint8), img.grid)


def run(row: dict[str, object], config: Config | None = None) -> dict[str, Audited]:
    findings = audit(pd.DataFrame([row]), *pair(), config=config)
    return {finding.column: finding for finding in findings}


def test_pyradiomics_conventions_are_named():
    made = RadiomicsFeatureExtractor(voxelArrayShift=50).execute(*pair())
    found = run(dict(made))
    assert found["original_firstorder_Mean"].verdict == "agrees"
    assert "not excess" in found["original_firstorder_Kurtosis"].why
    assert "shifted by 50" in found["original_firstorder_Energy"].why
    assert "divided by N, IBSI's by N - 1" in found["original_shape_MajorAxisLength"].why
    assert "not in IBSI" in found["original_glcm_MCC"].why
    assert found["original_shape_MeshVolume"].verdict == "agrees"
    assert not [f for f in found.values() if "no known convention" in f.why]


def test_a_bin_width_that_was_not_said_is_found():
    made = RadiomicsFeatureExtractor(binWidth=5).execute(*pair())
    del made["diagnostics_Configuration_Settings"]
    assert run(dict(made))["original_glcm_Contrast"].why == "made with bin width 5"


def test_the_settings_in_the_table_are_used():
    made = RadiomicsFeatureExtractor(binCount=16).execute(*pair())
    found = run(dict(made))
    assert found["original_glcm_Contrast"].verdict == "agrees"


def test_another_aggregation_is_named():
    config = Config(features={"aggregations": ALL_AGGREGATIONS})
    merged = wide(extract(*pair(), config=config).table).iloc[0]
    row = {"cm_contrast_d1_3d_avg_fbn_n32": merged["cm_contrast_3D_comb_bin_count_32"]}
    finding = run(row, config)["cm_contrast_d1_3d_avg_fbn_n32"]
    assert finding.verdict == "differs"
    assert finding.why == "aggregated as 3D_comb, not as 3D_avg"


def test_our_own_wide_table_agrees_with_itself():
    config = Config(features={"spatial_autocorrelation": False})
    row = wide(extract(*pair(), config=config).table).iloc[0].to_dict()
    found = run(row, config)
    compared = [f for f in found.values() if f.tag and f.verdict != "not compared"]
    assert len(compared) > 200
    assert all(f.verdict == "agrees" for f in compared)


def test_our_own_long_table_agrees_with_itself(tmp_path):
    config = Config(features={"spatial_autocorrelation": False})
    extract(*pair(), config=config).table.to_csv(tmp_path / "features.csv", index=False)
    table = pd.read_csv(tmp_path / "features.csv")
    found = audit(table, *pair(), config=config)
    compared = [f for f in found if f.verdict != "not compared"]
    assert len(compared) > 200
    assert all(f.verdict == "agrees" for f in compared)


def test_of_a_long_table_the_rows_of_the_region_are_taken():
    image_, labels = pair()
    one = extract(image_, labels, config=Config(features={"families": ("statistics",)})).table
    other = one.assign(label="somebody else", value=one["value"] + 1)
    found = audit(pd.concat([other, one]), image_, labels)
    assert all(f.verdict == "agrees" for f in found)


def test_the_only_region_of_a_long_table_may_have_another_name():
    table = extract(*pair(), config=Config(features={"families": ("statistics",)})).table
    found = audit(table.assign(label="tumour"), *pair())
    assert all(f.verdict == "agrees" for f in found)


def test_refuses_a_long_table_without_the_region():
    table = extract(*pair(), config=Config(features={"families": ("statistics",)})).table
    both = pd.concat([table.assign(label="lung"), table.assign(label="liver")])
    with pytest.raises(FormatError, match="rows of the region 'label 1', it has those of lung, li"):
        audit(both, *pair())


def test_mirp_names_are_read():
    config = Config(features={"aggregations": ALL_AGGREGATIONS})
    ours = wide(extract(*pair(), config=config).table).iloc[0]
    row = {
        "morph_vol_approx": ours["morph_vol_approx"],
        "ih_mean_fbn_n32": ours["ih_mean_bin_count_32"],
        "szm_sze_2.5d_fbn_n32": ours["szm_sze_2_5D_bin_count_32"],
        "rlm_sre_2d_s_mrg_fbn_n32": ours["rlm_sre_2D_comb_bin_count_32"],
        "image_voxel_size_x": 1.5,
    }
    found = run(row, config)
    assert [f.verdict for f in found.values()] == ["agrees"] * 4 + ["not compared"]


def test_a_sample_variance_is_named():
    img, labels = pair()
    x = img.data[labels.data > 0]
    row = {"original_firstorder_Variance": float(x.var(correction=1))}
    assert "divided by N - 1" in run(row)["original_firstorder_Variance"].why


def test_a_volume_of_voxels_is_named():
    _, labels = pair()
    row = {"original_shape_MeshVolume": float((labels.data > 0).sum()) * 3.0}
    assert "counting voxels" in run(row)["original_shape_MeshVolume"].why


def test_a_wrong_number_stays_unexplained_and_gives_the_ratio():
    finding = run({"original_firstorder_Median": 1.0})["original_firstorder_Median"]
    assert finding.verdict == "differs"
    assert "no known convention explains it (ratio" in finding.why


def test_a_table_of_names_and_values_is_read_too():
    made = RadiomicsFeatureExtractor().execute(*pair())
    tall = pd.DataFrame(list(made.items()), columns=["featureName", "case"])
    findings = {f.column: f for f in audit(tall, *pair())}
    assert findings["original_firstorder_Mean"].verdict == "agrees"


def test_columns_that_are_unknown_are_not_compared():
    found = run({"stat_mean": 1.0, "age": 63})
    assert found["age"].verdict == "not compared"
    assert math.isnan(found["age"].ours)


def test_refuses_several_cases():
    with pytest.raises(FormatError, match="table must hold one case, got 2 rows"):
        audit(pd.DataFrame({"stat_mean": [1, 2], "a": [1, 2], "b": [1, 2]}), *pair())


def test_refuses_a_table_of_something_else():
    with pytest.raises(FormatError, match="table must hold features named as PyRadiomics"):
        audit(pd.DataFrame([{"age": 63, "sex": "f", "height": 1.7}]), *pair())


def test_refuses_a_label_that_is_not_there():
    with pytest.raises(RegionError, match="label 9 must occur"):
        audit(pd.DataFrame([{"stat_mean": 1.0}]), *pair(), label=9)


def test_refuses_grids_that_differ():
    img, labels = pair()
    moved = Labels(labels.data, labels.grid.crop((1, 0, 0), labels.grid.shape))
    with pytest.raises(GeometryError, match="image and labels must be on one grid"):
        audit(pd.DataFrame([{"stat_mean": 1.0}]), img, moved)


def test_the_published_baseline_of_a_brain_is_explained_to_the_last_column(data_dir):
    folder = data_dir / "radiomics_cases"
    parts = [
        pd.read_csv(folder / "baseline" / f"baseline_{name}.csv").set_index("featureName")["brain1"]
        for name in ("firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    ]
    row = pd.concat(parts)
    row = row[~row.index.duplicated()].to_frame().T
    img = io.open(folder / "brain1_image.nrrd").read()
    findings = audit(row, img, io.open_labels(folder / "brain1_label.nrrd"))
    assert len(findings) == 107
    assert not [f.column for f in findings if "no known convention" in f.why]
    assert not [f.column for f in findings if f.verdict == "not compared"]
