"""DICOM SEG out: what is written is read back, by us and by others."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from written import against, blobs, errors_of, grids, same_place, upside, write_source

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import ExtraError, FormatError, GeometryError, RegionError
from vesalius.io import Budget
from vesalius.io.dicom import Caption, save_rtstruct, save_seg
from vesalius.io.dicom._context import highdicom as import_highdicom
from vesalius.io.dicom._write_seg import _numbered
from vesalius.io.dicom.codes import Algorithm, Code, Meaning


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("name", list(grids()))
def test_labels_come_back_voxel_for_voxel(tmp_path: Path, name: str, kind: str) -> None:
    grid = grids()[name]
    labels = blobs(grid, (3, 17, 300))
    like = write_source(tmp_path / "ct", grid)
    save_seg(labels, tmp_path / "seg.dcm", like=like, kind=kind)
    back = io.open_labels(tmp_path / "seg.dcm")
    assert same_place(back.grid, grid)
    assert torch.equal(back.data.int(), upside(labels.data, grid, back.grid))
    assert back.names == labels.names


@given(
    data=st.lists(st.integers(0, 4), min_size=24, max_size=24).filter(any),
    layers=st.sampled_from([1, 2]),
    kind=st.sampled_from(["BINARY", "LABELMAP"]),
    name=st.sampled_from(list(grids())),
)
@settings(max_examples=25)
def test_any_labels_come_back(
    tmp_path_factory: pytest.TempPathFactory, data: list[int], layers: int, kind: str, name: str
) -> None:
    shape = (4, 3, 2) if layers == 1 else (2, 3, 2)
    grid = grids(shape)[name]
    drawn = torch.tensor(data, dtype=torch.uint8).reshape(layers, *shape)
    path = tmp_path_factory.mktemp("seg") / "a.dcm"
    labels = Labels(drawn, grid)
    if layers == 2 and kind == "LABELMAP":
        kind = "BINARY"
    save_seg(labels, path, kind=kind)
    back = io.open_labels(path)
    wanted = upside(drawn, grid, back.grid)
    kept = back.data.shape[0]
    assert torch.equal(back.data.int(), wanted[:kept].int())
    assert not wanted[kept:].any()
    assert same_place(back.grid, grid)


def test_overlapping_layers_come_back(tmp_path: Path) -> None:
    grid = grids()["oblique"]
    labels = blobs(grid, (1, 2), layers=3)
    save_seg(labels, tmp_path / "a.dcm")
    back = io.open_labels(tmp_path / "a.dcm")
    assert torch.equal(back.data.int(), upside(labels.data, grid, back.grid))
    assert back.names == labels.names
    assert pydicom.dcmread(tmp_path / "a.dcm").SegmentsOverlap == "YES"


def test_a_label_map_holds_one_layer(tmp_path: Path) -> None:
    labels = blobs(grids()["straight"], layers=2)
    with pytest.raises(FormatError, match="a label map must have one layer, the labels have 2"):
        save_seg(labels, tmp_path / "a.dcm", kind="LABELMAP")
    assert list(tmp_path.iterdir()) == []


def test_agrees_with_highdicom(tmp_path: Path) -> None:
    grid = grids((5, 6, 7))["tilted"]
    labels = blobs(grid, (5, 9))
    like = write_source(tmp_path / "ct", grid)
    save_seg(labels, tmp_path / "seg.dcm", like=like)
    theirs = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert theirs.segment_numbers == [1, 2]
    uids = [str(u) for _, _, u in theirs.get_source_image_uids()]
    order = np.argsort([int(u.rpartition(".")[2]) for u in uids])
    planes = theirs.get_pixels_by_source_instance([uids[k] for k in order])
    found = torch.from_numpy(np.array(planes))
    full = torch.stack([labels.data[0] == 5, labels.data[0] == 9], -1)
    assert torch.equal(found.bool(), full)


def test_keeps_one_empty_frame_at_each_end(tmp_path: Path) -> None:
    grid = grids((9, 3, 3))["straight"]  # 9 pixels: frames share bytes
    data = torch.zeros((1, 9, 3, 3), dtype=torch.uint8)
    data[0, 4, 1, 1], data[0, 5, 2, 2] = 1, 2
    save_seg(Labels(data, grid), tmp_path / "a.dcm")
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert file.NumberOfFrames == 4
    indices = [
        list(g.FrameContentSequence[0].DimensionIndexValues)
        for g in file.PerFrameFunctionalGroupsSequence
    ]
    assert indices == [[1, 1], [1, 3], [2, 2], [2, 4]]
    assert torch.equal(io.open_labels(tmp_path / "a.dcm").data, data)


def test_takes_patient_study_and_frame_of_reference_from_the_source(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid)
    save_seg(blobs(grid), tmp_path / "seg.dcm", like=like)
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (file.PatientID, str(file.PatientName)) == ("secret", "Doe^Jane")
    assert (file.StudyInstanceUID, file.FrameOfReferenceUID) == ("1.2.9", "1.2.10")
    assert file.SeriesInstanceUID != "1.2.3"
    assert (file.ContentDate, file.ContentTime) == ("20200102", "030405")
    assert file.preamble == b"\0" * 128
    (series,) = file.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3"
    for group in file.PerFrameFunctionalGroupsSequence:
        height = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == f"1.2.3.{round((height - 30) / 2.5) + 1}"
        assert image.SpatialLocationsPreserved == "YES"


def test_is_nobodys_without_a_source(tmp_path: Path) -> None:
    grid = grids()["straight"]
    save_seg(blobs(grid), tmp_path / "seg.dcm")
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (file.PatientID, str(file.PatientName)) == ("ANON", "Anonymous^")
    assert "ReferencedSeriesSequence" not in file
    assert "DerivationImageSequence" not in str(file)
    assert file.ContentDate == "19000101"


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid)
    written = []
    for _ in range(2):
        save_seg(blobs(grid), tmp_path / "a.dcm", like=like)
        written.append((tmp_path / "a.dcm").read_bytes())
    assert written[0] == written[1]
    save_seg(blobs(grid, (1, 3)), tmp_path / "b.dcm", like=like)
    first, other = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in "ab")
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID != other.SeriesInstanceUID


def test_codes_what_it_knows_and_what_is_told(tmp_path: Path) -> None:
    grid = grids()["straight"]
    labels = blobs(grid, (1, 2, 3))
    labels = Labels(labels.data, grid, {(0, 1): "Spinal_Cord", (0, 2): "tumour", (0, 3): "größe"})
    told = Meaning(Code("1", "99X", "Thing"), Code("a-code-that-is-long-enough", "99X", "Odd"))
    algorithm = Algorithm("AUTOMATIC", "net", "3", Code("123110", "DCM", "AI"))
    save_seg(labels, tmp_path / "a.dcm", codes={(0, 3): told}, algorithm=algorithm)
    meta = io.open(tmp_path / "a.dcm").meta["segments"]
    assert meta["1"]["type_code"] == "SCT:2748008"
    assert meta["2"]["category"] == "Morphologically Abnormal Structure"
    assert meta["3"]["type_code"] == "99X:a-code-that-is-long-enough"
    assert meta["3"]["label"] == "größe"
    assert meta["3"]["SegmentAlgorithmType"] == "AUTOMATIC"
    assert io.open_labels(tmp_path / "a.dcm").names[(0, 3)] == "größe"


def test_says_what_is_asked(tmp_path: Path) -> None:
    caption = Caption("By hand", 77, "20261121101112")
    save_seg(blobs(grids()["straight"]), tmp_path / "a.dcm", caption=caption)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert (file.SeriesDescription, file.SeriesNumber) == ("By hand", 77)
    assert (file.ContentDate, file.ContentTime) == ("20261121", "101112")


@pytest.mark.parametrize("value", [0, -2, 70000])
def test_refuses_labels_that_no_segment_has(tmp_path: Path, value: int) -> None:
    grid = grids()["straight"]
    data = torch.full((1, *grid.shape), value, dtype=torch.int32)
    with pytest.raises(RegionError, match=r"labels must (hold at least one|be from 1 to 65535)"):
        save_seg(Labels(data, grid), tmp_path / "a.dcm")


def test_refuses_rows_that_do_not_meet_columns_at_right_angles(tmp_path: Path) -> None:
    affine = grids()["straight"].affine.clone()
    affine[:3, 1] += 0.3 * affine[:3, 2]
    with pytest.raises(GeometryError, match="rows and columns must meet at right angles"):
        save_seg(blobs(Grid((5, 6, 7), affine)), tmp_path / "a.dcm")


def test_refuses_a_source_without_a_place(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid, PixelSpacing=None)
    with pytest.raises(FormatError, match="the source 'ct' must say where its images are"):
        save_seg(blobs(grid), tmp_path / "a.dcm", like=like)


def test_is_written_for_a_grid_of_its_own_too(tmp_path: Path) -> None:
    """Labels on a crop at another order of planes still name the images that lie there."""
    grid = grids()["sheared"]
    like = write_source(tmp_path / "ct", grid)
    part = against(grid.crop((1, 1, 2), (3, 4, 4)))
    labels = blobs(part, (1,))
    save_seg(labels, tmp_path / "a.dcm", like=like)
    back = io.open_labels(tmp_path / "a.dcm")
    assert same_place(back.grid, part)
    assert torch.equal(back.data.int(), upside(labels.data, part, back.grid))
    named = {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in pydicom.dcmread(tmp_path / "a.dcm").PerFrameFunctionalGroupsSequence
    }
    assert named == {"1.2.3.2", "1.2.3.4"}


def test_passes_dciodvfy(tmp_path: Path) -> None:
    grid = grids()["tilted"]
    like = write_source(tmp_path / "ct", grid)
    save_seg(blobs(grid, (1, 4), layers=2), tmp_path / "a.dcm", like=like)
    assert errors_of(tmp_path / "a.dcm") == []
    save_seg(blobs(grid), tmp_path / "b.dcm")
    assert errors_of(tmp_path / "b.dcm") == []


def test_names_the_extra_that_brings_highdicom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(ExtraError, match=r"highdicom must be installed .* vesalius\[dicom\]"):
        import_highdicom()


def test_keeps_a_real_tilted_series(data_dir: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(data_dir / "dicom" / "ct_philips_tilt_a" / "dicom.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    grid = io.open(tmp_path / "dicom").grid
    data = torch.zeros((1, *grid.shape), dtype=torch.uint8)
    data[0, 3:9, 100:200, 50:300] = 5
    data[0, 9:20, 210:300, 60:310] = 2
    save_seg(Labels(data, grid), tmp_path / "seg.dcm", like=tmp_path / "dicom")
    back = io.open_labels(tmp_path / "seg.dcm")
    assert torch.equal(back.data, data)
    assert float((back.grid.affine - grid.affine).abs().max()) < 1e-5
    assert errors_of(tmp_path / "seg.dcm") == []


def test_masks_beyond_the_budget_are_refused_before_they_are_made() -> None:
    labels = blobs(grids()["straight"], (1, 2), layers=2)
    values = dict(enumerate(labels.values, start=1))
    needed = 3 * len(values) * 5 * 6 * 7
    assert _numbered(labels, values, Budget(bytes=needed)).shape == (5, 6, 7, len(values))
    with pytest.raises(FormatError, match=r"must take at most .* GiB to be written as a segm"):
        _numbered(labels, values, Budget(bytes=needed - 1))


def test_masks_of_overlapping_labels_are_those_of_each() -> None:
    labels = blobs(grids()["straight"], (1, 2), layers=2)
    values = dict(enumerate(labels.values, start=1))
    masks = _numbered(labels, values)
    for k, (layer, value) in enumerate(values.values()):
        assert np.array_equal(masks[..., k] != 0, (labels.data[layer] == value).numpy())


@pytest.mark.parametrize("name", ["straight", "oblique"])
def test_another_program_reads_the_same_frames_at_the_same_places(tmp_path: Path, name) -> None:
    import SimpleITK

    grid = grids()[name]
    labels = blobs(grid, (1,))
    save_seg(labels, tmp_path / "a.dcm", like=write_source(tmp_path / "ct", grid))
    image = SimpleITK.ReadImage(str(tmp_path / "a.dcm"))
    frames = SimpleITK.GetArrayFromImage(image) != 0
    header = pydicom.dcmread(tmp_path / "a.dcm")
    assert len(frames) == header.NumberOfFrames
    for frame, group in zip(frames, header.PerFrameFunctionalGroupsSequence, strict=True):
        first = torch.tensor(group.PlanePositionSequence[0].ImagePositionPatient).double()
        z = round(float(grid.to_index(first)[0]))
        assert np.array_equal(frame, labels.data[0, z].numpy() == 1)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a\\b", "a/b"),
        ("GTV\n1", "GTV 1"),
        ("", "label 1"),
        (" \t", "label 1"),
        ("x" * 100, "x" * 64),
        ("\u00e9 \u4e2d\u6587", "\u00e9 \u4e2d\u6587"),
        ("a^b=c", "a^b=c"),
    ],
)
def test_any_name_gives_a_valid_file(tmp_path: Path, name: str, wanted: str) -> None:
    """A backslash would make two names of it, an empty one is not allowed."""
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid)
    data = blobs(grid, (1,)).data
    labels = Labels(data, grid, {(0, 1): name})
    save_seg(labels, tmp_path / "seg.dcm", like=like)
    save_rtstruct(labels, tmp_path / "rs.dcm", like=like)
    for file in ("seg.dcm", "rs.dcm"):
        assert io.open_labels(tmp_path / file, like=grid).names == {(0, 1): wanted}
    assert errors_of(tmp_path / "seg.dcm") == []
    assert errors_of(tmp_path / "rs.dcm") == []
