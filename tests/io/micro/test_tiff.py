"""TIFF: stacks, axes, spacing, tiles, pyramids, ImageJ's calibration, and files that lie."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from micro_files import ramp
from phantoms_io import make_phantom

from vesalius import io
from vesalius.errors import FormatError, ShapeError
from vesalius.io import Budget
from vesalius.io.micro._chain import check_chain
from vesalius.io.micro._pages import check_deflate


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


def write(path: Path, data: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, data, **{"metadata": None, "photometric": "minisblack"} | options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_every_number_type_in_both_byte_orders(tmp_path, dtype, order) -> None:
    data = ramp(3, 7, 5, dtype=dtype)
    path = write(tmp_path / "a.tif", data, byteorder=order)
    back = io.open(path).read()
    assert back.grid.shape == (3, 7, 5)
    np.testing.assert_array_equal(back.data[0].numpy(), data)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 5}])
def test_agrees_with_tifffile_for_tiles_strips_and_codecs(tmp_path, compression, layout) -> None:
    data = np.random.default_rng(1).integers(0, 4000, (2, 45, 70)).astype(np.uint16)
    predictor = compression in ("zlib", "lzw", "zstd")
    path = write(tmp_path / "a.tif", data, compression=compression, predictor=predictor, **layout)
    back = io.open(path).read()
    np.testing.assert_array_equal(back.data[0].numpy(), tifffile.imread(path))


@pytest.mark.parametrize("big", [False, True])
def test_reads_bigtiff(tmp_path, big: bool) -> None:
    path = write(tmp_path / "a.btf", ramp(6, 5), bigtiff=big)
    handle = io.open(path)
    assert handle.meta["big"] is big
    np.testing.assert_array_equal(handle.read().data[0, 0].numpy(), ramp(6, 5))


@pytest.mark.parametrize(("planar", "shape"), [("contig", (8, 6, 3)), ("separate", (3, 8, 6))])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_colours_become_channels(tmp_path, planar, shape, tile) -> None:
    data = ramp(*shape)
    path = write(tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar, tile=tile)
    back = io.open(path).read()
    wanted = np.moveaxis(data, -1, 0) if planar == "contig" else data
    assert back.channels == ("R", "G", "B")
    np.testing.assert_array_equal(back.data[:, 0].numpy(), wanted)


def test_a_stack_of_colours_keeps_slices_and_channels_apart(tmp_path) -> None:
    data = ramp(4, 8, 6, 3, dtype="uint16")
    path = write(tmp_path / "a.tif", data, photometric="rgb")
    back = io.open(path).read()
    assert back.grid.shape == (4, 8, 6)
    np.testing.assert_array_equal(back.data.numpy(), np.moveaxis(data, -1, 0))


def test_pages_of_unknown_meaning_count_as_slices_and_say_so(tmp_path) -> None:
    handle = io.open(write(tmp_path / "a.tif", ramp(4, 8, 6)))
    assert handle.grid.shape == (4, 8, 6)
    assert "axis-assumed" in codes(handle)


@pytest.mark.parametrize("axes", ["TZCYX", "ZCYX", "CYX", "TYX", "ZYX", "CZYX", "ZTYX"])
def test_named_axes_go_where_they_belong(tmp_path, axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}
    data = ramp(*(sizes[a] for a in axes), dtype="uint16")
    path = write(tmp_path / "a.tif", data, metadata={"axes": axes})
    handle = io.open(path, frames="channels")
    frames = sizes["T"] if "T" in axes else 1
    wanted = data.reshape([sizes[a] if a in axes else 1 for a in axes])
    at = [axes.index(a) for a in "TCZYX" if a in axes]
    wanted = wanted.transpose(at).reshape(frames * (4 if "C" in axes else 1), -1, 5, 6)
    np.testing.assert_array_equal(handle.read().data.numpy(), wanted)
    if frames > 1:
        assert io.open(path).content.frames == 2
        assert "no-times" in codes(io.open(path))


def test_refuses_axes_that_are_neither_space_time_nor_channel(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(2, 3, 5, 6), metadata={"axes": "ARYX"})
    with pytest.raises(FormatError, match=r"must have axes of time, channel, z, y and x"):
        io.open(path)


def test_two_axes_of_unknown_meaning_are_refused_not_guessed(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(2, 3, 5, 6), metadata={"axes": "QZYX"})
    with pytest.raises(FormatError, match=r"must have axes of time, channel, z, y and x"):
        io.open(path)


@pytest.mark.parametrize(("unit", "per", "mm"), [(3, 25000.0, 4e-4), (2, 50800.0, 5e-4)])
def test_resolution_in_a_unit_of_length_gives_the_spacing(tmp_path, unit, per, mm) -> None:
    path = write(tmp_path / "a.tif", ramp(6, 5), resolution=(per, 2 * per), resolutionunit=unit)
    handle = io.open(path)
    assert handle.grid.spacing_mm[1:] == pytest.approx((mm / 2, mm), rel=1e-6)
    assert "no-spacing" not in codes(handle)


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_the_resolution_of_a_screen_is_no_spacing(tmp_path, dpi: int) -> None:
    path = write(tmp_path / "a.tif", ramp(6, 5), resolution=(dpi, dpi), resolutionunit=2)
    handle = io.open(path)
    assert handle.grid.spacing_mm == (1.0, 1.0, 1.0)
    assert {"print-resolution", "no-spacing"} <= codes(handle)


def test_the_resolution_of_a_screen_in_centimetres_is_known_too(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(6, 5), resolution=(28.3465, 28.3465), resolutionunit=3)
    assert "print-resolution" in codes(io.open(path))


def test_a_resolution_without_a_unit_is_no_spacing(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(6, 5), resolution=(5, 5), resolutionunit=1)
    assert io.open(path).grid.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m"])
def test_reads_the_calibration_of_imagej(tmp_path, unit: str) -> None:
    path = tmp_path / "a.tif"
    told = {"unit": unit, "spacing": 2.0, "finterval": 0.5, "axes": "TZCYX", "yorigin": 10.0}
    data = ramp(2, 3, 2, 5, 6, dtype="uint16")
    tifffile.imwrite(path, data, imagej=True, resolution=(4.0, 5.0), metadata=told)
    handle = io.open(path)
    assert handle.meta["format"] == "ImageJ TIFF"
    assert handle.grid.spacing_mm == pytest.approx((2e-3, 2e-4, 2.5e-4), rel=1e-6)
    assert handle.grid.origin_mm == pytest.approx((0.0, -2e-3, 0.0), abs=1e-12)
    assert handle.content.times_s == (0.0, 0.5)
    np.testing.assert_array_equal(handle.read_series().data.numpy(), data.transpose(0, 2, 1, 3, 4))


def test_reads_the_micro_sign_in_latin_1(tmp_path) -> None:
    told = b"ImageJ=1.53t\nunit=\xb5m\nloop=false\n"
    path = write(tmp_path / "a.tif", ramp(5, 6), description=told, resolution=(4, 4))
    assert io.open(path).grid.spacing_mm[1:] == pytest.approx((2.5e-4, 2.5e-4), rel=1e-6)


def test_an_imagej_file_in_pixels_has_no_spacing(tmp_path) -> None:
    path = tmp_path / "a.tif"
    told = {"unit": "pixel", "spacing": 2.0}
    tifffile.imwrite(path, ramp(3, 5, 6), imagej=True, resolution=(1, 1), metadata=told)
    assert "no-spacing" in codes(io.open(path))


def test_a_stack_without_slice_distance_says_what_was_assumed(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(3, 6, 5), resolution=(1e4, 1e4), resolutionunit=3)
    handle = io.open(path)
    assert handle.grid.spacing_mm == pytest.approx((1e-3, 1e-3, 1e-3), rel=1e-6)
    assert "no-z-spacing" in codes(handle)


def test_several_series_give_several_handles(tmp_path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(ramp(6, 5), metadata=None)
        tif.write(ramp(9, 8, dtype="uint16"), metadata=None)
    first, second = io.scan(path)
    assert (first.name, second.name) == ("a.tif#0", "a.tif#1")
    np.testing.assert_array_equal(second.read().data[0, 0].numpy(), ramp(9, 8))
    with pytest.raises(FormatError, match="must hold one volume, it holds 2"):
        io.open(path)


def test_a_pyramid_in_subifds_gives_levels_that_cover_the_same_area(tmp_path) -> None:
    path = tmp_path / "a.tif"
    big, small = ramp(64, 48, dtype="uint16"), ramp(32, 24, dtype="uint16")
    with tifffile.TiffWriter(path) as tif:
        tif.write(big, subifds=1, resolution=(1e4, 1e4), resolutionunit=3, tile=(16, 16))
        tif.write(small, subfiletype=1, tile=(16, 16))
    handle = io.open(path)
    assert [grid.shape for grid in handle.coarser] == [(1, 32, 24)]
    level = handle.read((slice(0, 1), slice(3, 9), slice(5, 20)), level=1)
    np.testing.assert_array_equal(level.data[0, 0].numpy(), small[3:9, 5:20])
    assert handle.coarser[0].spacing_mm[1:] == pytest.approx((2e-3, 2e-3), rel=1e-6)
    assert handle.coarser[0].origin_mm == pytest.approx((5e-4, 5e-4, 0.0), rel=1e-6)


def aperio(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A small slide as Aperio writes it: base, thumbnail, one level, label, macro."""
    big, small = ramp(96, 80, 3), ramp(48, 40, 3)
    told = "Aperio Image Library v1\n96x80 |AppMag = 40|MPP = 0.2521|User = secret"
    with tifffile.TiffWriter(path) as tif:
        tif.write(big, tile=(16, 16), description=told, metadata=None, photometric="rgb")
        tif.write(ramp(12, 10, 3), metadata=None, photometric="rgb")
        tif.write(small, tile=(16, 16), description="Aperio", metadata=None, photometric="rgb")
        for kind, what in ((1, "label"), (9, "macro")):
            told = f"Aperio\n{what} 10x10"
            page = {"description": told, "subfiletype": kind, "metadata": None}
            tif.write(ramp(10, 10, 3), photometric="rgb", **page)
    return big, small


def test_a_slide_is_its_baseline_with_levels_and_no_label(tmp_path) -> None:
    big, small = aperio(tmp_path / "a.svs")
    handle = io.open(tmp_path / "a.svs")
    assert handle.grid.spacing_mm[1:] == pytest.approx((0.2521e-3, 0.2521e-3))
    assert "slide-extras" in codes(handle)
    region = (slice(0, 1), slice(17, 50), slice(3, 30))
    part = handle.read(region).data[:, 0].numpy()
    np.testing.assert_array_equal(part, np.moveaxis(big[17:50, 3:30], -1, 0))
    level = handle.read(level=1).data[:, 0].numpy()
    np.testing.assert_array_equal(level, np.moveaxis(small, -1, 0))
    assert "secret" not in repr(handle)


def spoil(path: Path, page: int, segment: int) -> None:
    """Overwrite one tile or strip with bytes that no decoder takes."""
    with tifffile.TiffFile(path) as tif:
        found = tif.pages[page]
        offset, count = found.dataoffsets[segment], found.databytecounts[segment]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)


def test_a_region_reads_only_the_tiles_that_it_touches(tmp_path) -> None:
    data = ramp(64, 64, dtype="uint16")
    path = write(tmp_path / "a.tif", data, tile=(16, 16), compression="zlib")
    spoil(path, 0, 15)
    handle = io.open(path)
    part = handle.read((slice(0, 1), slice(0, 48), slice(10, 64))).data[0, 0].numpy()
    np.testing.assert_array_equal(part, data[:48, 10:])
    with pytest.raises(FormatError, match="must be a whole TIFF file"):
        handle.read()


def test_a_region_reads_only_its_slices(tmp_path) -> None:
    data = ramp(4, 20, 20, dtype="uint16")
    path = write(tmp_path / "a.tif", data, compression="zlib")
    spoil(path, 2, 0)
    handle = io.open(path)
    np.testing.assert_array_equal(
        handle.read((slice(3, 4), slice(0, 20), slice(0, 20))).data[0].numpy(), data[3:]
    )
    with pytest.raises(FormatError, match="must be a whole TIFF file"):
        handle.read((slice(2, 3), slice(0, 20), slice(0, 20)))


@pytest.mark.parametrize("start", [(0, 0), (3, 7), (15, 15), (16, 31), (44, 69)])
@pytest.mark.parametrize("layout", [{"tile": (16, 32)}, {"rowsperstrip": 7}, {}])
def test_a_region_equals_the_part_of_the_whole(tmp_path, start, layout) -> None:
    data = ramp(45, 70, dtype="uint16")
    path = write(tmp_path / "a.tif", data, compression="zlib", **layout)
    y, x = start
    region = (slice(0, 1), slice(y, min(y + 20, 45)), slice(x, min(x + 30, 70)))
    part = io.open(path).read(region).data[0].numpy()
    np.testing.assert_array_equal(part, data[None][region])


def test_jpeg_tiles_agree_with_tifffile(tmp_path) -> None:
    rng = np.random.default_rng(3)
    data = np.kron(rng.integers(0, 255, (6, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    path = write(tmp_path / "a.tif", data, tile=(32, 32), compression="jpeg", photometric="rgb")
    back = io.open(path).read().data[:, 0].numpy()
    np.testing.assert_array_equal(np.moveaxis(back, 0, -1), tifffile.imread(path))


def test_a_jpeg_tile_that_claims_more_than_its_place_is_refused(tmp_path) -> None:
    data = np.zeros((64, 64), np.uint8)
    path = write(tmp_path / "a.tif", data, tile=(32, 32), compression="jpeg")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\xff\xc0")
    raw[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"must hold JPEG tiles of 32 x 32"):
        io.open(path).read()


def test_single_bits_become_bytes(tmp_path) -> None:
    data = ramp(9, 11) % 2 == 0
    path = write(tmp_path / "a.tif", data, compression="packbits")
    back = io.open(path).read()
    assert back.dtype == torch.uint8
    np.testing.assert_array_equal(back.data[0, 0].numpy(), data)


def test_palette_and_inverted_grey_are_left_and_told(tmp_path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    one = write(tmp_path / "a.tif", ramp(5, 6), photometric="palette", colormap=colours)
    two = write(tmp_path / "b.tif", ramp(5, 6), photometric="miniswhite")
    assert "palette" in codes(io.open(one))
    assert "inverted" in codes(io.open(two))
    assert torch.equal(io.open(two).read().data, io.open(one).read().data)


def test_refuses_complex_numbers(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(5, 6).astype(np.complex64))
    with pytest.raises(FormatError, match="must hold real numbers of 8 to 64 bits"):
        io.open(path)


@pytest.mark.parametrize("keep", [4, 7, 30, 200])
def test_refuses_a_truncated_header(tmp_path, keep: int) -> None:
    path = write(tmp_path / "a.tif", ramp(3, 50, 60))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match=r"must be a (whole )?TIFF file|no pages|truncated"):
        io.open(path).read()


def test_refuses_truncated_samples(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(90, 80), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
    path.write_bytes(path.read_bytes()[: offset + 10])
    with pytest.raises(FormatError, match="the file is truncated, copy it again"):
        io.open(path).read()


def test_refuses_a_truncated_stack_of_imagej(tmp_path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(8, 50, 60, dtype="uint16"), imagej=True)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(FormatError, match=r"after 1 the next link leads to byte \d+ of"):
        io.open(path)


def test_refuses_samples_that_end_early_in_a_stack_of_one_header(tmp_path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(8, 50, 60, dtype="uint16"))
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
    raw = path.read_bytes()
    assert len(raw) - offset >= 48_000
    with tifffile.TiffFile(path) as tif:
        link = tif.pages[0].offset + 2 + 12 * len(tif.pages[0].tags)
    path.write_bytes((raw[:link] + bytes(4) + raw[link + 4 :])[: offset + 40_000])
    with pytest.raises(FormatError, match="bytes of samples, fewer are there"):
        io.open(path).read()


def test_refuses_what_is_no_tiff(tmp_path) -> None:
    (tmp_path / "a.tif").write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(FormatError, match=r"'a.tif' must be a TIFF file, its first bytes are not"):
        io.open(tmp_path / "a.tif")


def claim(path: Path, tag: int, value: int) -> Path:
    """Overwrite an entry of the first page's header."""
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags[tag].valueoffset
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<I", value))
    return path


def test_a_header_that_claims_too_much_is_refused_before_allocation(tmp_path) -> None:
    data = np.zeros((64, 64), np.uint32)
    path = write(tmp_path / "a.tif", data, tile=(16, 16), compression="zlib", bigtiff=True)
    for tag in (256, 257):
        claim(path, tag, 60_000)
    handle = io.open(path, budget=Budget(bytes=1 << 28))
    with pytest.raises(FormatError, match=r"its header claims .* samples"):
        handle.read()


def test_a_file_that_lists_too_few_tiles_is_refused(tmp_path) -> None:
    data = np.zeros((64, 64), np.uint8)
    path = write(tmp_path / "a.tif", data, tile=(16, 16), compression="zlib", bigtiff=True)
    for tag in (256, 257):
        claim(path, tag, 400)
    with pytest.raises(FormatError, match=r"must list all its tiles or strips"):
        io.open(path).read()


def test_a_strip_that_grows_beyond_its_budget_is_refused(tmp_path) -> None:
    data = np.zeros((2000, 2000), np.uint8)
    path = write(tmp_path / "a.tif", data, compression="zlib", rowsperstrip=2000)
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        io.open(path, budget=Budget(free_bytes=1 << 20)).read()
    assert int(io.open(path).read().data.sum()) == 0


def test_tiles_that_a_sparse_file_leaves_out_are_empty(tmp_path) -> None:
    data = np.ones((32, 32), np.uint8)
    path = write(tmp_path / "a.tif", data, tile=(16, 16), compression="zlib", bigtiff=True)
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags[325].valueoffset
        size = 2 if tif.pages[0].tags[325].dtype == 3 else 8
    with path.open("r+b") as file:
        file.seek(at + size)
        file.write(bytes(size))
    back = io.open(path).read().data[0, 0].numpy()
    assert back[:16, 16:].sum() == 0
    assert back.sum() == 3 * 256


def test_pages_with_depth_are_refused(tmp_path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, ramp(16, 32, 32), tile=(16, 16, 16), volumetric=True, metadata=None,
        compression="zlib", photometric="minisblack",
    )  # fmt: skip
    with pytest.raises(FormatError, match=r"must have flat pages, one is 16 deep|must have axes"):
        io.open(path).read()


def test_codecs_whose_cost_is_unknown_are_refused(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(32, 32), compression="zlib", bigtiff=True)
    handle = io.open(claim(path, 259, 50001))
    with pytest.raises(FormatError, match="must be compressed with a codec whose cost is known"):
        handle.read()


def test_jpeg_2000_tiles_are_read_and_bounded(tmp_path) -> None:
    data = np.random.default_rng(2).integers(0, 255, (64, 64)).astype(np.uint8)
    path = write(tmp_path / "a.tif", data, tile=(32, 32), compression="jpeg2000")
    np.testing.assert_array_equal(io.open(path).read().data[0, 0].numpy(), tifffile.imread(path))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\xff\x4f\xff\x51")
    raw[at + 8 : at + 16] = struct.pack(">II", 1 << 17, 1 << 17)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"must hold JPEG tiles of 32 x 32"):
        io.open(path).read()


def test_a_deflated_strip_is_bounded_without_imagecodecs_too() -> None:
    packed = zlib.compress(bytes(1 << 20))
    check_deflate("a.tif", packed, 1 << 20)
    check_deflate("a.tif", b"no stream", 10)
    with pytest.raises(FormatError, match="must hold tiles or strips of 1000 bytes, one unpacks"):
        check_deflate("a.tif", packed, 1000)


def test_a_chain_of_pages_that_leads_back_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(2, 5, 6), contiguous=False)
    with tifffile.TiffFile(path) as tif:
        first, second = tif.pages[0].offset, tif.pages[1].offset
        link = second + 2 + 12 * len(tif.pages[1].tags)
    with path.open("r+b") as file:
        file.seek(link)
        file.write(struct.pack("<I", first))
    with pytest.raises(FormatError, match="after 2 the next link leads back"):
        io.open(path)


def test_a_file_with_too_many_pages_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.tif", ramp(5, 5, 6), contiguous=False)
    assert check_chain(path, Budget()) == 5
    with pytest.raises(FormatError, match="must hold at most 4 pages"):
        io.open(path, budget=Budget(files=4))


def test_a_chain_without_pages_is_refused(tmp_path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(8))
    with pytest.raises(FormatError, match="it has no pages"):
        io.open(tmp_path / "a.tif")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=6))
def test_no_damage_makes_it_fail_otherwise(tmp_path_factory, changes) -> None:
    folder = tmp_path_factory.getbasetemp()
    made = folder / "good.ome.tif"
    if not made.exists():
        io.save(make_phantom(torch.uint8, shape=(2, 5, 6)), made)
    raw = bytearray(made.read_bytes())
    for at, value in changes:
        raw[at % len(raw)] = value
    path = folder / "bad.ome.tif"
    path.write_bytes(raw)
    try:
        for handle in io.scan(path, budget=Budget(bytes=1 << 24)):
            handle.read()
    except (FormatError, ShapeError) as error:
        assert "bad.ome.tif" in str(error) or "samples" in str(error)  # noqa: PT017
