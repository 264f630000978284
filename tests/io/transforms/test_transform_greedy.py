"""Matrices of greedy and ITK-SNAP: RAS by hand; what is no matrix."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_transforms import apart, made_affine, made_field
from nibabel.affines import apply_affine

from vesalius.core import Composite, Linear
from vesalius.errors import FormatError
from vesalius.io import transforms

# as greedy wrote it for two brains; its own reslicing agreed with ours by it to 3e-5 of the spread
WRITTEN = """0.991096 -0.0435272 0.00386527 -10.3864
-0.00846825 0.988861 -0.00186176 6.64572
-0.0177352 -0.0331628 0.995481 5.06351
0 0 0 1
"""


def test_leads_from_the_fixed_to_the_moving_world_in_ras(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_text(WRITTEN)
    matrix = np.array([[float(word) for word in row.split()] for row in WRITTEN.splitlines()])
    ras = np.random.default_rng(0).uniform(-100, 100, size=(100, 3))
    found = transforms.load_greedy(tmp_path / "a.mat")
    moved = found(torch.from_numpy(ras * [-1, -1, 1]))
    wanted = torch.from_numpy(apply_affine(matrix, ras) * [-1, -1, 1])
    assert apart(moved, wanted) < 1e-9


def test_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    transforms.save_greedy(made_affine(), tmp_path / "a.mat")
    found = transforms.load_greedy(tmp_path / "a.mat")
    assert torch.equal(found.matrix, made_affine().matrix)
    both = Composite((made_affine(), Linear.translation((1, 2, 3))))
    transforms.save_greedy(both, tmp_path / "b.mat")
    points = torch.randn(20, 3, dtype=torch.float64)
    assert apart(transforms.load_greedy(tmp_path / "b.mat")(points), both(points)) < 1e-9


def test_is_not_taken_for_a_file_of_flirt_silently(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_text(WRITTEN)
    with pytest.raises(FormatError, match="if greedy or ITK-SNAP wrote it, call load_greedy"):
        transforms.load(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1 2 3", "must hold 4 x 4 numbers to be a matrix of greedy, it holds 3"),
        ("1 " * 16, "must hold an affine map: matrix must end in"),
        ("x " * 16, "must hold numbers between blanks"),
    ],
)
def test_refuses_what_is_no_matrix(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "a.mat").write_text(text)
    with pytest.raises(FormatError, match=match):
        transforms.load_greedy(tmp_path / "a.mat")


def test_refuses_a_field(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="can hold linear transforms alone, got a Displacement"):
        transforms.save_greedy(made_field(), tmp_path / "a.mat")
    assert not list(tmp_path.iterdir())
