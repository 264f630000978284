"""Points in files: the frame is declared or the file is refused; pixels need their grid."""

import csv
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_transforms import flat_grid, made_grid

from vesalius.core import Grid, Points
from vesalius.errors import FormatError
from vesalius.io import Budget
from vesalius.io.transforms import load_pixels, load_points, save_pixels, save_points

finite = st.floats(allow_nan=False, allow_infinity=False)
# names are stripped, and no line of the table ends within one
words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=8)


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(finite, finite, finite, words), min_size=1, max_size=5))
def test_points_and_names_are_read_back_bit_by_bit(tmp_path: Path, rows: list) -> None:
    data = torch.tensor([row[:3] for row in rows], dtype=torch.float64)
    names = tuple(row[3] for row in rows)
    save_points(Points(data, names), tmp_path / "a.csv")
    found = load_points(tmp_path / "a.csv")
    assert torch.equal(found.data, data)
    assert found.names == names


def test_points_without_names_and_none_at_all(tmp_path: Path) -> None:
    ours = Points(torch.randn(3, 3))
    save_points(ours, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("# LPS mm\nx,y,z\n")
    found = load_points(tmp_path / "a.csv")
    assert found.names == ()
    assert torch.equal(found.data, ours.data.double())
    save_points(Points(torch.empty(0, 3)), tmp_path / "b.csv")
    assert len(load_points(tmp_path / "b.csv")) == 0


@pytest.mark.parametrize("first", ["# LPS mm", "#LPS mm", "# lps, mm", "\ufeff# LPS mm (ITK)"])
@pytest.mark.parametrize("columns", ["x,y,z", "L,P,S", " X , Y , Z "])
def test_columns_are_found_by_name(tmp_path: Path, first: str, columns: str) -> None:
    x, y, z = columns.split(",")
    text = f'{first}\nlabel,{z},{x},weight,{y}\n\n# a remark\n"a, b",3,1,0.5,2\nc,-3,-1,0.5,-2\n'
    found = load_points(table(tmp_path / "a.csv", text))
    assert found.data.tolist() == [[1, 2, 3], [-1, -2, -3]]
    assert found.names == ("a, b", "c")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x,y,z\n1,2,3\n", "must declare its frame in its first line, which is 'x,y,z'"),
        ("", "must declare its frame"),
        ("#\nx,y,z\n", "must declare its frame"),
        ("# RAS mm\nx,y,z\n1,2,3\n", "must be in LPS mm, it says RAS: negate the first two"),
        ("# LPS cm\nx,y,z\n1,2,3\n", "must begin with the line '# LPS mm', it begins with"),
        ("# voxels\nx,y,z\n1,2,3\n", "must begin with the line '# LPS mm'"),
        ("# LPS mm\n", "must name its columns below '# LPS mm'"),
        ("# LPS mm\n1,2,3\n", "must name the columns x, y, z or L, P, S in its second line"),
        ("# LPS mm\nR,A,S\n1,2,3\n", "must name the columns x, y, z or L, P, S"),
        ("# LPS mm\nx,y,z\n1,2,3\n4,5\n", "point 2 is '4,5': repair or remove it"),
        ("# LPS mm\nx,y,z\n1,nan,3\n", "must give every point finite coordinates, point 1"),
        ("# LPS mm\nx,y,z\n1,1e999,3\n", "must give every point finite coordinates"),
        ("# LPS mm\nx,y,z\n1;2;3\n", "must give every point finite coordinates"),
        ('# LPS mm\nx,y,z,name\n1,2,3,"a\n', "must be a table with commas"),
    ],
)
def test_refuses_what_does_not_say_where_it_is(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        load_points(table(tmp_path / "a.csv", text))


@pytest.mark.parametrize(
    ("system", "sign"), [("LPS", 1), ("1", 1), ("RAS", -1), ("0", -1), ("lps", 1)]
)
def test_fiducials_of_slicer_are_turned_by_what_they_declare(
    tmp_path: Path, system: str, sign: int
) -> None:
    text = (
        "# Markups fiducial file version = 4.11\n"
        f"# CoordinateSystem = {system}\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "1,-29.5,56.25,9.7,0,0,0,1,1,1,0,F-1,,vtkMRMLScalarVolumeNode1\n"
        '2,1,2,3,0,0,0,1,1,1,0,"left, upper",,\n'
    )
    found = load_points(table(tmp_path / "a.fcsv", text))
    assert found.data.tolist() == [[-29.5 * sign, 56.25 * sign, 9.7], [sign, 2 * sign, 3]]
    assert found.names == ("F-1", "left, upper")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("# columns = id,x,y,z\n1,2,3,4\n", "must say '# CoordinateSystem = LPS' or RAS"),
        ("# CoordinateSystem = IJK\n1,2,3,4\n", "it says 'IJK'"),
        ("# CoordinateSystem = LPS\n# columns = id,a,b\n1,2,3\n", "must name the columns x, y and"),
        ("# CoordinateSystem = LPS\n1,2,3\n", "must give every point finite coordinates"),
    ],
)  # fmt: skip
def test_refuses_fiducials_without_a_frame(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        load_points(table(tmp_path / "a.fcsv", text))


MARKUPS = {
    "@schema": "https://example.org/markups-schema-v1.0.3.json#",
    "markups": [
        {
            "type": "Fiducial",
            "coordinateSystem": "LPS",
            "coordinateUnits": "mm",
            "controlPoints": [
                {"id": "1", "label": "F-1", "position": [-29.5, 56.25, 9.7]},
                {"id": "2", "label": "F-2", "position": [1, 2, 3]},
            ],
        }
    ],
}


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("RAS", -1)])
def test_markups_of_slicer_are_turned_by_what_they_declare(
    tmp_path: Path, system: str, sign: int
) -> None:
    text = json.dumps(MARKUPS).replace("LPS", system)
    found = load_points(table(tmp_path / "a.mrk.json", text))
    assert found.data.tolist() == [[-29.5 * sign, 56.25 * sign, 9.7], [sign, 2 * sign, 3]]
    assert found.names == ("F-1", "F-2")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("{", "["), "must hold one list of markups with a coordinateSystem"),
        (("coordinateSystem", "system"), r"it does not \(KeyError\)"),
        (("[-29.5, 56.25, 9.7]", "[-29.5, 56.25]"), r"it does not \(ValueError\)"),
        (("[-29.5, 56.25, 9.7]", "null"), r"it does not \(TypeError\)"),
        (("-29.5", "NaN"), "must give every point finite coordinates, point 1"),
        (("LPS", "IJK"), "must say coordinateSystem LPS or RAS and coordinateUnits mm"),
        (('"mm"', '"um"'), "it says 'LPS' and 'um'"),
    ],
)
def test_refuses_markups_that_do_not_say_where_they_are(
    tmp_path: Path, change: tuple[str, str], match: str
) -> None:
    text = json.dumps(MARKUPS)
    assert change[0] in text
    with pytest.raises(FormatError, match=match):
        load_points(table(tmp_path / "a.mrk.json", text.replace(*change)))


def test_pixels_are_centres_of_samples(tmp_path: Path) -> None:
    grid = Grid.from_spacing((1, 10, 20), (1, 0.5, 0.25), origin_mm=(3, 4, 5))
    found = load_pixels(table(tmp_path / "a.csv", ",X,Y\n1,0,0\n2,8,2\n"), grid=grid)
    assert found.data.tolist() == [[3, 4, 5], [5, 5, 5]]
    assert found.names == ()


def test_landmarks_of_a_histological_pair_lie_in_their_image(data_dir: Path) -> None:
    path = data_dir / "registration" / "histology" / "Rat-Kidney_HE.csv"
    grid = Grid.from_spacing((1, 787, 1164))
    found = load_pixels(path, grid=grid)
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    assert len(found) == len(rows) == 71
    wanted = [[float(x), float(y), 0.0] for _, x, y in rows]
    assert found.data.tolist() == wanted


@pytest.mark.parametrize("flat", [True, False])
def test_pixels_are_read_back(tmp_path: Path, flat: bool) -> None:
    grid = flat_grid() if flat else made_grid()
    index = torch.rand(10, 3, dtype=torch.float64) * torch.tensor([0.0 if flat else 5.0, 6, 7])
    ours = Points(grid.to_world(index))
    save_pixels(ours, tmp_path / "a.csv", grid=grid)
    head = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert head == (",X,Y" if flat else ",X,Y,Z")
    found = load_pixels(tmp_path / "a.csv", grid=grid)
    torch.testing.assert_close(found.data, ours.data, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must name the columns X and Y .* in its first line, it has ''"),
        ("1,63,309\n", "must name the columns X and Y"),
        (",X,Y\n1,63,inf\n", "must give every point finite coordinates, point 1"),
    ],
)
def test_refuses_pixels_without_columns(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        load_pixels(table(tmp_path / "a.csv", text), grid=made_grid())


def test_refuses_another_suffix(tmp_path: Path) -> None:
    points = Points(torch.zeros(1, 3))
    with pytest.raises(FormatError, match=r"a table of points must end in .csv, got 'a.txt'"):
        save_points(points, tmp_path / "a.txt")
    with pytest.raises(FormatError, match=r"a table of pixels must end in .csv, got 'a.txt'"):
        save_pixels(points, tmp_path / "a.txt", grid=made_grid())


def test_refuses_what_is_no_text_or_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"# LPS mm\n\0\0")
    with pytest.raises(FormatError, match="must be a table of points, it holds binary data"):
        load_points(path)
    path.write_bytes(b"# LPS mm\n\xff\xfe")
    with pytest.raises(FormatError, match="must be a table of points in UTF-8, byte 9 is not"):
        load_points(path)
    path.write_text("# LPS mm\nx,y,z\n" + "1,2,3\n" * 100)
    with pytest.raises(FormatError, match="its header claims"):
        load_points(path, budget=Budget(bytes=100))
    with pytest.raises(FormatError, match="must be a file that can be read, the system says: No s"):
        load_points(tmp_path / "none.csv")
