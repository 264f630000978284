"""OME-Zarr that we write: valid for others, equal at every level, in its place, whole or absent."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms_io import corners, make_phantom, oblique_affine

from vesalius import io
from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError, GeometryError, OutputError
from vesalius.io import micro
from vesalius.io.micro._omezarr_save import LEVELS, SMALLEST

VERSIONS = pytest.mark.parametrize("version", ["0.5", "0.4"])
MICROSCOPE = Grid.from_spacing((2, 521, 300), (5e-4, 1e-4, 2e-4), origin_mm=(1.0, -2.0, 3.0))


def wide(dtype: torch.dtype = torch.uint8) -> Image:
    """Three channels, large enough for a pyramid, odd along y."""
    data = torch.arange(3 * 2 * 521 * 300).reshape(3, 2, 521, 300).remainder(251).to(dtype)
    return Image(data, MICROSCOPE, "photon", ("R", "GFP", "é<"))


def series() -> Series:
    data = torch.arange(3 * 2 * 4 * 5 * 6).reshape(3, 2, 4, 5, 6).to(torch.int16)
    return Series(data, make_phantom().grid, (0.25, 1.0, 3.5), "photon")


def labels() -> Labels:
    data = (torch.arange(2 * 521 * 300).reshape(1, 2, 521, 300) // 977 % 7).to(torch.uint16)
    return Labels(data, MICROSCOPE, {(0, 1): "left lung", (0, 6): "nodule"})


OBJECTS = {
    "pyramid": wide,
    "oblique": lambda: make_phantom(channels=2),
    "plane": lambda: make_phantom(torch.float32, shape=(1, 5, 6)),
    "series": series,
    "labels": labels,
}
EACH = pytest.mark.parametrize("kind", list(OBJECTS))


@VERSIONS
@EACH
def test_the_reference_validator_accepts_it(tmp_path, version, kind) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the reference validator is absent")
    micro.save_ome_zarr(OBJECTS[kind](), tmp_path / "a.zarr", version=version)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    part = models.v05 if version == "0.5" else models.v04
    found = models.open_ome_zarr(group)
    assert type(found).__module__.startswith(part.__name__)
    kinds = part.image_label.ImageLabel if kind == "labels" else part.image.Image
    assert kinds.from_zarr(group) is not None


@VERSIONS
@EACH
def test_the_reference_reader_gives_equal_data_at_every_level(tmp_path, version, kind) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url

    made = OBJECTS[kind]()
    micro.save_ome_zarr(made, tmp_path / "a.zarr", version=version)
    (node,) = [n for n in reader.Reader(parse_url(tmp_path / "a.zarr"))() if n.data]
    handle = io.open(tmp_path / "a.zarr")
    assert len(node.data) == len(handle.coarser) + 1
    read = handle.read_series if isinstance(made, Series) else handle.read
    for level, data in enumerate(node.data):
        ours = read(level=level).data
        np.testing.assert_array_equal(
            np.asarray(data).astype(np.int64), ours.numpy().astype(np.int64)
        )
    assert np.asarray(node.data[0]).dtype == made.data.numpy().dtype


@VERSIONS
@EACH
def test_our_own_check_finds_nothing(tmp_path, version, kind) -> None:
    micro.save_ome_zarr(OBJECTS[kind](), tmp_path / "a.zarr", version=version)
    assert micro.validate(tmp_path / "a.zarr") == ()


@VERSIONS
@EACH
def test_comes_back_whole_and_in_its_place(tmp_path, version, kind) -> None:
    made = OBJECTS[kind]()
    micro.save_ome_zarr(made, tmp_path / "a.zarr", version=version)
    handle = io.open(tmp_path / "a.zarr")
    assert handle.meta["format"] == f"OME-Zarr {version}"
    torch.testing.assert_close(corners(handle.grid), corners(made.grid), rtol=0, atol=1e-9)
    if isinstance(made, Labels):
        back = handle.read_labels()
        assert dict(back.names) == dict(made.names)
    elif isinstance(made, Series):
        back = handle.read_series()
        assert back.times_s == made.times_s
    else:
        back = handle.read()
        assert (back.unit, back.channels) == (made.unit, made.channels)
    assert torch.equal(back.data, made.data.to(back.data.dtype))


@VERSIONS
def test_each_level_of_an_image_is_the_mean_of_four_and_lies_between_them(
    tmp_path, version
) -> None:
    image = wide(torch.float64)
    micro.save_ome_zarr(image, tmp_path / "a.zarr", version=version)
    handle = io.open(tmp_path / "a.zarr")
    fine, coarse = handle.read().data, handle.read(level=1).data
    slow = sum(fine[..., a:520:2, b::2] for a in (0, 1) for b in (0, 1)) / 4
    torch.testing.assert_close(coarse, slow, rtol=0, atol=1e-12)
    grid = handle.coarser[1]
    first = grid.to_world(torch.zeros(3, dtype=torch.float64))
    sixteen = handle.grid.to_world(torch.tensor([0.0, 1.5, 1.5], dtype=torch.float64))
    torch.testing.assert_close(first, sixteen, rtol=0, atol=1e-12)


def test_a_linear_image_keeps_its_values_at_its_places_on_every_level(tmp_path) -> None:
    """The mean of a linear function is its value at the centre, so place and mean must agree."""
    grid = Grid.from_spacing((2, 520, 600), (1e-3, 2e-4, 3e-4), origin_mm=(5.0, -1.0, 2.0))
    for affine in (grid.affine, oblique_affine()):
        lattice = Grid(grid.shape, affine)
        index = torch.stack(
            torch.meshgrid(*(torch.arange(n) for n in grid.shape), indexing="ij"), -1
        )
        weights = torch.tensor([0.3, -1.7, 0.9], dtype=torch.float64)
        data = lattice.to_world(index.double()) @ weights
        io.save(Image(data[None], lattice), tmp_path / "a.zarr")
        handle = io.open(tmp_path / "a.zarr")
        assert len(handle.coarser) == 2
        for level, coarse in enumerate(handle.coarser, start=1):
            place = torch.stack(
                torch.meshgrid(*(torch.arange(n) for n in coarse.shape), indexing="ij"), -1
            )
            wanted = coarse.to_world(place.double()) @ weights
            torch.testing.assert_close(handle.read(level=level).data[0], wanted, rtol=0, atol=1e-9)


def test_integers_are_rounded_half_to_even(tmp_path) -> None:
    data = torch.zeros(1, 1, 2, 2 * SMALLEST + 2, dtype=torch.int16)
    data[0, 0, :, 0:2] = torch.tensor([[0, 1], [1, 0]])  # mean 0.5
    data[0, 0, :, 2:4] = torch.tensor([[1, 2], [2, 1]])  # mean 1.5
    data[0, 0, :, 4:6] = torch.tensor([[-1, -1], [-1, -2]])  # mean -1.25
    io.save(Image(data, Grid.from_spacing((1, 2, 2 * SMALLEST + 2))), tmp_path / "a.zarr")
    level = io.open(tmp_path / "a.zarr").read(level=1).data
    assert level.dtype == torch.int16
    assert level[0, 0, 0, :3].tolist() == [0, 2, -1]


def test_labels_are_picked_never_mixed_and_placed_where_they_were(tmp_path) -> None:
    made = labels()
    io.save(made, tmp_path / "a.zarr")
    handle = io.open(tmp_path / "a.zarr")
    level = handle.read_labels(level=1)
    assert torch.equal(level.data, made.data[..., :520:2, ::2].to(level.data.dtype))
    assert handle.coarser[0].origin_mm == pytest.approx(MICROSCOPE.origin_mm, abs=1e-12)


def test_levels_bounds_the_pyramid(tmp_path) -> None:
    micro.save_ome_zarr(wide(), tmp_path / "a.zarr", levels=1)
    assert io.open(tmp_path / "a.zarr").coarser == ()
    micro.save_ome_zarr(wide(), tmp_path / "b.zarr", levels=LEVELS)
    assert [g.shape for g in io.open(tmp_path / "b.zarr").coarser] == [(2, 260, 150), (2, 130, 75)]


def test_a_thin_plane_is_halved_along_its_long_side_only(tmp_path) -> None:
    io.save(Image(torch.ones(1, 1, 1, 600), Grid.from_spacing((1, 1, 600))), tmp_path / "a.zarr")
    assert [g.shape for g in io.open(tmp_path / "a.zarr").coarser] == [(1, 1, 300), (1, 1, 150)]


def test_other_programs_see_micrometres(tmp_path) -> None:
    io.save(wide(), tmp_path / "a.zarr")
    ome = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    one = ome["multiscales"][0]
    assert [axis.get("unit") for axis in one["axes"]] == [None, *["micrometer"] * 3]
    scale, translation = one["datasets"][1]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([1, 0.5, 0.2, 0.4])
    assert translation["translation"] == pytest.approx([0, 3000, -2000 + 0.05, 1000 + 0.1])
    assert [c["label"] for c in ome["omero"]["channels"]] == ["R", "GFP", "é<"]
    assert ome["omero"]["channels"][0]["color"] == "FF0000"


def test_without_our_note_a_plain_grid_still_has_its_place(tmp_path) -> None:
    io.save(wide(), tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "zarr.json"
    node = json.loads(file.read_text())
    del node["attributes"]["vesalius"]
    file.write_text(json.dumps(node))
    back = io.open(tmp_path / "a.zarr")
    torch.testing.assert_close(corners(back.grid), corners(MICROSCOPE), rtol=0, atol=1e-9)
    assert back.content.channels == ("R", "GFP", "é<")


@VERSIONS
def test_labels_go_into_their_image(tmp_path, version) -> None:
    path = tmp_path / "a.zarr"
    micro.save_ome_zarr(wide(), path, version=version)
    made = labels()
    micro.save_ome_zarr_labels(made, path, "cells")
    micro.save_ome_zarr_labels(made, path, "nuclei-2")
    micro.save_ome_zarr_labels(made, path, "cells")
    (handle,) = io.scan(path)
    assert "'cells', 'nuclei-2'" in next(f.message for f in handle.findings if f.code == "labels")
    back = io.open_labels(path / "labels" / "cells")
    assert torch.equal(back.data, made.data.to(back.data.dtype))
    assert dict(back.names) == dict(made.names)
    assert micro.validate(path) == ()
    assert len(io.open(path / "labels" / "cells").coarser) == len(handle.coarser)


@VERSIONS
def test_others_find_labels_in_their_image(tmp_path, version) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the reference validator is absent")
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url

    path = tmp_path / "a.zarr"
    micro.save_ome_zarr(wide(), path, version=version)
    micro.save_ome_zarr_labels(labels(), path, "cells")
    group = zarr.open_group(path / "labels" / "cells", mode="r")
    part = models.v05 if version == "0.5" else models.v04
    told = part.image_label.ImageLabel.from_zarr(group)
    assert told is not None
    models.open_ome_zarr(zarr.open_group(path / "labels", mode="r"))
    nodes = list(reader.Reader(parse_url(path))())
    assert any("cells" in str(node) for node in nodes)


def test_refuses_labels_of_another_grid(tmp_path) -> None:
    io.save(wide(), tmp_path / "a.zarr")
    other = Labels(labels().data, Grid.from_spacing((2, 521, 300)))
    with pytest.raises(GeometryError, match=r"labels must lie on the grid of 'a.zarr'"):
        micro.save_ome_zarr_labels(other, tmp_path / "a.zarr", "cells")


@pytest.mark.parametrize("name", ["", "../out", ".hidden", "a/b", "a b"])
def test_refuses_a_name_that_is_a_path(tmp_path, name: str) -> None:
    with pytest.raises(FormatError, match="name of a label image must be letters"):
        micro.save_ome_zarr_labels(labels(), tmp_path / "a.zarr", name)


@pytest.mark.parametrize(("version", "levels"), [("0.6", 1), ("0.5", 0)])
def test_refuses_versions_and_levels_that_do_not_exist(tmp_path, version, levels) -> None:
    from vesalius.io.micro._omezarr_save import write_omezarr

    call = inspect.unwrap(write_omezarr)
    with pytest.raises(FormatError, match=r"must have at least 1 level and version 0.4 or 0.5"):
        call(make_phantom(), tmp_path / "a.zarr", version=version, levels=levels)


def test_replaces_an_image_whole(tmp_path) -> None:
    io.save(wide(), tmp_path / "a.zarr")
    io.save(make_phantom(), tmp_path / "a.zarr")
    assert io.open(tmp_path / "a.zarr").coarser == ()
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_failure_leaves_what_was_there(tmp_path) -> None:
    io.save(make_phantom(), tmp_path / "a.zarr")
    with pytest.raises(FormatError, match="samples must be integer"):
        io.save(make_phantom(torch.float16), tmp_path / "a.zarr")
    assert io.open(tmp_path / "a.zarr").read().data.dtype == torch.int16
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_file_of_that_name_is_not_replaced_by_a_folder(tmp_path) -> None:
    (tmp_path / "a.zarr").write_text("mine")
    with pytest.raises(OutputError, match="must replace its own kind"):
        io.save(make_phantom(), tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr").read_text() == "mine"


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 530), st.integers(1, 530)),
    spacing=st.tuples(*[st.floats(1e-5, 3)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    version=st.sampled_from(["0.5", "0.4"]),
)
def test_every_level_covers_what_its_voxels_cover(
    tmp_path_factory, shape, spacing, origin, version
) -> None:
    grid = Grid.from_spacing(shape, spacing, origin_mm=origin)
    path: Path = tmp_path_factory.mktemp("z") / "a.zarr"
    image = Image(torch.ones(1, *shape, dtype=torch.uint8), grid)
    micro.save_ome_zarr(image, path, version=version)
    handle = io.open(path)
    for level, coarse in enumerate(handle.coarser, start=1):
        factor = [1 if n == 1 else 2**level for n in shape[1:]]
        corner = [0.0, *((f - 1) / 2 for f in factor)]
        if all(n >> level >= 1 for n in shape[1:]):
            wanted = grid.to_world(torch.tensor(corner, dtype=torch.float64))
            found = coarse.to_world(torch.zeros(3, dtype=torch.float64))
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-7)
        assert int(handle.read(level=level).data.min()) == 1
