"""ITK transforms against SimpleITK, both ways: text, HDF5, MATLAB 4; fields; composites."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_transforms import (
    apart,
    bspline_of_itk,
    by_itk,
    flat_grid,
    linear_of_itk,
    made_affine,
    made_bspline,
    made_field,
    made_grid,
    noise,
    points_in,
    to_sitk,
    written,
)

from vesalius.core import BSpline, Composite, Displacement, Linear, Transform
from vesalius.errors import FormatError
from vesalius.io import transforms

EXACT_MM = 1e-9
SPREAD = 100 * torch.rand((1000, 3), generator=torch.Generator().manual_seed(1)).double() - 50
LINEAR = linear_of_itk()


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize("kind", list(LINEAR))
def test_reads_every_linear_kind_of_itk(tmp_path: Path, kind: str, suffix: str) -> None:
    there = LINEAR[kind]
    found = transforms.load(written(tmp_path / f"a{suffix}", there))
    assert isinstance(found, Linear)
    assert apart(found(SPREAD), by_itk(there, SPREAD)) < EXACT_MM


@pytest.mark.parametrize("kind", ["euler", "scale versor", "translation", "similarity 2d"])
def test_reads_matlab_files_of_itk(tmp_path: Path, kind: str) -> None:
    there = LINEAR[kind]
    found = transforms.load(written(tmp_path / "a.mat", there))
    assert apart(found(SPREAD), by_itk(there, SPREAD)) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".hdf5", ".mat"])
def test_a_linear_one_written_here_is_applied_by_itk(tmp_path: Path, suffix: str) -> None:
    ours = made_affine()
    transforms.save(ours, tmp_path / f"a{suffix}")
    there = sitk.ReadTransform(str(tmp_path / f"a{suffix}"))
    assert there.GetDimension() == 3
    assert apart(ours(SPREAD), by_itk(there, SPREAD)) < EXACT_MM
    back = transforms.load(tmp_path / f"a{suffix}")
    assert isinstance(back, Linear)
    assert torch.equal(back.matrix, ours.matrix)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat"])
def test_a_plane_is_written_for_two_dimensions(tmp_path: Path, suffix: str) -> None:
    ours = Linear.rotation((0, 0, 30), centre_mm=(4, 5, 0)) @ Linear.translation((1, 2, 0))
    transforms.save(ours, tmp_path / f"a{suffix}", dimensions=2)
    there = sitk.ReadTransform(str(tmp_path / f"a{suffix}"))
    assert there.GetDimension() == 2
    assert apart(ours(SPREAD), by_itk(there, SPREAD)) < EXACT_MM
    assert apart(transforms.load(tmp_path / f"a{suffix}")(SPREAD), ours(SPREAD)) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize("n", [2, 3])
def test_reads_b_splines_of_itk(tmp_path: Path, suffix: str, n: int) -> None:
    there = bspline_of_itk(n)
    found = transforms.load(written(tmp_path / f"a{suffix}", there))
    assert isinstance(found, BSpline)
    grid = made_grid() if n == 3 else flat_grid()
    inside = points_in(
        grid.crop((1, 1, 1), (3, 4, 5)) if n == 3 else grid.crop((0, 1, 1), (1, 4, 5))
    )
    moved = by_itk(there, inside)
    assert apart(moved, inside) > 1  # it does something there
    assert apart(found(inside), moved) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_a_b_spline_written_here_is_applied_by_itk(tmp_path: Path, suffix: str) -> None:
    ours = made_bspline()
    transforms.save(ours, tmp_path / f"a{suffix}")
    there = sitk.ReadTransform(str(tmp_path / f"a{suffix}"))
    points = points_in(made_grid(), beyond=0.5)
    assert apart(ours(points), by_itk(there, points)) < EXACT_MM
    back = transforms.load(tmp_path / f"a{suffix}")
    assert isinstance(back, BSpline)
    assert apart(ours(points), back(points)) < EXACT_MM
    inner = back.coefficients[:, 3:-3, 3:-3, 3:-3]
    assert torch.equal(inner, ours.coefficients)


def test_a_b_spline_is_surrounded_by_zeros_once(tmp_path: Path) -> None:
    transforms.save(made_bspline(), tmp_path / "a.tfm")
    transforms.save(transforms.load(tmp_path / "a.tfm"), tmp_path / "b.tfm")
    assert (tmp_path / "a.tfm").read_text() == (tmp_path / "b.tfm").read_text()


def test_a_flat_b_spline_is_written_for_two_dimensions(tmp_path: Path) -> None:
    data = 2 * noise(3, *flat_grid().shape)
    data[2] = 0
    ours = BSpline(data, flat_grid())
    with pytest.raises(FormatError, match="must have several control points along each axis"):
        transforms.save(ours, tmp_path / "a.tfm")
    transforms.save(ours, tmp_path / "a.tfm", dimensions=2)
    there = sitk.ReadTransform(str(tmp_path / "a.tfm"))
    points = points_in(flat_grid(), beyond=0.5)
    assert apart(ours(points), by_itk(there, points)) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize("n", [2, 3])
def test_reads_fields_of_itk_within_and_beyond_their_grid(
    tmp_path: Path, suffix: str, n: int
) -> None:
    grid = made_grid() if n == 3 else flat_grid()
    data = 2 * noise(3, *grid.shape)
    image = to_sitk(grid, data)
    if n == 2:
        image = sitk.Compose([sitk.VectorIndexSelectionCast(image[:, :, 0], k) for k in (0, 1)])
    there = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    found = transforms.load(written(tmp_path / f"a{suffix}", sitk.Transform(there)))
    assert isinstance(found, Displacement)
    points = points_in(grid, beyond=0.3)
    assert apart(found(points), by_itk(there, points)) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_field_written_here_is_applied_by_itk(
    tmp_path: Path, suffix: str, dtype: torch.dtype
) -> None:
    ours = made_field(dtype)
    path = tmp_path / f"a{suffix}"
    transforms.save(ours, path)
    if suffix in (".tfm", ".h5"):
        there = sitk.ReadTransform(str(path))
    else:
        image = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
        there = sitk.DisplacementFieldTransform(image)
    points = points_in(made_grid())
    assert apart(ours(points), by_itk(there, points)) < 1e-3
    back = transforms.load(path)
    assert isinstance(back, Displacement)
    assert back.border == "zero"
    assert torch.equal(back.data, ours.data.to(back.data.dtype))
    assert suffix == ".tfm" or back.data.dtype == dtype
    assert apart(back(points), ours(points)) < 1e-3


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("n", [2, 3])
def test_reads_images_of_vectors_that_itk_wrote(tmp_path: Path, suffix: str, n: int) -> None:
    grid = made_grid() if n == 3 else flat_grid()
    image = to_sitk(grid, 2 * noise(3, *grid.shape))
    if n == 2:
        image = sitk.Compose([sitk.VectorIndexSelectionCast(image[:, :, 0], k) for k in (0, 1)])
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    there = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    points = points_in(grid)
    found = transforms.load(tmp_path / f"a{suffix}")
    assert apart(found(points), by_itk(there, points)) < 1e-3


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_the_last_part_of_a_composite_acts_first_in_both(tmp_path: Path, suffix: str) -> None:
    ours = Composite((made_affine(), made_field(), made_bspline()))
    transforms.save(ours, tmp_path / f"a{suffix}")
    there = sitk.ReadTransform(str(tmp_path / f"a{suffix}"))
    points = points_in(made_grid().crop((1, 1, 1), (3, 4, 5)))
    wanted = by_itk(there, points)
    assert apart(ours(points), wanted) < EXACT_MM
    back = transforms.load(tmp_path / f"a{suffix}")
    assert isinstance(back, Composite)
    assert apart(back(points), wanted) < EXACT_MM
    turned = Composite(ours.parts[::-1])
    assert apart(turned(points), wanted) > 1  # the order matters to this test


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_reads_composites_of_itk(tmp_path: Path, suffix: str) -> None:
    parts = [LINEAR["euler"], bspline_of_itk(), LINEAR["affine"]]
    there = sitk.CompositeTransform([sitk.Transform(part) for part in parts])
    found = transforms.load(written(tmp_path / f"a{suffix}", there))
    back_to_inside = LINEAR["affine"].GetInverse()
    points = by_itk(back_to_inside, points_in(made_grid().crop((1, 1, 1), (3, 4, 5))))
    assert apart(found(points), by_itk(there, points)) < EXACT_MM


def test_nested_composites_are_written_in_one_row(tmp_path: Path) -> None:
    ours = Composite((made_affine(), Composite((made_field(), made_affine().inverse()))))
    transforms.save(ours, tmp_path / "a.h5")
    points = made_affine()(points_in(made_grid()))
    found = by_itk(sitk.ReadTransform(str(tmp_path / "a.h5")), points)
    assert apart(ours(points), found) < EXACT_MM


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_a_composite_of_one_or_none_is_what_it_does(tmp_path: Path, suffix: str) -> None:
    transforms.save(Composite((made_affine(),)), tmp_path / f"a{suffix}")
    assert isinstance(transforms.load(tmp_path / f"a{suffix}"), Linear)
    transforms.save(Composite(()), tmp_path / f"b{suffix}")
    found = transforms.load(tmp_path / f"b{suffix}")
    assert isinstance(found, Linear)
    assert torch.equal(found.matrix, torch.eye(4, dtype=torch.float64))


def test_matlab_files_fold_linear_parts(tmp_path: Path) -> None:
    turn = Linear.rotation((3, 4, 5), centre_mm=(1, 2, 3))
    ours: Transform = Composite((made_affine(), Composite((turn,))))
    transforms.save(ours, tmp_path / "0GenericAffine.mat")
    found = sitk.ReadTransform(str(tmp_path / "0GenericAffine.mat"))
    assert apart(by_itk(found, SPREAD), ours(SPREAD)) < EXACT_MM


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("item", ["f4", "f8"])
def test_reads_matlab_files_of_either_order_and_precision(
    tmp_path: Path, order: str, item: str
) -> None:
    numbers = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 5, 6], f"{order}{item}")
    kind = (1000 if order == ">" else 0) + (10 if item == "f4" else 0)
    raw = b""
    for name, values in ((b"AffineTransform_float_3_3\0", numbers), (b"fixed\0", numbers[:3])):
        head = np.array([kind, values.size, 1, 0, len(name)], f"{order}i4")
        raw += head.tobytes() + name + values.tobytes()
    (tmp_path / "a.mat").write_bytes(raw)
    found = transforms.load_itk_mat(tmp_path / "a.mat")
    assert found(torch.zeros(1, 3)).tolist() == [[4, 5, 6]]


def test_a_name_with_a_letter_missing_is_read(tmp_path: Path) -> None:
    import h5py

    transforms.save(made_affine(), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for name in ("Parameters", "FixedParameters"):
            file.move(f"TransformGroup/0/Transform{name}", "TransformGroup/0/Tran" + f"form{name}")
    assert apart(transforms.load(tmp_path / "a.h5")(SPREAD), made_affine()(SPREAD)) == 0


def test_a_large_field_is_packed_and_read_back(tmp_path: Path) -> None:
    grid = made_grid((32, 32, 32))
    ours = Displacement(torch.zeros(3, 32, 32, 32), grid, border="zero")
    transforms.save(ours, tmp_path / "a.h5")
    assert (tmp_path / "a.h5").stat().st_size < 30_000
    assert torch.equal(transforms.load(tmp_path / "a.h5").data, ours.data)
    assert sitk.ReadTransform(str(tmp_path / "a.h5")).GetDimension() == 3


def test_the_quaternion_and_the_base_class_are_read(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    text = "#Insight Transform File V1.0\nTransform: {}_double_3_3\nParameters: {}\n{}\n"
    path = tmp_path / "a.tfm"
    turned = f"0 0 {half} {half} 1 2 3"
    path.write_text(text.format("QuaternionRigidTransform", turned, "FixedParameters: 0 0 0"))
    found = transforms.load(path)(torch.tensor([[10.0, 0, 0]], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([[1.0, 12, 3]], dtype=torch.float64))
    rows = "1 0 0 0 1 0 0 0 1 1 2 3"
    path.write_text(text.format("MatrixOffsetTransformBase", rows, "FixedParameters: 9 9 9"))
    assert transforms.load(path)(torch.zeros(1, 3)).tolist() == [[1, 2, 3]]
