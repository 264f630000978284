"""Bodies: boxes of a file without the rest of it; no name leads out of the folder."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import make_phantom

from vesalius import io
from vesalius.core import Series
from vesalius.errors import FormatError
from vesalius.io import _body

sides = st.lists(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, n - 1), st.integers(1, n))
    ),
    min_size=1,
    max_size=5,
)
LAZY = (".nii", ".nhdr", ".mhd")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sides=sides, span=st.sampled_from([0, 16, 1 << 22]), kind=st.sampled_from(["u1", ">i2"]))
def test_a_box_is_what_slicing_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sides: list, span: int, kind: str
) -> None:
    monkeypatch.setattr(_body, "SPAN", span)
    sizes = tuple(n for n, _, _ in sides)
    box = tuple(slice(a, min(n, a + w)) for n, a, w in sides)
    samples = np.arange(np.prod(sizes)).astype(kind).reshape(sizes[::-1])
    path = tmp_path / "a.raw"
    path.write_bytes(b"abc" + samples.tobytes())
    for start in (3, -1):
        body = _body.Body(path, np.dtype(kind), samples.size, start=start)
        found = _body.read_box(body, sizes, box)
        assert np.array_equal(found, samples[box[::-1]])


def test_refuses_a_box_behind_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(50))
    body = _body.Body(tmp_path / "a.raw", np.dtype("u1"), 100)
    assert _body.read_box(body, (10, 10), (slice(0, 10), slice(0, 5))).shape == (5, 10)
    with pytest.raises(FormatError, match="40 of 50 bytes are there"):
        _body.read_box(body, (10, 10), (slice(0, 10), slice(1, 6)))


@pytest.mark.parametrize("start", [2**63, 51])
def test_refuses_samples_that_begin_behind_the_end(tmp_path: Path, start: int) -> None:
    """A place that no file has is not left to the system's own words."""
    (tmp_path / "a.raw").write_bytes(bytes(50))
    body = _body.Body(tmp_path / "a.raw", np.dtype("u1"), 10, start=start)
    with pytest.raises(FormatError, match=f"samples at byte {start} of 50"):
        _body.read_box(body, (10, 1), (slice(0, 10), slice(0, 1)))


@pytest.mark.parametrize("suffix", [*LAZY, ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_region_is_a_part_of_the_whole(tmp_path: Path, suffix: str, channels: int) -> None:
    image = make_phantom(channels=channels)
    io.save(image, tmp_path / f"a{suffix}")
    part = io.open(tmp_path / f"a{suffix}").read((slice(1, 3), slice(2, 5), slice(0, 4)))
    assert torch.equal(part.data, image.data[:, 1:3, 2:5, 0:4])
    corner = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(part.grid.to_world(corner * 0), image.grid.to_world(corner))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("frames", ["time", "channels"])
def test_a_region_of_frames_is_a_part_of_them(tmp_path: Path, suffix: str, frames: str) -> None:
    image = make_phantom(channels=3)
    series = Series(image.data[:, None], image.grid, (0.0, 2.0, 4.0), "1")
    io.save(series, tmp_path / f"a{suffix}")
    handle = io.open(tmp_path / f"a{suffix}", frames=frames)
    region = (slice(1, 3), slice(2, 5), slice(1, 4))
    found = handle.read(region) if frames == "channels" else handle.read_series(region)
    data = found.data if frames == "channels" else found.data[:, 0]
    assert torch.equal(data, image.data[:, 1:3, 2:5, 1:4])


def sparse(folder: Path, suffix: str) -> Path:
    """A file that says it holds 2500 x 2000 x 2000 samples of 16 bits and takes no disk."""
    path = folder / f"a{suffix}"
    io.save(make_phantom(shape=(2, 3, 4)), path)
    text = path.read_bytes()
    if suffix == ".nii":
        head = np.frombuffer(text[:352], np.uint8).copy()
        head[40:48].view("<i2")[:] = (3, 2000, 2000, 2500)
        text = head.tobytes()
    text = text.replace(b"sizes: 4 3 2", b"sizes: 2000 2000 2500")
    path.write_bytes(text.replace(b"DimSize = 4 3 2", b"DimSize = 2000 2000 2500"))
    body = {".nii": path, ".nhdr": folder / "a.nhdr.raw"}.get(suffix, folder / "a.raw")
    with body.open("r+b") as file:
        start = 352 if suffix == ".nii" else 0
        file.truncate(start + 2 * 2000 * 2000 * 2500)
        file.seek(start + 2 * (2000 * (2000 * 2400 + 1500) + 1000))
        file.write(np.arange(8, dtype="<i2").tobytes())
    return path


@pytest.mark.parametrize("suffix", LAZY)
def test_a_region_of_a_huge_file_is_read_at_once(tmp_path: Path, suffix: str) -> None:
    path = sparse(tmp_path, suffix)
    budget = io.Budget(bytes=1 << 28)
    start = time.perf_counter()
    handle = io.open(path, budget=budget)
    part = handle.read((slice(2390, 2410), slice(1490, 1510), slice(1000, 1008)))
    assert time.perf_counter() - start < 1
    assert part.data[0, 10, 10].tolist() == list(range(8))
    assert int((part.data != 0).sum()) == 7
    plane = handle.read((slice(2400, 2401), slice(0, 2000), slice(0, 2000)))
    assert plane.data[0, 0, 1500, 1000:1008].tolist() == list(range(8))
    with pytest.raises(FormatError, match=r"its header claims .* or read a region"):
        handle.read()


@pytest.mark.parametrize("named", ["../a.raw", "sub/../../a.raw", "{root}/a.raw", "link.raw"])
@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
@pytest.mark.parametrize("listed", [False, True])
def test_no_header_leads_out_of_its_folder(
    tmp_path: Path, named: str, suffix: str, listed: bool
) -> None:
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    path = inner / f"a{suffix}"
    io.save(make_phantom(), path)
    next(inner.glob("*.raw")).rename(tmp_path / "a.raw")
    (inner / "link.raw").symlink_to(tmp_path / "a.raw")
    named = named.format(root=tmp_path)
    named = f"LIST\n{named}" if listed else named
    text = path.read_bytes().replace(
        b"ElementDataFile = a.raw", f"ElementDataFile = {named}".encode()
    )
    path.write_bytes(text.replace(b"data file: a.nhdr.raw", f"data file: {named}".encode()))
    if listed and suffix == ".nhdr":
        path.write_bytes(path.read_bytes().replace(b"sizes: 6 5 4", b"sizes: 6 5 1").rstrip())
    with pytest.raises(FormatError, match="must have its samples in its own folder, it names"):
        io.open(path)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.mhd")
    (tmp_path / "a.raw").rename(tmp_path / "b.bin")
    (tmp_path / "a.raw").symlink_to("b.bin")
    assert torch.equal(io.open(tmp_path / "a.mhd").read().data, make_phantom().data)
