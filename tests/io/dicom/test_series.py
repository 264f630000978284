"""DICOM series: sorted by position, refused unless they are a lattice."""

import math
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


def findings(handle: io.Handle) -> dict[str, str]:
    return {finding.code: finding.severity for finding in handle.findings}


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
    handle = io.open(tmp_path, unit="Bq/mL")
    image = handle.read()
    assert (image.dtype, image.unit) == (torch.float32, "Bq/mL")
    assert handle.meta["Units"] == "BQML"
    assert codes(handle) == {"rescale-varies"}
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
    handle = io.open(write_series(tmp_path, 2, **entries, RescaleType="OD"))
    assert codes(handle) == {"monochrome1", "lossy", "not-hu"}
    assert handle.unit == "1"
    assert io.open(tmp_path, unit="HU").unit == "HU"


def test_tells_that_echoes_are_mixed(tmp_path: Path) -> None:
    for k in range(4):
        write_slice(tmp_path, k, Modality="MR", EchoTime=10 + k % 2)
    assert codes(io.open(tmp_path)) == {"mixed-echoes"}


def test_reads_files_without_a_preamble(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        file = pydicom.dcmread(path)
        del file.file_meta
        pydicom.dcmwrite(path, file, implicit_vr=True, little_endian=True)
    assert io.open(tmp_path).read().data.shape == (1, 4, 3, 4)


# ---- what is refused, and what accepts it


def test_a_localizer_is_no_volume(tmp_path: Path) -> None:
    words = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(tmp_path, 2, ImageType=words)
    handle = io.open(tmp_path)
    assert findings(handle) == {"localizer": "error"}
    with pytest.raises(FormatError, match=r'a localizer: its slices .* allow=\("localizer",\)'):
        handle.read()
    allowed = io.open(tmp_path, allow=("localizer",))
    assert findings(allowed) == {"localizer": "warning"}
    assert allowed.read().data.shape == (1, 2, 3, 4)


def test_a_localizer_beside_a_volume_does_not_count(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "scout").mkdir()
    words = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    turned = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "SeriesInstanceUID": "5.5"}
    write_series(tmp_path / "scout", 2, ImageType=words, **turned)
    assert len(io.scan(tmp_path)) == 2
    assert io.open(tmp_path).grid.shape == (4, 3, 4)


def test_refuses_missing_slices_unless_gaps_are_allowed(tmp_path: Path) -> None:
    for k in (0, 1, 2, 4, 5):
        write_slice(tmp_path, k)
    handle = io.open(tmp_path)
    assert findings(handle) == {"missing-slices": "error"}
    with pytest.raises(FormatError, match=r"1 slices are missing: gaps are multiples of 2.5 mm"):
        handle.read()
    filled = io.open(tmp_path, allow=("gaps",))
    assert findings(filled) == {"missing-slices": "warning"}
    assert filled.grid.shape == (6, 3, 4)
    data = filled.read().data[0]
    for k in (0, 1, 2, 4, 5):
        assert torch.equal(data[k], torch.from_numpy(slice_values(k)).float() - 1024)
    torch.testing.assert_close(data[3], (data[2] + data[4]) / 2)


def test_accepts_gaps_that_differ_by_one_percent(tmp_path: Path) -> None:
    for k, z in enumerate((0, 2.5, 5.02, 7.5)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0, z])
    handle = io.open(tmp_path)
    assert handle.findings == ()
    assert handle.grid.spacing_mm[0] == pytest.approx(2.5)


def test_refuses_uneven_gaps_unless_they_are_allowed(tmp_path: Path) -> None:
    for k, z in enumerate((0, 2.5, 5.5, 8.0)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0, z])
    handle = io.open(tmp_path)
    assert findings(handle) == {"uneven-gaps": "error"}
    with pytest.raises(FormatError, match=r"gaps are uneven, from 2.5 to 3 mm: the largest gap"):
        handle.read()
    even = io.open(tmp_path, allow=("gaps",))
    assert even.grid.shape == (5, 3, 4)
    assert even.grid.spacing_mm[0] == pytest.approx(2.0)
    data = even.read().data[0]
    assert data.dtype == torch.float32
    first, second = (torch.from_numpy(slice_values(k)).float() - 1024 for k in (0, 1))
    torch.testing.assert_close(data[1], first + (second - first) * 2 / 2.5)
    torch.testing.assert_close(data[4], torch.from_numpy(slice_values(3)).float() - 1024)


def test_refuses_tilt_and_gaps_by_name_where_both_are_there(tmp_path: Path) -> None:
    for k, z in enumerate((0, 2.0, 5.0, 7.0)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0.3 * z, z])
    handle = io.open(tmp_path)
    assert findings(handle) == {"uneven-gaps": "error", "tilted": "error"}
    with pytest.raises(FormatError, match=r'allow=\("tilt", "gaps",\)'):
        handle.read()
    for words in (("gaps",), ("tilt",)):
        with pytest.raises(FormatError, match="it is not"):
            io.open(tmp_path, allow=words).read()
    allowed = io.open(tmp_path, allow=("gaps", "tilt"))
    assert findings(allowed) == {"uneven-gaps": "warning", "tilted": "warning"}
    far = allowed.grid.to_world(torch.tensor([allowed.grid.shape[0] - 1.0, 0, 0]).double())
    assert far.tolist() == pytest.approx([0, 2.1, 7.0])


def test_drops_identical_copies_and_says_so(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, name="again.dcm", SOPInstanceUID="7.7", InstanceNumber=500)
    handle = io.open(tmp_path)
    assert findings(handle) == {"copies-dropped": "info"}
    assert "'again.dcm'" in handle.findings[0].message
    assert handle.read().data.shape == (1, 4, 3, 4)


def test_drops_the_copies_of_a_folder_that_is_there_twice(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "copy").mkdir()
    write_series(tmp_path / "copy")
    handle = io.open(tmp_path)
    assert findings(handle) == {"copies-dropped": "info"}
    assert handle.grid.spacing_mm[0] == 2.5


def test_refuses_different_duplicates_unless_they_are_allowed(tmp_path: Path) -> None:
    write_series(tmp_path)
    other = slice_values(2) + 7
    write_slice(tmp_path, 2, name="a.dcm", values=other, SOPInstanceUID="7.7", InstanceNumber=500)
    handle = io.open(tmp_path)
    assert findings(handle) == {"duplicates": "error"}
    with pytest.raises(FormatError, match=r"1 of 4 positions have several different slices .*'a.d"):
        handle.read()
    kept = io.open(tmp_path, allow=("duplicates",))
    assert findings(kept) == {"duplicates": "warning"}
    wanted = torch.from_numpy(slice_values(2).astype(np.int16)) - 1024
    assert torch.equal(kept.read().data[0, 2], wanted)


def test_slices_of_several_sizes_are_volumes_of_their_own(tmp_path: Path) -> None:
    write_series(tmp_path)
    for k in (4, 5):
        write_slice(tmp_path, k, values=np.zeros((5, 4), np.uint16))
    small, large = sorted(io.scan(tmp_path), key=lambda h: h.grid.shape[1])
    assert (small.grid.shape, large.grid.shape) == ((4, 3, 4), (2, 5, 4))
    assert small.name.endswith("series 7 3 x 4")
    assert findings(large) == {"split": "info"}


@pytest.mark.parametrize("axes", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0.99999, 0.0045]])
def test_orientations_are_volumes_of_their_own(tmp_path: Path, axes: list[float]) -> None:
    write_series(tmp_path)
    for k in (4, 5):
        place = [10 * k, 0, 10 * k]
        write_slice(tmp_path, k, ImageOrientationPatient=axes, ImagePositionPatient=place)
    one, two = io.scan(tmp_path)
    assert {one.grid.shape[0], two.grid.shape[0]} == {4, 2}
    assert "split" in codes(one) & codes(two)


def test_a_tenth_of_a_degree_is_one_orientation(tmp_path: Path) -> None:
    for k in range(4):
        angle = math.radians(0.02 * k)
        axes = [math.cos(angle), math.sin(angle), 0, -math.sin(angle), math.cos(angle), 0]
        write_slice(tmp_path, k, ImageOrientationPatient=axes)
    assert io.open(tmp_path).grid.shape == (4, 3, 4)


def test_pixel_spacings_are_volumes_of_their_own(tmp_path: Path) -> None:
    write_series(tmp_path)
    for k in (4, 5):
        write_slice(tmp_path, k, PixelSpacing=[0.9, 0.5])
    names = {handle.name.split("series 7 ")[1] for handle in io.scan(tmp_path)}
    assert names == {"pixels of 0.75 x 0.5 mm", "pixels of 0.9 x 0.5 mm"}


def test_refuses_axes_that_are_not_at_right_angles(tmp_path: Path) -> None:
    write_series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0])
    with pytest.raises(FormatError, match="must have rows and columns at right angles"):
        io.open(tmp_path)


def test_refuses_slices_that_step_sideways(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, ImagePositionPatient=[-9, 20, 35])
    handle = io.open(tmp_path)
    assert findings(handle) == {"sideways": "error"}
    with pytest.raises(FormatError, match=r"must lie in a straight row, number 3 lies 1 mm"):
        handle.read()
    assert "allow" not in handle.refusal


def test_refuses_several_slices_without_position_unless_their_order_is_allowed(
    tmp_path: Path,
) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 2, ImagePositionPatient=None)
    handle = io.open(tmp_path)
    assert findings(handle) == {"no-position": "error"}
    with pytest.raises(FormatError, match="1 of 4 slices do not say where they lie"):
        handle.read()
    stacked = io.open(tmp_path, allow=("order",))
    assert findings(stacked) == {"no-position": "warning"}
    assert stacked.grid.spacing_mm[0] == 2.5
    wanted = torch.from_numpy(np.stack([slice_values(k) for k in (3, 2, 1, 0)]).astype(np.int16))
    assert torch.equal(stacked.read().data[0], wanted - 1024)


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({"ImageType": ["ORIGINAL", "MOSAIC"]}, "must say how many slices its mosaic has"),
        ({"RescaleSlope": 0}, "its rescale slope is .* and its intercept"),
        ({"BitsStored": 4000}, "it has 4000 bits up to bit"),
        ({"PixelSpacing": [0, 0]}, "its pixel spacing must be positive"),
        ({"PixelSpacing": [1, 1, 1]}, "PixelSpacing must be 2 numbers, it is"),
        ({"PhotometricInterpretation": "HSV"}, "it is HSV with 1: convert it first"),
    ],
)
def test_refuses_what_it_cannot_read_rightly(
    tmp_path: Path, entries: dict[str, object], what: str
) -> None:
    with pytest.raises(FormatError, match=what):
        io.open(write_slice(tmp_path, 0, **entries))


def test_a_cut_slice_is_never_left_out_without_a_word(tmp_path: Path) -> None:
    write_series(tmp_path, 5)
    path = tmp_path / "90.dcm"
    path.write_bytes(path.read_bytes()[:-5])
    handle = io.open(tmp_path)
    assert findings(handle) == {"unreadable": "error"}
    with pytest.raises(
        FormatError,
        match=r"'90.dcm' is not whole: its 24 bytes of samples begin at byte \d+, it ends aft",
    ):
        handle.read()
    rest = io.open(tmp_path, allow=("unreadable",))
    assert findings(rest) == {"unreadable": "warning"}
    assert rest.read().data.shape == (1, 4, 3, 4)


def test_a_cut_slice_in_the_middle_leaves_a_hole_to_be_accepted(tmp_path: Path) -> None:
    write_series(tmp_path, 5)
    path = tmp_path / "88.dcm"
    path.write_bytes(path.read_bytes()[:-5])
    handle = io.open(tmp_path)
    assert findings(handle) == {"unreadable": "error", "missing-slices": "error"}
    with pytest.raises(FormatError, match=r'allow=\("unreadable", "gaps",\)'):
        handle.read()
    assert io.open(tmp_path, allow=("unreadable", "gaps")).read().data.shape == (1, 5, 3, 4)


def test_an_unreadable_file_concerns_the_volume_beside_it(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x00" + b"1")
    (tmp_path / "elsewhere").mkdir()
    write_series(tmp_path / "elsewhere", SeriesInstanceUID="4.4")
    near, far = sorted(io.scan(tmp_path), key=lambda handle: handle.findings == ())
    assert findings(near) == {"unreadable": "error"}
    assert "'x.dcm' must" in near.refusal
    assert far.findings == ()
    assert io.open(tmp_path / "elsewhere").read().data.shape == (1, 4, 3, 4)


def test_an_unreadable_file_of_another_series_is_refused_by_itself(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_slice(tmp_path, 9, name="bad.dcm", SeriesInstanceUID="4.4", RescaleSlope=0)
    (handle,) = io.scan(tmp_path)
    assert findings(handle) == {"refused": "warning"}
    assert handle.read().data.shape == (1, 4, 3, 4)


def test_refuses_truncated_files(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(FormatError, match=r"must hold all samples .* it ends after 19 of them"):
        io.open(path)
    path.write_bytes(whole[:200])
    with pytest.raises(FormatError, match=r"must hold all elements of its header, it ends at byte"):
        io.open(path)
    for garbage in (b"garbage" * 100, bytes(1000)):
        path.write_bytes(garbage)
        start = time.process_time()
        with pytest.raises(FormatError, match="must be a readable DICOM file, it is not"):
            io.open(path)
        assert time.process_time() - start < 2
    path.write_bytes(bytes(128) + b"DICM")
    with pytest.raises(FormatError, match="must be a readable DICOM file, it is not"):
        io.open(path)


def test_refuses_a_file_that_shrank_after_it_was_opened(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    handle = io.open(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(
        FormatError, match=r"must hold all samples .*, it ends at byte \d+: the file"
    ):
        handle.read()


def test_refuses_a_huge_claim(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"1800000000 bytes of samples begin at byte .* truncated"
    ):
        io.open(write_slice(tmp_path, 0, Rows=30000, Columns=30000))
    with pytest.raises(FormatError, match=r"must fit in .* GiB and .* its header claims"):
        io.open(write_slice(tmp_path, 0), budget=io.Budget(bytes=10)).read()


def test_tells_what_a_preamble_hides(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    path.write_bytes(b"MZ".ljust(128, b"\0") + path.read_bytes()[128:])
    handle = io.open(path)
    assert findings(handle)["preamble"] == "error"
    with pytest.raises(FormatError, match="begins like a Windows program"):
        handle.read()
    assert findings(io.open(path, allow=("preamble",)))["preamble"] == "warning"
    path.write_bytes(b"II*\0".ljust(128, b"\0") + path.read_bytes()[128:])
    assert "preamble" not in findings(io.open(path))


def test_tells_of_one_broken_series_beside_a_good_one(tmp_path: Path) -> None:
    write_series(tmp_path)
    for k in (0, 1, 3):
        write_slice(tmp_path, k, name=f"b{k}.dcm", SeriesInstanceUID="9.9")
    good, holed = io.scan(tmp_path)
    assert good.findings == ()
    assert codes(holed) == {"missing-slices"}


# ---- real data


def test_the_ibsi_phantom_is_equal_as_dicom_and_as_nifti(tmp_path: Path, data_dir: Path) -> None:
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    ours = io.open(unpack(folder / "dicom_image_rtstruct.tar.xz", tmp_path))
    nifti = io.open(folder / "image.nii.gz").read()
    assert codes(ours) <= {"skipped"}
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


# ---- what comes to light only now and then


def test_pet_is_brought_to_suv(tmp_path: Path) -> None:
    """By hand: 70 kg, 200 MBq of a half-life of 6000 s, one half-life before the scan."""
    drug = pydicom.Dataset()
    drug.RadionuclideTotalDose = 200e6
    drug.RadionuclideHalfLife = 6000
    drug.RadiopharmaceuticalStartTime = "100000"
    told = {"Modality": "PT", "Units": "BQML", "DecayCorrection": "START", "PatientWeight": 70}
    told |= {"SeriesDate": "20260105", "SeriesTime": "114000", "RescaleIntercept": 0}
    told |= {"AcquisitionDate": "20260105", "AcquisitionTime": "114000"}
    for k in range(3):
        drugs = {"RadiopharmaceuticalInformationSequence": [drug]}
        write_slice(tmp_path, k, RescaleSlope=10 + k, **told, **drugs)
    handle = io.open(tmp_path)
    image = handle.read()
    assert (handle.unit, image.unit) == ("SUV", "SUV")
    for k in range(3):
        wanted = torch.from_numpy(slice_values(k) * (10.0 + k)) * 70_000 / 100e6
        torch.testing.assert_close(image.data[0, k].double(), wanted, rtol=1e-6, atol=0)
    assert io.open(tmp_path, unit="Bq/mL").read().data[0, 2, 0, 0] == 200 * 12


def test_a_file_without_pixels_is_told(tmp_path: Path) -> None:
    write_series(tmp_path, 5)
    write_slice(tmp_path, 4, PixelData=None)
    handle = io.open(tmp_path)
    assert findings(handle) == {"unreadable": "error"}
    assert "'86.dcm' is not whole: it ends at byte" in handle.refusal


def test_several_unreadable_files_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, 7)
    for name in ("90.dcm", "84.dcm", "85.dcm"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    handle = io.open(tmp_path)
    assert "(and 2 more files likewise)" in handle.refusal
    assert io.open(tmp_path, allow=("unreadable",)).read().data.shape == (1, 4, 3, 4)


def test_a_file_that_is_neither_image_nor_of_a_class_is_refused(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0, SOPClassUID=None, Rows=None, Columns=None, PixelData=None)
    with pytest.raises(FormatError, match="it has neither an SOP class nor rows"):
        io.open(path)


def test_slices_without_orientation_beside_several_orientations_are_their_own(
    tmp_path: Path,
) -> None:
    write_series(tmp_path)
    turned = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    for k in (4, 5):
        write_slice(tmp_path, k, ImagePositionPatient=[10 * k, 0, 0], **turned)
    write_slice(tmp_path, 6, ImageOrientationPatient=None)
    handles = {handle.name.split("series 7 ")[1]: handle for handle in io.scan(tmp_path)}
    assert set(handles) == {"axial", "sagittal", "none"}
    assert findings(handles["none"]) == {
        "split": "info",
        "single-slice": "info",
        "no-position": "warning",
    }


def test_colour_in_time_keeps_its_colours(tmp_path: Path) -> None:
    told = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    told |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Modality": "US"}
    told |= {"RescaleSlope": None, "RescaleIntercept": None}
    for t in range(2):
        colour = np.full((3, 4, 3), 10 * t, np.uint8) + np.arange(3, dtype=np.uint8)
        where = {"FrameReferenceTime": 40 * t, "ImagePositionPatient": [0, 0, 0]}
        write_slice(tmp_path, t, values=colour, **told, **where)
    series = io.open(tmp_path).read_series()
    assert series.data.shape == (2, 3, 1, 3, 4)
    assert series.data[1, :, 0, 0, 0].tolist() == [10, 11, 12]
    assert io.open(tmp_path, frames="channels").read().data.shape == (6, 1, 3, 4)


def test_no_message_tells_a_name_or_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Doe_Jane"
    folder.mkdir()
    write_series(folder, 3)
    write_slice(folder, 5)
    (folder / "90.dcm").write_bytes((folder / "90.dcm").read_bytes()[:-3])
    (folder / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"junk" * 40)
    handle = io.open(folder)
    said = " ".join(finding.message for finding in handle.findings)
    assert {f.code for f in handle.findings} >= {"unreadable"}
    for secret in (str(tmp_path), "Doe^Jane", "secret"):
        assert secret not in said + handle.refusal.replace("'Doe_Jane'", "")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_slices_opens(tmp_path: Path, count: int) -> None:
    handle = io.open(write_series(tmp_path, count))
    assert handle.grid.shape == (count, 3, 4)
    assert handle.meta["slices"] == count
    assert handle.read().data.shape == (1, count, 3, 4)
