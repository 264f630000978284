"""GeoJSON of QuPath: pixels, holes, names and colours, damage, and the way back."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, OutputError
from vesalius.io import Budget, _geojson
from vesalius.io._geojson import read_geojson, save_geojson
from vesalius.io._handle import Rules

RULES = Rules()
GRID = Grid.from_spacing((1, 8, 10), (1.0, 0.5e-3, 0.5e-3), origin_mm=(3.0, 4.0, 0.0))
SQUARE = [[2, 1], [5, 1], [5, 3], [2, 3], [2, 1]]
volumes = arrays(np.uint8, (3, 8, 9), elements=st.sampled_from([0, 0, 1, 2, 9]))


def feature(shape: dict[str, object], **properties: object) -> dict[str, object]:
    return {"type": "Feature", "geometry": shape, "properties": properties}


def polygon(*rings: list[list[float]], z: int | None = None) -> dict[str, object]:
    plane = {} if z is None else {"plane": {"c": -1, "z": z, "t": 0}}
    return {"type": "Polygon", "coordinates": list(rings), **plane}


def write(folder: Path, content: object, name: str = "a.geojson") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_pixels_count_from_the_corner_x_to_the_right_y_downwards(tmp_path: Path) -> None:
    """QuPath's rectangle x = 2, y = 1, 3 wide, 2 high covers 3 x 2 whole pixels."""
    path = write(tmp_path, feature(polygon(SQUARE), name="tumour"))
    labels = io.open_labels(path, like=GRID)
    wanted = torch.zeros((1, 1, 8, 10), dtype=torch.uint8)
    wanted[0, 0, 1:3, 2:5] = 1
    assert torch.equal(labels.data, wanted)
    assert labels.names == {(0, 1): "tumour"}
    assert labels.grid is GRID


def test_holes_several_polygons_and_slices(tmp_path: Path) -> None:
    hole = [[3, 2], [4, 2], [4, 3], [3, 3], [3, 2]]
    ring = [[1, 1], [6, 1], [6, 5], [1, 5], [1, 1]]
    several = {"type": "MultiPolygon", "coordinates": [[ring, hole], [[[7, 6], [9, 6], [9, 8]]]]}
    several["plane"] = {"z": 2}
    grid = Grid.from_spacing((3, 8, 10))
    path = write(tmp_path, {"type": "FeatureCollection", "features": [feature(several)]})
    data = io.open_labels(path, like=grid).data[0]
    assert not data[:2].any()
    assert int(data[2, 1:5, 1:6].sum()) == 4 * 5 - 1
    assert data[2, 2, 3] == 0
    assert 0 < int(data[2, 6:, 7:].sum()) <= 4


@pytest.mark.parametrize("wrap", ["feature", "list", "collection", "geometry", "nested"])
def test_reads_every_way_of_wrapping(tmp_path: Path, wrap: str) -> None:
    shape = polygon(SQUARE)
    wrapped = {
        "feature": feature(shape),
        "list": [feature(shape)],
        "collection": {"type": "FeatureCollection", "features": [feature(shape)]},
        "geometry": shape,
        "nested": feature({"type": "GeometryCollection", "geometries": [shape]}),
    }[wrap]
    (roi,) = read_geojson(write(tmp_path, wrapped), RULES).rois
    assert (roi.name, roi.value) == ("object 1", 1)
    assert roi.outlines[0].points[:, 1:].tolist() == [
        [0.5, 1.5],
        [0.5, 4.5],
        [2.5, 4.5],
        [2.5, 1.5],
    ]


def test_names_and_colours_of_objects_and_of_classes(tmp_path: Path) -> None:
    shape = polygon(SQUARE)
    found = read_geojson(
        write(
            tmp_path,
            [
                feature(shape, name="A", classification={"name": "Tumor", "color": [200, 0, 0]}),
                feature(shape, classification={"name": "Tumor", "colorRGB": -3670016}),
                feature(shape, classification={"names": ["Tumor", "Positive"]}),
                feature(shape, color=[1, 2, 3]),
                {"type": "Feature", "geometry": shape},
            ],
        ),
        RULES,
    )
    assert [(r.name, r.value) for r in found.rois] == [
        ("A", 1),
        ("Tumor", 2),
        ("Tumor Positive", 3),
        ("object 4", 4),
        ("object 5", 5),
    ]
    assert [r.colour for r in found.rois] == [(200, 0, 0), (200, 0, 0), (), (1, 2, 3), ()]
    assert found.space == "pixel"


def test_lines_and_points_enclose_nothing(tmp_path: Path) -> None:
    shapes = [
        polygon(SQUARE),
        {"type": "LineString", "coordinates": SQUARE},
        {"type": "MultiLineString", "coordinates": [SQUARE]},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        None,
    ]
    found = read_geojson(write(tmp_path, [feature(s) for s in shapes]), RULES)
    assert [r.outlines[0].kind for r in found.rois] == ["closed", "open", "open", "point", "point"]
    assert [f.code for f in found.findings] == ["no-contours"]
    drawn = io.open_regions(tmp_path / "a.geojson", like=GRID)
    assert drawn.labels.names == {(0, 1): "object 1"}


def test_outlines_are_picked_by_name_and_need_a_grid(tmp_path: Path) -> None:
    path = write(tmp_path, [feature(polygon(SQUARE), name=n) for n in ("cell 1", "cell 2", "vein")])
    assert len(io.open_labels(path, like=GRID, roi=r"cell \d").names) == 2
    with pytest.raises(FormatError, match=r"must be drawn on a grid, outlines have none: call"):
        io.open_labels(path)
    with pytest.raises(FormatError, match=r"must hold a volume, it holds outlines"):
        io.open(path)


# ---- damage


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b'{"type": "Feature", "geometry": {"type": "Polygon"}}',
        b'{"type": "Circle", "coordinates": []}',
        b'{"type": "Polygon", "coordinates": [[[1, "x"]]]}',
        b'{"type": "Polygon", "coordinates": [[[1, NaN], [2, 3]]]}',
        b'{"type": "Polygon", "coordinates": [[[1, 1e300], [2, 3]]]}',
        b'{"type": "Polygon", "coordinates": [[[1, 1' + b"0" * 400 + b"]]]}",
        b'{"type": "Polygon", "coordinates": [[[1]]]}',
        b'{"type": "Feature", "geometry": null, "properties": "name"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_refuses_what_is_no_geojson(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.geojson").write_bytes(content)
    with pytest.raises(FormatError, match=r"'a.geojson' must be GeoJSON with features in pixels"):
        read_geojson(tmp_path / "a.geojson", RULES)


def test_refuses_a_file_beyond_the_budget(tmp_path: Path) -> None:
    path = write(tmp_path, [feature(polygon(SQUARE))] * 50)
    with pytest.raises(FormatError, match="must fit in"):
        read_geojson(path, Rules(budget=Budget(bytes=10_000)))


# ---- out


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=volumes)
def test_labels_come_back(tmp_path: Path, data: np.ndarray) -> None:
    grid = Grid.from_spacing((3, 8, 9), (2.0, 0.5, 0.5))
    labels = Labels(torch.from_numpy(data)[None], grid, {(0, 1): "nucleus"})
    save_geojson(labels, tmp_path / "a.geojson")
    if data.any():
        back = io.open_labels(tmp_path / "a.geojson", like=grid)
        assert torch.equal(back.data, labels.data)
        assert set(back.names.values()) == {labels.name(v) for _, v in labels.values}


def test_what_is_written_is_what_qupath_reads(tmp_path: Path) -> None:
    data = torch.zeros((1, 1, 6, 6), dtype=torch.uint8)
    data[0, 0, 1:5, 1:5] = 3
    data[0, 0, 2, 2] = 0
    data[0, 0, 5, 5] = 3
    labels = Labels(data, Grid.from_spacing((1, 6, 6)), {(0, 3): "Drüse"})
    save_geojson(labels, tmp_path / "a.geojson", kind="detection")
    save_geojson(labels, tmp_path / "b.geojson", kind="detection")
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()
    parsed = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    (one,) = parsed["features"]
    assert one["properties"]["objectType"] == "detection"
    assert one["properties"]["classification"]["name"] == "Drüse"
    assert one["geometry"]["plane"] == {"c": -1, "z": 0, "t": 0}
    first, second = one["geometry"]["coordinates"]
    assert first == [
        [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]],
        [[2, 2], [2, 3], [3, 3], [3, 2], [2, 2]],
    ]
    assert second == [[[5, 5], [6, 5], [6, 6], [5, 6], [5, 5]]]


def test_a_body_in_a_hole_of_another_keeps_its_own_hole(tmp_path: Path) -> None:
    y, x = torch.meshgrid(torch.arange(13.0), torch.arange(13.0), indexing="ij")
    reach = torch.maximum((y - 6).abs(), (x - 6).abs())
    data = ((reach % 2 == 0) & (reach < 6)).to(torch.uint8)[None, None]
    save_geojson(Labels(data, Grid.from_spacing((1, 13, 13))), tmp_path / "a.geojson")
    (one,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [len(rings) for rings in one["geometry"]["coordinates"]] == [2, 2, 1]
    sizes = [[abs(area(ring)) for ring in rings] for rings in one["geometry"]["coordinates"]]
    assert sizes == [[81.0, 49.0], [25.0, 9.0], [1.0]]


def area(ring: list[list[float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2


def test_an_output_that_reads_back_differently_is_not_published(tmp_path, monkeypatch) -> None:
    data = torch.ones((1, 1, 4, 4), dtype=torch.uint8)
    monkeypatch.setattr(_geojson, "read_geojson", moved)
    with pytest.raises(OutputError, match="its outlines read back differ"):
        save_geojson(Labels(data, Grid.from_spacing((1, 4, 4))), tmp_path / "a.geojson")
    assert list(tmp_path.iterdir()) == []


def moved(path: Path, rules: Rules) -> io.Contours:
    """Read a file whose points were moved by a pixel meanwhile."""
    text = path.read_text().replace("[0.0, 4.0]", "[0.0, 3.0]").replace("[4.0, 4.0]", "[4.0, 3.0]")
    path.write_text(text)
    found = read_geojson(path, rules)
    assert not math.isnan(float(found.rois[0].outlines[0].points.sum()))
    return found


@pytest.mark.parametrize("name", ["", "  "])
def test_a_label_without_a_name_is_called_by_its_value(tmp_path: Path, name: str) -> None:
    grid = Grid.from_spacing((1, 4, 5))
    data = torch.zeros((1, 1, 4, 5), dtype=torch.uint8)
    data[0, 0, 1:3, 1:4] = 7
    save_geojson(Labels(data, grid, {(0, 7): name}), tmp_path / "a.geojson")
    assert io.open_labels(tmp_path / "a.geojson", like=grid).names == {(0, 7): "label 7"}
