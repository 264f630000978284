"""DICOM series: sorted by position, refused unless they are a lattice."""

import tarfile
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from phantoms_io import corners, slice_values, write_slice

from vesalius import io
from vesalius.errors import FormatError


def write_series(folder: Path, n: int = 4, **entries: object) -> Path:
    for k in range(n):
        write_slice(folder, k, **entries)
    return folder


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


def simpleitk(folder: Path) -> sitk.Image:
    """Read the first series of a folder with SimpleITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def unpack(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into


# ---- what is read


def test_sorts_by_position_and_not_by_number_or_name(tmp_path: Path) -> None:
    handle = io.open(write_series(tmp_path))
    assert handle.grid.shape == (4, 3, 4)
    assert handle.grid.spacing_mm == (2.5, 0.75, 0.5)
    assert handle.grid.origin_mm == (-10, 20, 30)
    image = handle.read()
    wanted = torch.from_numpy(np.stack([slice_values(k) for k in range(4)]).astype(np.int32))
    assert torch.equal(image.data[0].int(), wanted - 1024)
    assert (image.unit, image.dtype) == ("HU", torch.int16)
    assert handle.findings == ()


def test_agrees_with_simpleitk(tmp_path: Path) -> None:
    turned = [0.8, 0.6, 0, 0, 0, -1]
    for k in range(4):
        where = [-10 - 0.6 * 2.5 * k, 20 + 0.8 * 2.5 * k, 30]
        write_slice(tmp_path, k, ImageOrientationPatient=turned, ImagePositionPatient=where)
    ours, theirs = io.open(tmp_path).read(), io.from_simpleitk(simpleitk(tmp_path))
    first = {tuple(p) for p in corners(ours.grid).round(decimals=4).tolist()}
    assert first == {tuple(p) for p in corners(theirs.grid).round(decimals=4).tolist()}
    assert float(ours.data.sum()) == float(theirs.data.sum())


def test_keeps_what_identifies_a_patient_to_itself(tmp_path: Path) -> None:
    write_series(tmp_path)
    meta = io.open(tmp_path).meta
    assert "secret" not in str(dict(meta))
    assert "Doe" not in repr(io.open(tmp_path))
    assert meta["Modality"] == "CT"
    assert meta["SeriesNumber"] == 7
    assert io.open(tmp_path, patient=True).meta["PatientID"] == "secret"


def test_separates_series_and_skips_what_is_no_image(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "other").mkdir()
    write_series(tmp_path / "other", 2, SeriesInstanceUID="9.9", Modality="MR", SeriesNumber=8)
    write_slice(
        tmp_path, 9, name="rt.dcm", Rows=None, Columns=None, PixelData=None, SeriesInstanceUID="8.8"
    )
    (tmp_path / "notes.txt").write_text("hello")
    one, two = io.scan(tmp_path)
    assert (one.unit, two.unit) == ("HU", "1")
    assert one.name.endswith("series 7")
    assert "'notes.txt', 'rt.dcm'" in one.findings[0].message
    with pytest.raises(
        FormatError, match=r"must hold one volume, it holds .*: open one by its own path"
    ):
        io.open(tmp_path)


def test_opens_a_single_file(tmp_path: Path) -> None:
    handle = io.open(write_slice(tmp_path, 2))
    assert handle.grid.shape == (1, 3, 4)
    assert handle.grid.spacing_mm == (2.5, 0.75, 0.5)
    assert codes(handle) == {"single-slice"}
    assert io.open(write_slice(tmp_path, 2, SliceThickness=None)).grid.spacing_mm[0] == 1


def test_opens_an_image_without_position(tmp_path: Path) -> None:
    gone = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    handle = io.open(write_slice(tmp_path, 2, **gone))
    assert codes(handle) == {"no-position", "no-spacing", "single-slice"}
    handle = io.open(write_slice(tmp_path, 2, ImagerPixelSpacing=[0.2, 0.1], **gone))
    assert handle.grid.spacing_mm == (2.5, 0.2, 0.1)


def test_rescales_each_slice_by_its_own_slope(tmp_path: Path) -> None:
    for k in range(3):
        write_slice(
            tmp_path, k, Modality="PT", RescaleSlope=0.5 + k, RescaleIntercept=0, Units="BQML"
        )
    handle = io.open(tmp_path)
    image = handle.read()
    assert (image.dtype, image.unit) == (torch.float32, "1")
    assert handle.meta["Units"] == "BQML"
    for k in range(3):
        wanted = torch.from_numpy(slice_values(k) * (0.5 + k)).float()
        torch.testing.assert_close(image.data[0, k], wanted)


def test_takes_only_the_bits_that_hold_the_value(tmp_path: Path) -> None:
    values = slice_values(0)
    values[0, 0] |= 0xF000  # old overlays live in the four bits above the twelve stored
    write_slice(tmp_path, 0, values=values)
    assert int(io.open(tmp_path).read().data[0, 0, 0, 0]) == -1024


def test_widens_where_the_rescaled_range_needs_it(tmp_path: Path) -> None:
    values = slice_values(0)
    values[0, 0] = 65535
    image = io.open(write_slice(tmp_path, 0, values=values, BitsStored=16, HighBit=15)).read()
    assert image.dtype == torch.int32
    assert int(image.data[0, 0, 0, 0]) == 65535 - 1024


def test_reads_signed_wide_and_narrow_samples(tmp_path: Path) -> None:
    signed = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15, "RescaleIntercept": 0}
    values = (slice_values(0).astype(np.int16) - 7).astype(np.int16)
    write_slice(tmp_path, 0, values=values.view(np.uint16), **signed)
    image = io.open(tmp_path).read()
    assert torch.equal(image.data[0, 0], torch.from_numpy(values))
    narrow = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "RescaleIntercept": 0}
    write_slice(tmp_path, 0, values=slice_values(0).astype(np.uint8), **narrow)
    assert io.open(tmp_path).read().dtype == torch.uint8


def test_reads_colour(tmp_path: Path) -> None:
    colour = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    entries = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    entries |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Modality": "OT"}
    entries |= {"RescaleSlope": None, "RescaleIntercept": None}
    image = io.open(write_slice(tmp_path, 0, values=colour, **entries)).read()
    assert image.channels == ("R", "G", "B")
    assert np.array_equal(image.data[:, 0].movedim(0, -1).numpy(), colour)


def test_accepts_a_tilted_series_as_a_sheared_grid(tmp_path: Path) -> None:
    for k in range(4):
        write_slice(tmp_path, k, ImagePositionPatient=[-10, 20 + 0.5 * k, 30 + 2.5 * k])
    handle = io.open(tmp_path)
    assert codes(handle) == {"tilted"}
    assert "leans 11.31 deg" in handle.findings[0].message
    assert not handle.grid.is_orthogonal
    far = handle.grid.to_world(torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64))
    assert far.tolist() == pytest.approx([-10, 21.5, 37.5])


def test_tells_what_may_affect_a_number(tmp_path: Path) -> None:
    entries = {"PhotometricInterpretation": "MONOCHROME1", "LossyImageCompression": "01"}
    entries |= {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "RescaleType": "OD"}
    handle = io.open(write_series(tmp_path, 2, **entries))
    assert codes(handle) == {"monochrome1", "lossy", "localizer", "not-hu"}
    assert handle.unit == "1"
    assert io.open(tmp_path, unit="HU").unit == "HU"


def test_reads_files_without_a_preamble(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        file = pydicom.dcmread(path)
        del file.file_meta
        pydicom.dcmwrite(path, file, implicit_vr=True, little_endian=True)
    assert io.open(tmp_path).read().data.shape == (1, 4, 3, 4)


# ---- what is refused


def test_refuses_missing_slices(tmp_path: Path) -> None:
    for k in (0, 1, 2, 4, 5):
        write_slice(tmp_path, k)
    with pytest.raises(
        FormatError, match=r"must have all its slices, .* missing: the largest gap is"
    ):
        io.open(tmp_path)


def test_refuses_uneven_gaps_and_accepts_one_percent(tmp_path: Path) -> None:
    for k, z in enumerate((0, 2.5, 5.02, 7.5)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0, z])
    assert io.open(tmp_path).grid.spacing_mm[0] == pytest.approx(2.5)
    for k, z in enumerate((0, 2.5, 5.5, 8.0)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0, z])
    with pytest.raises(FormatError, match=r"evenly spaced slices \(to 1%\), its gaps run from 2.5"):
        io.open(tmp_path)


def test_refuses_duplicates(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, name="again.dcm")
    with pytest.raises(
        FormatError, match=r"1 have duplicates, such as '88.dcm', 'again.dcm' at 35"
    ):
        io.open(tmp_path)


def test_refuses_frames_in_time(tmp_path: Path) -> None:
    for k in range(4):
        for frame in range(3):
            write_slice(tmp_path, k, name=f"{k}-{frame}.dcm")
    with pytest.raises(FormatError, match="all 4 positions have 3: frames in time, echoes"):
        io.open(tmp_path)


def test_refuses_mixed_sizes(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 4, values=np.zeros((5, 4), np.uint16))
    with pytest.raises(FormatError, match=r"must have slices of one size, it has"):
        io.open(tmp_path)


def test_refuses_mixed_spacings(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 4, PixelSpacing=[0.9, 0.5])
    with pytest.raises(FormatError, match="must have one pixel spacing, it has 2"):
        io.open(tmp_path)
    write_slice(tmp_path, 4, PixelSpacing=None)
    with pytest.raises(FormatError, match="must have one pixel spacing, it has 2"):
        io.open(tmp_path)


def test_refuses_mixed_orientations(tmp_path: Path) -> None:
    write_series(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_slice(tmp_path, 4, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(FormatError, match=r"must have slices of one orientation, it has several"):
        io.open(tmp_path)


def test_refuses_axes_that_are_not_at_right_angles(tmp_path: Path) -> None:
    write_series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0])
    with pytest.raises(FormatError, match="must have rows and columns at right angles"):
        io.open(tmp_path)


def test_refuses_slices_that_step_sideways(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, ImagePositionPatient=[-9, 20, 35])
    with pytest.raises(
        FormatError, match=r"must have slices in a straight row, one lies .* mm sideways"
    ):
        io.open(tmp_path)


def test_refuses_several_slices_without_position(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, ImagePositionPatient=None)
    with pytest.raises(FormatError, match="must say where each slice lies"):
        io.open(tmp_path)


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({"NumberOfFrames": 3}, r"must hold one slice, it is .* convert it to NIfTI"),
        (
            {"ImageType": ["ORIGINAL", "MOSAIC"]},
            "must hold one slice, it is .*: convert it to NIfTI",
        ),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "MONOCHROME2 or RGB, it is PALETTE"),
        ({"ModalityLUTSequence": []}, "it has a modality lookup table"),
        ({"RescaleSlope": 0}, "its rescale slope is .* and its intercept"),
        ({"BitsStored": 4000}, "it has .* bits for each sample"),
        ({"PixelSpacing": [0, 0]}, "must place its samples in the world"),
        ({"PixelSpacing": [1, 1, 1]}, "must be .* numbers, it is"),
    ],
)
def test_refuses_what_it_cannot_read_rightly(
    tmp_path: Path, entries: dict[str, object], what: str
) -> None:
    with pytest.raises(FormatError, match=what):
        io.open(write_slice(tmp_path, 0, **entries))


@pytest.mark.parametrize("uid", [pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless])
def test_names_the_extra_for_compressed_files(tmp_path: Path, uid: str) -> None:
    data = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51"])
    for k in range(3):
        write_slice(tmp_path, k, PixelData=data, TransferSyntaxUID=uid)
    installed = set(pydicom.pixels.get_decoder(uid).available_plugins) - {"pillow"}
    if installed:
        pytest.skip(f"the extra 'dicom' is installed: {installed}")
    with pytest.raises(
        FormatError, match=r"the extra 'dicom', it is JPEG.*vesalius\[dicom\] \(and "
    ):
        io.open(tmp_path)


def test_refuses_truncated_files(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(FormatError, match=r"must hold all samples|must hold 24 bytes"):
        io.open(path).read()
    path.write_bytes(whole[:200])
    with pytest.raises(FormatError, match=r"must be a readable DICOM file|must be an image file"):
        io.open(path)
    for garbage in (b"garbage" * 100, bytes(1000)):
        path.write_bytes(garbage)
        start = time.process_time()
        with pytest.raises(FormatError, match="must be a readable DICOM file, it is not"):
            io.open(path)
        assert time.process_time() - start < 2
    path.write_bytes(bytes(128) + b"DICM")
    with pytest.raises(FormatError, match="it has neither an SOP class nor rows"):
        io.open(path)


def test_refuses_a_huge_claim(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"bytes of samples, it has .* truncated"):
        io.open(write_slice(tmp_path, 0, Rows=30000, Columns=30000))
    with pytest.raises(
        FormatError, match=r"must fit in 1e-07 GiB|must fit in .* its header claims"
    ):
        io.open(write_slice(tmp_path, 0), budget=io.Budget(bytes=10))


def test_tells_of_one_broken_series_beside_a_good_one(tmp_path: Path) -> None:
    write_series(tmp_path)
    for k in (0, 1, 3):
        write_slice(tmp_path, k, name=f"b{k}.dcm", SeriesInstanceUID="9.9")
    (handle,) = io.scan(tmp_path)
    assert codes(handle) == {"refused"}
    with pytest.raises(
        FormatError, match=r"must have all its slices, .* missing: the largest gap is"
    ):
        io.open(tmp_path)


# ---- real data


def test_the_ibsi_phantom_is_equal_as_dicom_and_as_nifti(tmp_path: Path, data_dir: Path) -> None:
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    ours = io.open(unpack(folder / "dicom_image_rtstruct.tar.xz", tmp_path))
    nifti = io.open(folder / "image.nii.gz").read()
    assert codes(ours) == {"skipped"}
    assert ours.unit == "HU"
    assert torch.equal(ours.read().data.float(), nifti.data)
    torch.testing.assert_close(corners(ours.grid), corners(nifti.grid), rtol=0, atol=1e-4)


def test_a_real_patient_is_equal_as_dicom_and_as_nifti(tmp_path: Path, data_dir: Path) -> None:
    unpack(data_dir / "sts_dicom" / "STS_050_dicom.tar.gz", tmp_path)
    handles = {h.meta["Modality"]: h for h in io.scan(tmp_path)}
    assert set(handles) == {"CT", "MR", "PT"}
    for modality, name in (("CT", "ct"), ("MR", "mr_t1"), ("PT", "pet_suv")):
        nifti = io.open(data_dir / "samples" / "sts" / "STS_050" / f"{name}.nii.gz").read()
        image = handles[modality].read()
        torch.testing.assert_close(image.data.float(), nifti.data.float(), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(corners(image.grid), corners(nifti.grid), rtol=0, atol=2e-3)


def test_a_sagittal_t1_agrees_with_simpleitk(tmp_path: Path, data_dir: Path) -> None:
    unpack(data_dir / "dicom" / "mr_t1_hfs" / "dicom.tar.xz", tmp_path)
    ours = io.open(tmp_path).read()
    theirs = io.from_simpleitk(simpleitk(next(p.parent for p in tmp_path.rglob("*.dcm"))))
    assert torch.equal(ours.data.int(), theirs.data.int())
    torch.testing.assert_close(corners(ours.grid), corners(theirs.grid), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ct_ge_tilt_varspacing", r"evenly spaced slices \(to 1%\), its gaps run from 1.08"),
        ("mr_ge_fmri4d", "all 15 positions have 10: frames in time"),
        ("mr_siemens_mosaic", "Siemens mosaic"),
    ],
)
def test_refuses_real_series_that_are_no_lattice(
    tmp_path: Path, data_dir: Path, name: str, what: str
) -> None:
    unpack(data_dir / "dicom" / name / "dicom.tar.xz", tmp_path)
    with pytest.raises(FormatError, match=what):
        io.open(tmp_path)
