"""Data sets: two layouts, what a case is, and faults that name the case."""

import json

import pytest
import torch
from made_cases import make_case, make_dataset
from PIL import Image as pillow

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import (
    ConfigError,
    FormatError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.segment._dataset import read_case, read_dataset


def test_finds_images_and_labels_of_equal_names(tmp_path):
    found = read_dataset(make_dataset(tmp_path, cases=2, unlabelled=1))
    assert [case.name for case in found.cases] == ["case_0", "case_1", "case_2"]
    assert [case.name for case in found.labelled] == ["case_0", "case_1"]
    assert [case.name for case in found.unlabelled] == ["case_2"]
    assert found.layout == "folders"


def test_takes_labels_that_end_in_mask(tmp_path):
    make_dataset(tmp_path, cases=1)
    (tmp_path / "labels").rename(tmp_path / "masks")
    (tmp_path / "masks" / "case_0.nii.gz").rename(tmp_path / "masks" / "case_0_mask.nii.gz")
    assert read_dataset(tmp_path).cases[0].labels.name == "case_0_mask.nii.gz"


def test_reads_the_raw_layout_of_nnunet(tmp_path):
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    image, labels = make_case(0)
    for channel in (0, 1):
        io.save(image, tmp_path / "imagesTr" / f"a_{channel:04d}.nii.gz")
    io.save(labels, tmp_path / "labelsTr" / "a.nii.gz")
    told = {
        "channel_names": {"1": "T2", "0": "T1"},
        "labels": {"background": 0, "bright": 1, "dark": 2, "ignore": 3},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    found = read_dataset(tmp_path)
    assert found.layout == "nnU-Net"
    assert found.channels == ("T1", "T2")
    assert dict(found.names) == {1: "bright", 2: "dark"}
    assert found.ignore == 3
    assert read_case(found, found.cases[0]).image.data.shape[0] == 2


def test_reads_the_names_of_the_decathlon(tmp_path):
    make_dataset(tmp_path, cases=1)
    told = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    found = read_dataset(tmp_path)
    assert dict(found.names) == {1: "a", 2: "b"}
    assert found.channels == ("MRI",)


def test_keeps_and_leaves_out_cases_by_name(tmp_path):
    found = read_dataset(make_dataset(tmp_path, cases=3))
    assert [c.name for c in found.without(("case_1",)).cases] == ["case_0", "case_2"]
    assert [c.name for c in found.only(("case_1",)).cases] == ["case_1"]
    with pytest.raises(ConfigError, match=r"must have a case 'nobody'"):
        found.without(("nobody",))
    assert [c.name for c in read_dataset(tmp_path, only="*_2").cases] == ["case_2"]
    with pytest.raises(ConfigError, match=r"a case must match 'x\*'"):
        read_dataset(tmp_path, only="x*")


def test_ignored_values_and_what_lies_outside_of_the_region_are_unknown(tmp_path):
    make_dataset(tmp_path, cases=1)
    _, labels = make_case(0)
    (tmp_path / "regions").mkdir()
    region = torch.ones_like(labels.data)
    region[:, 0] = 0
    io.save(Labels(region, labels.grid), tmp_path / "regions" / "case_0.nii.gz")
    told = {"labels": {"background": 0, "bright": 1, "ignore": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    found = read_dataset(tmp_path)
    got = read_case(found, found.cases[0]).labels.data
    want = labels.data.to(torch.int32)
    want[want == 2] = -1
    want[:, 0] = -1
    assert bool((got == want).all())


def test_lays_a_picture_without_spacing_on_its_image(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    image, labels = make_case(0, shape=(1, 16, 14), spacing=(1.0, 0.2, 0.2))
    io.save(image, tmp_path / "images" / "a.nii.gz")
    # a PNG of this house says its spacing, one of another program does not
    pillow.fromarray(labels.data[0, 0].numpy()).save(tmp_path / "labels" / "a.png")
    found = read_dataset(tmp_path)
    sample = read_case(found, found.cases[0])
    assert sample.labels.grid.spacing_mm == sample.image.grid.spacing_mm
    assert "laid on the image's" in sample.remarks[0]


def test_refuses_a_folder_without_images(tmp_path):
    (tmp_path / "scans").mkdir()
    with pytest.raises(FormatError, match=r"must have a folder images/.*it has scans"):
        read_dataset(tmp_path)


def test_refuses_labels_without_an_image(tmp_path):
    make_dataset(tmp_path, cases=2)
    (tmp_path / "images" / "case_1.nii.gz").unlink()
    with pytest.raises(FormatError, match=r"case 'case_1' has none"):
        read_dataset(tmp_path)


def test_refuses_two_files_of_one_name(tmp_path):
    make_dataset(tmp_path, cases=1)
    (tmp_path / "images" / "case_0.png").write_bytes(b"")
    with pytest.raises(FormatError, match=r"must have one file in images/, 'case_0'"):
        read_dataset(tmp_path)


def test_refuses_a_missing_channel(tmp_path):
    make_dataset(tmp_path, cases=1)
    image = tmp_path / "images" / "case_0.nii.gz"
    image.rename(tmp_path / "images" / "case_0_0001.nii.gz")
    with pytest.raises(FormatError, match=r"'case_0' must have all its channels"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "dataset.json must give channel_names"),
        ('{"labels": {"a": [1, 2]}}', r"'a' of dataset.json is the list \[1, 2\]"),
        ('{"labels": {"a": 1.5}}', "label value 1.5 is no whole number"),
    ],
)
def test_refuses_a_damaged_description(tmp_path, text, match):
    make_dataset(tmp_path, cases=1)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(FormatError, match=match):
        read_dataset(tmp_path)


def spoilt(tmp_path, image, labels):
    """A case of these two."""
    make_dataset(tmp_path, cases=1)
    io.save(image, tmp_path / "images" / "case_0.nii.gz")
    io.save(labels, tmp_path / "labels" / "case_0.nii.gz")
    found = read_dataset(tmp_path)
    return lambda: read_case(found, found.cases[0])


def test_says_where_image_and_labels_lie_apart_and_how_to_mend_it(tmp_path):
    image, labels = make_case(0)
    grid = Grid.from_spacing(labels.grid.shape, (1.5, 1, 1), origin_mm=(0, 0, 7))
    read = spoilt(tmp_path, image, Labels(labels.data, grid))
    with pytest.raises(GeometryError, match=r"case 'case_0'.*origin differs by 7 mm.*convert"):
        read()


def test_refuses_nan_in_an_image(tmp_path):
    image, labels = make_case(0)
    image.data[0, 1, 2, 3] = float("nan")
    with pytest.raises(IntensityError, match=r"case 'case_0'.*1 samples are NaN"):
        spoilt(tmp_path, image, labels)()


def test_refuses_labels_that_are_not_whole(tmp_path):
    image, labels = make_case(0)
    with pytest.raises(FormatError, match=r"case 'case_0'.*whole numbers"):
        spoilt(tmp_path, image, Image(labels.data.float() + 0.5, labels.grid))()


def test_refuses_negative_labels(tmp_path):
    image, labels = make_case(0)
    with pytest.raises(FormatError, match=r"labels must be 0 or more, got -2"):
        spoilt(tmp_path, image, Labels(labels.data.to(torch.int16) - 2, labels.grid))()


def test_refuses_a_label_that_is_not_named(tmp_path):
    make_dataset(tmp_path, cases=1)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "one": 1}}')
    found = read_dataset(tmp_path)
    with pytest.raises(RegionError, match=r"case 'case_0'.*\(\[1\]\), got 2"):
        read_case(found, found.cases[0])


def test_refuses_a_colour_picture_as_labels(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    colour = Image(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), Grid.from_spacing((1, 8, 8)))
    for name in ("images", "labels"):
        io.save(colour, tmp_path / name / "a.png")
    found = read_dataset(tmp_path)
    with pytest.raises(ShapeError, match=r"one layer, 'a.png' has 3"):
        read_case(found, found.cases[0])


def test_refuses_channels_that_lie_apart(tmp_path):
    make_dataset(tmp_path, cases=1)
    image, _ = make_case(0)
    (tmp_path / "images" / "case_0.nii.gz").unlink()
    io.save(image, tmp_path / "images" / "case_0_0000.nii.gz")
    moved = Image(image.data, Grid.from_spacing(image.grid.shape, (1.5, 1, 2)))
    io.save(moved, tmp_path / "images" / "case_0_0001.nii.gz")
    found = read_dataset(tmp_path)
    with pytest.raises(GeometryError, match=r"'case_0_0001.nii.gz' differs.*spacing differs"):
        read_case(found, found.cases[0])


def test_tells_what_file_is_missing(tmp_path):
    found = read_dataset(make_dataset(tmp_path, cases=1))
    (tmp_path / "images" / "case_0.nii.gz").unlink()
    with pytest.raises(FormatError, match=r"case 'case_0'"):
        read_case(found, found.cases[0])


def test_reads_real_cases(data_dir):
    found = read_dataset(data_dir / "segmentation" / "hippocampus")
    assert len(found.labelled) == 150
    sample = read_case(found, found.cases[0])
    assert sample.labels.data.max() == 2
    objects = read_dataset(data_dir / "segmentation" / "nuclei_dsb2018", only="fluo_*")
    assert len(objects.labelled) == 169
    sections = read_dataset(data_dir / "segmentation" / "em_isbi")
    assert len(sections.labelled) == 20
