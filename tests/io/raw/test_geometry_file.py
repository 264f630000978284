"""Geometry files: what a person writes becomes rays and a grid; what is wrong is named."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.core import Grid, Linear
from vesalius.errors import ConfigError, GeometryError
from vesalius.io.raw import Scanner, open_geometry, save_geometry
from vesalius.physics.ct import Geometry, cone, fan, helical, parallel, tomosynthesis

ANGLES = torch.arange(4, dtype=torch.float64) * 90
CONE = """
kind: cone
angles_deg: {start: 0, stop: 360, count: 4}
source_mm: 500
detector_mm: 1000
detector: {shape: [3, 5], pitch_mm: [1, 2], offset_mm: [0.5, -1]}
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str, **options: torch.Tensor) -> Scanner:
        path = tmp_path / "geometry.yaml"
        path.write_text(text)
        return open_geometry(path, **options)

    return read


def assert_same(one: Geometry, two: Geometry) -> None:
    for name in ("source", "centre", "u", "v", "angles_deg"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=0)
    for name in ("beam", "shape", "middle", "arc_mm", "isocentre_mm", "axis"):
        assert getattr(one, name) == getattr(two, name)


def made(name: str) -> Geometry:
    options = {"shape": (3, 5), "pitch_mm": (1.0, 2.0)}
    far = {"source_mm": 500.0, "detector_mm": 1000.0}
    aside = {"offset_mm": (0.5, -1.0)}
    if name == "parallel":
        return parallel(ANGLES, **options, **aside)
    if name == "tomosynthesis":
        return tomosynthesis(ANGLES / 9, **options, **far)
    make = fan if name == "fan" else cone
    found = make(ANGLES, **options, **far, **aside, arc=name == "helical")
    return helical(found, pitch_mm_per_turn=7.0) if name == "helical" else found


@pytest.mark.parametrize("kind", ["parallel", "fan", "cone", "helical", "tomosynthesis"])
def test_each_kind_is_the_function_of_that_name(read, kind):
    keys: dict[str, object] = {"kind": kind}
    keys["angles_deg"] = {"stop": 40 if kind == "tomosynthesis" else 360, "count": 4}
    detector: dict[str, object] = {"shape": [3, 5], "pitch_mm": [1, 2]}
    if kind != "tomosynthesis":
        detector["offset_mm"] = [0.5, -1]
    if kind == "helical":
        detector["arc"] = True
        keys["pitch_mm_per_turn"] = 7
    if kind != "parallel":
        keys |= {"source_mm": 500, "detector_mm": 1000}
    assert_same(read(json.dumps(keys | {"detector": detector})).geometry, made(kind))


@pytest.mark.parametrize("kind", ["parallel", "fan", "cone", "helical", "tomosynthesis", "moved"])
def test_what_is_written_is_read_back_exactly(tmp_path, kind):
    geometry = made("cone" if kind == "moved" else kind)
    grid = Grid.from_spacing((2, 3, 4), (0.1, 0.2, 0.3), origin_mm=(1.0, -2.0, 1e-7))
    if kind == "moved":
        turn = torch.linalg.qr(torch.rand(3, 3, dtype=torch.float64))[0]
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = turn * torch.linalg.det(turn)
        matrix[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
        geometry = geometry.moved(Linear(matrix))
    save_geometry(Scanner(geometry, grid), tmp_path / "a.yaml")
    back = open_geometry(tmp_path / "a.yaml")
    assert_same(back.geometry, geometry)
    assert back.grid.shape == grid.shape
    assert torch.equal(back.grid.affine, grid.affine)
    save_geometry(Scanner(geometry), tmp_path / "a.yaml")
    assert open_geometry(tmp_path / "a.yaml").grid is None


@given(st.floats(-360, 360), st.floats(1, 720), st.integers(1, 50))
def test_steps_leave_the_end_out(tmp_path_factory, start, span, count):
    path = tmp_path_factory.mktemp("g") / "a.yaml"
    steps = {"start": start, "stop": start + span, "count": count}
    keys = {"kind": "parallel", "angles_deg": steps, "detector": {"shape": [1, 2]}}
    path.write_text(json.dumps(keys))
    angles = open_geometry(path).geometry.angles_deg.tolist()
    assert len(angles) == count
    assert angles[0] == pytest.approx(start)
    # one more step would reach the end
    assert angles[-1] + span / count == pytest.approx(start + span)


def test_angles_come_from_the_file_as_a_list_or_from_the_raw_file(read):
    parts = "kind: parallel\ndetector: {shape: [1, 2]}\n"
    given = torch.tensor([1.0, 5.0], dtype=torch.float64)
    assert read(parts + "angles_deg: [1, 5]").geometry.angles_deg.tolist() == [1.0, 5.0]
    assert torch.equal(read(parts, angles_deg=given).geometry.angles_deg, given)
    told = read(parts + "angles_deg: from the raw file", angles_deg=given)
    assert torch.equal(told.geometry.angles_deg, given)
    # the geometry file wins
    both = read(parts + "angles_deg: [7]", angles_deg=given)
    assert both.geometry.angles_deg.tolist() == [7.0]
    with pytest.raises(ConfigError, match="angles_deg must be in the geometry file where the raw"):
        read(parts)


def test_the_grid_is_centred_or_starts_where_it_is_told(read):
    middle = read(CONE + "grid: {shape: [3, 5, 7], spacing_mm: [1, 2, 3]}").grid
    centre = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert middle.to_world(centre).tolist() == [0.0, 0.0, 0.0]
    moved = read(CONE + "grid: {shape: [3, 5, 7], centre_mm: [9, 8, 7]}").grid
    assert moved.to_world(centre).tolist() == [9.0, 8.0, 7.0]
    begun = read(CONE + "grid: {shape: [3, 5, 7], origin_mm: [9, 8, 7]}").grid
    assert begun.origin_mm == (9.0, 8.0, 7.0)
    assert read(CONE).grid is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONE.replace("source_mm", "sorce_mm"), "unknown key 'sorce_mm': did you mean 'source_mm'"),
        (CONE.replace("pitch_mm", "ptch"), "unknown key 'detector.ptch': did you mean 'pitch_mm'"),
        (CONE + "colour: 3", "unknown key 'colour': valid keys are|did you mean"),
        (
            CONE + "grid: {shape: [1, 2, 3], space_mm: 2}",
            "'grid.space_mm': did you mean 'spacing_mm'",
        ),
        (CONE + "grid: {affine: 3}", "'grid.shape': Field required"),
        (CONE + "grid: 3", "geometry file is not valid"),
        (CONE + "source_mm: 3", "must have every key once, got 'source_mm' again in line 7"),
        (CONE.replace("500", "-1"), "'source_mm': Input should be greater than 0, got -1"),
        (CONE.replace("500", ".nan"), "'source_mm': Input should be a finite number"),
        (CONE.replace("500", "true"), "source_mm must be a number or a word, got a switch"),
        (CONE.replace("[3, 5]", "[0, 5]"), "'detector.shape.0'"),
        (CONE.replace("cone", "spiral"), "'kind' must be one of parallel, fan, cone, helical"),
        (
            CONE.replace("{start: 0, stop: 360, count: 4}", "everywhere"),
            "got the word 'everywhere'",
        ),
        (CONE.replace("{start: 0, stop: 360, count: 4}", "[]"), "angles_deg"),
        (CONE.replace("count: 4", "count: 99999999999"), "angles_deg"),
        (CONE + "grid: {shape: [1, 1, 1], origin_mm: [0, 0, 0], centre_mm: [0, 0, 0]}", "not both"),
        ("[1, 2]", "must be a mapping of keys"),
        ("", "must be a mapping of keys"),
        ("kind: {", "geometry file must be readable YAML"),
        ("a: &x [1]\nb: *x", "must have no alias"),
        ("!!python/object/apply:os.getcwd []", "geometry file must be readable YAML"),
        ("[" * 20000, "must have at most 8 levels, got more in line 1"),
        ("kind: 2001-99-99", "geometry file must be readable YAML"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_a_file_that_is_absent_or_not_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be a YAML file, there is none"):
        open_geometry(tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00kind")
    with pytest.raises(ConfigError, match="geometry file must be readable YAML"):
        open_geometry(tmp_path / "a.yaml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate((1 << 27) + 1)
    with pytest.raises(ConfigError, match="geometry file must have at most 128 MiB"):
        open_geometry(path)


def test_rays_that_cannot_run_are_refused_by_the_geometry(read):
    with pytest.raises(GeometryError, match="detector_mm at least as large"):
        read(CONE.replace("1000", "100"))
    vectors = {"kind": "vectors", "beam": "parallel", "shape": [1, 2], "middle": [0, 0]}
    vectors |= {"angles_deg": [0], "source": [[1, 0, 0]], "centre": [[0, 0, 0]]}
    with pytest.raises(GeometryError, match="u and v must span the detector"):
        read(json.dumps(vectors | {"u": [[0, 1, 0]], "v": [[0, 1, 0]]}))
