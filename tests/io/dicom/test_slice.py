"""One DICOM file: kind, place, values and lookup table; what it cannot be read as is said."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from phantoms_io import slice_values, write_slice
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io.dicom._slice import RTSTRUCT, SEGMENTATIONS, full_header, is_dicom, look

BUDGET = io.Budget()


def item(first: int, values: list[int], *, bits: int = 16, kind: str = "HU") -> pydicom.Dataset:
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [len(values), first, bits])
    table.add_new("LUTData", "US", values)
    if kind:
        table.ModalityLUTType = kind
    return table


TABLED = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}


# ---- what a file is


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({}, "image"),
        ({"SOPClassUID": RTSTRUCT, "Rows": None}, "outlines"),
        ({"SOPClassUID": SEGMENTATIONS[0]}, "segmentation"),
        ({"SOPClassUID": SEGMENTATIONS[1]}, "segmentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Rows": None}, "other"),
    ],
)
def test_a_file_is_known_by_its_class(
    tmp_path: Path, entries: dict[str, object], kind: str
) -> None:
    looked = look(write_slice(tmp_path, 0, **entries), BUDGET)
    assert (looked.kind, len(looked.slices)) == (kind, int(kind == "image"))


def test_dicom_is_known_by_its_mark_or_its_suffix(tmp_path: Path) -> None:
    assert is_dicom(write_slice(tmp_path, 0, name="no_suffix"))
    assert is_dicom(tmp_path / "absent.DCM")
    (tmp_path / "text").write_text("DICM")
    assert not is_dicom(tmp_path / "text")


def test_keeps_place_and_kind_of_a_slice(tmp_path: Path) -> None:
    (one,) = look(write_slice(tmp_path, 2, KVP=120, ExposureTime=5), BUDGET).slices
    assert one.position_mm is not None
    assert one.position_mm.tolist() == [-10, 20, 35]
    assert one.axes is not None
    assert one.axes.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert (one.size, one.spacing_mm, one.series) == ((3, 4, 1), (0.75, 0.5), "1.2.3")
    assert (one.is_whole, one.bounds) == (True, (-1024, 3071))
    assert one.acquisition["KVP"] == 120
    assert "ExposureTime" not in one.acquisition
    assert one.identifying["PatientName"] == "Doe^Jane"
    assert "secret" not in repr(one.path.name)


def test_an_entry_that_is_no_number_stays_text(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0, KVP="1234")
    path.write_bytes(path.read_bytes().replace(b"1234", b"high"))
    (one,) = look(path, BUDGET).slices
    assert one.acquisition["KVP"] == "high"
    assert io.open(path).meta["KVP"] == "high"


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_reads_deflated_and_big_endian_series(tmp_path: Path, syntax: str) -> None:
    """Written by pydicom from what the little endian files hold."""
    for k in range(3):
        path = write_slice(tmp_path, k)
        file = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            file.PixelData = slice_values(k).astype(">u2").tobytes()
        file.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(path, file, implicit_vr=False, little_endian=syntax != ExplicitVRBigEndian)
    image = io.open(tmp_path).read()
    wanted = np.stack([slice_values(k) for k in range(3)]).astype(np.int16) - 1024
    assert np.array_equal(image.data[0].numpy(), wanted)


def test_the_whole_header_of_a_deflated_file_is_read(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0, TransferSyntaxUID=DeflatedExplicitVRLittleEndian)
    header = full_header(path, BUDGET)
    assert (header.Rows, header.PatientID) == (3, "secret")
    assert "PixelData" not in header
    assert header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


# ---- lookup tables


def test_applies_a_modality_lookup_table(tmp_path: Path) -> None:
    table = [int(v) for v in np.arange(112) ** 2]
    path = write_slice(tmp_path, 0, ModalityLUTSequence=[item(2, table)], **TABLED)
    handle = io.open(path)
    assert (handle.unit, {f.code for f in handle.findings}) == ("HU", {"single-slice"})
    data = handle.read().data[0, 0]
    stored = torch.from_numpy(slice_values(0).astype(np.int64))
    assert torch.equal(data.long(), (stored - 2).clamp(0, 111) ** 2)
    assert data.dtype == torch.int16


def test_a_table_of_no_stated_kind_gives_no_unit(tmp_path: Path) -> None:
    table = item(0, list(range(256)), bits=8, kind="US")
    handle = io.open(write_slice(tmp_path, 0, ModalityLUTSequence=[table], **TABLED))
    assert (handle.unit, "not-hu" in {f.code for f in handle.findings}) == ("1", True)


def test_an_empty_table_is_none(tmp_path: Path) -> None:
    handle = io.open(write_slice(tmp_path, 0, ModalityLUTSequence=[]))
    assert int(handle.read().data[0, 0, 0, 0]) == -1024


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({"ModalityLUTSequence": [item(0, [1, 2])] * 2}, "it has 2 modality lookup tables"),
        ({"ModalityLUTSequence": [item(0, [1, 2], bits=40)]}, "lookup table has 2 of 2 entries"),
        (
            {"ModalityLUTSequence": [item(0, [1, 2])], "RescaleSlope": 2, "RescaleIntercept": 0},
            "it has both a rescale and a modality lookup table",
        ),
    ],
)
def test_refuses_a_table_that_it_cannot_apply(
    tmp_path: Path, entries: dict[str, object], what: str
) -> None:
    with pytest.raises(FormatError, match=what):
        io.open(write_slice(tmp_path, 0, **TABLED | entries))


# ---- samples


@pytest.mark.parametrize("allocated", [8, 16, 32])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("shift", [0, 2])
def test_takes_the_bits_of_the_value_only(
    tmp_path: Path, allocated: int, signed: int, shift: int
) -> None:
    """Against a slow loop over bits: the value lies below HighBit, rubbish above it."""
    bits = allocated - 3
    generator = np.random.default_rng(allocated + signed + shift)
    stored = generator.integers(0, 1 << allocated - shift, (3, 4)).astype(f"u{allocated // 8}")
    stored <<= shift
    told = {"BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1 + shift}
    told |= {"PixelRepresentation": signed, "RescaleIntercept": 0, "RescaleSlope": 1}
    image = io.open(write_slice(tmp_path, 0, values=stored, **told)).read()
    for value, found in zip(stored.ravel().tolist(), image.data.ravel().tolist(), strict=True):
        own = (value >> shift) & ((1 << bits) - 1)
        wanted = own - (1 << bits) if signed and own >> (bits - 1) else own
        assert found == wanted


def test_a_table_in_a_volume_agrees_with_pydicom(tmp_path: Path) -> None:
    table = [int(v) for v in np.random.default_rng(5).integers(0, 4000, 400)]
    for k in range(3):
        write_slice(tmp_path, k, ModalityLUTSequence=[item(0, table)], **TABLED)
    ours = io.open(tmp_path).read().data[0]
    for k in range(3):
        file = pydicom.dcmread(tmp_path / f"{90 - k}.dcm")
        theirs = pydicom.pixels.apply_modality_lut(file.pixel_array, file)
        assert np.array_equal(ours[k].numpy(), theirs)


def test_negative_and_large_slopes_are_exact(tmp_path: Path) -> None:
    told = {"RescaleSlope": -3, "RescaleIntercept": 70_000}
    image = io.open(write_slice(tmp_path, 0, **told)).read()
    assert image.dtype == torch.int32
    wanted = torch.from_numpy(slice_values(0).astype(np.int32)) * -3 + 70_000
    assert torch.equal(image.data[0, 0], wanted)
    one_bit = {"BitsStored": 1, "HighBit": 0, "RescaleSlope": 70_000, "RescaleIntercept": 0}
    image = io.open(write_slice(tmp_path, 0, **one_bit)).read()
    assert image.data.unique().tolist() == [0, 70_000]


def test_fractional_slopes_give_floats_as_pydicom_has_them(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0, RescaleSlope=0.123456, RescaleIntercept=-7.25)
    image = io.open(path).read()
    file = pydicom.dcmread(path)
    theirs = pydicom.pixels.apply_modality_lut(file.pixel_array, file)
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.data[0, 0].numpy(), theirs, rtol=1e-7)


def test_float_pixels_stay_floats(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    for width in (32, 64):
        file = pydicom.dcmread(write_slice(tmp_path, 0))
        del file.PixelData, file.BitsStored, file.HighBit, file.PixelRepresentation
        samples = np.linspace(-1, 1, 12).astype(f"f{width // 8}").reshape(3, 4)
        file.BitsAllocated, file.RescaleSlope, file.RescaleIntercept = width, 1, 0
        setattr(file, {32: "FloatPixelData", 64: "DoubleFloatPixelData"}[width], samples.tobytes())
        file.save_as(path)
        image = io.open(path).read()
        assert np.array_equal(image.data[0, 0].numpy(), samples)
        assert io.open(path).meta["stored"] == f"float{width}"


# ---- regions


@pytest.mark.parametrize(
    "entries", [{}, {"RescaleSlope": 0.5}, {"TransferSyntaxUID": DeflatedExplicitVRLittleEndian}]
)
def test_a_region_is_cut_from_the_volume(tmp_path: Path, entries: dict[str, object]) -> None:
    for k in range(5):
        write_slice(tmp_path, k, **entries)
    handle = io.open(tmp_path)
    whole = handle.read().data
    for box in (
        (slice(1, 3), slice(None), slice(None)),
        (slice(4, 5), slice(1, 3), slice(None)),
        (slice(0, 5), slice(0, 1), slice(1, 3)),
    ):
        assert torch.equal(handle.read(region=box).data, whole[(slice(None), *box)])


def test_a_region_reads_no_other_slice(tmp_path: Path) -> None:
    for k in range(5):
        write_slice(tmp_path, k)
    handle = io.open(tmp_path)
    for k in (0, 1, 4):
        (tmp_path / f"{90 - k}.dcm").unlink()
    box = (slice(2, 4), slice(None), slice(None))
    wanted = np.stack([slice_values(k) for k in (2, 3)]).astype(np.int16) - 1024
    assert np.array_equal(handle.read(region=box).data[0].numpy(), wanted)
    with pytest.raises(FormatError, match="must still be where it was opened, the system says: No"):
        handle.read()


def test_a_volume_larger_than_the_budget_is_read_by_region(tmp_path: Path) -> None:
    for k in range(5):
        write_slice(tmp_path, k)
    handle = io.open(tmp_path, budget=io.Budget(bytes=60))
    with pytest.raises(FormatError, match=r"must fit in .* or raise the budget, or read a region"):
        handle.read()
    assert handle.read(region=(slice(0, 2), slice(None), slice(None))).data.shape == (1, 2, 3, 4)


def test_a_large_series_is_read_by_several_threads_alike(tmp_path: Path) -> None:
    generator = np.random.default_rng(20261121)
    volume = generator.integers(0, 4096, (10, 1000, 1000)).astype(np.uint16)
    for k in range(10):
        write_slice(tmp_path, k, values=volume[k])
    handle = io.open(tmp_path)
    assert np.array_equal(handle.read().data[0].numpy(), volume.astype(np.int16) - 1024)
    path = tmp_path / "85.dcm"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(
        FormatError, match=r"'85\.dcm' must hold all samples that its header promises"
    ):
        handle.read()
