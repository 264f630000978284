"""``vesalius compare`` from the shell."""

import pytest
import torch

from vesalius import io
from vesalius.core import Labels


@pytest.fixture
def pair(disk, tmp_path):
    truth = io.open_labels(disk.labels)
    io.save(Labels(truth.data.roll(1, 3), truth.grid), tmp_path / "pred.nii.gz")
    return tmp_path / "pred.nii.gz", disk.labels


def test_prints_a_table_and_writes_where_it_is_told_to(vesalius, pair, tmp_path):
    ended = vesalius("compare", *pair, "-o", tmp_path / "scores", "--progress", "none")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split()[:3] == ["Label", "Dice", "IoU"]
    assert lines[-1] == f"report: {tmp_path / 'scores' / 'report.html'}"
    assert (tmp_path / "scores" / "compare.csv").is_file()


def test_writes_nothing_without_a_folder(vesalius, pair, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    ended = vesalius("compare", *pair, "--instances", "--progress", "none")
    assert ended.code == 0
    assert ended.out.startswith("IoU from")
    assert sorted(tmp_path.rglob("*")) == before


def test_tells_which_of_two_runs_is_better(vesalius, pair, tmp_path):
    ended = vesalius("compare", *pair, "--against", pair[1], "--detailed", "-q")
    assert (ended.code, ended.out) == (0, "")
    ended = vesalius("compare", *pair, "--against", pair[1])
    assert "against the other run, mean of labels, dice: -0." in ended.out


def test_says_in_what_grids_differ_and_leaves_with_3(vesalius, pair, tmp_path):
    truth = io.open_labels(pair[1])
    io.save(truth.crop((0, 0, 0), (12, 16, 18)), tmp_path / "cut.nii.gz")
    ended = vesalius("compare", tmp_path / "cut.nii.gz", pair[1])
    assert ended.code == 3
    assert "size differs: (12, 16, 20) against (12, 16, 18)" in ended.err
    assert "vesalius convert PRED OUT --labels --like TRUTH" in ended.err


def test_leaves_with_4_where_one_case_of_a_cohort_was_refused(vesalius, tmp_path):
    from vesalius.core import Grid

    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        for k in range(2):
            size = 1.0 if (run, k) != ("a", 1) else 2.0
            grid = Grid.from_spacing((2, 5, 5), (1.0, 1.0, size))
            data = torch.zeros(1, 2, 5, 5, dtype=torch.uint8)
            data[..., 1:4, 1:4] = 1
            io.save(Labels(data, grid), tmp_path / run / f"{k}.nii.gz")
    ended = vesalius("compare", tmp_path / "a", tmp_path / "b", "--progress", "none")
    assert ended.code == 4
    assert "error: 1: prediction and truth must lie on one grid" in ended.err
    assert "label 1" in ended.out


@pytest.mark.parametrize("spacing", ["1,2", "a,b,c", "1;1;1"])
def test_a_spacing_is_three_numbers(vesalius, pair, spacing):
    ended = vesalius("compare", *pair, "--spacing", spacing)
    assert ended.code == 2
    assert "must be Z,Y,X in mm" in ended.err
