"""DICOM series out: values and place come back, whose image it is stays told."""

import tarfile
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms_io import corners
from written import errors_of, grids, phantom_image, same_place, upside, write_source

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import (
    FormatError,
    GeometryError,
    IntensityError,
    OutputError,
    ShapeError,
    UnitError,
)
from vesalius.io.dicom import Caption, save_series


def first_of(folder: Path) -> pydicom.Dataset:
    return pydicom.dcmread(sorted(folder.iterdir())[0])


@pytest.mark.parametrize("name", list(grids()))
def test_place_and_values_come_back(tmp_path: Path, name: str) -> None:
    image = phantom_image(grids()[name], torch.int16, "HU")
    written = save_series(image, tmp_path / "out")
    assert (written.files, written.modality, written.scale.largest_error) == (5, "CT", 0)
    back = io.open(tmp_path / "out").read()
    assert back.unit == "HU"
    assert same_place(back.grid, image.grid)
    assert torch.equal(back.data, upside(image.data, image.grid, back.grid))


def test_agrees_with_simpleitk(tmp_path: Path) -> None:
    image = phantom_image(grids()["oblique"], torch.int16, "HU")
    save_series(image, tmp_path / "out")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    theirs = io.from_simpleitk(reader.Execute())
    ours = {tuple(p) for p in corners(image.grid).round(decimals=3).tolist()}
    assert ours == {tuple(p) for p in corners(theirs.grid).round(decimals=3).tolist()}
    assert torch.equal(theirs.data.int(), upside(image.data, image.grid, theirs.grid).int())


@given(
    values=st.lists(st.integers(-40000, 40000), min_size=8, max_size=8),
    kind=st.sampled_from([torch.int32, torch.float32, torch.float64]),
)
@settings(max_examples=20)
def test_whole_numbers_are_kept_or_refused(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], kind: torch.dtype
) -> None:
    folder = tmp_path_factory.mktemp("series") / "out"
    data = torch.tensor(values, dtype=kind).reshape(1, 2, 2, 2)
    image = Image(data, Grid.from_spacing((2, 2, 2)), "HU")
    if max(values) - min(values) > 65535:
        with pytest.raises(FormatError, match="must be whole numbers that span at most 65535"):
            save_series(image, folder)
        assert not folder.exists()
        return
    assert save_series(image, folder).scale.largest_error == 0
    assert torch.equal(io.open(folder).read().data.double(), data.double())


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8),
    unit=st.sampled_from(["SUV", "HU", "1/mm"]),
)
@settings(max_examples=25)
def test_says_how_far_rounded_values_move(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], unit: str
) -> None:
    folder = tmp_path_factory.mktemp("series") / "out"
    data = torch.tensor(values, dtype=torch.float32).reshape(1, 2, 2, 2)
    image = Image(data, Grid.from_spacing((2, 2, 2)), unit)
    scale = save_series(image, folder, quantise=True).scale
    back = io.open(folder, unit=unit if unit == "SUV" else "").read()
    span = max(values) - min(values) if unit != "SUV" else 2 * max(map(abs, values))
    apart = float((back.data.double() - data.double()).abs().max())
    assert apart <= scale.largest_error + 1e-6 * max(map(abs, values)) + 1e-12
    assert scale.largest_error <= span / 65535 + 1e-6


def test_values_are_not_rounded_silently(tmp_path: Path) -> None:
    grid = grids()["straight"]
    image = Image(phantom_image(grid, torch.float32, "SUV").data / 3, grid, "SUV")
    with pytest.raises(FormatError, match=r"with fractions: quantise=True moves them by up to"):
        save_series(image, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_copies_whose_image_it_is_and_how_it_was_made(tmp_path: Path) -> None:
    grid = grids()["tilted"]
    like = write_source(tmp_path / "ct", grid, KVP="120", WindowCenter="40", WindowWidth="9")
    image = phantom_image(grid, torch.int16, "HU")
    save_series(image, tmp_path / "out", like=like, caption=Caption("Smoothed", 12))
    for k, path in enumerate(sorted((tmp_path / "out").iterdir())):
        file = pydicom.dcmread(path)
        assert (file.PatientID, file.StudyInstanceUID) == ("secret", "1.2.9")
        assert (file.FrameOfReferenceUID, float(file.KVP)) == ("1.2.10", 120)
        assert (file.PatientWeight, file.SeriesDescription, file.SeriesNumber) == (
            61.5,
            "Smoothed",
            12,
        )
        assert (file.ImageType[0], file.InstanceNumber) == ("DERIVED", k + 1)
        assert file.SourceImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.{k + 1}"
        assert "WindowCenter" not in file
        assert file.preamble == b"\0" * 128
    first = first_of(tmp_path / "out")
    assert first.SeriesInstanceUID != "1.2.3"
    assert first.SOPInstanceUID != "1.2.3.1"


def test_another_modality_takes_patient_and_study_only(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid, KVP="120")
    image = phantom_image(grid, torch.int16, "SUV")
    save_series(image, tmp_path / "out", like=like)
    file = first_of(tmp_path / "out")
    assert (file.PatientID, file.Modality, file.Units, file.SUVType) == (
        "secret",
        "PT",
        "GML",
        "BW",
    )
    assert "KVP" not in file
    assert io.open(tmp_path / "out").unit == "SUV"


@pytest.mark.parametrize(
    ("unit", "modality", "units"),
    [("SUL", "PT", "GML"), ("Bq/mL", "PT", "BQML"), ("1", "OT", ""), ("1/mm", "OT", "")],
)
def test_goes_by_the_unit(tmp_path: Path, unit: str, modality: str, units: str) -> None:
    image = phantom_image(grids()["straight"], torch.int16, unit)
    assert save_series(image, tmp_path / "out").modality == modality
    assert str(first_of(tmp_path / "out").get("Units", "")) == units


def test_a_map_of_an_mr_stays_mr(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "mr", grid, Modality="MR", EchoTime="4.5")
    image = phantom_image(grid, torch.int16, "1")
    assert save_series(image, tmp_path / "out", like=like).modality == "MR"
    assert first_of(tmp_path / "out").EchoTime == 4.5
    assert save_series(image, tmp_path / "ot", like=like, modality="OT").modality == "OT"


def test_nobody_is_named_without_a_source(tmp_path: Path) -> None:
    save_series(phantom_image(grids()["straight"], torch.int16, "HU"), tmp_path / "out")
    file = first_of(tmp_path / "out")
    assert (file.PatientID, str(file.PatientName)) == ("ANON", "Anonymous^")
    assert "SourceImageSequence" not in file


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    image = phantom_image(grids()["straight"], torch.int16, "HU")
    for name in "ab":
        save_series(image, tmp_path / name)
    pairs = zip(sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True)
    assert all(one.read_bytes() == two.read_bytes() for one, two in pairs)


def test_private_entries_and_overlays_are_left_behind(tmp_path: Path) -> None:
    grid = grids()["straight"]
    like = write_source(tmp_path / "ct", grid)
    for path in like.iterdir():
        file = pydicom.dcmread(path)
        file.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "hidden")
        file.add_new(0x60003000, "OW", b"\1\2")
        file.save_as(path)
    save_series(phantom_image(grid, torch.int16, "HU"), tmp_path / "out", like=like)
    groups = {element.tag.group for element in first_of(tmp_path / "out")}
    assert not groups & {0x0009, 0x6000}


@pytest.mark.parametrize("unit", ["HU", "SUV", "1"])
def test_passes_dciodvfy(tmp_path: Path, unit: str) -> None:
    image = phantom_image(grids()["tilted"], torch.int16, unit)
    save_series(image, tmp_path / "out")
    assert errors_of(sorted((tmp_path / "out").iterdir())[1]) == []
    save_series(image, tmp_path / "mr", modality="MR") if unit == "1" else None
    assert unit != "1" or errors_of(sorted((tmp_path / "mr").iterdir())[1]) == []


def test_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="the folder of a DICOM series must be new or empty"):
        save_series(phantom_image(grids()["straight"], torch.int16, "HU"), tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    save_series(phantom_image(grids()["straight"], torch.int16, "HU"), tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == 5


def test_refuses_what_a_series_cannot_hold(tmp_path: Path) -> None:
    grid = grids()["straight"]
    image = phantom_image(grid, torch.float32, "HU")
    two = Image(torch.cat([image.data, image.data]), grid)
    with pytest.raises(ShapeError, match="a DICOM series must have one channel, the image has 2"):
        save_series(two, tmp_path / "out")
    gap = Image(image.data.clone().fill_(float("nan")), grid)
    with pytest.raises(IntensityError, match="values must be finite to be stored in a DICOM"):
        save_series(gap, tmp_path / "out")
    odd = Image(image.data, grid, "1/mm")
    with pytest.raises(UnitError, match="a PET series must be in one of SUV, SUL, Bq/mL, 1"):
        save_series(odd, tmp_path / "out", modality="PT")
    affine = grid.affine.clone()
    affine[:3, 1] += 0.3 * affine[:3, 2]
    with pytest.raises(GeometryError, match=r"they meet at 7\d\.\d+ deg: resample"):
        save_series(Image(image.data, Grid(grid.shape, affine), "HU"), tmp_path / "out")


def test_a_difference_on_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between memory and disk must not be published."""
    real = pydicom.Dataset.save_as

    def faulty(file: pydicom.Dataset, path: Path, *, enforce_file_format: bool) -> None:
        file.PixelData = b"\x7f\x3f" + file.PixelData[2:]
        real(file, path, enforce_file_format=enforce_file_format)

    monkeypatch.setattr(pydicom.Dataset, "save_as", faulty)
    grid = grids()["straight"]
    image = Image(phantom_image(grid, torch.float64, "SUV").data / 3, grid, "SUV")
    with pytest.raises(OutputError, match=r"must hold its values to .* the disk may be damaged"):
        save_series(image, tmp_path / "out", quantise=True)
    assert list(tmp_path.iterdir()) == []


def test_a_real_pet_series_keeps_its_values(data_dir: Path, tmp_path: Path) -> None:
    with tarfile.open(data_dir / "sts_dicom" / "STS_050_dicom.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    (like,) = (p for p in tmp_path.rglob("PET/image"))
    image = io.open(like).read()
    written = save_series(image, tmp_path / "out", like=like, quantise=True)
    back = io.open(tmp_path / "out").read()
    assert (image.unit, back.unit) == ("SUV", "SUV")
    apart = float((back.data - image.data).abs().max())
    assert apart <= written.scale.largest_error + 1e-6
    assert written.scale.largest_error <= float(image.data.max()) / 65535
    assert float((back.grid.affine - image.grid.affine).abs().max()) < 1e-5
