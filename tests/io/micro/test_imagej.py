"""ImageJ hyperstacks that we write: as ImageJ's own reader (tifffile's) sees them, and back."""

import itertools

import numpy as np
import pytest
import tifffile
import torch
from phantoms_io import corners, make_phantom, sheared_affine

from vesalius import io
from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io.micro._imagej import check_bytes

KEPT = (torch.uint8, torch.uint16, torch.float32)
OTHERS = (".nii.gz", ".nrrd", ".mha", ".ome.tif", ".zarr")
MICROSCOPE_OF_PHANTOM = Grid.from_spacing((4, 5, 6), (1e-3, 1e-3, 1e-3))
MICROSCOPE = Grid.from_spacing((3, 5, 6), (3e-4, 1e-4, 2e-4), origin_mm=(1.5, -2.25, 0.125))


@pytest.mark.parametrize("dtype", KEPT)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_tifffile_sees_a_hyperstack_with_its_calibration(tmp_path, dtype, channels) -> None:
    image = Image(make_phantom(dtype, channels=channels, shape=(3, 5, 6)).data, MICROSCOPE)
    io.save(image, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        told = tif.imagej_metadata
        series = tif.series[0]
        assert series.kind == "imagej"
        data = series.asarray().reshape(3, channels, 5, 6).transpose(1, 0, 2, 3)
        np.testing.assert_array_equal(data, image.data.numpy())
        x = tif.pages[0].tags["XResolution"].value
        y = tif.pages[0].tags["YResolution"].value
    assert told["unit"] == "um"
    assert told["spacing"] == pytest.approx(0.3)
    assert (told.get("slices"), told.get("channels", 1)) == (3, channels)
    assert (x[1] / x[0], y[1] / y[0]) == pytest.approx((0.2, 0.1), rel=1e-6)
    assert told["xorigin"] == pytest.approx(-1.5 / 2e-4)


@pytest.mark.parametrize("dtype", KEPT)
def test_keeps_values_and_every_corner(tmp_path, dtype) -> None:
    image = make_phantom(dtype, channels=2)
    io.save(image, tmp_path / "a.tif")
    handle = io.open(tmp_path / "a.tif")
    back = handle.read()
    assert torch.equal(back.data, image.data.to(back.data.dtype))
    torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)
    assert "own-place" in {finding.code for finding in handle.findings}


def test_keeps_a_sheared_grid(tmp_path) -> None:
    image = Image(make_phantom(torch.uint8).data, Grid((4, 5, 6), sheared_affine()))
    io.save(image, tmp_path / "a.tif")
    back = io.open(tmp_path / "a.tif")
    torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("other", "first"), list(itertools.product(OTHERS, [True, False])))
def test_goes_to_other_formats_and_back(tmp_path, other: str, first: bool) -> None:
    image = make_phantom(torch.float32)
    one, two = (".tif", other) if first else (other, ".tif")
    io.save(image, tmp_path / f"one{one}")
    io.save(io.open(tmp_path / f"one{one}").read(), tmp_path / f"two{two}")
    back = io.open(tmp_path / f"two{two}").read()
    assert torch.equal(back.data, image.data)
    torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)


def test_wider_integers_that_fit_are_kept_in_16_bits(tmp_path) -> None:
    data = torch.tensor([0, 1, 65535], dtype=torch.int64).reshape(1, 1, 1, 3)
    io.save(Image(data, Grid.from_spacing((1, 1, 3))), tmp_path / "a.tif")
    handle = io.open(tmp_path / "a.tif")
    assert handle.meta["stored"] == "uint16"
    assert handle.read().data.flatten().tolist() == [0, 1, 65535]


@pytest.mark.parametrize(
    "data",
    [torch.tensor([-1]), torch.tensor([65536]), torch.tensor([0.5], dtype=torch.float64)],
    ids=["negative", "large", "double"],
)
def test_refuses_what_imagej_cannot_hold(tmp_path, data: torch.Tensor) -> None:
    image = Image(data.reshape(1, 1, 1, 1), Grid.from_spacing((1, 1, 1)))
    with pytest.raises(FormatError, match="an ImageJ TIFF must hold uint8, uint16 or float32"):
        io.save(image, tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_stack_beyond_4_gib() -> None:
    check_bytes(4 << 30 >> 1, "a.tif")
    with pytest.raises(FormatError, match="an ImageJ TIFF must stay below 4 GiB"):
        check_bytes(4 << 30, "a.tif")


def test_a_series_keeps_its_times(tmp_path) -> None:
    data = torch.arange(3 * 2 * 3 * 5 * 6).reshape(3, 2, 3, 5, 6).to(torch.float32)
    series = Series(data, MICROSCOPE, (0.0, 0.5, 2.0), "photon")
    io.save(series, tmp_path / "a.tif")
    back = io.open(tmp_path / "a.tif").read_series()
    assert back.times_s == series.times_s
    assert back.unit == "photon"
    assert torch.equal(back.data, data)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.imagej_metadata["finterval"] == pytest.approx(1.0)
        assert tif.series[0].axes == "TZCYX"


def test_labels_keep_their_names(tmp_path) -> None:
    labels = Labels(make_phantom(torch.uint8).data, MICROSCOPE_OF_PHANTOM, {(0, 7): "nodule"})
    io.save(labels, tmp_path / "a.tiff")
    assert io.open_labels(tmp_path / "a.tiff").name(7) == "nodule"


def test_channel_names_label_the_slices(tmp_path) -> None:
    image = Image(
        make_phantom(torch.uint8, channels=2).data, MICROSCOPE_OF_PHANTOM, "1", ("a", "b")
    )
    io.save(image, tmp_path / "a.tif")
    assert io.open(tmp_path / "a.tif").read().channels == ("a", "b")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.imagej_metadata["Labels"] == ["a", "b"] * 4


def test_another_program_may_change_the_calibration(tmp_path) -> None:
    """Then our note is stale, and the file's own spacing counts."""
    image = Image(make_phantom(torch.uint8).data, MICROSCOPE_OF_PHANTOM)
    io.save(image, tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").read_bytes()
    at = raw.index(b"spacing=1.0")
    (tmp_path / "a.tif").write_bytes(raw[:at] + b"spacing=3.0" + raw[at + 11 :])
    handle = io.open(tmp_path / "a.tif")
    assert handle.grid.spacing_mm[0] == pytest.approx(3e-3)
    assert "stale-place" in {finding.code for finding in handle.findings}


@pytest.mark.parametrize("value", ["nan", "inf", "wide", ""])
def test_a_damaged_calibration_counts_as_absent(tmp_path, value: str) -> None:
    told = f"ImageJ=1.53t\nunit=um\nslices=3\nimages=3\nspacing={value}\nfinterval={value}\n"
    data = np.zeros((3, 5, 6), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        description=told,
        metadata=None,
        resolution=(2, 2),
        photometric="minisblack",
    )
    handle = io.open(tmp_path / "a.tif")
    assert handle.grid.spacing_mm == pytest.approx((5e-4, 5e-4, 5e-4), rel=1e-6)


def test_a_unit_of_the_tiff_does_not_count_where_imagej_speaks(tmp_path) -> None:
    told = "ImageJ=1.53t\nunit=pixel\n"
    options = {
        "metadata": None,
        "resolution": (2, 2),
        "resolutionunit": 2,
        "photometric": "minisblack",
    }
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.uint8), description=told, **options)
    assert io.open(tmp_path / "a.tif").grid.spacing_mm == (1.0, 1.0, 1.0)
