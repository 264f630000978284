"""Images of vectors: which frame the components have, and what is no field of displacement."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_transforms import (
    apart,
    by_itk,
    made_affine,
    made_bspline,
    made_field,
    made_grid,
    made_velocity,
    points_in,
)

from vesalius.core import Composite, Image
from vesalius.errors import FormatError
from vesalius.io import save as save_image
from vesalius.io import transforms


def vectors(path: Path, intent: int, *, like: Path, kind: str = "f4") -> Path:
    """Write the field of another file again with another intent."""
    image = nibabel.load(like)
    header = image.header.copy()
    header["intent_code"] = intent
    maker = nibabel.Nifti2Image if kind == "two" else nibabel.Nifti1Image
    samples = np.asarray(image.dataobj)
    made = maker(samples.astype("i2") if kind == "i2" else samples, image.affine)
    made.header["intent_code"] = intent
    made.header.set_xyzt_units("mm")
    nibabel.save(made, path)
    return path


@pytest.fixture
def field_file(tmp_path: Path) -> Path:
    transforms.save_field(made_field(torch.float32), tmp_path / "field.nii.gz")
    return tmp_path / "field.nii.gz"


@pytest.mark.parametrize("intent", [1006, 1007])
def test_the_frame_of_the_components_is_that_of_itk(
    tmp_path: Path, field_file: Path, intent: int
) -> None:
    path = vectors(tmp_path / "a.nii", intent, like=field_file)
    there = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    points = points_in(made_grid())
    assert apart(transforms.load_field(path)(points), by_itk(there, points)) < 1e-3
    # 1006 is RAS by the standard, 1007 is LPS with ITK: the same numbers mean another field
    same = apart(transforms.load_field(path)(points), made_field(torch.float32)(points)) < 1e-3
    assert same == (intent == 1007)


@pytest.mark.parametrize("intent", [1006, 1007])
def test_nifti_2_means_what_nifti_1_means(tmp_path: Path, field_file: Path, intent: int) -> None:
    paths = [
        vectors(tmp_path / f"{kind}.nii", intent, like=field_file, kind=kind)
        for kind in ("one", "two")
    ]
    one, two = (transforms.load_field(path) for path in paths)
    assert torch.equal(one.data, two.data)


def test_ras_is_taken_by_name_alone(tmp_path: Path, field_file: Path) -> None:
    path = vectors(tmp_path / "a.nii", 1007, like=field_file)
    lps, ras = transforms.load_field(path), transforms.load_field(path, convention="ras")
    sign = torch.tensor([-1.0, -1.0, 1.0])[:, None, None, None]
    assert torch.equal(ras.data, lps.data * sign)
    same = transforms.load_field(vectors(path, 1006, like=field_file), convention="ras")
    assert torch.equal(same.data, ras.data)


def test_what_ants_and_itk_see_is_an_image_of_vectors(field_file: Path) -> None:
    image = nibabel.load(field_file)
    assert image.shape == (8, 7, 6, 1, 3)
    assert image.header.get_intent()[0] == "vector"
    read = sitk.ReadImage(str(field_file))
    assert read.GetNumberOfComponentsPerPixel() == 3
    assert read.GetDimension() == 3


@pytest.mark.parametrize(
    ("intent", "match"),
    [
        (0, r"must have the intent 1007 .* it has 0 \(none\)"),
        (2006, "an FSL FNIRT displacement field"),
        (1001, r"it has 1001 \(another\)"),
    ],
)
def test_another_intent_is_refused(
    tmp_path: Path, field_file: Path, intent: int, match: str
) -> None:
    with pytest.raises(FormatError, match=match):
        transforms.load_field(vectors(tmp_path / "a.nii", intent, like=field_file))


def test_refuses_what_holds_no_vectors(tmp_path: Path, field_file: Path) -> None:
    whole = vectors(tmp_path / "a.nii", 1007, like=field_file, kind="i2")
    with pytest.raises(
        FormatError, match=r"vectors of 2 or 3 floating-point components.* 3 of int"
    ):
        transforms.load_field(whole)
    save_image(Image(made_field().data[:1], made_grid()), tmp_path / "b.nrrd")
    with pytest.raises(FormatError, match="it holds 1 of float64: it is no field"):
        transforms.load(tmp_path / "b.nrrd")
    data = made_field().data.clone()
    data[1, 2, 3, 4] = float("nan")
    save_image(Image(data, made_grid()), tmp_path / "c.mha")
    with pytest.raises(FormatError, match="must hold finite vectors: data must be finite"):
        transforms.load(tmp_path / "c.mha")


def test_refuses_another_unit_of_length(tmp_path: Path, field_file: Path) -> None:
    path = vectors(tmp_path / "a.nii", 1007, like=field_file)
    image = nibabel.load(path)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "b.nii")
    with pytest.raises(FormatError, match="must give lengths in mm to be a field"):
        transforms.load_field(tmp_path / "b.nii")


def test_refuses_a_suffix_that_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a field of displacement must end in one of"):
        transforms.save_field(made_field(), tmp_path / "a.png")


def test_other_transforms_are_sampled_where_a_grid_is_given(tmp_path: Path) -> None:
    grid = made_grid((5, 4, 3))
    at = points_in(grid, 0)
    for number, ours in enumerate((made_velocity(), made_affine(), made_bspline())):
        path = tmp_path / f"{number}.nii.gz"
        with pytest.raises(FormatError, match="can hold a field of displacement alone, got"):
            transforms.save(ours, path)
        transforms.save(ours, path, like=grid)
        found = transforms.load(path)
        index = torch.stack(torch.meshgrid(*[torch.arange(n) for n in grid.shape], indexing="ij"))
        at = grid.to_world(index.flatten(1).T.double())
        assert apart(found(at), ours(at)) < 1e-3
    with pytest.raises(FormatError, match="can hold linear, displacement and B-spline transforms"):
        transforms.save(Composite((made_velocity(), made_affine())), tmp_path / "a.h5")
    transforms.save(Composite((made_velocity(), made_affine())), tmp_path / "a.h5", like=grid)
    assert apart(transforms.load(tmp_path / "a.h5")(at), made_velocity()(made_affine()(at))) < 1e-3
