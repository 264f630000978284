"""Pixels against DCMTK: what its encoders packed comes out as its decoders unpack it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pixel_files import noise, packed, smooth, write_pixels

from vesalius.io._budget import DEFAULT
from vesalius.io.dicom._pixels import read_frames

TOOLS = ("dcmcjpeg", "dcmdjpeg", "dcmcjpls", "dcmdjpls", "dcmcrle", "dcmdrle")
pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in TOOLS), reason="DCMTK is not installed"
)

EXACT = [
    ("dcmcrle", []),
    ("dcmcjpeg", ["+e1"]),
    ("dcmcjpeg", ["+el", "+sv", "7"]),
    ("dcmcjpls", ["+el"]),
]
LOSSY = [
    ("dcmcjpeg", ["+eb"], 8),
    ("dcmcjpeg", ["+ee"], 12),
    ("dcmcjpeg", ["+es"], 8),
    ("dcmcjpeg", ["+ep"], 8),
    ("dcmcjpls", ["+en"], 12),
]


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


def compress(path: Path, tool: str, options: list[str]) -> Path:
    out = path.with_name("packed.dcm")
    run(tool, *options, path, out)
    assert pydicom.dcmread(out, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_encapsulated
    return out


def unpack(path: Path, tool: str) -> np.ndarray:
    """Decode with DCMTK, colours to interleaved RGB."""
    out = path.with_name("plain.dcm")
    run(tool.replace("dcmc", "dcmd"), *(["+cp"] if tool == "dcmcjpeg" else []), path, out)
    return pydicom.dcmread(out).pixel_array


def read(path: Path) -> np.ndarray:
    what = packed(path)
    return read_frames(what, 0, what.frames, DEFAULT)


@pytest.mark.parametrize(("tool", "options"), EXACT, ids=str)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (16, True)])
def test_reads_what_dcmtk_packed_without_loss(
    tmp_path: Path, tool: str, options: list[str], bits: int, signed: bool
) -> None:
    values = noise((2, 20, 24, 1), bits, signed=signed)
    path = compress(write_pixels(tmp_path, values, BitsStored=bits), tool, options)
    assert np.array_equal(read(path), values)


@pytest.mark.parametrize(("tool", "options"), EXACT, ids=str)
def test_reads_colours_that_dcmtk_packed_without_loss(
    tmp_path: Path, tool: str, options: list[str]
) -> None:
    values = noise((2, 20, 24, 3), 8)
    path = compress(write_pixels(tmp_path, values), tool, options)
    assert np.array_equal(read(path), values)


@pytest.mark.parametrize(("tool", "options", "bits"), LOSSY, ids=str)
def test_agrees_with_dcmtk_on_lossy_grey(
    tmp_path: Path, tool: str, options: list[str], bits: int
) -> None:
    values = smooth((2, 64, 48, 1), bits)
    path = compress(write_pixels(tmp_path, values, BitsStored=bits), tool, options)
    ours, theirs = read(path)[..., 0], unpack(path, tool)
    assert ours.dtype == theirs.dtype
    # inverse cosine transforms may round to either side
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.abs(ours.astype(int) - values[..., 0]).max() <= 0.02 * (1 << bits)


@pytest.mark.parametrize("options", [["+eb"], ["+ep"], ["+eb", "+s4"], ["+eb", "+s2"]])
def test_agrees_with_dcmtk_on_lossy_colour(tmp_path: Path, options: list[str]) -> None:
    values = smooth((1, 64, 48, 3), 8)
    path = compress(write_pixels(tmp_path, values), "dcmcjpeg", options)
    assert packed(path).photometric.startswith("YBR_FULL")
    ours, theirs = read(path)[0], unpack(path, "dcmcjpeg")
    # where chrominance is halved the two fill in between in their own ways
    assert np.abs(ours.astype(int) - theirs).max() <= (2 if "+s4" in options else 8)
    assert np.abs(ours.astype(int) - values[0]).mean() <= 2
