"""HDF5 against h5py: every packing, regions, several datasets, links that are not followed."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io._chunks import fletcher32

ZYX = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
PACKINGS = {
    "contiguous": {},
    "chunked": {"chunks": (2, 3, 4)},
    "gzip": {"chunks": (2, 3, 4), "compression": "gzip"},
    "shuffled": {"chunks": (3, 2, 5), "compression": "gzip", "shuffle": True},
    "summed": {"chunks": (2, 3, 4), "compression": "gzip", "fletcher32": True, "shuffle": True},
    "summed only": {"chunks": (2, 3, 4), "fletcher32": True},
    "lzf": {"chunks": (2, 3, 4), "compression": "lzf", "shuffle": True},
}


def write(path: Path, samples: np.ndarray = ZYX, *, um: bool = True, **packing: object) -> Path:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("volume", data=samples, **packing)
        if um:
            dataset.attrs["element_size_um"] = (4.0, 3.0, 2.0)
    return path


@pytest.mark.parametrize("packing", list(PACKINGS))
@pytest.mark.parametrize("kind", ["u1", ">i2", "<u4", "f4", "f8"])
def test_reads_every_packing(tmp_path: Path, packing: str, kind: str) -> None:
    handle = io.open(write(tmp_path / "a.h5", ZYX.astype(kind), **PACKINGS[packing]))
    assert handle.name == "a.h5:volume"
    assert handle.grid.spacing_mm == pytest.approx((4e-3, 3e-3, 2e-3))
    assert [f.code for f in handle.findings if f.code != "widened"] == ["axes-assumed"]
    assert np.array_equal(handle.read().data[0].numpy(), ZYX)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packing=st.sampled_from(list(PACKINGS)),
    box=st.tuples(*[st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in (4, 5, 6)]),
)
def test_a_region_is_a_part(tmp_path: Path, packing: str, box: tuple) -> None:
    path = write(tmp_path / "a.h5", **PACKINGS[packing])
    region = tuple(slice(a, min(n, a + w)) for (a, w), n in zip(box, (4, 5, 6), strict=True))
    found = io.open(path).read(region)
    assert np.array_equal(found.data[0].numpy(), ZYX[region])


def test_what_was_never_written_is_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        huge = file.create_dataset(
            "a", (10**5, 10**5, 10**5), "i2", chunks=(8, 8, 8), fillvalue=7, compression="gzip"
        )
        huge[4:6, 4:6, 4:6] = 1
    part = io.open(tmp_path / "a.h5").read((slice(3, 8), slice(3, 8), slice(3, 8)))
    assert int((part.data == 1).sum()) == 8
    assert int((part.data == 7).sum()) == 125 - 8
    with pytest.raises(FormatError, match=r"its header claims .* or read a region"):
        io.open(tmp_path / "a.h5").read()


def test_names_of_axes_win(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.stack([ZYX, ZYX + 500], axis=-1))
    with h5py.File(path, "r+") as file:
        tags = {"axes": [{"key": key, "typeFlags": 2} for key in "zyxc"]}
        file["volume"].attrs["axistags"] = json.dumps(tags)
    handle = io.open(path)
    assert handle.findings == ()
    assert np.array_equal(handle.read().data.numpy(), np.stack([ZYX, ZYX + 500]))
    path = write(tmp_path / "b.h5", np.stack([ZYX, ZYX + 500], axis=1))
    with h5py.File(path, "r+") as file:
        for k, letter in enumerate("ztyx"):
            file["volume"].dims[k].label = letter
    handle = io.open(path, frames="channels")
    assert np.array_equal(handle.read().data.numpy(), np.stack([ZYX, ZYX + 500]))
    assert "no-times" in [f.code for f in io.open(path).findings]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_assumes_axes_from_the_right(tmp_path: Path, n: int) -> None:
    samples = ZYX[0] if n == 2 else ZYX.reshape(*[1] * (n - 3), 4, 5, 6)
    handle = io.open(write(tmp_path / "a.h5", samples, um=False))
    assert handle.meta["axes"] == "tczyx"[-n:]
    assert handle.grid.shape == ((1, 5, 6) if n == 2 else (4, 5, 6))
    assert "no-spacing" in [f.code for f in handle.findings]
    assert handle.grid.spacing_mm == (1, 1, 1)


def test_scan_gives_every_dataset_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["deep/er/mask"] = ZYX > 3
        file["deep/er/seg"] = (ZYX % 3).astype("u1")
        file["again"] = file["volume"]
        file["deep/up"] = file["/"]
        file["soft"] = h5py.SoftLink("/volume")
        file["table"] = np.arange(5)
        file["text"] = "hello"
    handles = io.scan(path)
    assert sorted(h.name for h in handles) == ["a.h5:again", "a.h5:deep/er/seg"]
    assert {"link"} <= {f.code for f in handles[0].findings}
    with pytest.raises(FormatError, match="must hold one volume, it holds 2"):
        io.open(path)


# ---- refusals


def test_no_link_leads_out_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5")
    (tmp_path / "secret.raw").write_bytes(ZYX.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "/volume")
    with pytest.raises(FormatError, match=r"'out' is a link, which is not followed"):
        io.open(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        external = [(str(tmp_path / "secret.raw"), 0, ZYX.nbytes)]
        file.create_dataset("raw", ZYX.shape, ZYX.dtype, external=external)
    with pytest.raises(FormatError, match="has its samples in other files"):
        io.open(tmp_path / "b.h5")
    layout = h5py.VirtualLayout(ZYX.shape, ZYX.dtype)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "volume", ZYX.shape)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    with pytest.raises(FormatError, match="has its samples in other files"):
        io.open(tmp_path / "c.h5")


def test_refuses_filters_that_it_does_not_unpack(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is packed with filter 6, known are deflate"):
        io.open(write(tmp_path / "a.h5", chunks=(2, 3, 4), scaleoffset=0))


def test_refuses_a_file_without_volumes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(4)
        file["y"] = ZYX.astype(complex)
    with pytest.raises(FormatError, match="must hold a dataset of real numbers with 2 to 5 axes"):
        io.open(tmp_path / "a.h5")


def test_refuses_what_is_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"CDF\x01" * 100)
    with pytest.raises(FormatError, match="must be an HDF5 file, it is not"):
        io.open(tmp_path / "a.h5")


def test_refuses_too_many_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(12):
            file.create_group(f"g{k}")
    with pytest.raises(FormatError, match="must hold at most 10 groups and datasets"):
        io.open(tmp_path / "a.h5", budget=io.Budget(files=10))


def chunk_of(path: Path) -> tuple[int, int]:
    """Where the first chunk lies in the file, and its size."""
    with h5py.File(path) as file:
        info = file["volume"].id.get_chunk_info(0)
    return info.byte_offset, info.size


@pytest.mark.parametrize("packing", ["gzip", "shuffled", "summed", "summed only", "lzf"])
def test_refuses_damaged_chunks(tmp_path: Path, packing: str) -> None:
    path = write(tmp_path / "a.h5", **PACKINGS[packing])
    at, size = chunk_of(path)
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(v ^ 0x5A for v in data[at : at + size])
    path.write_bytes(data)
    handle = io.open(path)
    with pytest.raises(FormatError, match="must hold all samples that its header promises"):
        handle.read()


def test_refuses_a_chunk_that_is_short_and_a_sum_that_is_wrong(tmp_path: Path) -> None:
    for packing, said in (
        ("gzip", "10 of 48 bytes of a chunk are there"),
        ("summed only", "the checksum of a chunk does not fit it"),
    ):
        path = write(tmp_path / "a.h5", **PACKINGS[packing])
        with h5py.File(path, "r+") as file:
            import zlib

            raw = zlib.compress(bytes(10)) if packing == "gzip" else bytes(range(52))
            file["volume"].id.write_direct_chunk((0, 0, 0), raw)
        with pytest.raises(FormatError, match=said):
            io.open(path).read()


def test_refuses_a_chunk_that_takes_more_than_it_gives(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", **PACKINGS["gzip"])
    with h5py.File(path, "r+") as file:
        file["volume"].id.write_direct_chunk((0, 0, 0), bytes(5000))
    with pytest.raises(FormatError, match="a chunk of 48 bytes takes 5000 in the file"):
        io.open(path).read()


@given(data=st.binary(max_size=300))
def test_sums_as_a_slow_loop_does(data: bytes) -> None:
    low = high = 0
    padded = data + b"\0" * (len(data) % 2)
    for k in range(0, len(padded), 2):
        low += padded[k] << 8 | padded[k + 1]
        low = (low & 0xFFFF) + (low >> 16)
        high += low
        high = (high & 0xFFFF) + (high >> 16)
    assert fletcher32(data) == high << 16 | low


def test_sums_as_the_library_does(tmp_path: Path) -> None:
    samples = torch.randint(0, 255, (64, 64, 9)).to(torch.uint8).numpy()
    path = write(tmp_path / "a.h5", samples, chunks=(64, 64, 9), fletcher32=True)
    with h5py.File(path) as file:
        raw = file["volume"].id.read_direct_chunk((0, 0, 0))[1]
    assert raw[-4:] == fletcher32(raw[:-4]).to_bytes(4, "little")
