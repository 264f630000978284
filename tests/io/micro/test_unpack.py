"""What a chunk unpacks to, beside the decoders themselves."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.io.micro._unpack import BLOCK, COMPRESSORS, unpacked

PACK = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "blosc": lambda data: numcodecs.Blosc("lz4").encode(np.frombuffer(data, np.uint8)),
    "lz4": lambda data: numcodecs.LZ4().encode(np.frombuffer(data, np.uint8)),
    "zstd": lambda data: numcodecs.Zstd(3).encode(np.frombuffer(data, np.uint8)),
}
NOISE = np.random.default_rng(5).integers(0, 255, 300_000).astype(np.uint8).tobytes()


def test_every_compressor_that_is_read_is_bounded() -> None:
    assert set(PACK) == set(COMPRESSORS)


@pytest.mark.parametrize("codec", COMPRESSORS)
@pytest.mark.parametrize("data", [NOISE, bytes(700_000), NOISE + bytes(500_000)])
def test_an_honest_chunk_is_never_called_too_large(tmp_path, codec: str, data: bytes) -> None:
    file = tmp_path / "c"
    file.write_bytes(PACK[codec](data))
    found = unpacked(file, codec, 10 * len(data))
    assert len(data) <= found <= len(data) + BLOCK


@pytest.mark.parametrize("codec", COMPRESSORS)
def test_a_chunk_that_grows_is_seen(tmp_path, codec: str) -> None:
    file = tmp_path / "c"
    file.write_bytes(PACK[codec](bytes(50 << 20)))
    assert file.stat().st_size < 1 << 20
    assert unpacked(file, codec, 1 << 20) > 1 << 20


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_frames_one_after_the_other_are_added_up(tmp_path, codec: str) -> None:
    file = tmp_path / "c"
    file.write_bytes(PACK[codec](bytes(1 << 20)) * 30)
    assert unpacked(file, codec, 5 << 20) > 5 << 20


def test_a_frame_that_does_not_state_its_size_is_bounded_by_its_blocks(tmp_path) -> None:
    """RFC 8878: no content size, one block that repeats a byte 2 MiB times, a hundred of them."""
    repeat = ((BLOCK << 3) | (1 << 1)).to_bytes(3, "little") + b"\0"
    end = (1).to_bytes(3, "little")
    file = tmp_path / "c"
    file.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + 100 * repeat + end)
    assert unpacked(file, "zstd", 1 << 20) == 100 * BLOCK


@given(data=st.binary(max_size=60), codec=st.sampled_from(COMPRESSORS))
def test_no_bytes_make_it_fail(tmp_path_factory, data: bytes, codec: str) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes((b"\x28\xb5\x2f\xfd" if codec == "zstd" else b"") + data)
    assert unpacked(file, codec, 1 << 20) >= 0
