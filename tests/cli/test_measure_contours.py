"""``vesalius measure IMAGE OUTLINES --roi``: structure sets and outlines measured directly."""

import csv
import shutil
import tarfile

import pytest
import torch
from structure_set import contour, structure_set, write_structure_set
from written import write_source

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.io.dicom import save_rtstruct, save_seg


@pytest.fixture
def plan(disk, tmp_path):
    """The small scan's labels as a structure set; a series to draw it on is the scan itself."""
    labels = io.open_labels(disk.labels)
    rois = {}
    for k, one in enumerate(io.trace(labels).rois):
        items = [contour(line.points.reshape(-1).tolist()) for line in one.outlines]
        rois[one.value] = (f"GTV-{k + 1}", items)
    rois[90] = ("body", [contour([-9.5, 5.5, 30.0, 8.5, 5.5, 30.0, 8.5, 18.5, 30.0])])
    return write_structure_set(tmp_path, structure_set(rois))


def values(folder):
    with (folder / "features.csv").open(newline="") as file:
        return [(row["label"], row["feature"], row["value"]) for row in csv.DictReader(file)]


def test_outlines_give_the_numbers_of_the_label_map(vesalius, disk, plan, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--config", disk.config, "-q"]
    assert vesalius("measure", disk.image, disk.labels, "-o", one, *options).code == 0
    ended = vesalius("measure", disk.image, plan, "--roi", "GTV.*", "-o", two, *options)
    assert ended.code == 0
    first, second = ([row[1:] for row in values(folder)] for folder in (one, two))
    assert first == second
    assert {row[0] for row in values(two)} == {"GTV-1", "GTV-2"}


def test_a_dry_run_names_the_regions_that_were_picked(vesalius, disk, plan):
    words = ["measure", disk.image, plan, "-o", disk.out, "--config", disk.config, "--dry-run"]
    ended = vesalius(*words, "--roi", "GTV-2")
    assert ended.code == 0
    assert "GTV-2" in ended.out
    assert "GTV-1" not in ended.out
    ended = vesalius(*words, "--roi", "PTV")
    assert ended.code == 3
    assert "must have a region named 'PTV'; its regions are: 'GTV-1', 'GTV-2', 'body'" in ended.err


def test_what_was_noticed_while_drawing_is_told(vesalius, disk, tmp_path):
    high = [contour([-5.5, 8.5, z, 5.5, 8.5, z, 5.5, 16.5, z]) for z in (31.0, 33.0, 37.0)]
    plan = write_structure_set(tmp_path, structure_set({1: ("a", high)}))
    words = ["measure", disk.image, plan, "-o", disk.out, "--config", disk.config, "--dry-run"]
    ended = vesalius(*words)
    assert "note: labels: outlines of 'a' lie up to 0.50 slices off" in ended.out
    assert "note: labels: 1 slices between outlines of 'a' have none" in ended.out


def test_label_and_roi_work_together(vesalius, disk, plan):
    words = ["measure", disk.image, plan, "-o", disk.out, "--config", disk.config, "--dry-run"]
    ended = vesalius(*words, "--roi", "GTV.*", "--label", "5")
    assert ended.code == 0
    assert sum("GTV-" in line for line in ended.out.splitlines()) == 1


def test_the_ibsi_phantom_is_measured_from_its_series_and_structure_set(
    vesalius, disk, data_dir, tmp_path
):
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    with tarfile.open(folder / "dicom_image_rtstruct.tar.xz") as tar:
        tar.extractall(tmp_path / "ct", filter="data")
    (plan,) = (tmp_path / "ct").rglob("DCM_RS_*.dcm")
    options = ["--config", disk.config, "-q"]
    words = ["measure", plan.parent, plan, "--roi", "GTV.*", "-o", tmp_path / "dicom"]
    assert vesalius(*words, *options).code == 0
    words = ["measure", folder / "image.nii.gz", folder / "mask.nii.gz", "-o", tmp_path / "nifti"]
    assert vesalius(*words, *options).code == 0
    first, second = (values(tmp_path / name) for name in ("dicom", "nifti"))
    assert {row[0] for row in first} == {"GTV-1"}
    for (_, feature, one), (_, other, two) in zip(first, second, strict=True):
        assert feature == other
        assert float(one or 0) == pytest.approx(float(two or 0), rel=1e-5, abs=1e-9)


def test_a_series_of_its_own_takes_back_what_was_written(vesalius, disk, tmp_path):
    """Labels on a DICOM series, written as a structure set, measured through the command line."""
    from phantoms_io import write_slice

    for k in range(4):
        write_slice(tmp_path, k, StudyInstanceUID="1.2.8", FrameOfReferenceUID="1.2.9")
    (tmp_path / "ct").mkdir()
    for file in tmp_path.glob("*.dcm"):
        shutil.move(file, tmp_path / "ct" / file.name)
    image = io.open(tmp_path / "ct").read()
    data = torch.zeros((1, *image.grid.shape), dtype=torch.uint8)
    data[0, 1:3, 0:2, 1:4] = 1
    labels = Labels(data, image.grid, {(0, 1): "GTV-1"})
    save_rtstruct(labels, tmp_path / "rs.dcm", like=tmp_path / "ct")
    words = ["measure", tmp_path / "ct", tmp_path / "rs.dcm", "--roi", "GTV.*", "-o", disk.out]
    ended = vesalius(*words, "--config", disk.config, "--dry-run")
    assert ended.code == 0
    assert "12 voxels" in ended.out


def study(folder):
    """A CT of nine planes, and a segmentation and a structure set of four of them beside it."""
    grid = Grid.from_spacing((9, 8, 10), (2.0, 1.0, 1.0), origin_mm=(-10.0, 5.0, 30.0))
    series = write_source(folder / "ct", grid)
    image = io.open(series)
    data = torch.zeros((1, *grid.shape), dtype=torch.uint8)
    data[0, 3:7, 2:6, 3:8] = 1
    labels = Labels(data, image.grid, {(0, 1): "GTV-1"})
    affine = image.grid.affine.clone()
    affine[:3, 3] += 3 * affine[:3, 0]
    part = Labels(data[:, 3:7].contiguous(), Grid((4, 8, 10), affine), labels.names)
    for name in ("seg", "rt"):
        shutil.copytree(series, folder / name)
    save_seg(part, folder / "seg" / "seg.dcm", like=series)
    save_rtstruct(labels, folder / "rt" / "rs.dcm", like=series)
    return series


@pytest.mark.parametrize("regions", ["seg/seg.dcm", "seg", "rt/rs.dcm", "rt"])
def test_a_series_is_measured_with_what_lies_in_its_study(vesalius, disk, tmp_path, regions):
    series = study(tmp_path)
    assert io.open(tmp_path / "seg" / "seg.dcm").grid.shape == (4, 8, 10)
    words = ["measure", series, tmp_path / regions, "--roi", "GTV.*", "-o", disk.out]
    ended = vesalius(*words, "--config", disk.config, "--dry-run")
    assert ended.code == 0, ended.err
    assert "80 voxels" in ended.out


def test_a_segmentation_of_another_lattice_is_refused_or_resampled_as_asked(
    vesalius, disk, tmp_path
):
    series = study(tmp_path)
    labels = io.open_labels(tmp_path / "seg" / "seg.dcm")
    affine = labels.grid.affine.clone()
    affine[:3, 3] += 0.4 * affine[:3, 2]
    off = Labels(labels.data, Grid(labels.grid.shape, affine), labels.names)
    save_seg(off, tmp_path / "off.dcm")
    words = ["measure", series, tmp_path / "off.dcm", "-o", disk.out, "--config", disk.config]
    ended = vesalius(*words, "--dry-run")
    assert ended.code == 3
    assert "origin" in ended.err
    ended = vesalius(*words, "--dry-run", "--on-mismatch", "resample")
    assert ended.code == 0, ended.err
    assert "note: labels were resampled to the image's grid, as asked" in ended.out
    assert "must lie on the lattice" not in ended.out


def test_the_report_tells_what_was_noticed_about_the_outlines(vesalius, disk, tmp_path):
    grid = io.open(disk.image).grid
    # index (z, y, x) to (L, P, S); every second slice, in two frames of reference
    lines = []
    for z in (4.0, 6.0, 8.0):
        at = torch.tensor([[z, 3.5, 3.5], [z, 3.5, 9.5], [z, 9.5, 9.5], [z, 9.5, 3.5]]).double()
        lines.append(contour(grid.to_world(at).reshape(-1).tolist()))
    rois = {1: ("GTV", lines), 2: ("PTV", lines[:1])}
    file = structure_set(rois, frames={2: "1.2.3.5"})
    plan = write_structure_set(tmp_path, file)
    words = ["measure", disk.image, plan, "-o", disk.out, "--config", disk.config, "-q"]
    assert vesalius(*words).code == 0
    report = (disk.out / "report.html").read_text()
    assert "regions lie in 2 frames of reference: not all fit one image" in report
    assert "2 slices between outlines of" in report
    assert "Doe" not in report
    assert "secret" not in report
