"""Doors to nibabel and SimpleITK: same values, same places, both ways."""

import sys

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from phantoms_io import corners, make_phantom, sheared_affine

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import ExtraError, FormatError

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float64])
def test_both_doors_bring_back_what_went_out(channels: int, dtype: torch.dtype) -> None:
    plain = make_phantom(dtype, channels=channels)
    image = Image(plain.data, plain.grid, "HU", tuple("abc"[:channels]))
    for back in (
        io.from_nibabel(io.to_nibabel(image)),
        io.from_simpleitk(io.to_simpleitk(image)),
    ):
        assert torch.equal(back.data, image.data)
        assert (back.dtype, back.unit, back.channels) == (dtype, "HU", image.channels)
        torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-4)


def test_the_libraries_place_each_voxel_where_we_do(phantom: Image) -> None:
    ras, lps = io.to_nibabel(phantom), io.to_simpleitk(phantom)
    for index in ((0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (3, 4, 5)):
        world = phantom.grid.to_world(torch.tensor(index, dtype=torch.float64)).numpy()
        xyz = index[::-1]
        np.testing.assert_allclose((FLIP @ ras.affine @ [*xyz, 1])[:3], world, atol=1e-9)
        np.testing.assert_allclose(lps.TransformIndexToPhysicalPoint(xyz), world, atol=1e-9)
        value = int(phantom.data[0][index])
        assert int(ras.dataobj[xyz]) == lps.GetPixel(xyz) == value


def test_the_two_libraries_agree_through_us(phantom: Image) -> None:
    one = io.from_nibabel(io.to_nibabel(io.from_simpleitk(io.to_simpleitk(phantom))))
    assert torch.equal(one.data, phantom.data)
    torch.testing.assert_close(corners(one.grid), corners(phantom.grid), rtol=0, atol=1e-9)


def test_hands_over_sheared_grids(phantom: Image) -> None:
    image = Image(phantom.data, Grid((4, 5, 6), sheared_affine()))
    for back in (io.from_nibabel(io.to_nibabel(image)), io.from_simpleitk(io.to_simpleitk(image))):
        torch.testing.assert_close(corners(back.grid), corners(image.grid), rtol=0, atol=1e-9)


def test_hands_over_labels(phantom: Image) -> None:
    labels = Labels(phantom.data.to(torch.uint8), phantom.grid, {(0, 1): "liver"})
    assert torch.equal(io.as_labels(io.from_nibabel(io.to_nibabel(labels))).data, labels.data)
    there = io.to_simpleitk(labels)
    assert there.GetPixelID() == sitk.sitkUInt8
    assert torch.equal(io.as_labels(io.from_simpleitk(there)).data, labels.data)


def test_nibabel_keeps_number_types_when_it_saves(tmp_path: object) -> None:
    image = make_phantom(torch.int64)
    nibabel.save(io.to_nibabel(image), tmp_path / "a.nii.gz")
    assert io.open(tmp_path / "a.nii.gz").read().dtype == torch.int64


def test_uses_nifti_2_for_long_axes() -> None:
    volume = io.to_nibabel(make_phantom(torch.uint8, shape=(1, 1, 40000)))
    assert isinstance(volume, nibabel.Nifti2Image)


def test_takes_images_of_two_axes() -> None:
    flat = np.arange(30, dtype=np.int16).reshape(6, 5)
    assert io.from_nibabel(nibabel.Nifti1Image(flat, np.eye(4))).data.shape == (1, 1, 5, 6)
    picture = sitk.GetImageFromArray(flat)
    picture.SetSpacing((0.5, 0.25))
    image = io.from_simpleitk(picture)
    assert image.data.shape == (1, 1, 6, 5)
    assert image.grid.spacing_mm == (1, 0.25, 0.5)


def test_refuses_frames_and_other_numbers_from_nibabel() -> None:
    four = nibabel.Nifti1Image(np.zeros((2, 3, 4, 5), np.int16), np.eye(4))
    with pytest.raises(
        FormatError, match=r"the nibabel image must hold one volume, it holds .* frames: take one"
    ):
        io.from_nibabel(four)
    complex_ = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.complex64), np.eye(4))
    with pytest.raises(
        FormatError, match="the nibabel image must hold real numbers on 2 to 5 axes"
    ):
        io.from_nibabel(complex_)
    bad = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4))
    bad.affine[0, 0] = 0
    with pytest.raises(FormatError, match="the nibabel image' must place its samples"):
        io.from_nibabel(bad)


def test_refuses_more_axes_and_other_numbers_from_simpleitk() -> None:
    four = sitk.GetImageFromArray(np.zeros((2, 3, 4, 5), np.int16), isVector=False)
    with pytest.raises(FormatError, match="the SimpleITK image must hold real numbers on 2 or 3"):
        io.from_simpleitk(four)
    with pytest.raises(FormatError, match="it holds complex of 32-bit float on 3"):
        io.from_simpleitk(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.complex64)))


def test_refuses_number_types_that_have_no_place() -> None:
    for door in (io.to_nibabel, io.to_simpleitk):
        with pytest.raises(FormatError, match=r"samples must be integer, float32 or float64"):
            door(make_phantom(torch.float16))


def test_names_what_to_install_without_simpleitk(
    phantom: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ExtraError, match=r"SimpleITK must be installed .* pip install SimpleITK"):
        io.to_simpleitk(phantom)
