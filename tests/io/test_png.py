"""PNG: exact integers at 8 and 16 bits, grey and colour."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import make_phantom, oblique_affine
from PIL import Image as Pillow

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError

MAGIC = b"\x89PNG\r\n\x1a\n"


def slice_of(channels: int, dtype: torch.dtype, generator: torch.Generator) -> Image:
    high = 256 if dtype == torch.uint8 else 65536
    data = torch.randint(0, high, (channels, 1, 9, 7), generator=generator).to(dtype)
    return Image(data, Grid((1, 9, 7), oblique_affine()), "HU")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def filtered(samples: np.ndarray, kinds: list[int]) -> bytes:
    """Encode 16-bit RGB with the given row filters: the slow loop of the standard, section 9."""
    step = 6
    raw = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8).astype(int)
    out = b""
    for y, kind in enumerate(kinds):
        row = [kind]
        for x, value in enumerate(raw[y]):
            a = raw[y, x - step] if x >= step else 0
            b = raw[y - 1, x] if y else 0
            c = raw[y - 1, x - step] if y and x >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        out += bytes(int(v) for v in row)
    head = struct.pack(">IIBBBBB", samples.shape[1], len(samples), 16, 2, 0, 0, 0)
    return MAGIC + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(out)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_keeps_values_place_unit_and_names(
    tmp_path: Path, generator: torch.Generator, channels: int, dtype: torch.dtype
) -> None:
    image = slice_of(channels, dtype, generator)
    io.save(image, tmp_path / "a.png")
    back = io.open(tmp_path / "a.png").read()
    assert torch.equal(back.data, image.data)
    assert torch.equal(back.grid.affine, image.grid.affine)
    assert (back.unit, back.dtype) == ("HU", dtype)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_agrees_with_simpleitk(
    tmp_path: Path, generator: torch.Generator, channels: int, dtype: torch.dtype
) -> None:
    image = slice_of(channels, dtype, generator)
    io.save(image, tmp_path / "ours.png")
    theirs = sitk.ReadImage(str(tmp_path / "ours.png"))
    assert torch.equal(io.from_simpleitk(theirs).data, image.data)
    sitk.WriteImage(theirs, str(tmp_path / "theirs.png"), True)
    handle = io.open(tmp_path / "theirs.png")
    assert torch.equal(handle.read().data, image.data)
    assert handle.findings[0].code == "no-spacing"
    assert handle.grid.spacing_mm == (1, 1, 1)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds=st.lists(st.integers(0, 4), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_undoes_every_row_filter(tmp_path: Path, kinds: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 65536, (len(kinds), 4, 3))
    (tmp_path / "a.png").write_bytes(filtered(samples, kinds))
    back = io.open(tmp_path / "a.png").read()
    assert np.array_equal(back.data[:, 0].movedim(0, -1).numpy(), samples)
    assert back.channels == ("R", "G", "B")


def test_reads_palettes_and_single_bits(tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    Pillow.fromarray(grey).convert("P").save(tmp_path / "p.png")
    handle = io.open(tmp_path / "p.png")
    assert "palette" in [f.code for f in handle.findings]
    assert torch.equal(handle.read().data[:, 0], torch.from_numpy(grey).expand(3, 5, 7))
    Pillow.fromarray(grey > 16).save(tmp_path / "b.png")
    assert torch.equal(io.open_labels(tmp_path / "b.png").mask(1)[0], torch.from_numpy(grey > 16))


def test_says_that_a_resolution_is_not_trusted(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "a.png", dpi=(96, 96))
    assert "often that of a screen" in io.open(tmp_path / "a.png").findings[0].message


def test_keeps_label_names(tmp_path: Path) -> None:
    data = make_phantom(torch.uint8, shape=(1, 5, 6)).data
    labels = Labels(data, Grid.from_spacing((1, 5, 6)), {(0, 1): "cell"})
    io.save(labels, tmp_path / "a.png")
    assert io.open_labels(tmp_path / "a.png").name(1) == "cell"


@pytest.mark.parametrize("shape", [(2, 5, 6, 1), (1, 5, 6, 5)])
def test_refuses_volumes_and_many_channels(
    tmp_path: Path, shape: tuple[int, int, int, int]
) -> None:
    image = make_phantom(torch.uint8, channels=shape[3], shape=shape[:3])
    with pytest.raises(FormatError, match="PNG must have one slice and at most 4 channels, got z"):
        io.save(image, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("dtype", "value"), [(torch.float32, 1), (torch.int16, -1), (torch.int32, 65536)]
)
def test_refuses_values_that_it_would_change(
    tmp_path: Path, dtype: torch.dtype, value: int
) -> None:
    image = make_phantom(dtype, shape=(1, 5, 6)).map(lambda x: x * 0 + value)
    with pytest.raises(FormatError, match="PNG must hold integers from 0 to 65535, got"):
        io.save(image, tmp_path / "a.png")


def test_refuses_what_is_no_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a" * 10)
    with pytest.raises(FormatError, match="must be a PNG file, its first bytes are not"):
        io.open(tmp_path / "a.png")
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 5, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(MAGIC + head)
    with pytest.raises(FormatError, match=r"must have a known colour type, it has .* at .* bits"):
        io.open(tmp_path / "a.png")


def test_refuses_huge_claims(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(MAGIC + head)
    with pytest.raises(FormatError, match="its header claims 2147483647 x 2147483647 x 4 samples"):
        io.open(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_refuses_truncated_data(
    tmp_path: Path, generator: torch.Generator, channels: int, dtype: torch.dtype
) -> None:
    io.save(slice_of(channels, dtype, generator), tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) - 60])
    with pytest.raises(FormatError, match="must hold all samples that its header promises"):
        io.open(tmp_path / "a.png").read()


def test_refuses_too_few_rows(tmp_path: Path) -> None:
    data = filtered(np.zeros((2, 4, 3), int), [0, 0])
    body = chunk(b"IDAT", zlib.compress(bytes(25))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data[:33] + body)
    with pytest.raises(FormatError, match=r" of .* bytes are there"):
        io.open(tmp_path / "a.png").read()


def test_refuses_filters_that_do_not_exist(tmp_path: Path) -> None:
    data = bytearray(filtered(np.zeros((1, 4, 3), int), [0]))
    body = zlib.compress(bytes([9]) + bytes(24))
    (tmp_path / "a.png").write_bytes(bytes(data[:33]) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    with pytest.raises(FormatError, match="row filter 9 does not exist"):
        io.open(tmp_path / "a.png").read()


def test_refuses_interlaced_deep_colour(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 16, 2, 0, 0, 1))
    (tmp_path / "a.png").write_bytes(MAGIC + head + chunk(b"IEND", b""))
    with pytest.raises(FormatError, match="interlaced 16-bit colour is not read"):
        io.open(tmp_path / "a.png").read()


@pytest.mark.parametrize("text", [b"[1]", b"{", b'"a"'])
def test_refuses_a_damaged_position(tmp_path: Path, text: bytes) -> None:
    data = filtered(np.zeros((1, 4, 3), int), [0])
    note = chunk(b"tEXt", b"vesalius-affine\0" + text)
    (tmp_path / "a.png").write_bytes(data[:33] + note + data[33:])
    with pytest.raises(FormatError, match="must have a 4 x 4 position, its comment is damaged"):
        io.open(tmp_path / "a.png")
