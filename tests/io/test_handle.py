"""Handle: nothing is read before it is asked for; labels are whole numbers."""

import dataclasses
from pathlib import Path

import pytest
import torch
from phantoms_io import make_phantom

from vesalius import io
from vesalius.core import Image
from vesalius.errors import FormatError


def test_knows_everything_but_the_samples_without_the_file(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii.gz")
    handle = io.open(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").unlink()
    assert handle.grid.shape == (4, 5, 6)
    assert handle.meta["stored"] == "int16"
    assert handle.unit == "1"
    with pytest.raises(FormatError, match="must hold all samples"):
        handle.read()


def test_is_frozen(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii")
    handle = io.open(tmp_path / "a.nii")
    with pytest.raises(dataclasses.FrozenInstanceError):
        handle.grid = None
    with pytest.raises(TypeError, match="does not support item assignment"):
        handle.meta["stored"] = "int8"


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_never_shows_the_path(tmp_path: Path, phantom: Image, suffix: str) -> None:
    io.save(phantom, tmp_path / f"a{suffix}")
    handle = io.open(tmp_path / f"a{suffix}")
    assert handle.name == f"a{suffix}"
    assert str(tmp_path) not in repr(handle) + repr(dict(handle.meta))


def test_puts_the_worst_finding_first(tmp_path: Path) -> None:
    text = "ObjectType = Image\nNDims = 2\nDimSize = 2 1\nElementType = MET_USHORT\n"
    (tmp_path / "a.mha").write_bytes(f"{text}ElementDataFile = LOCAL\n".encode() + bytes(4))
    assert [f.severity for f in io.open(tmp_path / "a.mha").findings] == ["warning", "info"]


@pytest.mark.parametrize(
    ("high", "dtype"),
    [(255, torch.uint8), (256, torch.int16), (40000, torch.int32), (2**40, torch.int64)],
)
def test_takes_whole_floats_as_labels(tmp_path: Path, high: int, dtype: torch.dtype) -> None:
    image = make_phantom(torch.float64)
    image.data[0, 0, 0, 0] = high
    io.save(image, tmp_path / "a.nii")
    labels = io.open_labels(tmp_path / "a.nii")
    assert labels.data.dtype == dtype
    assert int(labels.data[0, 0, 0, 0]) == high


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_refuses_labels_that_are_not_whole(tmp_path: Path, value: float) -> None:
    image = make_phantom(torch.float32)
    image.data[0, 1, 2, 3] = value
    io.save(image, tmp_path / "a.nii")
    with pytest.raises(FormatError, match=r"labels must be whole numbers, 'a.nii' holds .* 1 such"):
        io.open_labels(tmp_path / "a.nii")


def test_reads_a_volume_as_a_series_of_one(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii")
    series = io.open(tmp_path / "a.nii").read_series()
    assert series.times_s == (0.0,)
    assert torch.equal(series[0].data, phantom.data)


def test_as_labels_keeps_integers_and_refuses_fractions() -> None:
    image = make_phantom(torch.int32, channels=2)
    assert torch.equal(io.as_labels(image).data, image.data)
    with pytest.raises(FormatError, match=r"labels must be whole numbers, 'the image' holds 0.5"):
        io.as_labels(make_phantom(torch.float32).map(lambda x: x * 0 + 0.5))
