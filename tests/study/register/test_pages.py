"""The page of a registration: pictures lie upright, warnings are said, everything is escaped."""

import dataclasses

import numpy as np
import pytest
import torch

from vesalius.core import Displacement, Grid, Image, Linear
from vesalius.errors import ConfigError
from vesalius.register import Registration
from vesalius.register.evaluate import evaluate
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, render_page
from vesalius.study.register import Job
from vesalius.study.register._files import linear_of
from vesalius.study.register._pictures import _cuts, pictures
from vesalius.study.register._tell import _warnings, headline, kind

GRID = Grid.from_spacing((12, 14, 16), (3.0, 2.0, 2.0))


def image(grid=GRID):
    generator = torch.Generator().manual_seed(0)
    return Image(torch.rand(1, *grid.shape, generator=generator), grid)


def found(transform, start=None):
    begun = Linear.identity() if start is None else start
    return Registration(transform, image(), image(), begun)


def folded():
    data = torch.zeros(3, *GRID.shape)
    data[0, 5, 6, 7] = 9.0  # more than the distance of its neighbours
    return Displacement(data, GRID)


def test_every_picture_is_drawn_for_any_transform():
    drawn = pictures(found(folded()))
    assert [chart.title for chart in drawn] == [
        "Checkerboard, before", "Checkerboard, after", "Edges, before", "Edges, after",
        "Change of volume", "Bent grid",
    ]  # fmt: skip
    assert all(chart.png.startswith(b"\x89PNG") for chart in drawn)


def test_an_array_and_its_points_are_laid_upright_alike():
    """A marked sample and its position must land in the same place, whatever way an axis runs."""
    flips = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    turned = Grid(GRID.shape, flips @ GRID.affine)
    for cut in _cuts(turned):
        across = [a for a in range(3) if a != cut.plane.axis]
        marked = np.zeros([turned.shape[a] for a in across])
        marked[2, 5] = 1
        row, column = np.argwhere(cut.turn(marked) == 1)[0]
        down, right = cut.place(np.array([[2.0, 5.0]]))[0]
        assert down == pytest.approx((row + 0.5) * cut.upright.pixel_mm[0])
        assert right == pytest.approx((column + 0.5) * cut.upright.pixel_mm[1])


def test_folds_and_little_overlap_are_said_first():
    notes = " ".join(_warnings(evaluate(found(folded()))))
    assert "The transform folds" in notes
    away = found(Linear.translation((24.0, 0.0, 0.0)))
    notes = " ".join(_warnings(evaluate(away)))
    assert "of the fixed image meets the moving one" in notes
    assert _warnings(evaluate(found(Linear.identity()))) == ()


def test_less_correlation_than_before_is_said():
    worse = found(Linear.translation((2.0, 2.0, 3.0)))
    assert "correlate less after" in " ".join(_warnings(evaluate(worse)))


def test_the_headline_has_what_was_measured():
    said = dict(headline(evaluate(found(Linear.identity()))))
    assert said["folded voxels"] == "0 %"
    assert "mean Dice" not in said


def test_a_transform_is_told_in_words():
    assert kind(Linear.identity() @ folded()) == "linear, after displacement"


def test_linear_parts_fold_into_one():
    both = linear_of(Linear.translation((1.0, 0, 0)) @ Linear.translation((0.0, 2.0, 0)))
    assert both.matrix[:3, 3].tolist() == [1.0, 2.0, 0.0]
    with pytest.raises(ConfigError, match="linear transforms alone, got Displacement"):
        linear_of(Linear.identity() @ folded())


def test_a_table_is_escaped_and_folded_away():
    table = Table("Each of <b>1</b>", ("a", "b"), (("<script>", "1"),))
    text = render_page(Page(Heading("T", "L"), columns=("x",), rows=(("1",),), tables=(table,)))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<details>" in text


def test_a_job_needs_a_start():
    with pytest.raises(ConfigError, match="init must be one of"):
        Job(init=())


def test_a_start_that_is_neither_word_nor_file_is_refused_with_the_words():
    with pytest.raises(ConfigError, match=r"one of header, .*moments.*, or transform files"):
        Job(init=("momentz",))


def test_a_job_names_files_without_their_folders():
    job = Job(init=("some/where/a.tfm", "b.json"))
    assert job.to_json()["init"] == ["a.tfm", "b.json"]
    assert {f.name for f in dataclasses.fields(job)} == set(job.to_json())
