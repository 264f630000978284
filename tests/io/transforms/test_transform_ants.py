"""Sets of files of ANTs: the order of -t, inverses by [file,1], and what is written for it."""

from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from made_transforms import (
    apart,
    by_itk,
    flat_grid,
    made_affine,
    made_field,
    made_grid,
    made_velocity,
    noise,
    points_in,
)

from vesalius.core import Composite, Displacement, Linear
from vesalius.errors import FormatError
from vesalius.io import transforms


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    transforms.save(made_field(), tmp_path / "1Warp.nii.gz")
    transforms.save(made_affine(), tmp_path / "0GenericAffine.mat")
    return str(tmp_path / "1Warp.nii.gz"), str(tmp_path / "0GenericAffine.mat")


def test_points_go_through_the_first_file_first(files: tuple[str, str]) -> None:
    points = points_in(made_grid())
    found = transforms.load_ants(files)
    assert apart(found(points), made_affine()(made_field()(points))) < 1e-3
    # ITK's queue is read from its end: ANTs pushes the files in reverse order
    field = sitk.DisplacementFieldTransform(sitk.ReadImage(files[0], sitk.sitkVectorFloat64))
    queue = sitk.CompositeTransform([sitk.ReadTransform(files[1]), sitk.Transform(field)])
    assert apart(found(points), by_itk(queue, points)) < 1e-3


def test_a_linear_file_is_inverted_by_its_flag(files: tuple[str, str]) -> None:
    points = points_in(made_grid())
    found = transforms.load_ants([f"[{files[1]},1]", files[0]])
    assert apart(found(points), made_field()(made_affine().inverse()(points))) < 1e-3
    straight = transforms.load_ants([f" [ {files[1]} , 0 ] "])
    assert isinstance(straight, Linear)
    assert apart(straight(points), made_affine()(points)) == 0


def test_a_field_is_not_inverted_by_a_flag(files: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="must be linear to be inverted by ',1', it is a Displac"):
        transforms.load_ants([f"[{files[0]},1]"])


def test_no_file_is_refused() -> None:
    with pytest.raises(FormatError, match="files must name at least one transform of ANTs"):
        transforms.load_ants([])


def test_what_is_written_is_read_in_the_order_that_is_given(tmp_path: Path) -> None:
    shift = Linear.translation((1, 2, 3))
    ours = Composite((made_affine(), Composite((shift, made_field()))))
    files = transforms.save_ants(ours, tmp_path / "out_")
    assert [file.name for file in files] == ["out_1Warp.nii.gz", "out_0GenericAffine.mat"]
    points = points_in(made_grid())
    assert apart(transforms.load_ants(files)(points), ours(points)) < 1e-3


def test_what_ants_takes_in_two_dimensions(tmp_path: Path) -> None:
    data = 2 * noise(3, *flat_grid().shape)
    data[2] = 0
    turn = Linear.rotation((0, 0, 20), centre_mm=(3, 4, 0))
    ours = Composite((turn, Displacement(data, flat_grid(), border="zero")))
    warp, affine = transforms.save_ants(ours, tmp_path / "out_", dimensions=2)
    image = sitk.ReadImage(str(warp), sitk.sitkVectorFloat64)
    assert image.GetDimension() == image.GetNumberOfComponentsPerPixel() == 2
    field = sitk.DisplacementFieldTransform(image)
    queue = sitk.CompositeTransform([sitk.ReadTransform(str(affine)), sitk.Transform(field)])
    points = points_in(flat_grid())
    assert apart(by_itk(queue, points), ours(points)) < 1e-3
    assert apart(transforms.load_ants([warp, affine])(points), ours(points)) < 1e-3


def test_a_velocity_is_written_as_a_field_on_a_grid(tmp_path: Path) -> None:
    ours = Composite((made_affine(), made_velocity()))
    with pytest.raises(FormatError, match="can hold a field of displacement alone, got Velocity"):
        transforms.save_ants(ours, tmp_path / "out_")
    files = transforms.save_ants(ours, tmp_path / "out_", like=made_grid())
    found = transforms.load_ants(files)
    assert isinstance(found, Composite)
    assert isinstance(found.parts[1], Displacement)
    assert torch.allclose(found.parts[1].data, made_velocity().to_field(made_grid()).data)
