"""One contract for every format of this room: regions, frames, budgets, places, damage."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import corners, make_phantom, sheared_affine

from vesalius import io
from vesalius.core import Grid, Image, Series
from vesalius.errors import FormatError, ShapeError
from vesalius.io import Budget, micro

WRITE: dict[str, Callable[[Any, Path], None]] = {
    "a.tif": io.save,
    "a.ome.tif": io.save,
    "a.zarr": io.save,
    "b.zarr": partial(micro.save_ome_zarr, version="0.4"),
}
EACH = pytest.mark.parametrize("name", list(WRITE))
PIXEL_MM = 1e-4
SHAPE = (3, 40, 31)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    """One image in every format."""
    folder = tmp_path_factory.mktemp("formats")
    for name, write in WRITE.items():
        write(source(), folder / name)
    return {name: folder / name for name in WRITE}


def source() -> Image:
    grid = Grid.from_spacing(SHAPE, (3 * PIXEL_MM, PIXEL_MM, 2 * PIXEL_MM), origin_mm=(1, -2, 3))
    data = torch.arange(2 * 3 * 40 * 31).reshape(2, *SHAPE).float()
    return Image(data, grid, "photon", ("a", "b"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(list(WRITE)),
    ends=st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in SHAPE)),
)
def test_a_region_is_the_part_of_the_whole(written, name: str, ends) -> None:
    z, y, x = (slice(min(a, b - 1), max(a + 1, b)) for a, b in ends)
    part = io.open(written[name]).read((z, y, x))
    assert torch.equal(part.data, source().data[:, z, y, x])
    first = torch.tensor([z.start, y.start, x.start], dtype=torch.float64)
    torch.testing.assert_close(
        part.grid.affine[:3, 3], source().grid.to_world(first), rtol=0, atol=1e-9
    )


@EACH
def test_a_tenth_of_a_micrometre_is_1e_minus_4_mm(written, name: str) -> None:
    assert io.open(written[name]).grid.spacing_mm == pytest.approx((3e-4, 1e-4, 2e-4), rel=1e-12)


@EACH
def test_a_plain_grid_has_no_remark(written, name: str) -> None:
    assert io.open(written[name]).findings == ()


@EACH
def test_unit_and_names_travel(written, name: str) -> None:
    back = io.open(written[name]).read()
    assert (back.unit, back.channels) == ("photon", ("a", "b"))
    assert io.open(written[name], unit="1/mm").unit == "1/mm"


@EACH
def test_no_path_and_no_folder_is_told(written, name: str) -> None:
    handle = io.open(written[name])
    assert str(written[name].parent) not in repr(handle)
    assert handle.name == name


@EACH
def test_a_read_beyond_the_budget_is_refused_and_a_region_within_it_is_not(written, name) -> None:
    handle = io.open(written[name], budget=Budget(bytes=20_000))
    with pytest.raises(FormatError, match="its header claims"):
        handle.read()
    assert handle.read((slice(0, 1), slice(0, 20), slice(0, 31))).data.numel() == 2 * 20 * 31


@EACH
@pytest.mark.parametrize("affine", [make_phantom().grid.affine, sheared_affine()])
def test_an_oblique_or_sheared_grid_keeps_every_corner(tmp_path, name: str, affine) -> None:
    image = Image(torch.ones(1, 4, 5, 6), Grid((4, 5, 6), affine))
    WRITE[name](image, tmp_path / name)
    handle = io.open(tmp_path / name)
    torch.testing.assert_close(corners(handle.grid), corners(image.grid), rtol=0, atol=1e-4)
    assert [finding.code for finding in handle.findings] == ["own-place"]


@EACH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_grid_is_not_taken_for_its_mirror_image(tmp_path, name: str, axis: int) -> None:
    affine = Grid.from_spacing((4, 5, 6), (3.0, 1.0, 2.0)).affine.clone()
    affine[:3, axis] *= -1
    image = Image(torch.arange(120.0).reshape(1, 4, 5, 6), Grid((4, 5, 6), affine))
    WRITE[name](image, tmp_path / name)
    back = io.open(tmp_path / name).read()
    assert torch.equal(back.grid.affine, affine)
    assert torch.equal(back.data, image.data)


@EACH
def test_frames_may_be_taken_as_channels(tmp_path, name: str) -> None:
    data = torch.arange(3 * 2 * 4 * 5 * 6).reshape(3, 2, 4, 5, 6).float()
    series = Series(data, Grid.from_spacing((4, 5, 6)), (0.0, 2.0, 3.0))
    WRITE[name](series, tmp_path / name)
    assert io.open(tmp_path / name).read_series().times_s == series.times_s
    flat = io.open(tmp_path / name, frames="channels").read()
    assert torch.equal(flat.data, data.reshape(6, 4, 5, 6))
    with pytest.raises(FormatError, match="must hold one volume, it holds 3 frames"):
        io.open(tmp_path / name).read()


@EACH
def test_refuses_a_level_that_is_not_there(written, name: str) -> None:
    with pytest.raises(ShapeError, match="level must be from 0 to 0"):
        io.open(written[name]).read(level=1)


JSON = st.sampled_from(
    [None, 0, -1, 10**12, float("inf"), "", "x", "../..", [], {}, True, [1], 0.5]
)


def places(node: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Give the path to every value of a JSON document."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [at] + [one for key, value in items for one in places(value, (*at, key))]


def replaced(node: Any, at: tuple[Any, ...], value: object) -> Any:
    """Copy a JSON document with one value replaced."""
    if not at:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[at[0]] = replaced(node[at[0]], at[1:], value)
    return copy


@pytest.mark.parametrize("name", ["a.zarr", "b.zarr"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damaged_metadata_makes_it_fail_otherwise(written, tmp_path, name, data) -> None:
    folder = tmp_path / "x.zarr"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(written[name], folder)
    headers = sorted(p for p in folder.rglob("*") if p.suffix == ".json" or p.name.startswith("."))
    file = data.draw(st.sampled_from([p for p in headers if p.is_file()]))
    node = json.loads(file.read_text())
    changed = replaced(node, data.draw(st.sampled_from(places(node))), data.draw(JSON))
    file.write_text(json.dumps(changed))
    try:
        for handle in io.scan(folder, budget=Budget(bytes=1 << 24)):
            handle.read()
        micro.validate(folder)
    except FormatError as error:
        assert str(tmp_path) not in str(error)  # noqa: PT017
