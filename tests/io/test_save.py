"""save: every pair of formats keeps values and places."""

import itertools
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import corners, make_phantom, sheared_affine

from vesalius import io
from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError, OutputError

VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".ome.tif", ".zarr")
DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
DTYPES += (torch.float32, torch.float64)
WIDENED = (torch.uint16, torch.uint32, torch.uint64)
LONG = (torch.int64, torch.uint64)  # OME-TIFF has no such numbers


def held(suffixes: tuple[str, ...], dtypes: tuple[torch.dtype, ...]) -> list[tuple[str, object]]:
    """Pairs of a format and a number type that it can hold."""
    pairs = itertools.product(suffixes, dtypes)
    return [(s, d) for s, d in pairs if not (s == ".ome.tif" and d in LONG)]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(VOLUMES, VOLUMES)))
def test_every_pair_of_formats_keeps_values_and_places(
    tmp_path: Path, phantom: Image, first: str, second: str
) -> None:
    io.save(phantom, tmp_path / f"one{first}")
    io.save(io.open(tmp_path / f"one{first}").read(), tmp_path / f"two{second}")
    back = io.open(tmp_path / f"two{second}").read()
    assert torch.equal(back.data, phantom.data)
    assert back.dtype == phantom.dtype
    torch.testing.assert_close(corners(back.grid), corners(phantom.grid), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("suffix", "dtype"), held(VOLUMES, DTYPES))
def test_keeps_every_number_type(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    image = make_phantom(dtype, channels=2)
    io.save(image, tmp_path / f"a{suffix}")
    back = io.open(tmp_path / f"a{suffix}").read()
    assert back.dtype == dtype
    assert torch.equal(back.data, image.data)


@pytest.mark.parametrize(("suffix", "dtype"), held(VOLUMES, WIDENED))
def test_widens_unsigned_types_and_says_so(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    image = make_phantom(dtype)
    io.save(image, tmp_path / f"a{suffix}")
    handle = io.open(tmp_path / f"a{suffix}")
    assert {f.code for f in handle.findings} - {"own-place"} == {"widened"}
    assert handle.meta["stored"] == str(dtype).removeprefix("torch.")
    back = handle.read()
    assert back.dtype == (torch.int32 if dtype == torch.uint16 else torch.int64)
    assert torch.equal(back.data, image.data.to(back.dtype))


@pytest.mark.parametrize("suffix", VOLUMES)
def test_keeps_a_sheared_grid(tmp_path: Path, phantom: Image, suffix: str) -> None:
    image = Image(phantom.data, Grid(phantom.grid.shape, sheared_affine()))
    io.save(image, tmp_path / f"a{suffix}")
    back = io.open(tmp_path / f"a{suffix}")
    torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", VOLUMES)
def test_keeps_unit_and_channel_names(tmp_path: Path, suffix: str) -> None:
    data = make_phantom(channels=2)
    image = Image(data.data, data.grid, "HU", ("été", "b"))
    io.save(image, tmp_path / f"a{suffix}")
    handle = io.open(tmp_path / f"a{suffix}")
    assert handle.unit == "HU"
    assert handle.read().channels == ("été", "b")
    assert io.open(tmp_path / f"a{suffix}", unit="SUV").read().unit == "SUV"


@pytest.mark.parametrize("suffix", VOLUMES)
def test_keeps_label_names_and_layers(tmp_path: Path, phantom: Image, suffix: str) -> None:
    names = {(0, 1): "left lung", (1, 7): "nodule"}
    labels = Labels(make_phantom(torch.uint8, channels=2).data, phantom.grid, names)
    io.save(labels, tmp_path / f"a{suffix}")
    back = io.open_labels(tmp_path / f"a{suffix}")
    assert dict(back.names) == names
    assert torch.equal(back.data, labels.data)


@pytest.mark.parametrize("suffix", [*VOLUMES, ".png"])
def test_equal_objects_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    image = make_phantom(torch.uint8, shape=(1, 5, 6))
    (tmp_path / "later").mkdir()
    io.save(image, tmp_path / f"a{suffix}")
    time.sleep(0.02)
    io.save(image, tmp_path / "later" / f"a{suffix}")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    first = {f.relative_to(tmp_path): f.read_bytes() for f in files if "later" not in f.parts}
    later = tmp_path / "later"
    assert first == {f.relative_to(later): f.read_bytes() for f in files if "later" in f.parts}


@pytest.mark.parametrize("suffix", [*VOLUMES, ".png"])
def test_leaves_only_the_files_that_it_names(tmp_path: Path, suffix: str) -> None:
    io.save(make_phantom(shape=(1, 5, 6)), tmp_path / f"a{suffix}")
    beside = {".nhdr": {"a.nhdr.raw"}, ".mhd": {"a.raw"}}.get(suffix, set())
    assert {p.name for p in tmp_path.iterdir()} == {f"a{suffix}"} | beside


def test_no_format_replaces_the_samples_of_another(tmp_path: Path) -> None:
    volumes = {suffix: make_phantom(shape=(2, 3, 4)) for suffix in VOLUMES}
    for k, (suffix, volume) in enumerate(volumes.items()):
        volume.data.add_(k)
        io.save(volume, tmp_path / f"a{suffix}")
    for suffix, volume in volumes.items():
        assert torch.equal(io.open(tmp_path / f"a{suffix}").read().data, volume.data)


@pytest.mark.parametrize("suffix", VOLUMES)
def test_does_not_change_what_it_saves(tmp_path: Path, phantom: Image, suffix: str) -> None:
    before = phantom.data.clone()
    io.save(Image(phantom.data.flip(1), phantom.grid), tmp_path / f"a{suffix}")
    assert torch.equal(phantom.data, before)
    assert torch.equal(io.open(tmp_path / f"a{suffix}").read().data, before.flip(1))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    channels=st.integers(1, 3),
    kind=st.sampled_from(held(VOLUMES, DTYPES)),
    origin=st.tuples(*[st.floats(-400, 400)] * 3),
    spacing=st.tuples(*[st.floats(0.01, 9)] * 3),
)
def test_round_trip_holds_for_any_size(tmp_path: Path, **case: object) -> None:
    shape, (suffix, dtype) = case["shape"], case["kind"]
    data = make_phantom(dtype, channels=case["channels"], shape=shape).data
    image = Image(data, Grid.from_spacing(shape, case["spacing"], origin_mm=case["origin"]))
    path = tmp_path / f"a{suffix}"
    io.save(image, path)
    back = io.open(path).read()
    assert torch.equal(back.data, image.data)
    torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", VOLUMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_refuses_half_precision(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    with pytest.raises(FormatError, match=r"samples must be integer, float32 or float64"):
        io.save(make_phantom(dtype), tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_refuses_an_unknown_suffix(tmp_path: Path, phantom: Image) -> None:
    with pytest.raises(FormatError, match=r"must end in one of .nii, .*got 'a.xyz'"):
        io.save(phantom, tmp_path / "a.xyz")


def test_refuses_a_series_in_other_formats(tmp_path: Path, phantom: Image) -> None:
    series = Series(phantom.data[None], phantom.grid, (0.0,))
    with pytest.raises(FormatError, match=r"a series must be saved as one of .nii, .nii.gz"):
        io.save(series, tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", [*VOLUMES, ".png"])
def test_refuses_a_folder_that_does_not_exist(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match="output folder must exist"):
        io.save(make_phantom(shape=(1, 5, 6)), tmp_path / "no" / f"a{suffix}")
