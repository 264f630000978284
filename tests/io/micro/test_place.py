"""Place: the note that holds a grid that a format cannot say."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms_io import corners, make_phantom, oblique_affine, sheared_affine

from vesalius.core import Grid, Image, Labels, Series
from vesalius.io._handle import Content, Finding
from vesalius.io.micro import _place

PLAIN = Grid.from_spacing((4, 5, 6), (2e-3, 1e-3, 5e-4), origin_mm=(1.0, -2.0, 3.0))


def test_only_an_axis_aligned_positive_grid_is_plain() -> None:
    flipped = PLAIN.affine.clone()
    flipped[0, 2] *= -1
    assert _place.is_plain(PLAIN)
    assert not _place.is_plain(Grid((4, 5, 6), flipped))
    assert not _place.is_plain(Grid((4, 5, 6), oblique_affine()))
    assert not _place.is_plain(Grid((4, 5, 6), sheared_affine()))


def test_other_programs_see_the_spacing_of_an_oblique_grid() -> None:
    grid = Grid((4, 5, 6), oblique_affine())
    seen = _place.shown(grid)
    assert seen.spacing_mm == pytest.approx(grid.spacing_mm, rel=1e-12)
    assert seen.origin_mm == (0.0, 0.0, 0.0)
    assert _place.shown(PLAIN) is PLAIN


@given(st.tuples(*[st.floats(-300, 300)] * 3), st.tuples(*[st.floats(1e-4, 5)] * 3))
def test_a_note_gives_the_grid_back(origin, spacing) -> None:
    grid = Grid.from_spacing((3, 4, 5), spacing, origin_mm=origin)
    image = Image(torch.zeros(1, 3, 4, 5), grid)
    note = _place.parse(_place.text(_place.encode(image)))
    findings: list[Finding] = []
    back = _place.grid_of(note, grid, findings)
    assert torch.equal(back.affine, grid.affine)
    assert findings == []


def test_an_oblique_grid_comes_back_and_says_so() -> None:
    image = make_phantom()
    note = _place.parse(_place.text(_place.encode(image)))
    findings: list[Finding] = []
    back = _place.grid_of(note, _place.shown(image.grid), findings)
    torch.testing.assert_close(corners(back), corners(image.grid), rtol=0, atol=0)
    assert [f.code for f in findings] == ["own-place"]


@pytest.mark.parametrize(
    "own",
    [
        Grid.from_spacing((4, 5, 6), (2e-3, 1e-3, 6e-4), origin_mm=(1.0, -2.0, 3.0)),
        Grid.from_spacing((4, 5, 6), (2e-3, 1e-3, 5e-4), origin_mm=(1.1, -2.0, 3.0)),
        Grid.from_spacing((4, 5, 7), (2e-3, 1e-3, 5e-4), origin_mm=(1.0, -2.0, 3.0)),
    ],
    ids=["spacing", "origin", "size"],
)
def test_a_file_that_was_changed_by_others_is_believed(own: Grid) -> None:
    note = _place.encode(Image(torch.zeros(1, 4, 5, 6), PLAIN))
    findings: list[Finding] = []
    assert _place.grid_of(note, own, findings) is own
    assert [(f.severity, f.code) for f in findings] == [("warning", "stale-place")]


@pytest.mark.parametrize(
    "affine", [None, "x", [[1, 0], [0, 1]], [[0] * 4] * 4, [[float("nan")] * 4] * 4, [1, 2, 3]]
)
def test_a_damaged_note_counts_as_stale(affine: object) -> None:
    findings: list[Finding] = []
    assert _place.grid_of({"affine": affine, "shape": [4, 5, 6]}, PLAIN, findings) is PLAIN
    assert [f.code for f in findings] == ["stale-place"]


@pytest.mark.parametrize("line", ["", "{", "[1]", "7", '"a"', "[" * 100_000, "null"])
def test_a_line_that_is_no_note_counts_as_absent(line: str) -> None:
    assert _place.parse(line) == {}


def test_an_infinite_size_in_a_note_counts_as_stale() -> None:
    note = _place.encode(Image(torch.zeros(1, 4, 5, 6), PLAIN)) | {"shape": [4, 5, float("inf")]}
    findings: list[Finding] = []
    assert _place.grid_of(note, PLAIN, findings) is PLAIN
    assert [f.code for f in findings] == ["stale-place"]


def test_an_infinite_label_in_a_note_counts_as_absent() -> None:
    note = {"names": [[0, float("inf"), "x"]]}
    assert _place.content_of(note, Content(), unit="", channels=1) == Content()


def test_no_note_leaves_the_own_grid_without_a_word() -> None:
    findings: list[Finding] = []
    assert _place.grid_of({}, PLAIN, findings) is PLAIN
    assert findings == []


def test_a_note_is_one_line_of_ascii() -> None:
    labels = Labels(torch.ones(1, 4, 5, 6, dtype=torch.uint8), PLAIN, {(0, 1): "Zähne\n"})
    line = _place.text(_place.encode(labels))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["names"] == [[0, 1, "Zähne\n"]]


def test_what_the_file_says_stands_where_the_note_is_silent() -> None:
    own = Content("HU", ("a", "b"), frames=3, times_s=(0.0, 1.0, 2.0))
    assert _place.content_of({}, own, unit="", channels=2) == own


def test_the_note_wins_over_what_the_file_says() -> None:
    series = Series(torch.zeros(3, 1, 4, 5, 6), PLAIN, (0.0, 1.0, 5.0), "photon")
    own = Content("1", ("a",), frames=3, times_s=(0.0, 2.5, 5.0))
    content = _place.content_of(_place.encode(series), own, unit="", channels=1)
    assert content.times_s == (0.0, 1.0, 5.0)
    assert content.unit == "photon"
    assert content.channels == ("a",)


@pytest.mark.parametrize("times", [[0.0, 1.0], ["a", "b", "c"], "abc", None, 5])
def test_times_that_do_not_fit_are_left(times: object) -> None:
    own = Content("1", (), frames=3, times_s=(0.0, 2.5, 5.0))
    content = _place.content_of({"times_s": times}, own, unit="", channels=1)
    assert content.times_s == (0.0, 2.5, 5.0)


def test_a_covering_grid_has_the_same_edges() -> None:
    small = _place.covering(PLAIN, (2, 3))
    for sign, grid, last in ((-0.5, PLAIN, (3, 4, 5)), (-0.5, small, (3, 1, 2))):
        first = grid.to_world(torch.tensor([0.0, sign, sign], dtype=torch.float64))
        far = torch.tensor([last[0], last[1] + 0.5, last[2] + 0.5], dtype=torch.float64)
        assert first.tolist() == pytest.approx([1 - 2.5e-4, -2 - 5e-4, 3.0], abs=1e-9)
        assert grid.to_world(far).tolist() == pytest.approx(
            [1 + 5.5 * 5e-4, -2 + 4.5e-3, 3.006], abs=1e-9
        )
