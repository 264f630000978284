"""NIfTI: RAS to LPS, sform and qform, scaling, units, frames, damaged files."""

import gzip
import logging
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from phantoms_io import corners, make_phantom, oblique_affine

from vesalius import io
from vesalius.core import Grid, Series
from vesalius.errors import FormatError

RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ oblique_affine().numpy()[:, [2, 1, 0, 3]]
XYZ = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


def write(path: Path, samples: np.ndarray = XYZ, **changes: object) -> Path:
    """Write with nibabel after changing header fields; scaling survives only like this."""
    image = nibabel.Nifti1Image(samples, RAS, dtype=samples.dtype)
    image.header.set_xyzt_units("mm", "sec")
    header = image.header.copy()
    header.set_sform(RAS, 1)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    for key, value in changes.items():
        header[key] = value
    body = samples.T.astype(header.get_data_dtype()).tobytes()
    path.write_bytes(header.binaryblock + bytes(4) + body)
    return path


def test_agrees_with_nibabel(tmp_path: Path) -> None:
    image = io.open(write(tmp_path / "a.nii")).read()
    assert torch.equal(image.data[0], torch.from_numpy(XYZ.T.copy()))
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    ras = nibabel.load(tmp_path / "a.nii").affine
    for index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (5, 4, 3)):
        lps = flip @ ras @ [*index, 1]
        ours = image.grid.to_world(torch.tensor(index[::-1], dtype=torch.float64))
        np.testing.assert_allclose(ours, lps[:3], atol=1e-4)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("channels", [1, 3])
def test_simpleitk_reads_what_we_write(tmp_path: Path, suffix: str, channels: int) -> None:
    image = make_phantom(channels=channels)
    io.save(image, tmp_path / f"a{suffix}")
    theirs = io.from_simpleitk(sitk.ReadImage(str(tmp_path / f"a{suffix}")))
    assert torch.equal(theirs.data, image.data)
    torch.testing.assert_close(corners(theirs.grid), corners(image.grid), rtol=0, atol=1e-4)


def test_reads_what_simpleitk_writes(tmp_path: Path) -> None:
    image = make_phantom(channels=2)
    sitk.WriteImage(io.to_simpleitk(image), str(tmp_path / "a.nii.gz"))
    ours = io.open(tmp_path / "a.nii.gz").read()
    assert torch.equal(ours.data, image.data)
    torch.testing.assert_close(corners(ours.grid), corners(image.grid), rtol=0, atol=1e-4)


def test_nibabel_reads_what_we_write(tmp_path: Path) -> None:
    image = make_phantom(torch.float32)
    io.save(image, tmp_path / "a.nii")
    theirs = nibabel.load(tmp_path / "a.nii")
    assert np.array_equal(theirs.get_fdata(), image.data[0].numpy().T)
    np.testing.assert_allclose(theirs.get_sform(), RAS, atol=1e-4)
    np.testing.assert_allclose(theirs.get_qform(), RAS, atol=1e-3)
    assert theirs.header.get_xyzt_units()[0] == "mm"


def test_reads_nifti_2(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(XYZ, RAS), tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    assert handle.meta["format"] == "NIfTI-2"
    assert torch.equal(handle.read().data[0], torch.from_numpy(XYZ.T.copy()))


def test_writes_nifti_2_where_an_axis_is_long(tmp_path: Path) -> None:
    io.save(make_phantom(torch.uint8, shape=(1, 1, 40000)), tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    assert handle.meta["format"] == "NIfTI-2"
    assert handle.grid.shape == (1, 1, 40000)


def test_reads_big_endian(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(XYZ, RAS, header), tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    assert handle.meta["big_endian"] is True
    assert torch.equal(handle.read().data[0], torch.from_numpy(XYZ.T.copy()))


def test_applies_the_scaling(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.nii", scl_slope=0.5, scl_inter=-7))
    image = handle.read()
    assert image.dtype == torch.float32
    assert [f.code for f in handle.findings] == ["scaled"]
    theirs = nibabel.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(image.data[0].numpy().T, theirs, rtol=1e-6)


def test_scales_wide_integers_in_double_precision(tmp_path: Path) -> None:
    samples = XYZ.astype(np.int32) + 2**30
    image = io.open(write(tmp_path / "a.nii", samples, scl_slope=2.0)).read()
    assert image.dtype == torch.float64
    assert float(image.data[0, 0, 0, 1]) == 2 * float(samples[1, 0, 0])


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_takes_no_slope_as_no_scaling(tmp_path: Path, slope: float) -> None:
    assert io.open(write(tmp_path / "a.nii", scl_slope=slope)).read().dtype == torch.int16


def test_refuses_an_infinite_scaling(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Valid slope but invalid intercept inf"):
        io.open(write(tmp_path / "a.nii", scl_slope=2.0, scl_inter=np.inf))


def test_refuses_two_positions_and_names_the_option(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, RAS)
    moved = RAS.copy()
    moved[0, 3] += 0.2
    image.set_sform(RAS, 1)
    image.set_qform(moved, 1)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(
        FormatError, match=r"must have one position, its sform and qform differ by up to .* mm"
    ):
        io.open(tmp_path / "a.nii")
    sform = io.open(tmp_path / "a.nii", form="sform").grid.origin_mm[0]
    qform = io.open(tmp_path / "a.nii", form="qform").grid.origin_mm[0]
    assert sform == pytest.approx(-RAS[0, 3], abs=1e-4)
    assert qform == pytest.approx(-moved[0, 3], abs=1e-4)


def test_accepts_two_positions_that_agree_to_a_tenth_of_a_millimetre(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, RAS)
    moved = RAS.copy()
    moved[0, 3] += 0.09
    image.set_sform(RAS, 1)
    image.set_qform(moved, 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert io.open(tmp_path / "a.nii").grid.origin_mm[0] == pytest.approx(-RAS[0, 3], abs=1e-4)


def test_takes_the_qform_where_there_is_no_sform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, None)
    image.set_qform(RAS, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    ours = io.open(tmp_path / "a.nii").grid
    torch.testing.assert_close(
        corners(ours), corners(Grid((4, 5, 6), oblique_affine())), rtol=0, atol=1e-3
    )
    with pytest.raises(FormatError, match=r"must have a .* to be opened with form=.*, it has none"):
        io.open(tmp_path / "a.nii", form="sform")


def test_says_when_there_is_no_position(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", sform_code=0, qform_code=0)
    handle = io.open(path)
    assert [f.code for f in handle.findings] == ["no-orientation"]
    assert handle.findings[0].severity == "warning"
    assert handle.grid.spacing_mm == pytest.approx((3.3, 0.7, 1.1), abs=1e-5)
    assert handle.grid.orientation == "SAR"


@pytest.mark.parametrize(("code", "factor"), [(1, 1000.0), (2, 1.0), (3, 1e-3), (0, 1.0)])
def test_converts_lengths_to_millimetres(tmp_path: Path, code: int, factor: float) -> None:
    handle = io.open(write(tmp_path / "a.nii", xyzt_units=code))
    wanted = [factor * s for s in (3.3, 0.7, 1.1)]
    assert handle.grid.spacing_mm == pytest.approx(wanted, rel=1e-6)
    codes = {1: ["unit-converted"], 2: [], 3: ["unit-converted"], 0: ["unit-assumed"]}
    assert [f.code for f in handle.findings] == codes[code]


def test_refuses_an_unknown_unit_code(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"must have a known unit code, xyzt_units is .*: set it to 2"
    ):
        io.open(write(tmp_path / "a.nii", xyzt_units=7))


def test_reads_two_axes_as_one_slice(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(XYZ[:, :, 0], RAS), tmp_path / "a.nii")
    assert io.open(tmp_path / "a.nii").read().data.shape == (1, 1, 5, 6)


def test_reads_frames_as_a_series(tmp_path: Path) -> None:
    samples = np.stack([XYZ, XYZ + 1, XYZ + 2], axis=-1).astype(np.int16)
    image = nibabel.Nifti1Image(samples, RAS)
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4], image.header["toffset"] = 500, 1000
    nibabel.save(image, tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    series = handle.read_series()
    assert series.times_s == (1.0, 1.5, 2.0)
    assert torch.equal(series[2].data[0], torch.from_numpy(XYZ.T + 2))
    with pytest.raises(FormatError, match=r"must hold one volume, it holds 3 frames: call read_se"):
        handle.read()
    with pytest.raises(FormatError, match="must hold one volume, it holds 3 frames"):
        handle.read_labels()
    channels = io.open(tmp_path / "a.nii", frames="channels").read()
    assert torch.equal(channels.data, series.data[:, 0])


@pytest.mark.parametrize(
    ("unit", "apart", "refused"), [("meter", 1e-3, True), ("micron", 5, False)]
)
def test_positions_are_compared_in_millimetres(
    tmp_path: Path, unit: str, apart: float, refused: bool
) -> None:
    image = nibabel.Nifti1Image(XYZ, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit, "sec")
    moved = image.affine.copy()
    moved[0, 3] += apart
    image.set_qform(image.affine, 1)
    image.set_sform(moved, 1)
    nibabel.save(image, tmp_path / "a.nii")
    if refused:
        with pytest.raises(FormatError, match="sform and qform differ by up to 1 mm"):
            io.open(tmp_path / "a.nii")
    else:
        x = float(io.open(tmp_path / "a.nii").grid.affine[0, 3])
        assert x == pytest.approx(-apart * 1e-3)


@pytest.mark.parametrize("code", [1006, 1007])
def test_says_that_a_vector_lies_on_the_axis_of_time(tmp_path: Path, code: int) -> None:
    samples = np.stack([XYZ, XYZ + 1, XYZ + 2], axis=-1)
    for shape, told in ((samples.shape, True), ((*XYZ.shape, 1, 3), False)):
        image = nibabel.Nifti1Image(samples.reshape(shape), RAS)
        image.header.set_intent(code)
        nibabel.save(image, tmp_path / "a.nii")
        codes = [f.code for f in io.open(tmp_path / "a.nii").findings]
        assert ("vector-in-time" in codes) == told
        image = io.open(tmp_path / "a.nii", frames="channels").read()
        assert torch.equal(image.data[2, ..., 0, 0], torch.from_numpy(XYZ[0, 0] + 2))


def test_refuses_a_series_without_times(tmp_path: Path) -> None:
    samples = np.stack([XYZ, XYZ], axis=-1)
    nibabel.save(nibabel.Nifti1Image(samples, RAS), tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    assert "no-times" in [f.code for f in handle.findings]
    with pytest.raises(FormatError, match=r'time of its 2 frames.*frames="channels"'):
        handle.read_series()


@pytest.mark.parametrize("channels", [1, 2])
def test_keeps_a_series(tmp_path: Path, channels: int) -> None:
    frames = [make_phantom(channels=channels).data + k for k in range(3)]
    series = Series(torch.stack(frames), make_phantom().grid, (0.5, 1.25, 2.0), "HU")
    io.save(series, tmp_path / "a.nii.gz")
    back = io.open(tmp_path / "a.nii.gz").read_series()
    assert torch.equal(back.data, series.data)
    assert back.times_s == pytest.approx(series.times_s)
    assert back.unit == "HU"


def test_refuses_to_save_uneven_times(tmp_path: Path, phantom: object) -> None:
    data = make_phantom().data
    series = Series(torch.stack([data] * 3), make_phantom().grid, (0.0, 1.0, 3.0))
    with pytest.raises(
        FormatError, match=r"must be evenly spaced to be saved as NIfTI, steps run from"
    ):
        io.save(series, tmp_path / "a.nii")


def test_reads_colours_as_channels(tmp_path: Path) -> None:
    colour = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"], colour["B"] = XYZ, 200 - XYZ
    nibabel.save(nibabel.Nifti1Image(colour, RAS), tmp_path / "a.nii")
    image = io.open(tmp_path / "a.nii").read()
    assert image.channels == ("R", "G", "B")
    assert torch.equal(image.data[0], torch.from_numpy(XYZ.T.astype(np.uint8)))
    assert torch.equal(image.data[2], torch.from_numpy(200 - XYZ.T).to(torch.uint8))


def test_ignores_comments_of_other_programs(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, RAS)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"by hand"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b'{"unit": ['))
    nibabel.save(image, tmp_path / "a.nii")
    assert io.open(tmp_path / "a.nii").read().unit == "1"


def test_tells_what_was_repaired_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handle = io.open(write(tmp_path / "a.nii", sform_code=150))
    assert [f.code for f in handle.findings] == ["header-repaired", "no-orientation"]
    assert "sform_code 150 not valid" in handle.findings[0].message
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # as the command line does
    try:
        assert io.open(tmp_path / "a.nii").findings == handle.findings
        assert logger.level == logging.CRITICAL
    finally:
        logger.setLevel(before)
    assert capfd.readouterr() == ("", "")


# ---- damaged and hostile files


def test_refuses_complex_samples(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(XYZ.astype(np.complex64), RAS), tmp_path / "a.nii")
    with pytest.raises(FormatError, match=r"must hold real numbers of at most 64 bits, it holds"):
        io.open(tmp_path / "a.nii")


def test_refuses_cifti(tmp_path: Path) -> None:
    rows = nibabel.cifti2.ScalarAxis(["thickness"])
    columns = nibabel.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 2)), affine=np.eye(4))
    nibabel.Cifti2Image(np.zeros((1, 8)), (rows, columns)).to_filename(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="its header is that of"):
        io.open(tmp_path / "a.nii")


def test_refuses_too_many_axes(tmp_path: Path) -> None:
    samples = np.zeros((2, 2, 2, 2, 2, 2), np.int16)
    nibabel.save(nibabel.Nifti1Image(samples, RAS), tmp_path / "a.nii")
    with pytest.raises(FormatError, match=r"must have 2 to 5 axes .*, it has .*: split it"):
        io.open(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("size", [1, 100, 347, 360])
def test_refuses_a_truncated_file(tmp_path: Path, suffix: str, size: int) -> None:
    io.save(make_phantom(shape=(40, 50, 60)), tmp_path / f"a{suffix}")
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(whole[:size])
    with pytest.raises(FormatError, match=r"must be a NIfTI|must hold .*truncated"):
        io.open(tmp_path / f"a{suffix}").read()


def test_refuses_a_file_that_misses_its_last_bytes(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(whole[:-1])
    with pytest.raises(FormatError, match=r"must hold 240 bytes of samples, it has 239 bytes"):
        io.open(tmp_path / "a.nii")


def test_refuses_damaged_compression(tmp_path: Path) -> None:
    io.save(make_phantom(shape=(40, 50, 60)), tmp_path / "a.nii.gz")
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    for damage in (data[:-4], data[:-8] + bytes(8), data[: len(data) // 2] + bytes(len(data) // 2)):
        (tmp_path / "a.nii.gz").write_bytes(damage)
        handle = io.open(tmp_path / "a.nii.gz")
        with pytest.raises(FormatError, match="must hold all samples that its header promises"):
            handle.read()


def test_reads_gzip_of_several_streams(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    parts = gzip.compress(data[:400]) + gzip.compress(data[400:])
    (tmp_path / "a.nii.gz").write_bytes(parts)
    assert torch.equal(io.open(tmp_path / "a.nii.gz").read().data, make_phantom().data)


def test_passes_over_what_follows_the_samples(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes() + bytes(5000)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(data))
    assert torch.equal(io.open(tmp_path / "a.nii.gz").read().data, make_phantom().data)


def test_refuses_what_is_no_nifti(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"Not a NIfTI file. " * 100)
    with pytest.raises(FormatError, match=r"'a.nii' must be a NIfTI-1 or NIfTI-2 file") as caught:
        io.open(tmp_path / "a.nii")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_refuses_a_huge_claim_before_it_allocates(tmp_path: Path, suffix: str) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header["vox_offset"], header["sform_code"] = 352, 1
    data = header.binaryblock + bytes(1000)
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(data) if "gz" in suffix else data)
    start = time.process_time()
    with pytest.raises(FormatError, match=r"claims 30000 x 30000 x 30000 .* GiB: .*budget"):
        io.open(tmp_path / f"a{suffix}")
    with pytest.raises(FormatError, match=r"must hold .* bytes of samples, it has .* truncated"):
        io.open(tmp_path / f"a{suffix}", budget=io.Budget(1 << 60, 1 << 60))
    assert time.process_time() - start < 2


def test_refuses_sizes_below_one(tmp_path: Path) -> None:
    dim = np.array([3, 6, -5, 4, 1, 1, 1, 1])
    with pytest.raises(FormatError, match=r"must have positive sizes, its header says \(6, -5"):
        io.open(write(tmp_path / "a.nii", dim=dim))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_a_position_that_is_not_finite(tmp_path: Path, value: float) -> None:
    srow = np.array([value, 0, 0, 1], np.float32)
    with pytest.raises(
        FormatError, match="must place its samples in the world, its affine holds NaN"
    ):
        io.open(write(tmp_path / "a.nii", srow_x=srow))


def test_refuses_a_position_without_volume(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="must place its samples in the world: affine must be in"):
        io.open(write(tmp_path / "a.nii", srow_x=np.zeros(4, np.float32)))


def test_refuses_a_quaternion_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", qform_code=1, quatern_b=3.0)
    with pytest.raises(FormatError, match="must have a valid qform"):
        io.open(path)


# ---- real data


@pytest.mark.parametrize("name", ["ct", "ct_gtv", "mr_t1", "mr_t1_gtv", "pet_suv", "pet_suv_gtv"])
def test_reads_a_real_patient_as_nibabel_and_simpleitk_do(data_dir: Path, name: str) -> None:
    path = data_dir / "samples" / "sts" / "STS_050" / f"{name}.nii.gz"
    image = io.open(path).read()
    theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
    assert np.array_equal(image.data[0].numpy().T, nibabel.load(path).get_fdata())
    assert torch.equal(image.data.double(), theirs.data.double())
    torch.testing.assert_close(corners(image.grid), corners(theirs.grid), rtol=0, atol=1e-4)


def test_reads_the_ibsi_phantom(data_dir: Path) -> None:
    folder = data_dir / "ibsi" / "ibsi1_digital_phantom"
    image, labels = io.open(folder / "image.nii.gz").read(), io.open_labels(folder / "mask.nii.gz")
    assert image.grid.shape == (4, 4, 5)
    assert image.grid.spacing_mm == (2, 2, 2)
    inside = image.data[0][labels.mask(1)].double()
    # IBSI reference manual, digital phantom: 74 voxels, mean 2.15
    assert inside.numel() == 74
    assert float(inside.mean()) == pytest.approx(2.1486, abs=1e-4)
