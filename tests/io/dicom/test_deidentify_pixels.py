"""Pixels of de-identified files: the same samples, nothing beside them, text blanked on request."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from deid_files import EXPLICIT, WORD, everything, leaks, outputs, plain, word, words_in, write
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from vesalius.io.dicom import Profile, deidentify
from vesalius.io.dicom._deid_codestream import clean_frame
from vesalius.io.dicom._deid_pixels import LAYOUTS, Mask, known_mask

JPEG = pydicom.uid.JPEGBaseline8Bit
J2K = pydicom.uid.JPEG2000Lossless
JLS = pydicom.uid.JPEGLSLossless
RLE = pydicom.uid.RLELossless
LJPEG = pydicom.uid.JPEGLosslessSV1
COMMENT = word(1).encode()


def picture(size: tuple[int, int] = (24, 32)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return ((y * 7 + x * 3) % 251).astype(np.uint8)


def jpeg_with_words(data: bytes) -> bytes:
    """A JPEG or JPEG-LS with a comment, application data, and bytes behind its end."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    extra = segment(0xFE, COMMENT) + segment(0xE1, b"Exif\0\0" + COMMENT) + segment(0xED, COMMENT)
    return data[:2] + extra + data[2:] + COMMENT


def j2k_with_words(data: bytes) -> bytes:
    """A JPEG 2000 codestream with a comment in its header and bytes behind its end."""
    at = data.index(b"\xff\x52")
    body = struct.pack(">HH", len(COMMENT) + 4, 1) + COMMENT
    return data[:at] + b"\xff\x64" + body + data[at:] + COMMENT


def rle_with_words(data: np.ndarray) -> bytes:
    """An RLE frame with words between its header and its segment, and behind that."""
    plane = b"".join(bytes((len(row) - 1,)) + row.tobytes() for row in data)
    start = 64 + len(COMMENT) + 1
    head = struct.pack("<16I", 1, start, *([0x51] * 14))
    return head + COMMENT + b"_" + plane + COMMENT


STREAMS = {
    JPEG: lambda p: jpeg_with_words(imagecodecs.jpeg8_encode(p, level=95)),
    LJPEG: lambda p: jpeg_with_words(imagecodecs.ljpeg_encode(p, bitspersample=8)),
    JLS: lambda p: jpeg_with_words(imagecodecs.jpegls_encode(p)),
    J2K: lambda p: j2k_with_words(imagecodecs.jpeg2k_encode(p, codecformat="j2k", reversible=True)),
    RLE: rle_with_words,
}
DECODE = {
    JPEG: imagecodecs.jpeg8_decode,
    LJPEG: imagecodecs.ljpeg_decode,
    JLS: imagecodecs.jpegls_decode,
    J2K: imagecodecs.jpeg2k_decode,
}


def compressed(syntax: str, frames: int = 1) -> Dataset:
    pictures = [np.roll(picture(), k, axis=1) for k in range(frames)]
    streams = [STREAMS[syntax](one) for one in pictures]
    streams = [one + b"\0" * (len(one) % 2) for one in streams]
    image = plain(Rows=24, Columns=32, BitsAllocated=8, BitsStored=8, HighBit=7)
    image.PixelData = encapsulate(streams)
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    if frames > 1:
        image.NumberOfFrames = frames
    return image


def run(tmp_path: Path, *options: str, **more: object) -> Path:
    profile = Profile(options, **more)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", options=profile)
    assert done.count("written") == 1, done.text
    return outputs(tmp_path / "out")[0]


def why(tmp_path: Path, *options: str, **more: object) -> str:
    profile = Profile(options, **more)
    done = deidentify(tmp_path / "in", tmp_path / "out", key=tmp_path / "key", options=profile)
    return "; ".join(done.files[0].reasons)


# ---- compressed


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("syntax", list(STREAMS))
def test_compressed_pixels_stay_and_what_hides_beside_them_goes(tmp_path, syntax, frames):
    image = compressed(syntax, frames)
    assert WORD.encode() in image.PixelData
    write(image, tmp_path / "in" / "a.dcm", syntax)
    path = run(tmp_path)
    made = pydicom.dcmread(path)
    assert words_in(everything(tmp_path / "out")) == set()
    assert made.file_meta.TransferSyntaxUID == syntax
    streams = list(generate_frames(made.PixelData, number_of_frames=frames))
    assert len(streams) == frames
    if syntax == RLE:
        assert np.array_equal(made.pixel_array.reshape(frames, 24, 32)[0], picture())
        return
    before = list(generate_frames(image.PixelData, number_of_frames=frames))
    for old, new in zip(before, streams, strict=True):
        assert np.array_equal(DECODE[syntax](old), DECODE[syntax](new))


def test_jpeg_2000_in_boxes_becomes_a_codestream():
    boxed = imagecodecs.jpeg2k_encode(picture(), codecformat="jp2", reversible=True)
    made = clean_frame(boxed, "j2k", 0)
    assert made[:2] == b"\xff\x4f"
    assert np.array_equal(imagecodecs.jpeg2k_decode(made), picture())


@pytest.mark.parametrize("codec", ["jpeg", "j2k", "rle"])
@given(data=st.binary(max_size=200))
def test_no_bytes_but_a_stream_pass(codec, data):
    with pytest.raises(ValueError, match="compressed frame"):
        clean_frame(data, codec, 768)


@pytest.mark.parametrize("syntax", [JPEG, JLS, J2K])
@given(cut=st.integers(4, 200))
def test_a_stream_that_is_cut_off_does_not_pass(syntax, cut):
    whole = STREAMS[syntax](picture())
    codec = "j2k" if syntax == J2K else "jpeg"
    end = len(clean_frame(whole, codec, 0)) // 2
    with pytest.raises(ValueError, match=r"compressed frame|subsection|substring"):
        clean_frame(whole[: min(cut, end)], codec, 0)


@pytest.mark.parametrize(
    ("data", "codec", "message"),
    [
        (b"\xff\xd8\x00", "jpeg", "bytes between its segments"),
        (b"\xff\xd8\xff\x01\x00\x02", "jpeg", "segment of no known kind"),
        (b"GIF", "jpeg", "begins with no JPEG"),
        (b"\xff\xd8\xff\xe0\x00", "jpeg", "ends early"),
        (b"GIF", "j2k", "begins with no JPEG 2000"),
        (b"\xff\x4f\xff\x01\x00\x02", "j2k", "segment of no known kind"),
        (b"\xff\x4f\xff\x90\x00\x09" + bytes(20), "j2k", "bytes between its tiles"),
        (b"\0\0\0\x04jP  " + bytes(20), "j2k", "damaged box"),
        (struct.pack("<16I", 16, *([0] * 15)), "rle", "no RLE segments"),
    ],
)
def test_says_what_is_wrong_with_a_stream(data, codec, message):
    with pytest.raises(ValueError, match=message):
        clean_frame(data, codec, 10)


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_a_file_with_a_broken_stream_is_refused(tmp_path, syntax):
    image = compressed(syntax)
    image.PixelData = encapsulate([STREAMS[syntax](picture())[:70]])
    image["PixelData"].is_undefined_length = True
    write(image, tmp_path / "in" / "a.dcm", syntax)
    assert why(tmp_path).startswith("damaged: ")


def test_a_video_is_refused(tmp_path):
    image = compressed(JPEG)
    write(image, tmp_path / "in" / "a.dcm", pydicom.uid.MPEG2MPML)
    assert why(tmp_path).startswith("damaged: ")


# ---- uncompressed


def test_bits_that_hold_no_value_are_cleared(tmp_path):
    stored = (np.arange(12, dtype=np.uint16) * 300) | 0xA000
    write(plain(PixelData=stored.tobytes()), tmp_path / "in" / "a.dcm")
    made = pydicom.dcmread(run(tmp_path))
    found = np.frombuffer(made.PixelData, np.uint16)
    assert np.array_equal(found, np.arange(12) * 300)


def test_signed_values_keep_their_sign(tmp_path):
    stored = np.arange(-6, 6, dtype=np.int16) * 300
    image = plain(PixelData=(stored & 0x0FFF).tobytes(), PixelRepresentation=1)
    write(image, tmp_path / "in" / "a.dcm")
    made = pydicom.dcmread(run(tmp_path))
    assert np.array_equal(np.frombuffer(made.PixelData, np.int16), stored)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("signed", [0, 1])
def test_whole_words_stay_as_they_are(tmp_path, bits, signed):
    raw = np.random.default_rng(1).integers(0, 256, 12 * bits // 8, dtype=np.uint8).tobytes()
    image = plain(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1, PixelData=raw)
    image.PixelRepresentation = signed
    write(image, tmp_path / "in" / "a.dcm")
    assert pydicom.dcmread(run(tmp_path)).PixelData == raw


def test_float_pixels_stay(tmp_path):
    image = plain(SOPClassUID=pydicom.uid.ParametricMapStorage)
    del image.PixelData, image.BitsStored, image.HighBit
    image.BitsAllocated = 32
    values = np.linspace(-1, 1, 12, dtype=np.float32)
    image.FloatPixelData = values.tobytes() + word(1).encode() + b"___"
    write(image, tmp_path / "in" / "a.dcm")
    made = pydicom.dcmread(run(tmp_path))
    assert made.FloatPixelData == values.tobytes()


def test_too_few_samples_are_refused(tmp_path):
    write(plain(PixelData=bytes(22)), tmp_path / "in" / "a.dcm")
    assert why(tmp_path).startswith("damaged: ")


def test_pixels_without_a_size_are_refused(tmp_path):
    write(plain(Rows=0), tmp_path / "in" / "a.dcm")
    assert why(tmp_path).startswith("damaged: ")


# ---- blanking


def ultrasound(**entries: object) -> Dataset:
    image = plain("US", SOPClassUID=pydicom.uid.UltrasoundMultiFrameImageStorage)
    image.Rows, image.Columns, image.NumberOfFrames = 24, 32, 2
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.BurnedInAnnotation = "YES"
    image.PixelData = np.full((2, 24, 32), 200, np.uint8).tobytes()
    for keyword, value in entries.items():
        setattr(image, keyword, value)
    return image


def frames_of(path: Path) -> np.ndarray:
    made = pydicom.dcmread(path)
    return np.frombuffer(made.PixelData, np.uint8).reshape(2, 24, 32, -1)


def test_rectangles_are_blanked_in_every_frame(tmp_path):
    write(ultrasound(), tmp_path / "in" / "a.dcm")
    path = run(tmp_path, "clean-pixel-data", blank=((0, 0, 32, 5), (10, 20, 4, 99)))
    wanted = np.full((2, 24, 32, 1), 200)
    wanted[:, :5] = 0
    wanted[:, 20:, 10:14] = 0
    made = pydicom.dcmread(path)
    assert np.array_equal(frames_of(path), wanted)
    assert made.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in made.DeidentificationMethodCodeSequence]


def test_all_is_blanked_outside_the_regions_of_an_ultrasound(tmp_path):
    image, region = ultrasound(), Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 4, 6
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 19, 21
    image.SequenceOfUltrasoundRegions = [region]
    write(image, tmp_path / "in" / "a.dcm")
    found = frames_of(run(tmp_path, "clean-pixel-data"))
    assert (found[:, 6:22, 4:20] == 200).all()
    assert int((found == 200).sum()) == 2 * 16 * 16


def test_compressed_pictures_are_blanked_and_written_uncompressed(tmp_path):
    image = compressed(J2K, 2)
    image.SOPClassUID, image.Modality = pydicom.uid.UltrasoundMultiFrameImageStorage, "US"
    write(image, tmp_path / "in" / "a.dcm", J2K)
    path = run(tmp_path, "clean-pixel-data", blank=((0, 0, 32, 5),))
    made = pydicom.dcmread(path)
    assert made.file_meta.TransferSyntaxUID == EXPLICIT
    assert (frames_of(path)[:, :5] == 0).all()
    assert np.array_equal(frames_of(path)[0, 5:, :, 0], picture()[5:])


def test_inverted_pictures_are_blanked_black(tmp_path):
    image = ultrasound(PhotometricInterpretation="MONOCHROME1")
    write(image, tmp_path / "in" / "a.dcm")
    assert (
        frames_of(run(tmp_path, "clean-pixel-data", blank=((0, 0, 4, 4),)))[:, :4, :4] == 255
    ).all()


def test_a_layout_that_is_not_known_is_refused(tmp_path):
    write(ultrasound(), tmp_path / "in" / "a.dcm")
    assert why(tmp_path, "clean-pixel-data").startswith("no-layout: ")


def test_scans_without_burned_in_text_are_not_touched(tmp_path):
    write(plain(), tmp_path / "in" / "a.dcm")
    made = pydicom.dcmread(run(tmp_path, "clean-pixel-data", blank=((0, 0, 4, 3),)))
    assert np.frombuffer(made.PixelData, np.uint16).any()
    assert made.BurnedInAnnotation == "NO"


def test_an_accepted_risk_is_not_called_clean(tmp_path):
    write(ultrasound(), tmp_path / "in" / "a.dcm")
    made = pydicom.dcmread(run(tmp_path, "clean-pixel-data", allow=("burned-in", "ultrasound")))
    codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert codes == ["113100"]
    assert made.BurnedInAnnotation == "YES"


def test_depths_that_cannot_be_blanked_are_refused(tmp_path):
    image = ultrasound(BitsAllocated=1, BitsStored=1, HighBit=0)
    write(image, tmp_path / "in" / "a.dcm")
    reason = why(tmp_path, "clean-pixel-data", blank=((0, 0, 4, 4),))
    assert reason.startswith("damaged: ")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_known_layouts_are_found_and_inside_their_pictures(layout):
    rows, columns = layout.size[0] or 900, layout.size[1] or 1200
    image = plain(layout.modality, Manufacturer=f"{layout.maker} Healthcare", Rows=rows)
    image.Columns, image.ManufacturerModelName = columns, f"{layout.model} 7"
    image.ImageType = ["DERIVED", "SECONDARY", layout.kind or "OTHER"]
    mask = known_mask(image, ())
    gone = mask.array(rows, columns)
    assert mask.why == "a known layout"
    assert set(layout.boxes) <= set(mask.blank)
    assert 0 < gone.mean() < 0.6


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40), st.integers(1, 40))
def test_a_mask_is_its_rectangles(x, y, width, height):
    gone = Mask(((x, y, width, height),)).array(20, 25)
    kept = Mask(keep=((x, y, width, height),)).array(20, 25)
    rows, columns = np.mgrid[:20, :25]
    inside = (rows >= y) & (rows < y + height) & (columns >= x) & (columns < x + width)
    assert np.array_equal(gone, inside)
    assert np.array_equal(kept, ~inside)


def test_nothing_of_an_icon_or_its_pixels_is_left(tmp_path):
    icon = Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated = 3, 6, 8
    icon.PixelData = (word(1) * 2).encode()
    write(plain(IconImageSequence=[icon]), tmp_path / "in" / "a.dcm")
    run(tmp_path)
    assert leaks(everything(tmp_path / "out"), WORD) == []
