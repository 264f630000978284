"""``vesalius measure IMAGE OUTLINES --roi``: structure sets and outlines measured directly."""

import csv
import shutil
import tarfile

import pytest
import torch
from structure_set import contour, structure_set, write_structure_set

from vesalius import io
from vesalius.io.dicom import save_rtstruct


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
    labels = type(io.open_labels(disk.labels))(data, image.grid, {(0, 1): "GTV-1"})
    save_rtstruct(labels, tmp_path / "rs.dcm", like=tmp_path / "ct")
    words = ["measure", tmp_path / "ct", tmp_path / "rs.dcm", "--roi", "GTV.*", "-o", disk.out]
    ended = vesalius(*words, "--config", disk.config, "--dry-run")
    assert ended.code == 0
    assert "12 voxels" in ended.out
