"""``vesalius measure --objects``: a table of objects, a report, and refusals."""

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import vesalius
from vesalius.cli._main import app
from vesalius.core import Grid, Image, Labels


@pytest.fixture
def files(tmp_path):
    grid = Grid.from_spacing((1, 40, 40), (1.0, 1.0, 1.0))
    labels = torch.zeros(1, 1, 40, 40, dtype=torch.int16)
    for k, (y, x) in enumerate([(4, 4), (20, 6), (12, 24)], start=1):
        labels[0, 0, y : y + 10, x : x + 9] = k
    image = Image(torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(1)), grid)
    vesalius.save(image, tmp_path / "image.nii.gz")
    vesalius.save(Labels(labels, grid), tmp_path / "labels.nii.gz")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["measure", *map(str, words)])


def test_writes_one_row_for_each_object_and_a_report(files):
    done = run(files / "image.nii.gz", files / "labels.nii.gz", "--objects", "-o", files / "out")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(files / "out" / "objects.csv")
    assert table["area_mm2"].tolist() == [90.0, 90.0, 90.0]
    page = (files / "out" / "report.html").read_text()
    assert "3 objects measured" in page
    assert "Each object in a colour of its own" in page


def test_counts_what_lies_inside(files):
    labels = files / "labels.nii.gz"
    words = (files / "image.nii.gz", labels, "--objects", "--contains", labels, "-o", files / "o")
    assert run(*words).exit_code == 0
    assert pd.read_csv(files / "o" / "objects.csv")["contains"].tolist() == [1, 1, 1]


def test_options_that_do_not_go_together_are_refused(files):
    both = (files / "image.nii.gz", files / "labels.nii.gz", "-o", files / "out")
    assert run(*both, "--objects", "--uncertainty").exit_code == 2
    assert run(*both, "--contains", files / "labels.nii.gz").exit_code == 2
    assert not (files / "out" / "objects.csv").exists()
