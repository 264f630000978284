"""The house's own transform files: every transform of core bit by bit; changed ones are refused."""

import hashlib
import json
from pathlib import Path

import nibabel
import pytest
import torch
from made_transforms import (
    SHAPE,
    apart,
    every_transform,
    made_affine,
    made_field,
    made_grid,
    made_velocity,
    noise,
    points_in,
)
from phantoms_io import sheared_affine

from vesalius.core import Composite, Displacement, Grid, Transform, Velocity
from vesalius.core._inverse import Inverse
from vesalius.errors import FormatError, OutputError
from vesalius.io import Budget, transforms

EVERY = every_transform()


def tensors(transform: Transform) -> list[torch.Tensor]:
    """Every number of a transform, in order."""
    if isinstance(transform, Composite):
        return [one for part in transform.parts for one in tensors(part)]
    if isinstance(transform, Inverse):
        return tensors(transform.forward)
    names = ("matrix", "coefficients", "data")
    found = [getattr(transform, name) for name in names if hasattr(transform, name)]
    return [*found, transform.grid.affine] if hasattr(transform, "grid") else found


@pytest.mark.parametrize("kind", list(EVERY))
def test_every_transform_is_read_back_bit_by_bit(tmp_path: Path, kind: str) -> None:
    ours = EVERY[kind]
    transforms.save(ours, tmp_path / "a.json")
    back = transforms.load(tmp_path / "a.json")
    assert type(back) is type(ours)
    for first, second in zip(tensors(ours), tensors(back), strict=True):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    points = points_in(made_grid().crop((2, 2, 2), (2, 2, 2)), 50)
    assert torch.equal(ours(points), back(points))


@pytest.mark.parametrize("border", ["nearest", "zero"])
def test_the_border_is_kept(tmp_path: Path, border: str) -> None:
    transforms.save(Displacement(noise(3, *SHAPE), made_grid(), border), tmp_path / "a.json")
    found = transforms.load(tmp_path / "a.json")
    assert isinstance(found, Displacement)
    assert found.border == border


def test_a_sheared_grid_is_kept(tmp_path: Path) -> None:
    ours = Velocity(noise(3, 2, 3, 4), Grid((2, 3, 4), sheared_affine()))
    transforms.save(ours, tmp_path / "a.json")
    found = transforms.load(tmp_path / "a.json")
    assert isinstance(found, Velocity)
    assert torch.equal(found.grid.affine, ours.grid.affine)


def test_what_requires_a_gradient_is_saved(tmp_path: Path) -> None:
    data = noise(3, *SHAPE).requires_grad_()
    transforms.save(Displacement(data, made_grid()), tmp_path / "a.json")
    assert torch.equal(transforms.load(tmp_path / "a.json").data, data.detach())


def test_the_file_says_its_direction_frame_and_unit(tmp_path: Path) -> None:
    transforms.save(Composite((made_affine(), made_field())), tmp_path / "a.json")
    record = json.loads((tmp_path / "a.json").read_text())
    assert (record["direction"], record["frame"], record["unit"]) == (
        "fixed -> moving",
        "LPS",
        "mm",
    )
    field = record["transform"]["parts"][1]
    assert field["file"] == "a.0.nii.gz"
    assert field["sha256"] == hashlib.sha256((tmp_path / "a.0.nii.gz").read_bytes()).hexdigest()
    header = nibabel.load(tmp_path / "a.0.nii.gz").header
    assert header["intent_code"] == 1007


def test_equal_transforms_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        transforms.save(made_velocity(), tmp_path / name / "t.json")
    for file in ("t.json", "t.0.nii.gz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_field_of_displacement_beside_it_is_one_of_itk(tmp_path: Path) -> None:
    transforms.save(made_field(), tmp_path / "a.json")
    points = points_in(made_grid())
    found = transforms.load_field(tmp_path / "a.0.nii.gz")
    assert apart(found(points), made_field()(points)) < 1e-3


def test_a_changed_missing_or_foreign_field_is_refused(tmp_path: Path) -> None:
    transforms.save(made_field(), tmp_path / "a.json")
    field = tmp_path / "a.0.nii.gz"
    raw = bytearray(field.read_bytes())
    raw[-20] ^= 1
    field.write_bytes(raw)
    with pytest.raises(FormatError, match=r"must be the field that was saved with 'a.json'"):
        transforms.load(tmp_path / "a.json")
    field.unlink()
    with pytest.raises(FormatError, match="must have its samples beside it"):
        transforms.load(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace("a.0.nii.gz", "../a.0.nii.gz"))
    with pytest.raises(FormatError, match="must have its samples in its own folder"):
        transforms.load(tmp_path / "a.json")


def test_a_field_that_costs_too_much_is_refused(tmp_path: Path) -> None:
    transforms.save(made_field(), tmp_path / "a.json")
    with pytest.raises(FormatError, match="its header claims"):
        transforms.load(tmp_path / "a.json", budget=Budget(bytes=7000))


def damaged(tmp_path: Path, **changes: object) -> Path:
    """Write a field and change entries of its record."""
    path = tmp_path / "a.json"
    transforms.save(made_field(), path)
    record = json.loads(path.read_text())
    for key, value in changes.items():
        where = record if key in record else record["transform"]
        where[key] = value
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": "other"}, "must be a transform, its format is not 'vesalius transform'"),
        ({"version": 2}, "must be of version 1, it is of 2: update vesalius"),
        ({"direction": "moving -> fixed"}, "must say direction 'fixed -> moving', it says"),
        ({"frame": "RAS"}, "must say frame 'LPS', it says 'RAS'"),
        ({"unit": "voxel"}, "must say unit 'mm', it says 'voxel'"),
        ({"transform": []}, "must hold a whole transform, an entry is no record"),
        ({"kind": "warp"}, "the kind 'warp' is not known"),
        ({"kind": ["linear"]}, "is not known"),
        ({"kind": "linear"}, "a matrix is not 4 x 4 finite numbers"),
        ({"kind": "composite"}, "a composite has no parts"),
        ({"kind": "inverse"}, "an inverse has tol_mm None and steps None"),
        ({"shape_zyx": [6, 7]}, r"the shape of a field is \[6, 7\]"),
        ({"shape_zyx": [6, 7, 9]}, "the field has shape"),
        ({"shape_zyx": [-6, 7, 8]}, "shape must be three sizes"),
        ({"dtype": "float32"}, "the field has shape .* told are .* float32"),
        ({"border": "wrap"}, "the border of a field is 'wrap'"),
        ({"affine_zyx_to_lps": [[1, 2, 3, 4]]}, "a matrix is not 4 x 4 finite numbers"),
        ({"affine_zyx_to_lps": [[float("nan")] * 4] * 4}, "a matrix is not 4 x 4 finite numbers"),
        ({"affine_zyx_to_lps": [[10**400] * 4] * 4}, "a matrix is not 4 x 4 finite numbers"),
        ({"affine_zyx_to_lps": [[0] * 4] * 3 + [[0, 0, 0, 1]]}, "affine must be invertible"),
        ({"file": ""}, "must have its samples beside it"),
        ({"sha256": None}, "its SHA-256 is another one"),
    ],
)
def test_a_damaged_record_is_refused(
    tmp_path: Path, changes: dict[str, object], match: str
) -> None:
    path = damaged(tmp_path, **changes)
    with pytest.raises(FormatError, match=match):
        transforms.load(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "[" * 100_000, '{"format": 1e999}', "null"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError, match=r"must be JSON|must be a transform, its format is not"):
        transforms.load(tmp_path / "a.json")


def test_a_bomb_of_composites_is_refused(tmp_path: Path) -> None:
    entry: dict[str, object] = {"kind": "composite", "parts": []}
    for _ in range(30):
        entry = {"kind": "composite", "parts": [entry]}
    path = damaged(tmp_path, transform=entry)
    with pytest.raises(FormatError, match="it nests too deep"):
        transforms.load(path)


def test_a_failed_writing_leaves_what_was_there(tmp_path: Path) -> None:
    class Swirl(Transform):
        __call__ = inverse = jacobian = None  # type: ignore[assignment]

    transforms.save(made_field(), tmp_path / "a.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FormatError, match="got Swirl: give like=, the grid to sample"):
        transforms.save(Composite((made_velocity(), Swirl())), tmp_path / "a.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(OutputError, match="output folder must exist"):
        transforms.save(made_affine(), tmp_path / "none" / "a.json")
