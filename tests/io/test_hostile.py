"""Any damage to a header: an image, or a FormatError; never another error, never a long wait."""

import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import make_phantom, write_slice

from vesalius import io
from vesalius.errors import FormatError

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".dcm")
WORDS = (b"-", b"9", b"nan", b"inf", b"1e400", b"\n", b" ", b"\0", b"")
damages = st.lists(
    st.tuples(
        st.integers(0, 700), st.integers(0, 12), st.one_of(st.binary(), st.sampled_from(WORDS))
    ),
    min_size=1,
    max_size=4,
)


@cache
def intact(suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        if suffix == ".dcm":
            write_slice(path.parent, 0, name=path.name)
        else:
            io.save(make_phantom(shape=(1, 5, 6)), path)
        return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(damage=damages)
def test_damage_gives_an_image_or_a_format_error(
    tmp_path: Path, suffix: str, damage: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(intact(suffix))
    for at, length, words in damage:
        data[at % len(data) : at % len(data) + length] = words
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    (tmp_path / "a.raw").write_bytes(bytes(60))
    start = time.process_time()
    said = ""
    try:
        io.open(path, budget=io.Budget(bytes=1 << 28)).read()
    except FormatError as error:
        said = str(error)
    assert str(tmp_path) not in said
    assert time.process_time() - start < 2
