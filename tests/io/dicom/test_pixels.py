"""Pixels: every transfer syntax gives back what was packed, and refuses what is not there."""

import tarfile
import time
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pixel_files import (
    DEFLATED_FRAMES,
    encode,
    noise,
    packed,
    run_lengths,
    smooth,
    write_extended,
    write_packed,
    write_pixels,
)
from pydicom import uid
from pydicom.encaps import encapsulate

from vesalius.errors import FormatError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io.dicom import _pixels
from vesalius.io.dicom._codecs import SYNTAXES, j2k_head, jpeg_head
from vesalius.io.dicom._pixels import cannot_read, read_frames
from vesalius.io.dicom._rle import unpack_rle

LOSSLESS = {
    "rle": uid.RLELossless,
    "deflate": DEFLATED_FRAMES,
    "lossless": uid.JPEGLosslessSV1,
    "jpegls": uid.JPEGLSLossless,
    "jpeg2k": uid.JPEG2000Lossless,
    "htj2k": uid.HTJ2KLossless,
}
DEPTHS = [(8, False), (8, True), (12, False), (12, True), (16, False), (16, True)]


def read(path: Path, **changes: object) -> np.ndarray:
    """Read all frames."""
    what = replace(packed(path), **changes)
    return read_frames(what, 0, what.frames, DEFAULT)


# ---- uncompressed


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
@pytest.mark.parametrize(("bits", "signed"), [*DEPTHS, (32, False), (32, True)])
def test_reads_every_native_depth(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    values = noise((3, 5, 4, 1), bits, signed=signed)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    stored = values.astype(values.dtype.newbyteorder(order))
    path = write_pixels(
        tmp_path, values, PixelData=stored.tobytes(), TransferSyntaxUID=syntax, BitsStored=bits
    )
    back = read(path)
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)
    assert np.array_equal(back[..., 0], pydicom.dcmread(path).pixel_array)
    assert np.array_equal(read_frames(packed(path), 1, 2, DEFAULT), values[1:])


def test_swaps_bytes_of_words_of_eight_bit_samples_in_big_endian(tmp_path: Path) -> None:
    values = noise((1, 4, 6, 1), 8)
    path = write_pixels(
        tmp_path,
        values,
        PixelData=values.ravel().view("<u2").byteswap().tobytes(),
        TransferSyntaxUID=uid.ExplicitVRBigEndian,
    )
    file = pydicom.dcmread(path)
    file["PixelData"].VR = "OW"
    # the writer swaps nothing itself: the bytes are those given
    file.save_as(path)
    assert np.array_equal(read(path), values)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, values[0, ..., 0])


def test_reads_from_a_known_offset_without_a_parser(tmp_path: Path) -> None:
    values = noise((2, 5, 4, 1), 16)
    path = write_pixels(tmp_path, values)
    offset = path.stat().st_size - values.nbytes
    assert np.array_equal(read(path, offset=offset), values)
    assert np.array_equal(
        read_frames(replace(packed(path), offset=offset), 1, 1, DEFAULT), values[1:]
    )


def test_reads_a_file_without_preamble_or_transfer_syntax(tmp_path: Path) -> None:
    values = noise((1, 5, 4, 1), 16)
    for implicit in (True, False):
        file = pydicom.dcmread(write_pixels(tmp_path, values))
        bare = pydicom.Dataset({e.tag: e for e in file})
        bare.save_as(
            tmp_path / "bare.dcm",
            implicit_vr=implicit,
            little_endian=True,
            enforce_file_format=False,
        )
        assert packed(tmp_path / "bare.dcm").syntax == ""
        assert np.array_equal(read(tmp_path / "bare.dcm"), values)


def test_reads_deflated_files(tmp_path: Path) -> None:
    values = noise((2, 30, 40, 1), 12)
    path = write_pixels(
        tmp_path, values, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian, BitsStored=12
    )
    assert np.array_equal(read(path), values)


@given(
    bits=st.integers(1, 16),
    high=st.integers(0, 15),
    signed=st.booleans(),
    raw=st.lists(st.integers(0, 65535), min_size=4, max_size=4),
)
def test_masks_old_overlays_and_extends_signs(
    tmp_path_factory: pytest.TempPathFactory, bits: int, high: int, signed: bool, raw: list[int]
) -> None:
    high = max(high, bits - 1)
    raw = [word >> (high + 1 - bits) << (high + 1 - bits) for word in raw]
    values = np.array(raw, np.uint16).reshape(1, 2, 2, 1)
    path = write_pixels(
        tmp_path_factory.mktemp("masks"),
        values,
        BitsStored=bits,
        HighBit=high,
        PixelRepresentation=int(signed),
    )
    slow = []
    for word in raw:
        value = word >> (high + 1 - bits) & (1 << bits) - 1
        slow.append(value - (1 << bits) if signed and value >> (bits - 1) else value)
    assert read(path).ravel().tolist() == slow


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_reads_float_pixels(tmp_path: Path, kind: type) -> None:
    values = np.linspace(-1e6, np.pi, 24).astype(kind).reshape(1, 4, 6, 1)
    keyword = "FloatPixelData" if kind is np.float32 else "DoubleFloatPixelData"
    gone = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation"))
    path = write_pixels(tmp_path, values, **gone, **{keyword: values.tobytes()})
    back = read(path)
    assert back.dtype == kind
    assert np.array_equal(back, values)
    size = path.stat().st_size - values.nbytes
    assert np.array_equal(read(path, offset=size), values)


def test_refuses_floats_where_the_header_promises_whole_numbers(tmp_path: Path) -> None:
    values = np.ones((1, 4, 6, 1), np.float32)
    path = write_pixels(tmp_path, values, PixelData=None, FloatPixelData=values.tobytes())
    with pytest.raises(FormatError, match="it keeps floats of 32 bits: its header is damaged"):
        read(path)
    path = write_pixels(tmp_path, values, BitsStored=None, HighBit=None)
    with pytest.raises(FormatError, match="it keeps whole numbers"):
        read(path, floats=True)


def test_reads_single_bits_of_frames_that_begin_inside_bytes(tmp_path: Path) -> None:
    values = noise((5, 3, 3, 1), 1)
    bits = np.packbits(values.ravel(), bitorder="little")
    path = write_pixels(
        tmp_path, values, PixelData=bits.tobytes(), BitsAllocated=1, BitsStored=1, HighBit=0
    )
    assert np.array_equal(read(path), values)
    assert np.array_equal(read_frames(packed(path), 3, 2, DEFAULT), values[3:])
    assert np.array_equal(pydicom.dcmread(path).pixel_array, values[..., 0])


# ---- compressed without loss


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_gives_back_what_was_packed_without_loss(
    tmp_path: Path, codec: str, bits: int, signed: bool
) -> None:
    values = noise((3, 20, 24, 1), bits, signed=signed)
    streams = [encode(codec, frame, bits) for frame in values]
    path = write_packed(
        tmp_path, values, streams, TransferSyntaxUID=LOSSLESS[codec], BitsStored=bits
    )
    back = read(path)
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)
    assert np.array_equal(read_frames(packed(path), 2, 1, DEFAULT), values[2:])


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 16])
def test_gives_back_colours_without_loss(tmp_path: Path, codec: str, bits: int) -> None:
    values = noise((2, 20, 24, 3), bits)
    streams = [encode(codec, frame, bits) for frame in values]
    path = write_packed(tmp_path, values, streams, TransferSyntaxUID=LOSSLESS[codec])
    assert np.array_equal(read(path), values)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_reads_every_predictor_of_lossless_jpeg(tmp_path: Path, predictor: int) -> None:
    values = noise((1, 20, 24, 1), 16)
    stream = imagecodecs.jpeg8_encode(
        values[0, ..., 0], lossless=True, predictor=predictor, bitspersample=16
    )
    path = write_packed(tmp_path, values, [stream], TransferSyntaxUID=uid.JPEGLossless)
    assert np.array_equal(read(path), values)


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEG2000]
)
@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_agrees_with_pydicom(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    values = noise((1, 64, 72, 1), bits, signed=signed)
    path = write_pixels(tmp_path, values, BitsStored=bits, NumberOfFrames=None)
    file = pydicom.dcmread(path)
    options = {"j2k_cr": [2]} if syntax == uid.JPEG2000 else {}
    file.compress(syntax, **options, encoding_plugin="")
    file.save_as(path)
    back = read(path)[0, ..., 0]
    theirs = pydicom.dcmread(path).pixel_array
    assert back.dtype == theirs.dtype
    assert np.array_equal(back, theirs)
    if syntax != uid.JPEG2000:
        assert np.array_equal(back, values[0, ..., 0])


def test_reads_signed_values_that_a_codestream_calls_unsigned(tmp_path: Path) -> None:
    values = noise((1, 20, 24, 1), 12, signed=True)
    unsigned = (values.view(np.uint16) & 0xFFF)[0, ..., 0]
    stream = imagecodecs.jpeg2k_encode(unsigned, level=0, codecformat="J2K", bitspersample=12)
    assert not j2k_head(stream).signed
    for bits in (12, 16):
        path = write_packed(
            tmp_path, values, [stream], TransferSyntaxUID=uid.JPEG2000Lossless, BitsStored=bits
        )
        assert np.array_equal(read(path), values)


def test_reads_a_jp2_file_that_a_writer_left_in_its_boxes(tmp_path: Path) -> None:
    values = noise((1, 20, 24, 1), 16)
    stream = imagecodecs.jpeg2k_encode(values[0, ..., 0], level=0, codecformat="JP2")
    path = write_packed(tmp_path, values, [stream], TransferSyntaxUID=uid.JPEG2000Lossless)
    assert np.array_equal(read(path), values)


# ---- compressed with loss


@pytest.mark.parametrize(
    ("bits", "syntax"), [(8, uid.JPEGBaseline8Bit), (12, uid.JPEGExtended12Bit)]
)
def test_keeps_lossy_jpeg_within_a_bound(tmp_path: Path, bits: int, syntax: str) -> None:
    values = smooth((2, 64, 48, 1), bits)
    streams = [
        imagecodecs.jpeg8_encode(frame[..., 0], level=95, bitspersample=bits) for frame in values
    ]
    path = write_packed(tmp_path, values, streams, TransferSyntaxUID=syntax, BitsStored=bits)
    apart = np.abs(read(path).astype(int) - values)
    assert apart.max() <= 0.02 * (1 << bits)


def test_keeps_near_lossless_jpegls_within_its_error(tmp_path: Path) -> None:
    values = noise((1, 30, 32, 1), 12)
    stream = imagecodecs.jpegls_encode(values[0, ..., 0], level=3)
    path = write_packed(
        tmp_path, values, [stream], TransferSyntaxUID=uid.JPEGLSNearLossless, BitsStored=12
    )
    apart = np.abs(read(path).astype(int) - values)
    assert 0 < apart.max() <= 3


@pytest.mark.parametrize("syntax", [uid.JPEG2000, uid.HTJ2K])
def test_keeps_lossy_jpeg2000_within_a_bound(tmp_path: Path, syntax: str) -> None:
    values = smooth((1, 64, 48, 1), 12)
    stream = imagecodecs.jpeg2k_encode(
        values[0, ..., 0], level=75, codecformat="J2K", reversible=False, bitspersample=12
    )
    path = write_packed(tmp_path, values, [stream], TransferSyntaxUID=syntax, BitsStored=12)
    apart = np.abs(read(path).astype(int) - values)
    assert 0 < apart.max() <= 16


# ---- colour


def test_undoes_planes(tmp_path: Path) -> None:
    values = noise((2, 5, 4, 3), 8)
    planes = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    path = write_pixels(tmp_path, values, PixelData=planes.tobytes(), PlanarConfiguration=1)
    assert np.array_equal(read(path), values)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, values)


def test_turns_luminance_and_chrominance_into_rgb_as_pydicom_does(tmp_path: Path) -> None:
    values = noise((1, 30, 40, 3), 8)
    path = write_pixels(tmp_path, values, PhotometricInterpretation="YBR_FULL")
    theirs = pydicom.pixels.convert_color_space(values[0], "YBR_FULL", "RGB")
    assert np.abs(read(path)[0].astype(int) - theirs).max() <= 1
    streams = [run_lengths(values[0])]
    path = write_packed(
        tmp_path,
        values,
        streams,
        TransferSyntaxUID=uid.RLELossless,
        PhotometricInterpretation="YBR_FULL",
    )
    assert np.abs(read(path)[0].astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("codec", LOSSLESS)
def test_turns_lossless_luminance_and_chrominance_into_rgb(tmp_path: Path, codec: str) -> None:
    values = noise((1, 30, 40, 3), 8)
    path = write_packed(
        tmp_path,
        values,
        [encode(codec, values[0], 8)],
        TransferSyntaxUID=LOSSLESS[codec],
        PhotometricInterpretation="YBR_FULL",
    )
    theirs = pydicom.pixels.convert_color_space(values[0], "YBR_FULL", "RGB")
    assert np.abs(read(path)[0].astype(int) - theirs).max() <= 1


def test_reads_eight_bit_codestreams_of_sixteen_bit_images(tmp_path: Path) -> None:
    values = noise((1, 20, 24, 1), 8)
    path = write_packed(
        tmp_path,
        values,
        [encode("lossless", values[0], 8)],
        TransferSyntaxUID=uid.JPEGLossless,
        BitsAllocated=16,
    )
    back = read(path)
    assert back.dtype == np.uint16
    assert np.array_equal(back, values)


def test_knows_reference_colours() -> None:
    # PS3.3 C.7.6.3.1.2 by hand: white, black, and pure red (76.245, 84.97, 255.5) rounded
    from vesalius.io.dicom._colour import ybr_to_rgb

    ybr = np.array([[255, 128, 128], [0, 128, 128], [76, 85, 255]], np.uint8)
    assert np.abs(ybr_to_rgb(ybr, 8).astype(int) - [[255] * 3, [0] * 3, [254, 0, 0]]).max() <= 1


def test_spreads_the_chrominance_that_two_pixels_share(tmp_path: Path) -> None:
    pairs = noise((1, 6, 4, 4), 8)
    values = np.zeros((1, 6, 8, 3), np.uint8)
    path = write_pixels(
        tmp_path, values, PixelData=pairs.tobytes(), PhotometricInterpretation="YBR_FULL_422"
    )
    whole = np.empty_like(values)
    for x in range(8):
        whole[:, :, x, 0] = pairs[:, :, x // 2, x % 2]
        whole[:, :, x, 1:] = pairs[:, :, x // 2, 2:]
    theirs = pydicom.pixels.convert_color_space(whole[0], "YBR_FULL", "RGB")
    assert np.abs(read(path)[0].astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("stored", "photometric"), [("RGB", "RGB"), ("YCBCR", "YBR_FULL"), ("YCBCR", "YBR_FULL_422")]
)
def test_brings_lossy_colour_back_to_rgb(tmp_path: Path, stored: str, photometric: str) -> None:
    values = smooth((1, 48, 64, 3), 8)
    stream = imagecodecs.jpeg8_encode(
        values[0], level=98, colorspace="RGB", outcolorspace=stored, subsampling="444"
    )
    path = write_packed(
        tmp_path,
        values,
        [stream],
        TransferSyntaxUID=uid.JPEGBaseline8Bit,
        PhotometricInterpretation=photometric,
    )
    assert np.abs(read(path).astype(int) - values).max() <= 6


def test_believes_the_markers_of_a_jpeg_before_the_header(tmp_path: Path) -> None:
    # a JFIF marker means luminance and chrominance, whatever PhotometricInterpretation says
    values = smooth((1, 48, 64, 3), 8)
    stream = imagecodecs.jpeg8_encode(
        values[0], level=98, colorspace="RGB", outcolorspace="YCBCR", subsampling="444"
    )
    assert jpeg_head(stream).model == "YBR"
    path = write_packed(tmp_path, values, [stream], TransferSyntaxUID=uid.JPEGBaseline8Bit)
    assert np.abs(read(path).astype(int) - values).max() <= 6


@pytest.mark.parametrize("photometric", ["YBR_RCT", "RGB"])
def test_undoes_the_colour_transform_of_jpeg2000(tmp_path: Path, photometric: str) -> None:
    values = noise((1, 20, 24, 3), 8)
    stream = imagecodecs.jpeg2k_encode(
        values[0], level=0, codecformat="J2K", mct=photometric == "YBR_RCT"
    )
    path = write_packed(
        tmp_path,
        values,
        [stream],
        TransferSyntaxUID=uid.JPEG2000Lossless,
        PhotometricInterpretation=photometric,
    )
    assert np.array_equal(read(path), values)


def palette(colour: int, n: int = 16, bits: int = 16) -> np.ndarray:
    table = (np.arange(n) * (colour + 1) * 37) % (1 << bits)
    return table.astype(f"<u{bits // 8}")


def write_palette(folder: Path, values: np.ndarray, first: int, bits: int, **more: object) -> Path:
    entries: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for k, colour in enumerate(("Red", "Green", "Blue")):
        entries[f"{colour}PaletteColorLookupTableDescriptor"] = [16, first, bits]
        entries[f"{colour}PaletteColorLookupTableData"] = palette(k, bits=bits).tobytes()
    return write_pixels(folder, values, **(entries | more))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_paints_with_a_palette(tmp_path: Path, bits: int, signed: bool) -> None:
    values = noise((2, 5, 6, 1), 8, signed=signed)
    first = -5 if signed else 7
    path = write_palette(tmp_path, values, first, bits)
    back = read(path)
    assert back.shape == (2, 5, 6, 3)
    assert back.dtype == packed(path).dtype == np.uint16
    index = (values[..., 0].astype(int) - first).clip(0, 15)
    for k in range(3):
        assert np.array_equal(back[..., k], palette(k, bits=bits)[index])
    theirs = pydicom.pixels.apply_color_lut(values[..., 0], pydicom.dcmread(path))
    assert np.array_equal(back, theirs)


def test_expands_a_segmented_palette(tmp_path: Path) -> None:
    # C.7.9.2: three entries as they are, a ramp of four to 700, then both once more
    words = [0, 3, 100, 200, 300, 1, 4, 700, 2, 2, 0, 0]
    entries: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        entries[f"{colour}PaletteColorLookupTableDescriptor"] = [14, 0, 16]
        table = np.array(words, "<u2").tobytes()
        entries[f"Segmented{colour}PaletteColorLookupTableData"] = table
    values = np.arange(14, dtype=np.uint8).reshape(1, 2, 7, 1)
    back = read(write_pixels(tmp_path, values, **entries))
    ramp = [100, 200, 300, 400, 500, 600, 700]
    assert back[0, ..., 0].ravel().tolist() == ramp + ramp
    theirs = pydicom.pixels.apply_color_lut(
        values[0, ..., 0], pydicom.dcmread(tmp_path / "pixels.dcm")
    )
    assert np.array_equal(back[0], theirs)


def test_refuses_broken_palettes(tmp_path: Path) -> None:
    values = noise((1, 5, 6, 1), 8)
    path = write_palette(tmp_path, values, 0, 16, RedPaletteColorLookupTableDescriptor=None)
    with pytest.raises(FormatError, match="must have a red look-up table, it has no descriptor"):
        read(path)
    path = write_palette(tmp_path, values, 0, 16, GreenPaletteColorLookupTableData=b"1234")
    with pytest.raises(FormatError, match="look-up table must have 16 entries, it has 2"):
        read(path)
    path = write_palette(tmp_path, values, 0, 16, BluePaletteColorLookupTableDescriptor=[15, 0, 16])
    with pytest.raises(FormatError, match="must have tables of one length, it has"):
        read(path)


# ---- fragments


def streams_of(values: np.ndarray, codec: str = "lossless") -> list[bytes]:
    return [encode(codec, frame, 16) for frame in values]


# RLE frames are one fragment each (PS3.5 A.4.2)
WAYS = [("rle", 1), *((codec, n) for codec in ("lossless", "jpegls", "jpeg2k") for n in (1, 3))]


@pytest.mark.parametrize(("codec", "pieces"), WAYS)
@pytest.mark.parametrize("table", [True, False])
def test_joins_fragments_to_frames(tmp_path: Path, codec: str, table: bool, pieces: int) -> None:
    values = noise((4, 20, 24, 1), 16)
    data = encapsulate(streams_of(values, codec), fragments_per_frame=pieces, has_bot=table)
    path = write_pixels(tmp_path, values, PixelData=data, TransferSyntaxUID=LOSSLESS[codec])
    assert np.array_equal(read(path), values)
    assert np.array_equal(read_frames(packed(path), 2, 1, DEFAULT)[0], values[2])


def test_follows_an_extended_offset_table(tmp_path: Path) -> None:
    values = noise((4, 20, 24, 1), 16)
    path = write_extended(tmp_path, values, streams_of(values), uid.JPEGLosslessSV1)
    assert np.array_equal(read(path), values)


def test_does_without_a_table_that_is_wrong(tmp_path: Path) -> None:
    values = noise((3, 20, 24, 1), 16)
    data = bytearray(encapsulate(streams_of(values)))
    data[12:16] = (12345).to_bytes(4, "little")
    path = write_pixels(
        tmp_path, values, PixelData=bytes(data), TransferSyntaxUID=uid.JPEGLosslessSV1
    )
    assert np.array_equal(read(path), values)


def test_refuses_fragments_that_are_no_frames(tmp_path: Path) -> None:
    values = noise((3, 20, 24, 1), 16)
    path = write_packed(
        tmp_path,
        values,
        streams_of(values),
        TransferSyntaxUID=uid.JPEGLosslessSV1,
        NumberOfFrames=5,
    )
    with pytest.raises(FormatError, match="its 3 fragments are not 5 frames"):
        read(path)


def test_refuses_cut_and_foreign_fragments(tmp_path: Path) -> None:
    values = noise((3, 20, 24, 1), 16)
    syntax = {"TransferSyntaxUID": uid.JPEGLosslessSV1}
    path = write_packed(tmp_path, values, streams_of(values), **syntax)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 200])
    with pytest.raises(FormatError, match=r"a fragment of \d+ bytes at byte \d+ is cut off"):
        read(path)
    path.write_bytes(whole[:-8])
    with pytest.raises(FormatError, match="its fragments end without their end mark"):
        read(path)
    at = whole.index(b"\xfe\xff\x00\xe0", len(whole) - 2000)
    path.write_bytes(whole[:at] + b"\1\2\3\4" + whole[at + 4 :])
    with pytest.raises(FormatError, match="is neither a fragment nor the end of them"):
        read(path)
    item, end = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
    path = write_pixels(tmp_path, values, PixelData=item + bytes(4) + end + bytes(4), **syntax)
    with pytest.raises(FormatError, match="it holds no fragments"):
        read(path)


@pytest.mark.parametrize("codec", LOSSLESS)
def test_refuses_a_truncated_codestream(tmp_path: Path, codec: str) -> None:
    values = noise((1, 20, 24, 1), 16)
    stream = encode(codec, values[0], 16)
    for keep in (len(stream) - 20, len(stream) // 2, 30, 3):
        path = write_packed(tmp_path, values, [stream[:keep]], TransferSyntaxUID=LOSSLESS[codec])
        with pytest.raises(FormatError, match="must hold all samples that its header") as caught:
            read(path)
        assert str(tmp_path) not in str(caught.value)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of two frames for each codec."""
    values = noise((2, 20, 24, 1), 12)
    paths = {}
    for codec, syntax in LOSSLESS.items():
        streams = [encode(codec, frame, 12) for frame in values]
        folder = tmp_path_factory.mktemp(codec)
        paths[codec] = write_packed(
            folder, values, streams, TransferSyntaxUID=syntax, BitsStored=12
        )
    return paths


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(sorted(LOSSLESS)), st.data())
def test_damaged_files_are_read_or_refused(
    written: dict[str, Path], codec: str, data: st.DataObject
) -> None:
    path = written[codec]
    what, raw = packed(path), bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(330, len(raw) - 1))] = data.draw(st.integers(0, 255))
    hurt = path.with_name("hurt.dcm")
    hurt.write_bytes(raw[: data.draw(st.integers(400, len(raw)))])
    said = ""
    try:
        assert read_frames(replace(what, path=hurt), 0, 2, DEFAULT).shape == (2, 20, 24, 1)
    except FormatError as error:
        said = str(error)
    assert not said or said.startswith("'hurt.dcm' must ")
    assert str(path.parent) not in said


# ---- what is refused


def test_refuses_native_samples_that_are_cut(tmp_path: Path) -> None:
    values = noise((2, 20, 24, 1), 16)
    path = write_pixels(tmp_path, values)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(
        FormatError, match=r"does not: 1918 bytes are there, 1920 are promised: .* truncated"
    ):
        read(path)
    assert np.array_equal(read_frames(packed(path), 0, 1, DEFAULT), values[:1])


def test_refuses_a_file_without_pixels(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, noise((1, 5, 4, 1), 16), PixelData=None)
    with pytest.raises(FormatError, match="must hold pixels, it has none: copy the file again"):
        read(path)


def test_refuses_fragments_in_a_file_that_calls_itself_uncompressed(tmp_path: Path) -> None:
    values = noise((1, 20, 24, 1), 16)
    path = write_packed(tmp_path, values, streams_of(values), TransferSyntaxUID=uid.JPEGLosslessSV1)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.1\0\0\0", 1))
    with pytest.raises(FormatError, match="it holds fragments: its header is damaged"):
        read(path)


def test_refuses_frames_that_are_not_promised(tmp_path: Path) -> None:
    what = packed(write_pixels(tmp_path, noise((2, 5, 4, 1), 16)))
    with pytest.raises(FormatError, match="must hold frames 2 to 3, its header promises 2"):
        read_frames(what, 1, 2, DEFAULT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits_allocated": 12},
        {"bits_stored": 0},
        {"bits_stored": 17, "high_bit": 16},
        {"high_bit": 3},
    ],
)
def test_refuses_depths_that_do_not_fit(tmp_path: Path, wrong: dict[str, int]) -> None:
    path = write_pixels(tmp_path, noise((1, 5, 4, 1), 16), BitsStored=12)
    with pytest.raises(FormatError, match="1, 8, 16, 32 or 64 bits that hold their values"):
        read(path, **wrong)


def test_refuses_colour_models_it_does_not_know(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, noise((1, 5, 4, 3), 8))
    with pytest.raises(FormatError, match=r"3 samples, it is CMYK with 3: convert it first"):
        read(path, photometric="CMYK")
    with pytest.raises(FormatError, match="it is MONOCHROME2 with 3"):
        read(path, photometric="MONOCHROME2")
    with pytest.raises(FormatError, match="single bits uncompressed, it has RGB of 1 bits"):
        read(path, bits_allocated=1, bits_stored=1, high_bit=0)


def test_refuses_video_and_private_syntaxes(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, noise((1, 5, 4, 1), 16))
    for syntax in (uid.MPEG2MPML, "1.2.3.4.5.6"):
        assert "its transfer syntax is" in cannot_read(str(syntax))
        with pytest.raises(FormatError, match="JPEG-LS or JPEG 2000, its transfer syntax is"):
            read(path, syntax=str(syntax))


def test_names_the_extra_where_codecs_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pixels, "LIBRARY", "a_library_that_is_nowhere")
    cannot_read.cache_clear()
    try:
        assert cannot_read(uid.RLELossless) == cannot_read(uid.ExplicitVRLittleEndian) == ""
        path = write_pixels(tmp_path, noise((1, 5, 4, 1), 16))
        with pytest.raises(FormatError, match=r"JPEG 2000.*: pip install vesalius\[dicom\]"):
            read(path, syntax=str(uid.JPEG2000))
    finally:
        cannot_read.cache_clear()


@pytest.mark.parametrize("codec", [k for k in LOSSLESS if k not in ("rle", "deflate")])
def test_compares_the_size_in_the_codestream_before_decoding(tmp_path: Path, codec: str) -> None:
    values = noise((1, 20, 24, 1), 16)
    path = write_packed(
        tmp_path, values, [encode(codec, values[0], 16)], TransferSyntaxUID=LOSSLESS[codec]
    )
    for wrong in ({"rows": 24, "columns": 20}, {"rows": 10}):
        with pytest.raises(FormatError, match="codestream says 20 x 24 x 1 samples, its header"):
            read(path, **wrong)
    with pytest.raises(FormatError, match="samples of 16 bits, its header allocates 8"):
        read(path, bits_allocated=8, bits_stored=8, high_bit=7)


def forged(codec: str) -> bytes:
    """A small codestream whose header claims 65535 x 65535 pixels."""
    stream = bytearray(encode(codec, noise((20, 24, 1), 8), 8))
    if codec == "jpeg2k":
        for at in (8, 12):
            stream[at : at + 4] = (65535).to_bytes(4, "big")
        return bytes(stream)
    marker = b"\xff\xc3" if codec == "lossless" else b"\xff\xf7"
    at = bytes(stream).index(marker) + 5
    stream[at : at + 4] = b"\xff" * 4
    return bytes(stream)


@pytest.mark.parametrize("codec", ["lossless", "jpegls", "jpeg2k"])
def test_refuses_forged_sizes_before_anything_is_allocated(tmp_path: Path, codec: str) -> None:
    values = noise((1, 20, 24, 1), 8)
    path = write_packed(tmp_path, values, [forged(codec)], TransferSyntaxUID=LOSSLESS[codec])
    with pytest.raises(FormatError, match="codestream says 65535 x 65535 x 1 samples"):
        read(path)
    tracemalloc.start()
    small = Budget(bytes=1 << 30)
    with pytest.raises(FormatError, match=r"its header claims 1 x 65535 x 65535 x 1 samples"):
        read_frames(replace(packed(path), rows=65535, columns=65535), 0, 1, small)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def write_bomb(folder: Path, size: int) -> Path:
    """A deflated file that inflates to so many zeros."""
    path = write_pixels(
        folder, noise((1, 4, 4, 1), 16), TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian
    )
    raw = path.read_bytes()
    at = 132 + 12 + int.from_bytes(raw[140:144], "little")
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = [raw[:at], engine.compress(zlib.decompress(raw[at:], -zlib.MAX_WBITS))]
    pieces += [engine.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    path.write_bytes(b"".join([*pieces, engine.flush()]))
    return path


def test_refuses_deflated_bombs_in_time_and_space(tmp_path: Path) -> None:
    what = packed(write_pixels(tmp_path, noise((1, 4, 4, 1), 16)))
    what = replace(what, syntax=str(uid.DeflatedExplicitVRLittleEndian))
    assert write_bomb(tmp_path, 600 << 20).stat().st_size < 700_000
    start = time.monotonic()
    tracemalloc.start()
    with pytest.raises(FormatError, match="inflates beyond 32 bytes of samples"):
        read_frames(what, 0, 1, DEFAULT)
    large = replace(what, rows=17_000, columns=17_000)
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        read_frames(large, 0, 1, DEFAULT)
    small = replace(what, rows=9_000, columns=9_000)
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        read_frames(small, 0, 1, Budget(free_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - start < 2
    assert peak < 500 << 20


def test_refuses_deflated_files_that_are_cut_or_damaged(tmp_path: Path) -> None:
    values = noise((2, 30, 40, 1), 12)
    path = write_pixels(tmp_path, values, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian)
    what, raw = packed(path), path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FormatError, match=r"a whole deflated file, it is not: it ends after \d+"):
        read_frames(what, 0, 2, DEFAULT)
    at = 132 + 12 + int.from_bytes(raw[140:144], "little")
    path.write_bytes(raw[:at] + b"\xff" * 8 + raw[at + 8 :])
    with pytest.raises(FormatError, match=r"a whole deflated file, it is not: Error -3"):
        read_frames(what, 0, 2, DEFAULT)


def test_inflates_a_frame_no_further_than_its_header_promises(tmp_path: Path) -> None:
    values = np.zeros((1, 20, 24, 1), np.uint8)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = engine.compress(bytes(20 << 20)) + engine.flush()
    path = write_packed(tmp_path, values, [bomb], TransferSyntaxUID=DEFLATED_FRAMES)
    tracemalloc.start()
    assert np.array_equal(read(path), values)
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()
    path = write_packed(
        tmp_path, values, [bomb], TransferSyntaxUID=DEFLATED_FRAMES, Rows=30_000, Columns=30_000
    )
    with pytest.raises(FormatError, match="a frame inflates to"):
        read(path)


# ---- headers of codestreams, run lengths


@given(st.binary(max_size=200))
def test_reads_no_size_from_noise(data: bytes) -> None:
    for head, start in ((jpeg_head, b"\xff\xd8"), (j2k_head, b"\xff\x4f\xff\x51")):
        for stream in (data, start + data):
            said = ""
            try:
                said = f"codestream of {head(stream).precision} bits"
            except ValueError as error:
                said = str(error)
            assert "codestream" in said


def test_says_why_a_codestream_is_none() -> None:
    with pytest.raises(ValueError, match="does not begin with the JPEG start marker"):
        jpeg_head(b"GIF89a")
    with pytest.raises(ValueError, match="ends before the JPEG frame header"):
        jpeg_head(b"\xff\xd8\xff\xd9")
    with pytest.raises(ValueError, match="does not begin with the JPEG 2000 size segment"):
        j2k_head(bytes(100))
    stream = bytearray(encode("jpeg2k", noise((20, 24, 1), 8), 8))
    stream[24:28] = bytes(4)
    with pytest.raises(ValueError, match="an empty image or empty tiles"):
        j2k_head(bytes(stream))


def test_reads_the_size_behind_fill_bytes_and_restart_marks() -> None:
    stream = encode("lossless", noise((20, 24, 1), 12), 12)
    padded = stream[:2] + b"\xff\xff\xff\xd0\xff\x01" + stream[2:]
    head = jpeg_head(padded)
    assert (head.rows, head.columns, head.samples, head.precision) == (20, 24, 1, 12)


@given(
    st.lists(st.sampled_from([0, 0, 0, 7, 255]), min_size=12, max_size=12),
    st.sampled_from([("u1", 1), ("u1", 3), ("u2", 1), ("u4", 1)]),
)
def test_run_lengths_come_back(drawn: list[int], kind: tuple[str, int]) -> None:
    depth, samples = kind
    frame = np.resize(np.array(drawn), (3, 5, samples)).astype(f"<{depth}")
    frame *= frame.dtype.type(1) if depth == "u1" else frame.dtype.type(257)
    back = unpack_rle(run_lengths(frame), 3, 5, (samples, frame.dtype.itemsize))
    assert np.array_equal(back, frame)


@given(st.binary(max_size=120))
def test_run_lengths_of_noise_fill_exactly_or_are_refused(data: bytes) -> None:
    head = np.array([1, 64] + [0] * 14, "<u4").tobytes()
    slow: list[int] = []
    at = 0
    while at < len(data) and len(slow) < 16:
        control, at = data[at], at + 1
        if control < 128:
            slow += data[at : at + control + 1]
            at += control + 1
        elif control > 128:
            slow += list(data[at : at + 1]) * (257 - control)
            at += 1
    if len(slow) < 16:
        with pytest.raises(ValueError, match="a run-length segment holds"):
            unpack_rle(head + data, 4, 4, (1, 1))
    else:
        assert unpack_rle(head + data, 4, 4, (1, 1)).ravel().tolist() == slow[:16]


def test_refuses_run_lengths_with_other_segments() -> None:
    data = run_lengths(noise((3, 4, 1), 16))
    with pytest.raises(ValueError, match="must have 1 segments, it has 2"):
        unpack_rle(data, 3, 4, (1, 1))
    wrong = data[:4] + (4000).to_bytes(4, "little") + data[8:]
    with pytest.raises(ValueError, match="a run-length frame must have 2 segments"):
        unpack_rle(wrong, 3, 4, (1, 2))


def test_every_encapsulated_syntax_is_known_to_pydicom() -> None:
    for syntax in SYNTAXES:
        if syntax.rsplit(".", 1)[1] not in ("53", "55") and syntax != DEFLATED_FRAMES:
            assert uid.UID(syntax).is_encapsulated, syntax


# ---- real files


def test_decodes_the_real_compressed_files_as_simpleitk_does(
    data_dir: Path, tmp_path: Path
) -> None:
    import SimpleITK as sitk

    with tarfile.open(data_dir / "dicom" / "mr_orient_axial" / "dicom.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    seen = set()
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        what = packed(path)
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert np.array_equal(read(path)[..., 0], theirs)
        seen.add(SYNTAXES.get(what.syntax, "native"))
    assert seen == {"native", "lossless", "jpeg2k"}


def test_refuses_what_a_codec_gives_beyond_its_header(tmp_path: Path) -> None:
    # a palette inside a codestream may turn one sample into three
    what = packed(write_pixels(tmp_path, noise((1, 5, 4, 1), 16)))
    for values in (np.zeros((5, 4, 3), np.uint16), np.zeros((5, 4), np.uint32)):
        with pytest.raises(ValueError, match=r"its codestream gives .* where the header promises"):
            _pixels._settle(values, 16, what)


def test_refuses_a_jpeg_without_its_end(tmp_path: Path) -> None:
    values = smooth((1, 64, 48, 1), 8)
    stream = imagecodecs.jpeg8_encode(values[0, ..., 0])
    path = write_packed(tmp_path, values, [stream[:-2]], TransferSyntaxUID=uid.JPEGBaseline8Bit)
    with pytest.raises(FormatError, match="a codestream ends without its end mark"):
        read(path)
