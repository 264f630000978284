"""Structure sets written: every voxel comes back, every reference is right, equal bytes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from phantoms_io import write_slice

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, GeometryError, OutputError, RegionError
from vesalius.io._handle import Rules
from vesalius.io._rasterise import rasterise
from vesalius.io.dicom import _write_rtstruct
from vesalius.io.dicom._rtstruct import read_rtstruct
from vesalius.io.dicom._write_rtstruct import save_rtstruct

SHAPE = (4, 8, 9)
FRAMES = {
    "axial": ([1, 0, 0, 0, 1, 0], [0.0, 0.0, 2.5]),
    "oblique": ([0.8, 0.6, 0, -0.36, 0.48, 0.8], [0.48, -0.64, 0.6]),
    "tilted": ([1, 0, 0, 0, 0.8, 0.6], [0.0, 0.0, 3.1]),
    "sagittal": ([0, 1, 0, 0, 0, -1], [-2.0, 0.0, 0.0]),
}
volumes = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 1, 1, 4]))


def write_series(folder: Path, frame: str) -> Path:
    """A series of four slices, its first pixel far from 0."""
    axes, step = FRAMES[frame]
    folder.mkdir(exist_ok=True)
    values = np.zeros(SHAPE[1:], np.uint16)
    for k in range(SHAPE[0]):
        place = [float(f"{v:.6f}") for v in np.array([-111.3, 57.7, 12.34]) + k * np.array(step)]
        entries: dict[str, object] = {
            "ImageOrientationPatient": axes,
            "ImagePositionPatient": place,
        }
        entries |= {"StudyInstanceUID": "1.2.8", "FrameOfReferenceUID": "1.2.9"}
        write_slice(folder, k, values=values, PixelSpacing=[0.7, 0.9], **entries)
    return folder


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Grid]]:
    """A series and its grid in each frame."""
    made = {}
    for frame in FRAMES:
        folder = write_series(tmp_path_factory.mktemp("series") / frame, frame)
        made[frame] = (folder, io.open(folder).grid)
    return made


def labels_on(grid: Grid) -> Labels:
    data = torch.zeros((1, *SHAPE), dtype=torch.uint8)
    data[0, 1:3, 1:7, 1:8] = 1
    data[0, 1:3, 3:5, 3:5] = 0
    data[0, 2:4, 6:8, 0:2] = 4
    return Labels(data, grid, {(0, 1): "liver", (0, 4): "Läsion"})


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("holes", ["keyhole", "xor"])
def test_labels_come_back_voxel_for_voxel(series, tmp_path, frame, holes):
    folder, grid = series[frame]
    labels = labels_on(grid)
    save_rtstruct(labels, tmp_path / "rs.dcm", like=folder, holes=holes)
    found = read_rtstruct(tmp_path / "rs.dcm", Rules())
    back = rasterise(found, grid)
    assert found.findings == back.findings == ()
    assert torch.equal(back.labels.data, labels.data)
    assert back.labels.names == {(0, 1): "liver", (0, 4): "Läsion"}


@pytest.mark.parametrize("frame", FRAMES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=volumes)
def test_any_labels_come_back(series, tmp_path, frame, data):
    folder, grid = series[frame]
    labels = Labels(torch.from_numpy(data)[None], grid)
    if not data.any():
        return
    save_rtstruct(labels, tmp_path / "rs.dcm", like=folder)
    assert torch.equal(
        rasterise(read_rtstruct(tmp_path / "rs.dcm", Rules()), grid).labels.data, labels.data
    )


def test_layers_that_overlap_come_back(series, tmp_path):
    folder, grid = series["axial"]
    first = labels_on(grid)
    data = torch.cat([first.data, torch.zeros_like(first.data)])
    data[1, 1:3, 2:6, 2:6] = 2
    save_rtstruct(Labels(data, grid), tmp_path / "rs.dcm", like=folder)
    back = io.rasterise(read_rtstruct(tmp_path / "rs.dcm", Rules()), grid).labels
    assert torch.equal(back.data, data)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("holes", ["keyhole", "xor"])
def test_another_program_fills_the_same_voxels(series, tmp_path, frame, holes):
    """pydicom reads the points, scikit-image fills each outline, inner ones are cut out."""
    measure = pytest.importorskip("skimage.measure")
    folder, grid = series[frame]
    labels = labels_on(grid)
    save_rtstruct(labels, tmp_path / "rs.dcm", like=folder, holes=holes)
    inverse = np.linalg.inv(grid.affine.numpy())
    found = np.zeros(SHAPE, np.uint8)
    for item in pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence:
        inside = np.zeros(SHAPE, bool)
        for curve in item.ContourSequence:
            points = np.array(curve.ContourData, float).reshape(-1, 3)
            index = points @ inverse[:3, :3].T + inverse[:3, 3]
            k = round(index[:, 0].mean())
            assert np.abs(index[:, 0] - k).max() < 1e-6
            inside[k] ^= measure.grid_points_in_poly(SHAPE[1:], index[:, 1:])
        found[inside] = int(item.ReferencedROINumber)
    assert np.array_equal(found, labels.data[0].numpy())


def test_the_ibsi_mask_comes_back_through_a_structure_set(tmp_path, data_dir):
    import tarfile

    source = data_dir / "ibsi" / "ibsi1_ct_phantom"
    with tarfile.open(source / "dicom_image_rtstruct.tar.xz") as tar:
        tar.extractall(tmp_path / "ct", filter="data")
    mask = io.open_labels(source / "mask.nii.gz")
    save_rtstruct(mask, tmp_path / "rs.dcm", like=tmp_path / "ct")
    back = io.open_labels(tmp_path / "rs.dcm", like=mask.grid)
    assert torch.equal(back.data != 0, mask.data != 0)


def test_no_warning_of_pydicom_gets_out(series, tmp_path, recwarn):
    folder, grid = series["axial"]
    shutil.copytree(folder, tmp_path / "odd")
    for path in (tmp_path / "odd").glob("*.dcm"):
        file = pydicom.dcmread(path)
        file.StudyID = "Jane Doe, born in the year of the comet"
        file.save_as(path)
    recwarn.clear()
    save_rtstruct(labels_on(grid), tmp_path / "rs.dcm", like=tmp_path / "odd")
    assert [str(one.message) for one in recwarn.list] == []


def test_refers_to_the_study_the_series_and_each_slice(series, tmp_path):
    folder, grid = series["axial"]
    save_rtstruct(labels_on(grid), tmp_path / "rs.dcm", like=folder)
    file = pydicom.dcmread(tmp_path / "rs.dcm")
    assert file.PatientID == "secret"
    assert file.StudyInstanceUID == "1.2.8"
    assert file.SeriesInstanceUID != "1.2.3"
    (frame,) = file.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == "1.2.9"
    (named,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert named.SeriesInstanceUID == "1.2.3"
    uids = {image.ReferencedSOPInstanceUID for image in named.ContourImageSequence}
    assert uids == {f"1.2.3.{k + 1}" for k in range(4)}
    for item in file.ROIContourSequence:
        for curve in item.ContourSequence:
            assert curve.ContourGeometricType == "CLOSED_PLANAR"
            assert curve.NumberOfContourPoints == len(curve.ContourData) // 3
            k = round((float(curve.ContourData[2]) - 12.34) / 2.5)
            assert curve.ContourImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.{k + 1}"


def test_a_hole_is_joined_by_a_key_hole_or_is_an_outline_of_its_own(series, tmp_path):
    folder, grid = series["axial"]
    data = torch.zeros((1, *SHAPE), dtype=torch.uint8)
    data[0, 1, 1:7, 1:8] = 1
    data[0, 1, 3, 3:5] = 0
    for holes, count, kind in (("keyhole", 1, "CLOSED_PLANAR"), ("xor", 2, "CLOSEDPLANAR_XOR")):
        save_rtstruct(Labels(data, grid), tmp_path / "rs.dcm", like=folder, holes=holes)
        (item,) = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence
        assert [c.ContourGeometricType for c in item.ContourSequence] == [kind] * count


def test_equal_inputs_give_equal_bytes_and_an_empty_preamble(series, tmp_path):
    folder, grid = series["oblique"]
    for name in ("a.dcm", "b.dcm"):
        save_rtstruct(labels_on(grid), tmp_path / name, like=folder)
    one, two = ((tmp_path / name).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert one == two
    assert one[:128] == b"\0" * 128
    other = labels_on(grid)
    other.data[0, 0, 0, 0] = 1
    save_rtstruct(other, tmp_path / "c.dcm", like=folder)
    uids = {pydicom.dcmread(tmp_path / f"{n}.dcm").SOPInstanceUID for n in "abc"}
    assert len(uids) == 2


@pytest.mark.parametrize("frame", ["axial", "tilted"])
@pytest.mark.parametrize("holes", ["keyhole", "xor"])
def test_the_checker_of_the_standard_finds_no_error(series, tmp_path, frame, holes):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    folder, grid = series[frame]
    save_rtstruct(labels_on(grid), tmp_path / "rs.dcm", like=folder, holes=holes)
    done = subprocess.run(
        ["dciodvfy", tmp_path / "rs.dcm"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "RTStructureSet" in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    # older checkers do not know the term
    assert [line for line in errors if "<CLOSEDPLANAR_XOR>" not in line] == []
    assert holes == "xor" or not errors


def test_open_labels_draws_it_on_the_series_beside_it(series, tmp_path):
    folder, grid = series["tilted"]
    shutil.copytree(folder, tmp_path / "all")
    labels = labels_on(grid)
    save_rtstruct(labels, tmp_path / "all" / "rs.dcm", like=folder)
    back = io.open_labels(tmp_path / "all")
    assert torch.equal(back.data, labels.data)
    one = io.open_labels(tmp_path / "all" / "rs.dcm", like=grid, roi="L.*")
    assert set(one.names.values()) == {"Läsion"}


# ---- refusals


def test_refuses_labels_without_a_region(series, tmp_path):
    folder, grid = series["axial"]
    empty = Labels(torch.zeros((1, *SHAPE), dtype=torch.uint8), grid)
    with pytest.raises(RegionError, match="at least one region to be written as a structure set"):
        save_rtstruct(empty, tmp_path / "rs.dcm", like=folder)
    assert list(tmp_path.iterdir()) == []


def test_refuses_labels_between_the_slices_of_the_series(series, tmp_path):
    folder, grid = series["axial"]
    moved = grid.affine.clone()
    moved[2, 3] += 0.5
    with pytest.raises(GeometryError, match=r"must lie in slices of the series .* is 0.5 mm away"):
        save_rtstruct(labels_on(Grid(SHAPE, moved)), tmp_path / "rs.dcm", like=folder)


def test_refuses_a_source_that_is_no_series(series, tmp_path):
    grid = series["axial"][1]
    with pytest.raises(FormatError, match="must hold one series of images, it holds 0"):
        save_rtstruct(labels_on(grid), tmp_path / "rs.dcm", like=tmp_path)


def test_an_output_that_reads_back_differently_is_not_published(series, tmp_path, monkeypatch):
    folder, grid = series["axial"]
    coarse = lambda value: f"{value:.0f}"  # noqa: E731
    monkeypatch.setattr(_write_rtstruct, "decimal", coarse)
    with pytest.raises(OutputError, match="must hold what was written, 'liver' read back differs"):
        save_rtstruct(labels_on(grid), tmp_path / "rs.dcm", like=folder)
    assert list(tmp_path.iterdir()) == []
