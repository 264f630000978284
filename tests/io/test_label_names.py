"""Names of labels as ITK-SNAP, 3D Slicer, TotalSegmentator and BIDS keep them."""

from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.io._label_names import (
    bids_names,
    caret_names,
    itk_snap_names,
    names_beside,
    slicer_names,
)

SNAP = """################################################
# ITK-SnAP Label Description File
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "left atrium"
   42     0  255    0     0.50  1  0    "Aorta (asc.)"
"""
TABLE = """<?xml version="1.0" encoding="UTF-8"?><CaretExtension><Date><![CDATA[2026-11-21]]></Date>
<VolumeInformation Index="0"><LabelTable>
<Label Key="1" Red="0.1" Green="0.2" Blue="0.3" Alpha="1">spleen</Label>
<Label Key="2" Red="0.1" Green="0.2" Blue="0.3" Alpha="1">kidney_right</Label>
</LabelTable></VolumeInformation></CaretExtension>"""


def label_map(folder: Path, name: str = "seg.nii.gz") -> Path:
    data = torch.zeros((1, 3, 4, 5), dtype=torch.uint8)
    data[0, 1, 1:3, 1:3], data[0, 2, 0, 0] = 1, 2
    io.save(Labels(data, Grid.from_spacing((3, 4, 5))), folder / name)
    return folder / name


# ---- ITK-SNAP


def test_reads_the_label_description_of_itk_snap():
    assert itk_snap_names(SNAP) == {(0, 1): "left atrium", (0, 42): "Aorta (asc.)"}


@pytest.mark.parametrize("text", ["1 liver\n", "notes of the day\n", '1 2 3 "x"\n', SNAP + "end\n"])
def test_other_text_is_no_label_description(text):
    assert itk_snap_names(text) == {}


@pytest.mark.parametrize("suffix", [".label", ".txt"])
def test_a_description_beside_the_file_names_its_labels(tmp_path, suffix):
    path = label_map(tmp_path)
    (tmp_path / f"seg{suffix}").write_text(SNAP)
    found = io.open_regions(path)
    assert found.labels.names == {(0, 1): "left atrium", (0, 42): "Aorta (asc.)"}
    assert [f.code for f in found.findings if f.code.startswith("names")] == ["names-beside"]
    assert int(io.open_labels(path, roi="left .*").data.sum()) == 4


def test_notes_beside_the_file_are_no_names(tmp_path):
    path = label_map(tmp_path)
    (tmp_path / "seg.txt").write_text("see the letter of Monday\n")
    assert io.open_regions(path).labels.names == {}
    assert not [f for f in io.open_regions(path).findings if f.code.startswith("names")]


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"nonsense\n", b'1 0 0 0 1 1 1 "a'])
def test_a_description_that_cannot_be_read_is_told(tmp_path, content):
    path = label_map(tmp_path)
    (tmp_path / "seg.label").write_bytes(content)
    found = io.open_regions(path)
    assert found.labels.names == {}
    assert "'seg.label' holds no names of labels" in found.findings[0].message


def test_a_link_beside_the_file_is_not_followed(tmp_path):
    (tmp_path / "deep").mkdir()
    path = label_map(tmp_path / "deep")
    (tmp_path / "secret.label").write_text(SNAP)
    (tmp_path / "deep" / "seg.label").symlink_to(tmp_path / "secret.label")
    assert names_beside(path, []) == {}


# ---- BIDS


def test_reads_the_table_of_bids():
    text = (
        "index\tname\tabbreviation\tcolor\n0\tbackground\tbg\t#000\n3\tCerebral Cortex\tCC\t#f00\n"
    )
    assert bids_names(text) == {(0, 3): "Cerebral Cortex"}


@pytest.mark.parametrize("text", ["", "index\tlabel\n1\ta\n", "index\tname\nx\ta\n", "name\nA\n"])
def test_other_tables_hold_no_names(text):
    assert bids_names(text) == {}


@pytest.mark.parametrize("table", ["sub-01_dseg.tsv", "dseg.tsv"])
def test_a_table_of_bids_names_the_labels(tmp_path, table):
    path = label_map(tmp_path, "sub-01_dseg.nii.gz")
    (tmp_path / table).write_text("index\tname\n1\tcortex\n2\tstem\n")
    assert io.open_labels(path).names == {(0, 1): "cortex", (0, 2): "stem"}


# ---- TotalSegmentator


@pytest.mark.parametrize("code", [0, 30])
def test_a_label_table_in_the_header_names_the_labels(tmp_path, code):
    image = nibabel.Nifti1Image(np.array([[[0, 1, 2]]], np.uint8), np.eye(4))
    extension = nibabel.nifti1.Nifti1Extension(code, TABLE.encode())
    image.header.extensions.append(extension)
    nibabel.save(image, tmp_path / "ts.nii.gz")
    labels = io.open_labels(tmp_path / "ts.nii.gz")
    assert labels.names == {(0, 1): "spleen", (0, 2): "kidney_right"}
    assert io.open_labels(tmp_path / "ts.nii.gz", roi="spleen").values == ((0, 1),)


def test_reads_a_label_table():
    assert caret_names([b"other", TABLE.encode() + b"\0\0"]) == {
        (0, 1): "spleen",
        (0, 2): "kidney_right",
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<CaretExtension",
        b"<CaretExtension><Label Key='x'>a</Label></CaretExtension>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><CaretExtension><Label Key='1'>&b;</Label>"
        b"</CaretExtension>",
        b"<CaretExtension><Label Key='1'>" + b"\xff" * 4,
    ],
)
def test_a_table_that_is_damaged_or_declares_entities_is_passed_over(raw):
    assert caret_names([raw]) == {}


@given(st.binary(max_size=60))
def test_any_bytes_are_names_or_none(raw):
    for wrapped in (raw, b"<CaretExtension>" + raw + b"</CaretExtension>"):
        assert all(isinstance(name, str) for name in caret_names([wrapped]).values())


@given(st.text(max_size=60))
def test_any_text_is_names_or_none(text):
    for names in (itk_snap_names(text), bids_names("index\tname\n" + text)):
        assert all(layer == 0 and value > 0 and name for (layer, value), name in names.items())


# ---- 3D Slicer


def segments(*rows: tuple[str, str, str]) -> dict[str, str]:
    header = {}
    for k, (name, layer, value) in enumerate(rows):
        header |= {f"Segment{k}_Name": name, f"Segment{k}_ID": f"Segment_{k}"}
        header |= {f"Segment{k}_Layer": layer, f"Segment{k}_LabelValue": value}
    return header


def test_segments_of_slicer_in_one_layer(tmp_path):
    data = np.zeros((5, 4, 3), np.uint8)
    data[1, 1, 1], data[2, 2, 2] = 1, 4
    header = {"space": "left-posterior-superior", "space directions": np.eye(3)}
    header |= {"space origin": np.zeros(3), **segments(("liver", "0", "1"), ("tumor", "0", "4"))}
    nrrd.write(str(tmp_path / "a.seg.nrrd"), data, header)
    labels = io.open_labels(tmp_path / "a.seg.nrrd")
    assert labels.names == {(0, 1): "liver", (0, 4): "tumor"}
    assert int(labels.mask(4)[2, 2, 2]) == 1


def test_segments_of_slicer_that_overlap_lie_in_layers(tmp_path):
    data = np.zeros((2, 5, 4, 3), np.uint8)
    data[0, 1:3, 1, 1], data[1, 2:4, 1, 1] = 1, 1
    header = {
        "space": "left-posterior-superior",
        "space directions": np.vstack([np.full(3, np.nan), np.eye(3)]),
        "kinds": ["list", "domain", "domain", "domain"],
        "space origin": np.zeros(3),
        **segments(("liver", "0", "1"), ("tumor", "1", "1")),
    }
    nrrd.write(str(tmp_path / "a.seg.nrrd"), data, header)
    labels = io.open_labels(tmp_path / "a.seg.nrrd")
    assert labels.names == {(0, 1): "liver", (1, 1): "tumor"}
    assert labels.data.shape == (2, 3, 4, 5)
    assert labels.mask(1, 1).nonzero().tolist() == [[1, 1, 2], [1, 1, 3]]
    picked = io.open_labels(tmp_path / "a.seg.nrrd", roi="tumor")
    assert picked.values == ((1, 1),)
    assert picked.names == {(1, 1): "tumor"}


@pytest.mark.parametrize("bad", [("a", "x", "1"), ("a", "0", "-1"), ("a", "0", "1.5")])
def test_segments_without_numbers_have_no_place(bad):
    assert slicer_names(segments(bad)) == {}
