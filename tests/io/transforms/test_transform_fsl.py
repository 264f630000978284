"""FLIRT matrices against scaled voxels walked by hand, in both handednesses of a header."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from made_transforms import apart, made_affine, made_field, made_grid
from nibabel.affines import apply_affine, voxel_sizes

from vesalius import io
from vesalius.core import Composite, Grid, Linear
from vesalius.errors import FormatError
from vesalius.io import transforms

FLIRT = np.array(
    [
        [0.98, 0.05, -0.11, 4.5],
        [-0.03, 1.04, 0.2, -7.25],
        [0.1, -0.17, 0.95, 2.125],
        [0, 0, 0, 1],
    ]
)


def nifti(path: Path, *, neurological: bool, seed: int) -> nibabel.Nifti1Image:
    """An image whose header has a positive determinant where it is neurological."""
    draw = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn)) * (1 if neurological else -1)
    affine = np.eye(4)
    affine[:3, :3] = turn * draw.uniform(0.5, 3, size=3)
    affine[:3, 3] = draw.uniform(-100, 100, size=3)
    image = nibabel.Nifti1Image(np.zeros((7, 9, 11), np.float32), affine)
    nibabel.save(image, path)
    return nibabel.load(path)


def scaled(image: nibabel.Nifti1Image, voxels: np.ndarray) -> np.ndarray:
    """FLIRT's coordinates of voxels, one by one, as its wiki says it."""
    sizes, found = voxel_sizes(image.affine), []
    for i, j, k in voxels:
        x = image.shape[0] - 1 - i if np.linalg.det(image.affine) > 0 else i
        found.append((x * sizes[0], j * sizes[1], k * sizes[2]))
    return np.array(found)


def unscaled(image: nibabel.Nifti1Image, points: np.ndarray) -> np.ndarray:
    sizes, found = voxel_sizes(image.affine), []
    for x, y, z in points:
        i = x / sizes[0]
        flip = np.linalg.det(image.affine) > 0
        found.append((image.shape[0] - 1 - i if flip else i, y / sizes[1], z / sizes[2]))
    return np.array(found)


def to_lps(image: nibabel.Nifti1Image, voxels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(apply_affine(image.affine, voxels) * [-1, -1, 1])


@pytest.mark.parametrize("fixed_side", [True, False])
@pytest.mark.parametrize("moving_side", [True, False])
def test_leads_where_the_scaled_voxels_lead(
    tmp_path: Path, fixed_side: bool, moving_side: bool
) -> None:
    reference = nifti(tmp_path / "ref.nii", neurological=fixed_side, seed=1)
    moved = nifti(tmp_path / "in.nii", neurological=moving_side, seed=2)
    np.savetxt(tmp_path / "a.mat", FLIRT, fmt="%.17g")
    grids = {k: io.open(tmp_path / f"{k}.nii").grid for k in ("ref", "in")}
    found = transforms.load_fsl(tmp_path / "a.mat", fixed=grids["ref"], moving=grids["in"])
    voxels = np.random.default_rng(3).uniform(0, 8, size=(200, 3))
    # FLIRT leads from -in to -ref: begin in the moving image
    here = to_lps(moved, voxels)
    arrived = apply_affine(FLIRT, scaled(moved, voxels))
    there = to_lps(reference, unscaled(reference, arrived))
    assert apart(found(there), here) < 1e-4  # the headers are float32
    assert apart(found(there), there) > 1


def test_the_identity_of_equal_headers_is_the_identity(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.mat", np.eye(4))
    grid = made_grid()
    found = transforms.load_fsl(tmp_path / "a.mat", fixed=grid, moving=grid)
    torch.testing.assert_close(found.matrix, torch.eye(4, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("mirrored", [True, False])
def test_is_read_back(tmp_path: Path, mirrored: bool) -> None:
    affine = made_grid().affine.clone()
    if mirrored:
        affine[:3, 2] *= -1
    grids = {"fixed": Grid((4, 5, 6), affine), "moving": made_grid((9, 3, 2))}
    transforms.save_fsl(made_affine(), tmp_path / "a.mat", **grids)
    for found in (
        transforms.load_fsl(tmp_path / "a.mat", **grids),
        transforms.load(tmp_path / "a.mat", **grids),
    ):
        assert isinstance(found, Linear)
        assert torch.allclose(found.matrix, made_affine().matrix, rtol=0, atol=1e-9)


def test_linear_parts_are_folded(tmp_path: Path) -> None:
    grid = made_grid()
    both = Composite((made_affine(), Linear.translation((1, 2, 3))))
    transforms.save_fsl(both, tmp_path / "a.mat", fixed=grid, moving=grid)
    found = transforms.load_fsl(tmp_path / "a.mat", fixed=grid, moving=grid)
    points = torch.randn(20, 3, dtype=torch.float64)
    assert apart(found(points), both(points)) < 1e-8


def test_is_refused_without_grids_and_as_a_file_of_itk(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.mat", FLIRT)
    with pytest.raises(FormatError, match="must come with both grids to be read as a matrix"):
        transforms.load(tmp_path / "a.mat")
    with pytest.raises(FormatError, match="must come with both grids"):
        transforms.load(tmp_path / "a.mat", fixed=made_grid())
    with pytest.raises(FormatError, match="it is text with 16 numbers as FLIRT writes"):
        transforms.load_itk_mat(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n", r"must hold 4 x 4 numbers to be a matrix of FLIRT, .* 12"),
        ("1 " * 17, "it holds 17: check what it is"),
        ("a " * 16, "must hold numbers between blanks"),
        ("nan " * 12 + "0 0 0 1", "must hold an affine map: matrix must be finite"),
        ("0 " * 15 + "1", "must hold an affine map: matrix must be invertible"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 1 0 0 1", r"must hold an affine map: matrix must end in"),
        ("", "it holds 0"),
    ],
)
def test_refuses_what_is_no_matrix(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "a.mat").write_text(text)
    with pytest.raises(FormatError, match=match):
        transforms.load_fsl(tmp_path / "a.mat", fixed=made_grid(), moving=made_grid())


def test_refuses_a_field(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="can hold linear transforms alone, got a Displacement"):
        transforms.save_fsl(made_field(), tmp_path / "a.mat", fixed=made_grid(), moving=made_grid())
    assert not list(tmp_path.iterdir())
