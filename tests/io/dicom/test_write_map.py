"""DICOM parametric maps: real numbers to the last bit, with place, unit and channels."""

from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from written import errors_of, grids, same_place, upside, write_source

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import FormatError, UnitError
from vesalius.io.dicom import Caption, save_parametric_map
from vesalius.io.dicom.codes import Code


def noise(grid: Grid, dtype: torch.dtype, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn((channels, *grid.shape), generator=generator, dtype=dtype)


def change(path: Path, how: Callable[[pydicom.Dataset], None]) -> Path:
    file = pydicom.dcmread(path)
    how(file)
    file.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(grids()))
def test_values_come_back_to_the_last_bit(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    grid = grids()[name]
    image = Image(noise(grid, dtype), grid, "1/mm")
    save_parametric_map(image, tmp_path / "a.dcm")
    back = io.open(tmp_path / "a.dcm").read()
    assert (back.dtype, back.unit, back.channels) == (dtype, "1/mm", ())
    assert same_place(back.grid, grid)
    assert torch.equal(back.data, upside(image.data, grid, back.grid))


@given(
    values=st.lists(st.floats(width=32), min_size=8, max_size=8),
    unit=st.sampled_from(["HU", "HU^2", "SUV mL", "mm", "1", "photon", "Bq/mL"]),
)
@settings(max_examples=15)
def test_any_values_and_units_come_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], unit: str
) -> None:
    path = tmp_path_factory.mktemp("map") / "a.dcm"
    data = torch.tensor(values, dtype=torch.float32).reshape(1, 2, 2, 2)
    save_parametric_map(Image(data, Grid.from_spacing((2, 2, 2)), unit), path)
    back = io.open(path).read()
    torch.testing.assert_close(back.data, data, rtol=0, atol=0, equal_nan=True)
    assert back.unit == unit


def test_channels_keep_their_names(tmp_path: Path) -> None:
    grid = grids()["sheared"]
    names = ("a name that is longer than sixteen", "a name that is longer than sixty")
    image = Image(noise(grid, torch.float64, 2), grid, "HU", names)
    save_parametric_map(image, tmp_path / "a.dcm")
    handle = io.open(tmp_path / "a.dcm")
    back = handle.read()
    assert back.channels == names
    assert torch.equal(back.data, upside(image.data, grid, back.grid))
    part = handle.read((slice(1, 3), slice(0, 2), slice(4, 7)))
    assert torch.equal(part.data, back.data[:, 1:3, :2, 4:7])


def test_stands_in_the_study_of_its_source(tmp_path: Path) -> None:
    grid = grids()["tilted"]
    like = write_source(tmp_path / "ct", grid)
    image = Image(noise(grid, torch.float32), grid, "HU")
    quantity = Code("113041", "DCM", "Apparent Diffusion Coefficient")
    caption = Caption("Change", 5, "20261121")
    for _ in range(2):
        save_parametric_map(
            image, tmp_path / "a.dcm", like=like, quantity=quantity, caption=caption
        )
    file = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(tmp_path / "a.dcm"))
    assert (file.PatientID, file.FrameOfReferenceUID) == ("secret", "1.2.10")
    assert (file.SeriesDescription, file.ContentDate) == ("Change", "20261121")
    theirs = np.array(file.pixel_array)
    # highdicom sorts frames against the normal
    assert np.array_equal(theirs[::-1], image.data[0].numpy())
    images = {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in file.PerFrameFunctionalGroupsSequence
    }
    assert images == {f"1.2.3.{k}" for k in range(1, 6)}


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    grid = grids()["straight"]
    for name in "ab":
        save_parametric_map(Image(noise(grid, torch.float32), grid), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_passes_dciodvfy(tmp_path: Path) -> None:
    grid = grids()["straight"]
    save_parametric_map(Image(noise(grid, torch.float32), grid, "HU"), tmp_path / "a.dcm")
    assert errors_of(tmp_path / "a.dcm") == []


def test_refuses_integers(tmp_path: Path) -> None:
    grid = grids()["straight"]
    image = Image(torch.ones((1, *grid.shape), dtype=torch.int16), grid)
    with pytest.raises(UnitError, match="a parametric map must hold float32 or float64"):
        save_parametric_map(image, tmp_path / "a.dcm")


# ---- maps of others


def mapped(folder: Path, values: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> Path:
    """Write a map with highdicom alone."""
    like = write_source(folder / "ct", grids(values.shape[:3])["straight"])
    images = [pydicom.dcmread(p) for p in sorted(like.iterdir())]
    for image in images:
        image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
        image.PatientBirthDate = image.PatientSex = ""
    images.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="ADC",
        lut_explanation="diffusion",
        unit=highdicom.sr.CodedConcept("um2/s", "UCUM", "square micrometre per second"),
        value_range=(0, 4095) if values.dtype.kind == "u" else (0.0, 1.0),
        slope=slope,
        intercept=intercept,
    )
    window = highdicom.VOILUTTransformation(window_center=5, window_width=9)
    dataset = highdicom.pm.ParametricMap(
        images, values, "1.7", 3, "1.8", 1, "m", "n", "1", "2", False, [mapping],
        voi_lut_transformations=[window],
    )  # fmt: skip
    dataset.save_as(folder / "map.dcm")
    return folder / "map.dcm"


def test_stored_integers_are_mapped_to_the_real_world(tmp_path: Path) -> None:
    stored = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    handle = io.open(mapped(tmp_path, stored, 0.5, -2.0))
    image = handle.read()
    assert (image.unit, image.channels) == ("um2/s", ("diffusion",))
    assert np.array_equal(image.data[0].numpy(), stored * 0.5 - 2)
    assert "secret" not in str(dict(handle.meta))
    assert io.open(tmp_path / "map.dcm", patient=True).meta["PatientID"] == "secret"
    assert io.open(tmp_path / "map.dcm", unit="1").unit == "1"


def test_planes_without_a_frame_are_not_zero(tmp_path: Path) -> None:
    def shift(file: pydicom.Dataset) -> None:
        for group in file.PerFrameFunctionalGroupsSequence:
            position = group.PlanePositionSequence[0].ImagePositionPatient
            if float(position[2]) > 32.6:
                position[2] = 40.0

    path = change(mapped(tmp_path, np.ones((3, 4, 5), np.float32)), shift)
    handle = io.open(path)
    assert [f.code for f in handle.findings] == ["empty-planes"]
    assert handle.read().data.isnan().flatten(2).all(2).tolist() == [
        [False, False, True, True, False]
    ]


def _table(file: pydicom.Dataset) -> None:
    shared = file.SharedFunctionalGroupsSequence[0]
    shared.RealWorldValueMappingSequence[0].RealWorldValueLUTData = [1.0, 2.0]


def _twice(file: pydicom.Dataset) -> None:
    first, second = file.PerFrameFunctionalGroupsSequence[:2]
    second.PlanePositionSequence = first.PlanePositionSequence


def _no_size(file: pydicom.Dataset) -> None:
    del file.BitsAllocated


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("must map its values by slope and intercept, it has a lookup table", _table),
        ("must have one frame for each channel and plane, some have several", _twice),
        ("must be a readable DICOM parametric map, it is not", _no_size),
    ],
)
def test_refuses_what_would_be_wrong(
    tmp_path: Path, text: str, how: Callable[[pydicom.Dataset], None]
) -> None:
    path = change(mapped(tmp_path, np.ones((3, 4, 5), np.float32)), how)
    with pytest.raises(FormatError, match=text):
        io.open(path)
