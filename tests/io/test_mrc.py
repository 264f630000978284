"""MRC against mrcfile: angstrom, axes in any order, stacks, refused modes."""

import gzip
import itertools
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from vesalius import io
from vesalius.errors import FormatError

ZYX = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def write(path: Path, samples: np.ndarray = ZYX, **fields: object) -> Path:
    """Write with mrcfile, 2, 3, 4 angstrom along x, y, z; then change fields of the header."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(samples)
        file.voxel_size = (2.0, 3.0, 4.0)
        for key, value in fields.items():
            file.header[key] = value
    return path


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint16, np.float32, np.float16])
def test_agrees_with_mrcfile(tmp_path: Path, kind: type) -> None:
    path = write(tmp_path / "a.mrc", ZYX.astype(kind))
    with mrcfile.open(path) as file:
        theirs = np.array(file.data)
        size = file.voxel_size
    handle = io.open(path)
    image = handle.read()
    assert np.array_equal(image.data[0].numpy(), theirs)
    wanted = tuple(float(size[axis]) * 1e-7 for axis in "zyx")
    assert image.grid.spacing_mm == pytest.approx(wanted)
    assert [f.code for f in handle.findings if f.severity != "info"] == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stamped", [True, False])
def test_reads_both_byte_orders(tmp_path: Path, order: str, stamped: bool) -> None:
    head = bytearray(1024)
    head[0:16] = struct.pack(f"{order}4i", 6, 5, 4, 1)
    head[28:40] = struct.pack(f"{order}3i", 6, 5, 4)
    head[40:64] = struct.pack(f"{order}6f", 12, 15, 16, 90, 90, 90)
    head[64:76] = struct.pack(f"{order}3i", 1, 2, 3)
    head[208:214] = b"MAP " + (bytes([0x44, 0x44]) if order == "<" else bytes([0x11, 0x11]))
    if not stamped:
        head[208:216] = bytes(8)
    (tmp_path / "a.mrc").write_bytes(head + ZYX.astype(f"{order}i2").tobytes())
    handle = io.open(tmp_path / "a.mrc")
    assert handle.meta["big_endian"] is (order == ">")
    assert torch.equal(handle.read().data[0], torch.from_numpy(ZYX))
    assert handle.grid.spacing_mm == pytest.approx((4e-7, 3e-7, 2e-7))


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
def test_puts_axes_in_order(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    # axis k of the file, fastest first, is axis axes[k] of space
    stored = np.ascontiguousarray(ZYX.transpose([3 - n for n in axes[::-1]]))
    starts = dict(zip(("nxstart", "nystart", "nzstart"), (10 * n for n in axes), strict=True))
    names = dict(zip(("mapc", "mapr", "maps"), axes, strict=True))
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(stored)
        for key, value in (starts | names).items():
            file.header[key] = value
        for key, value in {"mx": 6, "my": 5, "mz": 4, "ispg": 1}.items():
            file.header[key] = value
        file.header.cella = (12, 15, 16)
    handle = io.open(tmp_path / "a.mrc")
    assert torch.equal(handle.read().data[0], torch.from_numpy(ZYX))
    assert handle.grid.spacing_mm == pytest.approx((4e-7, 3e-7, 2e-7))
    assert handle.grid.origin_mm == pytest.approx((20e-7, 60e-7, 120e-7))
    part = handle.read((slice(1, 3), slice(2, 5), slice(0, 4)))
    assert torch.equal(part.data[0], torch.from_numpy(ZYX[1:3, 2:5, 0:4]))


def test_takes_the_origin_before_the_start(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", nxstart=5)
    with mrcfile.open(path, "r+") as file:
        file.header.origin = (100, 200, 300)
    handle = io.open(path)
    assert handle.grid.origin_mm == pytest.approx((1e-5, 2e-5, 3e-5))
    assert "two-origins" in [f.code for f in handle.findings]
    with mrcfile.open(path, "r+") as file:
        file.header.origin = (10, 0, 0)
    assert "two-origins" not in [f.code for f in io.open(path).findings]


def test_keeps_the_angles_of_a_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc")
    with mrcfile.open(path, "r+") as file:
        file.header.cellb = (80.0, 95.0, 110.0)
    columns = io.open(path).grid.affine[:3, :3].numpy()
    edges = columns / np.linalg.norm(columns, axis=0)
    z, y, x = edges.T
    angles = np.degrees(np.arccos([y @ z, x @ z, x @ y]))
    np.testing.assert_allclose(angles, (80, 95, 110), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), (4e-7, 3e-7, 2e-7), rtol=1e-6)
    np.testing.assert_allclose(x, (1, 0, 0), atol=1e-12)


def test_an_image_stack_is_frames_and_a_volume_stack_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    with mrcfile.new(path) as file:
        file.set_data(ZYX)
        file.set_image_stack()
        file.voxel_size = 2.0
    handle = io.open(path)
    assert handle.content.frames == 4
    assert handle.grid.shape == (1, 5, 6)
    with pytest.raises(FormatError, match="must hold one volume, it holds 4 frames"):
        handle.read()
    image = io.open(path, frames="channels").read()
    assert torch.equal(image.data[:, 0], torch.from_numpy(ZYX))
    with mrcfile.new(tmp_path / "b.mrc") as file:
        file.set_data(np.stack([ZYX, ZYX + 500]))
    volumes = io.open(tmp_path / "b.mrc", frames="channels").read()
    assert torch.equal(volumes.data[1], torch.from_numpy(ZYX + 500))


def test_reads_bytes_without_a_sign_where_imod_wrote_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ZYX.astype(np.int8))
    data = bytearray(path.read_bytes())
    data[1024] = 200
    path.write_bytes(data)
    assert int(io.open(path).read().data[0, 0, 0, 0]) == 200 - 256
    data[152:160] = struct.pack("<2i", 1146047817, 0)
    path.write_bytes(data)
    assert int(io.open(path).read().data[0, 0, 0, 0]) == 200
    data[152:160] = struct.pack("<2i", 1146047817, 1)
    path.write_bytes(data)
    assert int(io.open(path).read().data[0, 0, 0, 0]) == 200 - 256


def test_passes_over_the_symmetry_and_reads_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc")
    with mrcfile.open(path, "r+") as file:
        file.set_extended_header(np.zeros(7, "V80"))
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX))
    (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert torch.equal(io.open(tmp_path / "b.mrc.gz").read().data[0], torch.from_numpy(ZYX))


def test_says_when_there_is_no_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc")
    with mrcfile.open(path, "r+") as file:
        file.header.cella = (0, 0, 0)
    handle = io.open(path)
    assert "no-spacing" in [f.code for f in handle.findings]
    assert handle.grid.spacing_mm == (1e-7, 1e-7, 1e-7)


def test_a_map_of_something_else_is_no_image(tmp_path: Path) -> None:
    write(tmp_path / "a.map")
    (tmp_path / "script.js.map").write_text("{}")
    assert [h.name for h in io.scan(tmp_path)] == ["a.map"]
    with pytest.raises(FormatError, match="its name and first bytes say it is none"):
        io.open(tmp_path / "script.js.map")


# ---- refusals


@pytest.mark.parametrize(("mode", "what"), [(3, "complex int16"), (4, "complex"), (101, "4 bits")])
def test_refuses_complex_numbers(tmp_path: Path, mode: int, what: str) -> None:
    path = write(tmp_path / "a.mrc", mode=mode)
    with pytest.raises(FormatError, match=rf"must hold real numbers of 8 bits or more, .* {what}"):
        io.open(path)


@pytest.mark.parametrize(
    "fields", [{"mode": 77}, {"mapc": 2}, {"nsymbt": -8}, {"mapc": 7, "mapr": 8, "maps": 9}]
)
def test_refuses_what_is_no_mrc(tmp_path: Path, fields: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="must be an MRC file, its header is not"):
        io.open(write(tmp_path / "a.mrc", **fields))
    (tmp_path / "b.mrc.gz").write_bytes(b"no gzip")
    with pytest.raises(FormatError, match="must be an MRC file, its header is not"):
        io.open(tmp_path / "b.mrc.gz")


def test_refuses_truncated_data_and_huge_claims(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="must hold 240 bytes of samples, it has 239 bytes"):
        io.open(tmp_path / "b.mrc")
    with pytest.raises(FormatError, match="its header claims 30000 x 30000 x 30000"):
        io.open(write(tmp_path / "a.mrc", nx=30000, ny=30000, nz=30000))
