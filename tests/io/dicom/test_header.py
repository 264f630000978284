"""The walk over a DICOM header: what pydicom reads, faster, and nothing that it cannot afford."""

import resource
import struct
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import slice_values, write_slice
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from vesalius.errors import FormatError
from vesalius.io import Budget
from vesalius.io.dicom._header import Header, inflated, read_header
from vesalius.io.dicom._tags import PRIVATE_B_VALUES, TAGS

LITTLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
BUDGET = Budget()
PIXELS = 0x7FE00010


def write(path: Path, data: pydicom.Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as it is in a file with a preamble."""
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.save_as(path, enforce_file_format=True)
    return path


def small() -> pydicom.Dataset:
    data = pydicom.Dataset()
    data.SOPClassUID = pydicom.uid.CTImageStorage
    data.SOPInstanceUID = "1.2.3"
    data.SeriesInstanceUID = "1.2"
    data.Rows, data.Columns = 3, 4
    data.BitsAllocated = 16
    data.PixelData = slice_values(0).tobytes()
    return data


def plain(value: object, vr: bytes) -> list[object]:
    """What pydicom gives, as the table's representation has it."""
    if value is None or value == "":
        return []
    several = list(value) if hasattr(value, "append") or isinstance(value, list) else [value]
    if vr == b"DS":
        return [float(v) for v in several]
    if vr == b"IS":
        return [int(v) for v in several]
    return [v if isinstance(v, int | float) else str(v).strip("\0 ") for v in several]


def same_as_pydicom(header: Header, data: pydicom.Dataset) -> None:
    for keyword, (tag, vr) in TAGS.items():
        element = data.get(tag)
        assert header.has(keyword) == (element is not None), keyword
        if element is None or vr == b"SQ" or isinstance(element.value, bytes):
            continue
        assert list(header.values(keyword)) == plain(element.value, vr), keyword


# ---- the table


def test_the_table_is_that_of_the_standard() -> None:
    for keyword, (tag, vr) in TAGS.items():
        if keyword not in (*PRIVATE_B_VALUES, *(c for c, _ in PRIVATE_B_VALUES.values())):
            assert pydicom.datadict.tag_for_keyword(keyword) == tag
            assert vr.decode() in pydicom.datadict.dictionary_VR(tag).split(" or ")


# ---- what it reads


def test_real_files_read_as_pydicom_reads_them(tmp_path: Path, data_dir: Path) -> None:
    for case in ("mr_siemens_mosaic", "mr_ge_fmri4d", "ct_philips_localizer", "mr_orient_axial"):
        with tarfile.open(data_dir / "dicom" / case / "dicom.tar.xz") as tar:
            tar.extractall(tmp_path / case, filter="data")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 159
    for path in files:
        header, data = read_header(path, BUDGET), pydicom.dcmread(path)
        same_as_pydicom(header, data)
        assert (header.element, header.syntax) == (PIXELS, data.file_meta.TransferSyntaxUID)
        if header.length >= 0:
            there = path.read_bytes()[header.pixels : header.pixels + header.length]
            assert there == data.PixelData


texts = st.text("ABCabc019 .-", max_size=12).map(str.strip)
decimals = st.lists(
    st.floats(-1e4, 1e4, allow_nan=False).map(lambda v: round(v, 3)), min_size=1, max_size=6
)


@st.composite
def datasets(draw: st.DrawFn) -> pydicom.Dataset:
    """A data set of some entries of the table, others between them, and nested sequences."""
    data = small()
    data.PatientName = draw(texts)
    data.ImageType = draw(st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "M"]), max_size=3))
    data.ImagePositionPatient = draw(decimals)
    data.RescaleSlope = draw(decimals)[0]
    data.InstanceNumber = draw(st.integers(-(2**31), 2**31 - 1))
    data.DiffusionBValue = draw(st.floats(0, 5000))
    data.StackID = draw(texts)
    data.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    data.add_new((0x0009, 0x1001), "OB", draw(st.binary(max_size=300)) + b"\0")
    data.ImageComments = draw(texts)
    inner = pydicom.Dataset()
    inner.RescaleSlope = 77
    inner.SeriesInstanceUID = "9.9.9"
    deeper = pydicom.Dataset()
    deeper.PixelSpacing = [9, 9]
    deeper.is_undefined_length_sequence_item = draw(st.booleans())
    inner.ReferencedImageSequence = [deeper] * draw(st.integers(0, 2))
    inner.is_undefined_length_sequence_item = draw(st.booleans())
    for keyword in ("ReferencedImageSequence", "ModalityLUTSequence"):
        if draw(st.booleans()):
            setattr(data, keyword, pydicom.Sequence([inner] * draw(st.integers(0, 3))))
            data[keyword].is_undefined_length = draw(st.booleans())
    return data


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=datasets(), syntax=st.sampled_from(LITTLE))
def test_any_data_set_reads_as_pydicom_reads_it(
    tmp_path: Path, data: pydicom.Dataset, syntax: str
) -> None:
    path = write(tmp_path / "x.dcm", data, syntax)
    header, again = read_header(path, BUDGET), pydicom.dcmread(path)
    same_as_pydicom(header, again)
    assert header.length == 24
    if syntax == DeflatedExplicitVRLittleEndian:
        assert header.pixels == -1
    else:
        raw = path.read_bytes()[header.pixels : header.pixels + 24]
        assert np.array_equal(np.frombuffer(raw, "<u2"), slice_values(0).ravel())


def test_reads_big_endian_and_files_without_a_preamble_by_pydicom(tmp_path: Path) -> None:
    data = small()
    data.PixelSpacing = [0.5, 0.75]
    data.DiffusionBValue = 700.0
    path = write(tmp_path / "x.dcm", data, ExplicitVRBigEndian)
    header = read_header(path, BUDGET)
    assert (header.values("Rows"), header.values("DiffusionBValue")) == ((3,), (700.0,))
    assert (header.element, header.pixels, header.little) == (-1, -1, False)
    data = pydicom.dcmread(write(path, data))
    del data.file_meta
    pydicom.dcmwrite(path, data, implicit_vr=True, little_endian=True)
    header = read_header(path, BUDGET)
    assert (header.values("Rows"), header.text("PixelSpacing")) == ((3,), "0.5\\0.75")
    assert header.syntax == ImplicitVRLittleEndian


def test_reads_names_in_the_character_set_of_the_file(tmp_path: Path) -> None:
    data = small()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.PatientName = "Müller^Jürgen"
    assert read_header(write(tmp_path / "x.dcm", data), BUDGET).text("PatientName") == (
        "Müller^Jürgen"
    )


def test_reads_past_elements_larger_than_its_window(tmp_path: Path) -> None:
    data = small()
    data.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    data.add_new((0x0009, 0x1001), "OB", bytes(300_001))
    data.add_new((0x0019, 0x0010), "LO", "PRIVATE")
    item = pydicom.Dataset()
    item.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    item.add_new((0x0009, 0x1001), "OB", bytes(200_000))
    data.ReferencedImageSequence = pydicom.Sequence([item, item])
    data["ReferencedImageSequence"].is_undefined_length = True
    for syntax in LITTLE:
        header = read_header(write(tmp_path / "x.dcm", data, syntax), BUDGET)
        assert (header.values("Rows"), header.length) == ((3,), 24)


def test_a_number_that_is_none_is_an_error_where_it_is_asked_for(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    raw = path.read_bytes()
    at = raw.index(b"0.75\\0.5")
    path.write_bytes(raw[:at] + b"about 1 " + raw[at + 8 :])
    header = read_header(path, BUDGET)
    with pytest.raises(ValueError, match="could not convert string to float"):
        header.values("PixelSpacing")
    assert header.raw_text("PixelSpacing") == "about 1"
    short = Header({TAGS["Rows"][0]: (b"US", b"abc")}, "", 0)
    with pytest.raises(ValueError, match="a value of type US must be whole numbers of 2 bytes"):
        short.values("Rows")
    assert short.number("Columns", 5.0) == 5


def test_a_file_without_pixels_says_so(tmp_path: Path) -> None:
    data = small()
    del data.PixelData
    for syntax in LITTLE:
        header = read_header(write(tmp_path / "x.dcm", data, syntax), BUDGET)
        assert (header.element, header.values("Rows")) == (0, (3,))


def test_values_that_claim_too_much_count_as_empty(tmp_path: Path) -> None:
    data = small()
    data.StudyDescription = "x" * 60
    path = write(tmp_path / "x.dcm", data, ImplicitVRLittleEndian)
    raw = path.read_bytes()
    at = raw.index(b"\x08\x00\x30\x10")
    long = raw[: at + 4] + struct.pack("<I", 2_000_000) + bytes(2_000_000) + raw[at + 68 :]
    path.write_bytes(long)
    header = read_header(path, BUDGET)
    assert header.has("StudyDescription")
    assert (header.values("StudyDescription"), header.values("Rows")) == ((), (3,))


# ---- what it refuses


def header_or_error(path: Path) -> Header | str:
    try:
        return read_header(path, BUDGET)
    except FormatError as error:
        return str(error)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=datasets(), syntax=st.sampled_from(LITTLE), part=st.floats(0, 1))
def test_a_cut_file_is_refused_or_misses_nothing_but_pixels(
    tmp_path: Path, data: pydicom.Dataset, syntax: str, part: float
) -> None:
    path = write(tmp_path / "x.dcm", data, syntax)
    whole, raw = read_header(path, BUDGET), path.read_bytes()
    path.write_bytes(raw[: int(part * (len(raw) - 1))])
    cut = header_or_error(path)
    if isinstance(cut, str):
        assert "'x.dcm' must" in cut
    elif cut.element == PIXELS:
        assert dict(cut.entries) == dict(whole.entries)
    else:
        assert set(cut.entries.items()) <= set(whole.entries.items())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=datasets(), where=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_changed_byte_gives_a_header_or_one_kind_of_error(
    tmp_path: Path, data: pydicom.Dataset, where: float, byte: int
) -> None:
    path = write(tmp_path / "x.dcm", data)
    raw = bytearray(path.read_bytes())
    raw[128 + int(where * (len(raw) - 129))] = byte
    path.write_bytes(raw)
    found = header_or_error(path)
    if isinstance(found, str):
        assert "'x.dcm' must" in found
    else:
        assert found.size == len(raw)


def test_says_where_a_cut_file_ends(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    raw = path.read_bytes()
    for end in (160, raw.index(b"secret") + 3, raw.index(b"0.75") + 1):
        path.write_bytes(raw[:end])
        with pytest.raises(
            FormatError, match=rf"all elements of its header, it ends at byte {end}"
        ):
            read_header(path, BUDGET)


def test_refuses_a_length_that_leaves_the_file_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", small())
    raw = path.read_bytes()
    at = raw.index(b"\x28\x00\x10\x00")
    hostile = b"\x09\x00\x01\x10OB\0\0" + struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(raw[:at] + hostile + raw[at:])
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match="its elements need bytes up to 4294967"):
        read_header(path, BUDGET)
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def nested(depth: int) -> bytes:
    """Sequences of undefined length, each in an item of the one before."""
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return opened * depth + closed * depth


def test_refuses_sequences_without_end(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", small())
    raw = path.read_bytes()
    at = raw.index(b"\x28\x00\x10\x00")
    path.write_bytes(raw[:at] + nested(30) + raw[at:])
    assert read_header(path, BUDGET).values("Rows") == (3,)
    path.write_bytes(raw[:at] + nested(5000) + raw[at:])
    with pytest.raises(FormatError, match="must not nest deeper than the budget"):
        read_header(path, BUDGET)
    opened = nested(2)[:40] + bytes(100_000)
    path.write_bytes(raw[:at] + opened)
    with pytest.raises(FormatError, match=r"all elements of its header|readable DICOM file"):
        read_header(path, BUDGET)


def test_refuses_a_sequence_larger_than_the_budget(tmp_path: Path) -> None:
    data = small()
    item = pydicom.Dataset()
    item.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    item.add_new((0x0009, 0x1001), "OB", bytes(400_000))
    data.ReferencedImageSequence = pydicom.Sequence([item])
    data["ReferencedImageSequence"].is_undefined_length = True
    path = write(tmp_path / "x.dcm", data)
    with pytest.raises(FormatError, match="must have no sequence of more than 100000 bytes"):
        read_header(path, Budget(free_bytes=100_000))


def bomb(path: Path, element: bytes, size: int) -> Path:
    """A deflated file with one element that unpacks to ``size`` bytes."""
    raw = write(path, small(), DeflatedExplicitVRLittleEndian).read_bytes()
    body = 132 + 12 + struct.unpack_from("<I", raw, 140)[0]
    data = zlib.decompress(raw[body:], -15)
    at = data.index(b"\xe0\x7f\x10\x00")
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(data[:at] + element + b"OB\0\0" + struct.pack("<I", size))
    for _ in range(size >> 20):
        packed += engine.compress(bytes(1 << 20))
    path.write_bytes(raw[:body] + packed + engine.flush())
    return path


@pytest.mark.parametrize("element", [b"\xe0\x7f\x10\x00", b"\x29\x00\x01\x10"])
def test_refuses_a_deflated_bomb_in_time_and_space(tmp_path: Path, element: bytes) -> None:
    path = bomb(tmp_path / "x.dcm", element, 600 << 20)
    assert path.stat().st_size < 700_000
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        read_header(path, BUDGET)
    assert time.perf_counter() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def test_refuses_a_damaged_deflated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", small(), DeflatedExplicitVRLittleEndian)
    raw = path.read_bytes()
    body = 132 + 12 + struct.unpack_from("<I", raw, 140)[0]
    path.write_bytes(raw[:body] + b"\xff" * 100)
    with pytest.raises(FormatError, match="must be a readable deflated data set, it is not"):
        read_header(path, BUDGET)
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(raw[:body] + engine.compress(b"not elements at all" * 9) + engine.flush())
    with pytest.raises(FormatError, match="its elements do not follow each other"):
        read_header(path, BUDGET)


def test_leaves_no_deflated_file_to_pydicom(tmp_path: Path) -> None:
    """pydicom unpacks the whole of it, without a limit."""
    path = bomb(tmp_path / "x.dcm", b"\xe0\x7f\x10\x00", 32 << 20)
    raw = path.read_bytes()
    for odd in (raw[128:], raw[:132], raw[132:], raw.replace(b"DICM\x02\x00", b"DICM\x03\x00")):
        path.write_bytes(odd if len(odd) > 200 else raw[:144] + b"\x02\x00\x02\x00??" + raw[150:])
        with pytest.raises(FormatError, match="must have the head of a deflated file in order"):
            read_header(path, BUDGET)


def test_unpacks_the_header_of_a_deflated_file_only(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", small(), DeflatedExplicitVRLittleEndian)
    raw = path.read_bytes()
    body = 132 + 12 + struct.unpack_from("<I", raw, 140)[0]
    data = zlib.decompress(raw[body:], -15)
    assert inflated(path, BUDGET) == data[: data.index(b"\xe0\x7f\x10\x00")]
    assert inflated(write(path, small()), BUDGET) is None
    path.write_bytes(b"no DICOM")
    assert inflated(path, BUDGET) is None
