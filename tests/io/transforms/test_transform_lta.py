"""FreeSurfer .lta: text as FreeSurfer writes it, against MGH headers of nibabel walked by hand."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from made_transforms import apart, made_affine, made_bspline, made_grid
from nibabel.affines import apply_affine
from phantoms_io import sheared_affine

from vesalius import io
from vesalius.core import Grid, Linear
from vesalius.errors import FormatError
from vesalius.io import transforms

# a file as mri_robust_register writes it; src and dst lie in different ways
VOLUMES = """src volume info
valid = 1  # volume info valid
filename = /subjects/bert/mri/nu.mgz
volume = 256 200 180
voxelsize = 1.000000000000000e+00 1.250000000000000e+00 1.500000000000000e+00
xras   = -1.000000000000000e+00 0.000000000000000e+00 0.000000000000000e+00
yras   = 0.000000000000000e+00 0.000000000000000e+00 -1.000000000000000e+00
zras   = 0.000000000000000e+00 1.000000000000000e+00 0.000000000000000e+00
cras   = 5.399700000000000e+00 1.800000000000000e+01 0.000000000000000e+00
dst volume info
valid = 1  # volume info valid
filename = /average/template.mgz
volume = 100 110 121
voxelsize = 2.000000000000000e+00 2.000000000000000e+00 1.900000000000000e+00
xras   = 0.000000000000000e+00 1.000000000000000e+00 0.000000000000000e+00
yras   = 0.600000000000000e+00 0.000000000000000e+00 -0.800000000000000e+00
zras   = -0.800000000000000e+00 0.000000000000000e+00 -0.600000000000000e+00
cras   = -3.000000000000000e+00 2.500000000000000e+00 1.000000000000000e+01
"""
ROWS = """1.141600 0.018630 0.010876 -23.066311
-0.019849 1.142709 0.150979 -29.566288
-0.010058 -0.155729 0.919673 26.393215
0.000000 0.000000 0.000000 1.000000
"""
HEAD = """# transform file reg.lta
# created by someone on Tue Mar  4 10:11:12 2025

type      = {} # LINEAR_SOMETHING
nxforms   = 1
mean      = 127.0000 125.0000 115.0000
sigma     = 10000.0000
1 4 4
"""
MATRIX = np.array([[float(word) for word in row.split()] for row in ROWS.splitlines()])


def lta(
    path: Path, kind: int = 1, *, tail: str = VOLUMES + "subject bert\nfscale 0.150000\n"
) -> Path:
    path.write_text(HEAD.format(kind) + ROWS + tail)
    return path


def mgh_affines(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The world of both volumes as nibabel has it from MGH headers with the same numbers."""
    found = []
    for lines in VOLUMES.split("dst volume info"):
        fields = dict(line.split("=") for line in lines.splitlines() if "=" in line)
        told = {key.strip(): value.split("#")[0].split() for key, value in fields.items()}
        header = nibabel.freesurfer.mghformat.MGHHeader()
        header["dims"] = [*map(int, told["volume"]), 1]
        header["delta"] = [float(word) for word in told["voxelsize"]]
        axes = [[float(word) for word in told[key]] for key in ("xras", "yras", "zras")]
        header["Mdc"], header["goodRASFlag"] = axes, 1
        header["Pxyz_c"] = [float(word) for word in told["cras"]]
        found.append(header.get_affine())
    return found[0], found[1]


def test_voxels_to_voxels_leads_back_from_dst_to_src(tmp_path: Path) -> None:
    source, target = mgh_affines(tmp_path)
    voxels = np.random.default_rng(0).uniform(0, 100, size=(200, 3))
    here = torch.from_numpy(apply_affine(source, voxels) * [-1, -1, 1])
    there = torch.from_numpy(apply_affine(target, apply_affine(MATRIX, voxels)) * [-1, -1, 1])
    found = transforms.load_lta(lta(tmp_path / "a.lta", 0))
    assert apart(found.transform(there), here) < 1e-4  # MGH headers are float32


def test_ras_to_ras_leads_back_from_dst_to_src(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-100, 100, size=(200, 3))
    here = torch.from_numpy(points * [-1, -1, 1])
    there = torch.from_numpy(apply_affine(MATRIX, points) * [-1, -1, 1])
    found = transforms.load(lta(tmp_path / "a.lta", 1))
    assert apart(found(there), here) < 1e-9


def test_the_grids_are_those_of_the_volumes(tmp_path: Path) -> None:
    source, target = mgh_affines(tmp_path)
    found = transforms.load_lta(lta(tmp_path / "a.lta"))
    assert found.moving is not None
    assert found.fixed is not None
    for grid, affine, size in (
        (found.moving, source, (180, 200, 256)),
        (found.fixed, target, (121, 110, 100)),
    ):
        assert grid.shape == size
        wanted = (np.diag([-1, -1, 1, 1]) @ affine)[:, [2, 1, 0, 3]]
        np.testing.assert_allclose(grid.affine.numpy(), wanted, atol=1e-4)


def test_a_grid_is_that_of_the_same_volume_as_an_image(tmp_path: Path) -> None:
    affine = np.diag([-2.0, 3.0, 1.5, 1.0])
    affine[:3, 3] = [10, -20, 30]
    nibabel.save(nibabel.MGHImage(np.zeros((5, 6, 8), np.float32), affine), tmp_path / "a.mgz")
    grid = io.open(tmp_path / "a.mgz").grid
    transforms.save_lta(Linear.identity(), tmp_path / "a.lta", fixed=grid, moving=grid)
    found = transforms.load_lta(tmp_path / "a.lta").fixed
    assert found is not None
    assert torch.allclose(found.affine, grid.affine, rtol=0, atol=1e-9)


def test_ras_to_ras_needs_no_volumes(tmp_path: Path) -> None:
    found = transforms.load_lta(lta(tmp_path / "a.lta", 1, tail=""))
    assert (found.fixed, found.moving) == (None, None)
    invalid = VOLUMES.replace("valid = 1", "valid = 0")
    found = transforms.load_lta(lta(tmp_path / "a.lta", 1, tail=invalid))
    assert (found.fixed, found.moving) == (None, None)


def test_is_read_back(tmp_path: Path) -> None:
    grids = {"fixed": made_grid((4, 5, 6)), "moving": made_grid((9, 3, 2))}
    transforms.save_lta(made_affine(), tmp_path / "a.lta", **grids)
    found = transforms.load_lta(tmp_path / "a.lta")
    assert torch.allclose(found.transform.matrix, made_affine().matrix, rtol=0, atol=1e-9)
    assert found.fixed is not None
    assert found.fixed.shape == (4, 5, 6)
    assert torch.allclose(found.fixed.affine, grids["fixed"].affine, rtol=0, atol=1e-9)
    transforms.save(made_affine(), tmp_path / "b.lta", like=grids["fixed"], moving=grids["moving"])
    first, second = ((tmp_path / f"{name}.lta").read_text().splitlines() for name in "ab")
    assert first[1:] == second[1:]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("type      = 1", "type      = 21"), "of type 0 or 1, it holds 1 of type 21"),
        (("nxforms   = 1", "nxforms   = 2"), "it holds 2 of type 1: convert it with lta_convert"),
        (("type      = 1", "type      = x"), "must give type as a whole number to be an .lta file"),
        (("nxforms   = 1\n", ""), "must give nxforms as a whole number"),
        (("1 4 4\n", ""), "must hold a line '1 4 4' and four rows of four numbers"),
        ((" -23.066311", ""), "must hold a line '1 4 4' and four rows of four numbers"),
        (("-23.066311", "x"), "must hold numbers between blanks"),
        (("-23.066311", "nan"), "must hold an affine map: matrix must be finite"),
        (("1.141600 0.018630 0.010876", "0 0 0"), "must hold an affine map: .* invertible"),
        (("volume = 256 200", "volume = 256"), "must give three finite numbers for each of volume"),
        (("volume = 256", "volume = 1e300"), "must give src a positive whole size"),
        (("volume = 256", "volume = -256"), "must give src a positive whole size"),
        (("volume = 256", "volume = nan"), "must give three finite numbers"),
        (("5.399700000000000e+00", "inf"), "must give three finite numbers"),
        (("volume = 256", "volume = 2.5"), "must give src a positive whole size"),
        (("voxelsize = 1.000000000000000e+00", "voxelsize = 0"), "must place its samples in the"),
    ],
)  # fmt: skip
def test_refuses_a_damaged_file(tmp_path: Path, change: tuple[str, str], match: str) -> None:
    path = lta(tmp_path / "a.lta")
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(FormatError, match=match):
        transforms.load_lta(path)


def test_voxels_to_voxels_needs_both_volumes(tmp_path: Path) -> None:
    one = VOLUMES.split("dst volume info")[0]
    with pytest.raises(FormatError, match="must give valid volume infos of src and dst"):
        transforms.load_lta(lta(tmp_path / "a.lta", 0, tail=one))


def test_refuses_to_write_what_it_cannot_hold(tmp_path: Path) -> None:
    grid = made_grid()
    with pytest.raises(FormatError, match="can hold linear transforms alone, got a BSpline"):
        transforms.save_lta(made_bspline(), tmp_path / "a.lta", fixed=grid, moving=grid)
    sheared = Grid((2, 3, 4), sheared_affine())
    with pytest.raises(FormatError, match=r"must have a src grid with right angles"):
        transforms.save_lta(made_affine(), tmp_path / "a.lta", fixed=grid, moving=sheared)
    with pytest.raises(FormatError, match=r"must name both grids to be an .lta file"):
        transforms.save(made_affine(), tmp_path / "a.lta", like=grid)
    assert not list(tmp_path.iterdir())
