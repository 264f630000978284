"""Labels from whatever holds them: maps, outlines, folders of masks; picked by name."""

import shutil
from pathlib import Path

import pytest
import torch
from phantoms_io import write_slice
from structure_set import SQUARE, contour, structure_set, write_structure_set

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError
from vesalius.io import Contours, Finding
from vesalius.io._regions import Canvas, draw_outlines

GRID = Grid.from_spacing((3, 4, 5), (2.0, 1.0, 1.0), origin_mm=(5.0, 6.0, 7.0))


def mask(folder: Path, name: str, rows: slice, value: int = 1, grid: Grid = GRID) -> None:
    data = torch.zeros((1, *grid.shape), dtype=torch.uint8)
    data[0, 1, rows] = value
    io.save(Labels(data, grid), folder / name)


# ---- a folder of masks


def test_a_folder_of_masks_is_joined_and_named_by_its_files(tmp_path: Path) -> None:
    mask(tmp_path, "liver.nii.gz", slice(0, 1))
    mask(tmp_path, "aorta.nii.gz", slice(1, 2), value=255)
    mask(tmp_path, "tumor.nii.gz", slice(0, 2))
    mask(tmp_path, "empty.nii.gz", slice(0, 0))
    found = io.open_regions(tmp_path)
    assert found.labels.names == {(0, 1): "aorta", (0, 3): "liver", (1, 4): "tumor"}
    assert [int(found.labels.mask(v, k).sum()) for k, v in found.labels.names] == [5, 5, 10]
    assert [(f.code, f.message) for f in found.findings] == [("empty", "'empty' holds no voxel")]
    assert torch.equal(found.labels.grid.affine, GRID.affine)


def test_an_archive_of_masks_is_joined(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for k, name in enumerate(["aorta", "liver"]):
        mask(tmp_path / "masks", f"{name}.nii.gz", slice(k, k + 1))
    path = Path(shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "masks"))
    assert io.open_labels(path).names == {(0, 1): "aorta", (0, 2): "liver"}


def test_masks_are_picked_by_name_and_keep_their_values(tmp_path: Path) -> None:
    for k, name in enumerate(["a_left", "a_right", "b"]):
        mask(tmp_path, f"{name}.nii.gz", slice(k, k + 1))
    labels = io.open_labels(tmp_path, roi="a_.*")
    assert labels.names == {(0, 1): "a_left", (0, 2): "a_right"}
    with pytest.raises(
        FormatError, match=r"must have a region named 'c'; its regions are: 'a_left"
    ):
        io.open_labels(tmp_path, roi="c")


def test_refuses_masks_on_several_grids(tmp_path: Path) -> None:
    mask(tmp_path, "a.nii.gz", slice(0, 1))
    mask(tmp_path, "b.nii.gz", slice(0, 1), grid=Grid.from_spacing((3, 4, 5)))
    with pytest.raises(FormatError, match=r"must share one grid to be joined, 'b.nii.gz' differs"):
        io.open_labels(tmp_path)


def test_refuses_a_mask_of_several_values(tmp_path: Path) -> None:
    mask(tmp_path, "a.nii.gz", slice(0, 1))
    data = torch.zeros((1, *GRID.shape), dtype=torch.uint8)
    data[0, 1, 1], data[0, 1, 2] = 1, 2
    io.save(Labels(data, GRID), tmp_path / "b.nii.gz")
    with pytest.raises(
        FormatError, match=r"must each hold one structure, 'b.nii.gz' holds the val"
    ):
        io.open_labels(tmp_path)


def test_two_scans_in_a_folder_are_no_masks(tmp_path: Path) -> None:
    for name in "ab":
        data = torch.arange(60).reshape(1, 3, 4, 5).to(torch.int16)
        io.save(Image(data, GRID), tmp_path / f"{name}.nii.gz")
    with pytest.raises(
        FormatError, match=r"must each hold one structure, 'a.nii.gz' holds the val"
    ):
        io.open_labels(tmp_path)


def test_more_than_255_masks_fit(tmp_path: Path) -> None:
    small = Grid.from_spacing((1, 1, 1))
    data = torch.ones((1, 1, 1, 1), dtype=torch.uint8)
    io.save(Labels(data, small), tmp_path / "000.nrrd")
    for k in range(1, 256):
        shutil.copy(tmp_path / "000.nrrd", tmp_path / f"{k:03}.nrrd")
    labels = io.open_labels(tmp_path, roi="25[45]")
    assert labels.data.dtype == torch.int16
    assert labels.names == {(0, 255): "254", (1, 256): "255"}


# ---- picking in a map


def test_labels_of_a_map_are_picked_by_name(tmp_path: Path) -> None:
    data = torch.zeros((1, *GRID.shape), dtype=torch.int16)
    data[0, 0], data[0, 1], data[0, 2] = 1, 2, 7
    names = {(0, 1): "GTV-1", (0, 2): "GTV-2"}
    io.save(Labels(data, GRID, names), tmp_path / "a.nii.gz")
    labels = io.open_labels(tmp_path / "a.nii.gz", roi="GTV.*")
    assert labels.values == ((0, 1), (0, 2))
    assert labels.names == names
    assert io.open_labels(tmp_path / "a.nii.gz", roi="label 7").values == ((0, 7),)
    with pytest.raises(FormatError, match=r"its regions are: 'GTV-1', 'GTV-2', 'label 7'"):
        io.open_labels(tmp_path / "a.nii.gz", roi="PTV")
    assert torch.equal(io.open_labels(tmp_path / "a.nii.gz").data, data)


# ---- outlines


def series(folder: Path) -> Path:
    for k in range(3):
        write_slice(folder, k)
    return folder


def test_a_structure_set_beside_one_series_is_drawn_on_it(tmp_path: Path) -> None:
    write_structure_set(series(tmp_path), structure_set({1: ("GTV", [contour(SQUARE)])}))
    labels = io.open_labels(tmp_path)
    assert labels.names == {(0, 1): "GTV"}
    assert labels.data[0, 1].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    assert io.open(tmp_path).grid.shape == (3, 3, 4)


def test_a_structure_set_alone_needs_a_grid(tmp_path: Path) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("GTV", [contour(SQUARE)])}))
    with pytest.raises(FormatError, match=r"must be drawn on a grid, outlines have none: call"):
        io.open_labels(path)
    grid = Grid.from_spacing((3, 3, 4), (2.5, 0.75, 0.5), origin_mm=(-10.0, 20.0, 30.0))
    assert int(io.open_labels(path, like=grid).data.sum()) == 4
    found = io.survey(path)
    assert [c.name for c in found.contours] == ["rs.dcm"]
    assert found.handles == ()


def test_another_frame_of_reference_is_told(tmp_path: Path) -> None:
    for k in range(3):
        write_slice(tmp_path, k, FrameOfReferenceUID="1.2.3.5")
    image = io.open(tmp_path)
    path = write_structure_set(tmp_path, structure_set({1: ("GTV", [contour(SQUARE)])}))
    frame = str(image.meta["frame_of_reference"])
    assert "1.2.3.5" not in frame
    for found in (io.open_regions(tmp_path), io.open_regions(path, like=image.grid, frame=frame)):
        assert [f.code for f in found.findings] == ["other-frame"]
        assert "only where a registration says" in found.findings[0].message
    assert io.open_regions(path, like=image.grid).findings == ()
    same = structure_set({1: ("GTV", [contour(SQUARE)])}, {1: "1.2.3.5"})
    write_structure_set(tmp_path, same)
    assert io.open_regions(tmp_path).findings == ()


def test_two_structure_sets_are_refused(tmp_path: Path) -> None:
    file = structure_set({1: ("GTV", [contour(SQUARE)])})
    for name in ("a.dcm", "b.dcm"):
        write_structure_set(tmp_path, file, name)
    with pytest.raises(FormatError, match=r"one volume or one file of outlines, it holds 0 and 2"):
        io.open_labels(tmp_path)


def test_what_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    write_structure_set(series(tmp_path), structure_set({1: ("GTV", [contour(SQUARE)])}))
    (tmp_path / "b.nii.gz").write_bytes(b"broken")
    with pytest.raises(FormatError, match=r"'b.nii.gz' must"):
        io.open_labels(tmp_path)


def test_outlines_with_an_error_are_refused() -> None:
    bad = Contours("a.dcm", (), {}, (Finding("error", "wrong", "it is wrong"),))
    with pytest.raises(
        FormatError, match=r"'a.dcm' must be sound to be drawn, it is not: it is wrong"
    ):
        draw_outlines(bad, (), Canvas(GRID), "", io.Budget())
