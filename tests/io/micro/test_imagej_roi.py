"""Regions of ImageJ: written, read back, and read by the roifile package where it is installed."""

import contextlib
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, OutputError
from vesalius.io import Budget
from vesalius.io._handle import Rules
from vesalius.io.micro import _imagej_roi
from vesalius.io.micro._imagej_roi import read_roi, read_roi_set, save_imagej_rois

RULES = Rules()
FLAT = Grid.from_spacing((1, 8, 10))
volumes = arrays(np.uint8, (2, 7, 8), elements=st.sampled_from([0, 0, 1, 2, 9]))


def header(kind: int, box: tuple[int, int, int, int], count: int = 0, **more: int) -> bytes:
    """The first 64 bytes of a region."""
    told = {"version": 228, "shape": 0, "options": 0, "position": 0, "second": 0} | more
    head = struct.pack(">4shBx4hH", b"Iout", told["version"], kind, *box, count)
    head += struct.pack(">16xhiIi", 0, told["shape"], 0xFFFF0000, 0)
    head += struct.pack(">hh4x", 0, told["options"])
    return head.ljust(56, b"\0") + struct.pack(">ii", told["position"], told["second"])


def roi_file(folder: Path, data: bytes, name: str = "a.roi") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def polygon(kind: int = 0, **more: int) -> bytes:
    """x 2 to 5, y 1 to 3, from the corner (2, 1)."""
    points = np.array([[0, 3, 3, 0], [0, 0, 2, 2]], ">u2")
    return header(kind, (1, 2, 3, 5), 4, **more) + points.tobytes()


def labels_of(rows: slice = slice(1, 3)) -> Labels:
    data = torch.zeros((1, *FLAT.shape), dtype=torch.uint8)
    data[0, 0, rows, 2:5] = 1
    return Labels(data, FLAT, {(0, 1): "nucleus"})


# ---- in


@pytest.mark.parametrize("kind", [0, 7, 8])
def test_reads_polygons_from_the_corner_of_the_pixels(tmp_path: Path, kind: int) -> None:
    labels = io.open_labels(roi_file(tmp_path, polygon(kind), "cell.roi"), like=FLAT)
    assert torch.equal(labels.data, labels_of().data)
    assert labels.names == {(0, 1): "cell"}


def test_reads_a_rectangle_and_its_colour(tmp_path: Path) -> None:
    found = read_roi(roi_file(tmp_path, header(1, (1, 2, 3, 5))), RULES)
    assert found.rois[0].colour == (255, 0, 0)
    assert torch.equal(io.open_labels(tmp_path / "a.roi", like=FLAT).data, labels_of().data)


def test_reads_positions_between_pixels(tmp_path: Path) -> None:
    floats = np.array([[2.25, 5.25, 5.25, 2.25], [1.0, 1.0, 3.0, 3.0]], ">f4")
    data = header(7, (1, 2, 3, 5), 4, options=128) + b"\0" * 16 + floats.tobytes()
    points = read_roi(roi_file(tmp_path, data), RULES).rois[0].outlines[0].points
    assert points[:, 2].tolist() == [1.75, 4.75, 4.75, 1.75]


def test_reads_the_slice(tmp_path: Path) -> None:
    points = read_roi(roi_file(tmp_path, polygon(position=3)), RULES).rois[0].outlines[0].points
    assert points[:, 0].tolist() == [2.0] * 4


@pytest.mark.parametrize(("kind", "wanted"), [(3, "open"), (4, "open"), (5, "open"), (10, "point")])
def test_lines_and_points_enclose_nothing(tmp_path: Path, kind: int, wanted: str) -> None:
    assert read_roi(roi_file(tmp_path, polygon(kind)), RULES).rois[0].outlines[0].kind == wanted


def test_ovals_and_curves_are_left_out_and_told(tmp_path: Path) -> None:
    curve = np.array([0, 1, 1, 3, 1, 2, 3, 4, 5, 6, 4], ">f4")
    oval, path = header(2, (1, 2, 3, 5)), header(1, (1, 2, 3, 5), shape=11) + curve.tobytes()
    for data in (oval, path):
        found = read_roi(roi_file(tmp_path, data), RULES)
        assert found.rois == ()
        assert [f.code for f in found.findings] == ["unknown-contour"]


# ---- out


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=volumes)
def test_labels_come_back(tmp_path: Path, data: np.ndarray) -> None:
    grid = Grid.from_spacing((2, 7, 8), (2.0, 0.5, 0.5))
    labels = Labels(torch.from_numpy(data)[None], grid)
    if data.any():
        save_imagej_rois(labels, tmp_path / "RoiSet.zip")
        back = io.open_labels(tmp_path / "RoiSet.zip", like=grid)
        assert torch.equal(back.data, labels.data)


def test_equal_labels_give_equal_bytes_and_names_that_are_safe(tmp_path: Path) -> None:
    data = torch.zeros((1, *FLAT.shape), dtype=torch.uint8)
    data[0, 0, 1, 1], data[0, 0, 3, 3] = 1, 2
    labels = Labels(data, FLAT, {(0, 1): "../Zelle: ä", (0, 2): "../Zelle: ä"})
    save_imagej_rois(labels, tmp_path / "RoiSet.zip")
    first = (tmp_path / "RoiSet.zip").read_bytes()
    save_imagej_rois(labels, tmp_path / "RoiSet.zip")
    assert (tmp_path / "RoiSet.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "RoiSet.zip") as archive:
        names = archive.namelist()
    assert names == ["_Zelle_ ä.roi", "_Zelle_ ä 2.roi"]


def test_more_corners_than_a_polygon_holds_become_a_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(_imagej_roi, "MOST_POINTS", 3)
    save_imagej_rois(labels_of(), tmp_path / "RoiSet.zip")
    back = io.open_labels(tmp_path / "RoiSet.zip", like=FLAT)
    assert torch.equal(back.data, labels_of().data)


def test_roifile_reads_what_is_written(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile")
    data = torch.zeros((1, 3, 9, 9), dtype=torch.uint8)
    data[0, 1, 1:7, 1:8] = 1
    data[0, 2, 1:7, 1:8] = 2
    data[0, 2, 3, 3] = 0
    labels = Labels(data, Grid.from_spacing((3, 9, 9)), {(0, 1): "nucleus", (0, 2): "ring"})
    save_imagej_rois(labels, tmp_path / "RoiSet.zip")
    first, second = roifile.roiread(tmp_path / "RoiSet.zip")
    assert first.roitype.name == "TRACED"
    assert first.position == 2
    assert first.name == "nucleus z2"
    assert first.coordinates().tolist() == [[1, 1], [8, 1], [8, 7], [1, 7]]
    assert int(first.properties["vesalius_label"]) == 1
    assert second.composite
    areas = [abs(area(np.asarray(path))) for path in second.path2coords(second.multi_coordinates)]
    assert sorted(areas) == [1.0, 42.0]


def area(points: np.ndarray) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=volumes, names=st.lists(words, min_size=3))
def test_names_come_back_whatever_they_are(
    tmp_path: Path, data: np.ndarray, names: list[str]
) -> None:
    grid = Grid.from_spacing(data.shape)
    named = {(0, v): name for v, name in zip((1, 2, 9), names, strict=False) if (data == v).any()}
    labels = Labels(torch.from_numpy(data)[None], grid, named)
    if not named:
        return
    save_imagej_rois(labels, tmp_path / "a.roi.zip")
    back = io.open_labels(tmp_path / "a.roi.zip", like=grid)
    assert torch.equal(back.data, labels.data)
    assert back.names == named


def test_slices_of_a_region_are_one_and_are_called_as_the_label_was(tmp_path: Path) -> None:
    data = torch.zeros((1, 20, 4, 4), dtype=torch.uint8)
    data[0, 17:19, 1:3, 1:3] = 4
    labels = Labels(data, Grid.from_spacing((20, 4, 4)), {(0, 4): "GTV-1"})
    save_imagej_rois(labels, tmp_path / "a.roi.zip")
    (roi,) = read_roi_set(tmp_path / "a.roi.zip", RULES).rois
    assert (roi.name, roi.value, len(roi.outlines)) == ("GTV-1", 4, 2)
    with zipfile.ZipFile(tmp_path / "a.roi.zip") as archive:
        assert archive.namelist() == ["GTV-1 z18.roi", "GTV-1 z19.roi"]


@pytest.mark.parametrize("text", ['"a" "b"', '"\\x"', "a", '"\\ud800"'])
def test_a_name_that_was_edited_by_hand_does_no_harm(tmp_path: Path, text: str) -> None:
    save_imagej_rois(labels_of(), tmp_path / "a.roi.zip")
    with zipfile.ZipFile(tmp_path / "a.roi.zip") as archive:
        whole = archive.read("nucleus.roi")
    old = 'vesalius_name: "nucleus"'.encode("utf-16-be")
    new = f"vesalius_name: {text}".ljust(24).encode("utf-16-be")
    assert old in whole
    (roi,) = read_roi(roi_file(tmp_path, whole.replace(old, new)), RULES).rois
    assert roi.name in ("nucleus", "?")


# ---- refusals


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Iout",
        b"Jout" + bytes(80),
        header(0, (0, 0, 3, 3), 400),
        header(1, (0, 0, 3, 3), shape=1 << 30),
        header(1, (0, 0, 3, 3), shape=2) + np.array([0, 1], ">f4").tobytes(),
        header(1, (0, 0, 3, 3), shape=3) + np.array([1, 1, 1], ">f4").tobytes(),
    ],
)
def test_refuses_what_is_no_region(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"must hold whole ImageJ regions, 'a.roi' is none"):
        read_roi(roi_file(tmp_path, data), RULES)


@given(st.binary(max_size=90), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_region_or_a_refusal(tmp_path: Path, data: bytes, kind: int) -> None:
    path = roi_file(tmp_path, header(kind, (0, 0, 3, 3), 4)[: 64 - len(data) % 9] + data)
    found = None
    with contextlib.suppress(FormatError):
        found = read_roi(path, RULES)
    assert found is None or len(found.rois) <= 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), data=st.binary(min_size=1, max_size=6))
def test_a_damaged_archive_is_read_or_refused(tmp_path: Path, at: int, data: bytes) -> None:
    if not (tmp_path / "a.roi.zip").exists():
        save_imagej_rois(labels_of(), tmp_path / "a.roi.zip")
    whole = (tmp_path / "a.roi.zip").read_bytes()
    at %= len(whole)
    (tmp_path / "b.roi.zip").write_bytes(whole[:at] + data + whole[at + len(data) :])
    found = None
    with contextlib.suppress(FormatError):
        found = read_roi_set(tmp_path / "b.roi.zip", RULES)
    assert found is None or len(found.rois) <= 1


def test_refuses_archives_without_regions_and_those_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "RoiSet.zip").write_bytes(b"PK\3\4garbage")
    with pytest.raises(FormatError, match="must be a zip archive of ImageJ regions, it is not"):
        read_roi_set(tmp_path / "RoiSet.zip", RULES)
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(FormatError, match="must hold from 1 to 200000 regions of ImageJ"):
        read_roi_set(tmp_path / "RoiSet.zip", RULES)


def test_refuses_an_archive_that_unpacks_beyond_the_budget(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", b"\0" * 5_000_000)
    with pytest.raises(FormatError, match="must not grow more than"):
        read_roi_set(tmp_path / "RoiSet.zip", Rules(budget=Budget(free_bytes=1 << 20)))
    with pytest.raises(FormatError, match="must fit in"):
        read_roi_set(tmp_path / "RoiSet.zip", Rules(budget=Budget(bytes=1 << 20)))


def test_refuses_labels_without_regions_or_too_wide(tmp_path: Path) -> None:
    empty = Labels(torch.zeros((1, *FLAT.shape), dtype=torch.uint8), FLAT)
    wide = Labels(
        torch.ones((1, 1, 1, 40_000), dtype=torch.uint8), Grid.from_spacing((1, 1, 40_000))
    )
    for labels in (empty, wide):
        with pytest.raises(FormatError, match="must have a region and at most 32767 pixels a side"):
            save_imagej_rois(labels, tmp_path / "RoiSet.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_reads_back_differently_is_not_published(tmp_path, monkeypatch) -> None:
    other = labels_of(slice(2, 4))
    save_imagej_rois(other, tmp_path / "other.zip")
    wrong = read_roi_set(tmp_path / "other.zip", RULES)
    monkeypatch.setattr(_imagej_roi, "read_roi_set", lambda path, rules: wrong)
    with pytest.raises(OutputError, match="its regions read back differ"):
        save_imagej_rois(labels_of(), tmp_path / "RoiSet.zip")
    assert not (tmp_path / "RoiSet.zip").exists()
