"""MGH and MGZ against nibabel: place, number types, frames, damaged headers."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import corners, oblique_affine

from vesalius import io
from vesalius.core import Grid
from vesalius.errors import FormatError

RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ oblique_affine().numpy()[:, [2, 1, 0, 3]]
XYZ = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


def write(path: Path, samples: np.ndarray = XYZ, affine: np.ndarray = RAS, tr: float = 0) -> Path:
    image = nibabel.MGHImage(samples, affine)
    if tr:
        image.header["tr"] = tr
    nibabel.save(image, path)
    return path


def theirs(path: Path) -> tuple[np.ndarray, torch.Tensor]:
    """Samples as (z, y, x) and the corners in LPS, as nibabel reads them."""
    image = nibabel.load(path)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    shape = tuple(int(n) for n in image.shape[2::-1])
    return np.asarray(image.dataobj).T, corners(Grid(shape, torch.from_numpy(lps[:, [2, 1, 0, 3]])))


@pytest.mark.parametrize("suffix", [".mgh", ".mgz", ".mgh.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_agrees_with_nibabel(tmp_path: Path, suffix: str, kind: type) -> None:
    if suffix == ".mgh.gz":
        data = write(tmp_path / "b.mgh", XYZ.astype(kind)).read_bytes()
        (tmp_path / "a.mgh.gz").write_bytes(gzip.compress(data))
        path = tmp_path / "b.mgh"
    else:
        path = write(tmp_path / f"a{suffix}", XYZ.astype(kind))
    handle = io.open(tmp_path / f"a{suffix}")
    samples, points = theirs(path)
    assert handle.findings == ()
    image = handle.read()
    assert np.array_equal(image.data[0].numpy(), samples)
    assert image.data.dtype == torch.from_numpy(samples.astype(kind)).dtype
    torch.testing.assert_close(corners(image.grid), points, rtol=0, atol=1e-4)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.tuples(*[st.integers(1, 7)] * 3), move=st.tuples(*[st.floats(-200, 200)] * 3))
def test_places_every_size_as_nibabel_does(
    tmp_path: Path, shape: tuple[int, int, int], move: tuple[float, float, float]
) -> None:
    affine = RAS.copy()
    affine[:3, 3] = move
    path = write(tmp_path / "a.mgh", np.zeros(shape, np.float32), affine)
    torch.testing.assert_close(corners(io.open(path).grid), theirs(path)[1], rtol=0, atol=1e-3)


def test_reads_frames_and_their_times(tmp_path: Path) -> None:
    four = np.stack([XYZ, XYZ + 1000], axis=-1)
    path = write(tmp_path / "a.mgh", four, tr=2500)
    series = io.open(path).read_series()
    assert series.times_s == (0.0, 2.5)
    assert np.array_equal(series.data[:, 0].numpy(), four.T)
    assert np.array_equal(io.open(path, frames="channels").read().data.numpy(), four.T)
    region = (slice(1, 3), slice(0, 5), slice(2, 4))
    part = io.open(path).read_series(region).data[:, 0].numpy()
    assert np.array_equal(part, four.T[(slice(None), *region)])


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
def test_says_when_frames_have_no_times(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", np.stack([XYZ, XYZ], axis=-1))
    assert [f.code for f in io.open(path).findings] == ["no-times"]


def test_says_when_it_does_not_say_how_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mgh")
    data = bytearray(path.read_bytes())
    data[28:30] = struct.pack(">h", 0)
    path.write_bytes(data)
    handle = io.open(path)
    assert [f.code for f in handle.findings] == ["no-orientation"]
    assert handle.grid.orientation == "AIL"
    # FreeSurfer's rule: x_ras -1 0 0, y_ras 0 0 -1, z_ras 0 1 0 (nibabel takes y up, z back)
    middle = handle.grid.to_world(torch.tensor([2.0, 2.5, 3.0], dtype=torch.float64))
    assert middle.tolist() == [0, 0, 0]
    assert handle.grid.spacing_mm == (1, 1, 1)


# ---- refusals


def test_refuses_what_is_no_mgh(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.mgh").read_bytes()
    for at, value, said in ((0, 7, "its version is 7"), (20, 9, "its number type is 9")):
        data = bytearray(whole)
        data[at : at + 4] = struct.pack(">i", value)
        (tmp_path / "b.mgh").write_bytes(data)
        with pytest.raises(FormatError, match=rf"must be an MGH file, its header is not: {said}"):
            io.open(tmp_path / "b.mgh")
    (tmp_path / "b.mgz").write_bytes(whole)
    with pytest.raises(FormatError, match="must be an MGH file, its header is not: Not a gzipped"):
        io.open(tmp_path / "b.mgz")


def test_refuses_truncated_data_and_huge_claims(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.mgh").read_bytes()
    (tmp_path / "b.mgh").write_bytes(whole[:400])
    with pytest.raises(FormatError, match="must hold 240 bytes of samples, it has 116 bytes"):
        io.open(tmp_path / "b.mgh")
    data = bytearray(whole)
    data[4:16] = struct.pack(">3i", 30000, 30000, 30000)
    (tmp_path / "b.mgh").write_bytes(data)
    with pytest.raises(FormatError, match="its header claims 30000 x 30000 x 30000"):
        io.open(tmp_path / "b.mgh")
    data[4:16] = struct.pack(">3i", -6, -5, 4)
    (tmp_path / "b.mgh").write_bytes(data)
    with pytest.raises(FormatError, match="must have positive sizes"):
        io.open(tmp_path / "b.mgh")
    data[4:16], data[30:34] = whole[4:16], struct.pack(">f", float("nan"))
    (tmp_path / "b.mgh").write_bytes(data)
    with pytest.raises(FormatError, match="must place its samples in the world"):
        io.open(tmp_path / "b.mgh")
