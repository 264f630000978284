"""OME-Zarr that others wrote: axes, places of levels, plates, labels, regions, hostile folders."""

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from micro_files import AXES, TIME, describe, multiscale, ramp, write_zarr

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io import Budget

BOTH = pytest.mark.parametrize("version", [2, 3])
ALL = slice(0, None)


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


def versioned(ome: dict, version: int) -> dict:
    if version == 2:
        for one in ome["multiscales"]:
            one["version"] = "0.4"
    return ome


@BOTH
def test_reads_an_image_of_either_version(tmp_path, version: int) -> None:
    data = ramp(2, 3, 5, 6, dtype="uint16")
    ome = versioned(multiscale([1, 0.3, 0.1, 0.2]), version)
    handle = io.open(write_zarr(tmp_path / "a.zarr", [data], ome, version=version))
    assert handle.meta["format"] == f"OME-Zarr {'0.4' if version == 2 else '0.5'}"
    assert handle.grid.spacing_mm == pytest.approx((3e-4, 1e-4, 2e-4), rel=1e-12)
    assert handle.grid.orientation == "SPL"
    np.testing.assert_array_equal(handle.read().data.numpy(), data)


@pytest.mark.parametrize("names", ["yx", "zyx", "cyx", "tyx", "tczyx", "tcyx", "xy", "zxy", "cxyz"])
def test_axes_go_where_they_belong(tmp_path, names: str) -> None:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 5, "x": 6}
    listed = {"t": TIME, **{axis["name"]: axis for axis in AXES}}
    data = ramp(*(sizes[n] for n in names), dtype="uint16")
    ome = multiscale([1.0] * len(names), axes=[listed[n] for n in names])
    handle = io.open(write_zarr(tmp_path / "a.zarr", [data], ome), frames="channels")
    order = [names.index(n) for n in "tczyx" if n in names]
    shape = [sizes[n] if n in names else 1 for n in "tczyx"]
    wanted = data.transpose(order).reshape(shape[0] * shape[1], *shape[2:])
    np.testing.assert_array_equal(handle.read().data.numpy(), wanted)


def test_time_becomes_frames_in_seconds(tmp_path) -> None:
    data = ramp(3, 5, 6)
    axes = [TIME, *AXES[2:]]
    ome = multiscale([20.0, 1, 1], axes=axes)
    steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps.append({"type": "translation", "translation": [500.0, 0, 0]})
    handle = io.open(write_zarr(tmp_path / "a.zarr", [data], ome))
    series = handle.read_series()
    assert series.times_s == pytest.approx((0.5, 0.52, 0.54))
    np.testing.assert_array_equal(series.data[:, 0, 0].numpy(), data)


def test_time_without_a_unit_has_no_seconds(tmp_path) -> None:
    axes = [{"name": "t", "type": "time"}, *AXES[2:]]
    ome = multiscale([1, 1, 1], axes=axes)
    handle = io.open(write_zarr(tmp_path / "a.zarr", [ramp(3, 5, 6)], ome))
    assert "no-times" in codes(handle)
    with pytest.raises(FormatError, match="must give the time of its 3 frames"):
        handle.read_series()


def test_a_missing_unit_of_length_counts_as_micrometres_and_says_so(tmp_path) -> None:
    axes = [{"name": n, "type": "space"} for n in "yx"]
    handle = io.open(write_zarr(tmp_path / "a.zarr", [ramp(5, 6)], multiscale([2, 4], axes=axes)))
    assert handle.grid.spacing_mm[1:] == pytest.approx((2e-3, 4e-3))
    assert "no-unit" in codes(handle)


@pytest.mark.parametrize(("unit", "mm"), [("nanometer", 1e-6), ("millimeter", 1.0), ("meter", 1e3)])
def test_units_of_length_are_converted(tmp_path, unit: str, mm: float) -> None:
    axes = [{"name": n, "type": "space", "unit": unit} for n in "yx"]
    handle = io.open(write_zarr(tmp_path / "a.zarr", [ramp(5, 6)], multiscale([2, 4], axes=axes)))
    assert handle.grid.spacing_mm[1:] == pytest.approx((2 * mm, 4 * mm))


def test_transformations_of_level_and_image_are_applied_in_order(tmp_path) -> None:
    ome = multiscale([1.0, 2.0, 3.0, 4.0])
    one = ome["multiscales"][0]
    one["datasets"][0]["coordinateTransformations"].append(
        {"type": "translation", "translation": [0.0, 10.0, 20.0, 30.0]}
    )
    one["coordinateTransformations"] = [
        {"type": "scale", "scale": [1.0, 10.0, 10.0, 0.5]},
        {"type": "translation", "translation": [0.0, 1.0, 2.0, 3.0]},
    ]
    grid = io.open(write_zarr(tmp_path / "a.zarr", [ramp(1, 2, 5, 6)], ome)).grid
    assert grid.spacing_mm == pytest.approx((20e-3, 30e-3, 2e-3))
    assert grid.origin_mm == pytest.approx((18e-3, 202e-3, 101e-3))


def pyramid(folder: Path) -> list[np.ndarray]:
    """Two levels whose second is shifted by half a voxel, as a mean of four is."""
    arrays = [ramp(1, 2, 8, 12, dtype="uint16"), ramp(1, 2, 4, 6, dtype="uint16") + 500]
    ome = multiscale([1, 2, 0.5, 0.25], [1, 2, 1.0, 0.5])
    steps = ome["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    steps.append({"type": "translation", "translation": [0, 0, 0.25, 0.125]})
    write_zarr(folder, arrays, ome)
    return arrays


def test_levels_have_their_own_places(tmp_path) -> None:
    pyramid(tmp_path / "a.zarr")
    handle = io.open(tmp_path / "a.zarr")
    (coarse,) = handle.coarser
    assert coarse.shape == (2, 4, 6)
    assert coarse.spacing_mm == pytest.approx((2e-3, 1e-3, 5e-4))
    assert coarse.origin_mm == pytest.approx((1.25e-4, 2.5e-4, 0.0))
    middle = coarse.to_world(torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64))
    four = handle.grid.to_world(torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64))
    torch.testing.assert_close(middle, four, rtol=0, atol=1e-12)


def test_a_level_is_read_by_region(tmp_path) -> None:
    arrays = pyramid(tmp_path / "a.zarr")
    handle = io.open(tmp_path / "a.zarr")
    region = (slice(1, 2), slice(0, 3), slice(2, 6))
    part = handle.read(region, level=1)
    np.testing.assert_array_equal(part.data[0].numpy(), arrays[1][0][region])
    assert part.grid.origin_mm == pytest.approx((1.25e-4 + 1e-3, 2.5e-4, 2e-3))


@BOTH
def test_a_region_touches_only_its_chunks(tmp_path, version: int) -> None:
    data = ramp(1, 8, 8, 8, dtype="uint16") + 1
    ome = versioned(multiscale([1, 1, 1, 1]), version)
    path = write_zarr(tmp_path / "a.zarr", [data], ome, version=version)
    chunks = [p for p in (path / "0").rglob("*") if p.is_file() and p.name[-1].isdigit()]
    assert len(chunks) == 8
    for chunk in chunks:
        if chunk.relative_to(path / "0").as_posix() not in ("c/0/0/0/1", "0.0.0.1"):
            chunk.write_bytes(b"\xff" * 40)
    handle = io.open(path)
    part = handle.read((slice(0, 4), slice(0, 4), slice(4, 8)))
    np.testing.assert_array_equal(part.data.numpy(), data[:, :4, :4, 4:])
    with pytest.raises(FormatError, match="must hold whole chunks, one cannot be read"):
        handle.read()


def test_chunks_that_are_not_there_are_empty(tmp_path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 2, 8, 8) + 1], multiscale([1, 1, 1, 1]))
    shutil.rmtree(path / "0" / "c")
    assert int(io.open(path).read().data.sum()) == 0


@pytest.mark.parametrize("inner", [(1, 2, 4, 4), (1, 4, 8, 8)])
def test_reads_shards(tmp_path, inner: tuple[int, ...]) -> None:
    data = ramp(1, 4, 16, 16, dtype="uint16")
    options = {"chunks": inner, "shards": (1, 4, 16, 16)}
    path = write_zarr(tmp_path / "a.zarr", [data], multiscale([1, 1, 1, 1]), **options)
    handle = io.open(path)
    assert handle.meta["chunks"] == inner
    region = (slice(1, 3), slice(3, 11), slice(0, 16))
    np.testing.assert_array_equal(handle.read(region).data[0].numpy(), data[0][region])


@pytest.mark.parametrize(
    "codec",
    [
        {"name": "zstd", "configuration": {}},
        {"name": "gzip", "configuration": {"level": 5}},
        {"name": "blosc", "configuration": {"cname": "lz4", "shuffle": "shuffle", "typesize": 2}},
    ],
    ids=lambda codec: codec["name"],
)
def test_reads_the_codecs_of_zarr_3(tmp_path, codec: dict) -> None:
    data = ramp(1, 4, 9, 9, dtype="uint16")
    path = write_zarr(tmp_path / "a.zarr", [data], multiscale([1] * 4), compressors=codec)
    np.testing.assert_array_equal(io.open(path).read().data.numpy(), data)


@pytest.mark.parametrize("codec", ["zlib", "gzip", "blosc", "lz4", "bz2", "zstd"])
@pytest.mark.parametrize("separator", [".", "/"])
def test_reads_the_codecs_of_zarr_2(tmp_path, codec: str, separator: str) -> None:
    data = ramp(1, 4, 9, 9, dtype="uint16")
    keys = {"name": "v2", "separator": separator}
    ome = versioned(multiscale([1] * 4), 2)
    path = tmp_path / "a.zarr"
    options = {"compressors": {"id": codec}, "chunk_key_encoding": keys}
    write_zarr(path, [data], ome, version=2, **options)
    np.testing.assert_array_equal(io.open(path).read().data.numpy(), data)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "float32", "float64"])
def test_reads_every_number_type(tmp_path, dtype: str) -> None:
    data = (ramp(1, 2, 5, 6) % 2).astype(dtype)
    path = write_zarr(tmp_path / "a.zarr", [data], multiscale([1] * 4))
    back = io.open(path).read()
    np.testing.assert_array_equal(
        back.data.numpy(), data.astype("uint8") if dtype == "bool" else data
    )


def test_channel_labels_become_names(tmp_path) -> None:
    ome = multiscale([1, 1, 1, 1])
    ome["omero"] = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    path = write_zarr(tmp_path / "a.zarr", [ramp(2, 1, 5, 6)], ome)
    assert io.open(path).read().channels == ("DAPI", "GFP")


def test_channel_labels_that_do_not_fit_are_left_and_told(tmp_path) -> None:
    ome = multiscale([1, 1, 1, 1])
    ome["omero"] = {"channels": [{"label": "DAPI"}]}
    handle = io.open(write_zarr(tmp_path / "a.zarr", [ramp(2, 1, 5, 6)], ome))
    assert handle.read().channels == ()
    assert "channel-names" in codes(handle)


def test_properties_of_a_label_image_become_names(tmp_path) -> None:
    ome = multiscale([1, 1, 1, 1])
    ome["image-label"] = {
        "colors": [{"label-value": 2, "rgba": [0, 0, 255, 255]}],
        "properties": [{"label-value": 2, "name": "nucleus"}, {"label-value": "x", "name": "y"}],
    }
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 1, 5, 6) % 3], ome)
    assert dict(io.open_labels(path).names) == {(0, 2): "nucleus"}
    assert io.open(path).meta["labels"] is True


def test_an_image_tells_of_its_labels_and_each_opens_by_its_path(tmp_path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    describe(path / "labels", {"labels": ["cells"]})
    write_zarr(path / "labels" / "cells", [ramp(1, 1, 5, 6) % 2], multiscale([1] * 4))
    (handle,) = io.scan(path)
    assert next(f.message for f in handle.findings if f.code == "labels").count("'cells'") == 1
    assert io.open_labels(path / "labels" / "cells").values == ((0, 1),)


def test_a_folder_is_known_by_what_is_in_it(tmp_path) -> None:
    write_zarr(tmp_path / "in" / "scan one", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    assert io.open(tmp_path / "in" / "scan one").name == "scan one"
    assert [h.name for h in io.scan(tmp_path / "in")] == ["scan one"]


def plate(folder: Path, version: int = 3) -> Path:
    """Two wells, the first with two fields."""
    told = {"columns": [{"name": "1"}], "rows": [{"name": "A"}, {"name": "B"}]}
    wells = [{"path": f"{row}/1", "rowIndex": k, "columnIndex": 0} for k, row in enumerate("AB")]
    old = {"version": "0.4"} if version == 2 else {}
    describe(folder, {"plate": {**told, "wells": wells, **old}}, version=version)
    for row, fields in (("A", "01"), ("B", "0")):
        images = {"images": [{"path": f} for f in fields], **old}
        describe(folder / row / "1", {"well": images}, version=version)
        for k in fields:
            ome = versioned(multiscale([1] * 4), version)
            data = ramp(1, 1, 5, 6) + int(k)
            write_zarr(folder / row / "1" / k, [data], ome, version=version)
    return folder


@BOTH
def test_each_field_of_a_plate_is_a_volume(tmp_path, version: int) -> None:
    path = plate(tmp_path / "p.zarr", version)
    handles = io.scan(path)
    assert [h.name for h in handles] == ["p.zarr/A/1/0", "p.zarr/A/1/1", "p.zarr/B/1/0"]
    assert int(handles[1].read().data[0, 0, 0, 0]) == 1
    assert [h.name for h in io.scan(path / "A" / "1")] == ["1/0", "1/1"]
    with pytest.raises(FormatError, match="must hold one volume, it holds 3"):
        io.open(path)


def test_a_plate_with_too_many_fields_is_refused(tmp_path) -> None:
    path = plate(tmp_path / "p.zarr")
    with pytest.raises(FormatError, match="must hold at most 2 images, it holds more"):
        io.scan(path, budget=Budget(files=2))


@pytest.mark.parametrize("listed", [True, False])
def test_a_set_of_series_is_read_one_by_one(tmp_path, listed: bool) -> None:
    path = describe(tmp_path / "s.zarr", {"bioformats2raw.layout": 3})
    for k in (0, 1):
        write_zarr(path / str(k), [ramp(1, 1, 5, 6) + k], multiscale([1] * 4))
    if listed:
        describe(path / "OME", {"series": ["1", "0"]})
    assert [h.name for h in io.scan(path)] == [f"s.zarr/{k}" for k in ("10" if listed else "01")]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("path", ["../b/0", "/etc", "..", ".", "", "0/../../b/0", "a\\b", "c:/x"])
def test_no_dataset_leaves_the_image(tmp_path, path: str) -> None:
    write_zarr(tmp_path / "b", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    ome = multiscale([1] * 4)
    ome["multiscales"][0]["datasets"][0]["path"] = path
    write_zarr(tmp_path / "a.zarr", [ramp(1, 1, 5, 6)], ome)
    with pytest.raises(FormatError, match="must keep its arrays inside its own folder"):
        io.open(tmp_path / "a.zarr")


def test_no_link_leads_out_of_the_image(tmp_path) -> None:
    other = write_zarr(tmp_path / "b", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    shutil.rmtree(path / "0")
    (path / "0").symlink_to(other / "0")
    with pytest.raises(FormatError, match="must keep its arrays inside its own folder"):
        io.open(path)


def test_no_chunk_is_a_link_to_elsewhere(tmp_path) -> None:
    (tmp_path / "secret").write_bytes(bytes(30))
    path = write_zarr(
        tmp_path / "a.zarr", [ramp(1, 1, 5, 6)], multiscale([1] * 4), compressors=None,
        chunks=(1, 1, 5, 6),
    )  # fmt: skip
    chunk = path / "0" / "c" / "0" / "0" / "0" / "0"
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="must keep its chunks inside its own folder"):
        io.open(path).read()


@pytest.mark.parametrize("kind", ["wells", "images"])
def test_no_well_or_field_leaves_the_plate(tmp_path, kind: str) -> None:
    write_zarr(tmp_path / "b", [ramp(1, 1, 5, 6)], multiscale([1] * 4))
    path = describe(
        tmp_path / "p.zarr",
        {{"wells": "plate", "images": "well"}[kind]: {kind: [{"path": "../b"}]}},
    )
    with pytest.raises(FormatError, match="must keep its arrays inside its own folder"):
        io.scan(path)


def change(path: Path, **entries: object) -> Path:
    """Overwrite entries of the first array's header."""
    file = path / "0" / ("zarr.json" if (path / "0" / "zarr.json").is_file() else ".zarray")
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return path


def small(path: Path, version: int = 3) -> Path:
    ome = versioned(multiscale([1] * 4), version)
    return write_zarr(path, [ramp(1, 2, 5, 6)], ome, version=version)


def test_the_codec_that_runs_code_is_never_run(tmp_path) -> None:
    path = change(small(tmp_path / "a.zarr", 2), compressor={"id": "pickle"})
    with pytest.raises(FormatError, match=r"must be compressed with one of .* it uses pickle"):
        io.open(path)
    path = change(small(tmp_path / "b.zarr", 2), filters=[{"id": "pickle"}])
    with pytest.raises(FormatError, match=r"must be compressed with one of .* it uses pickle"):
        io.open(path)


def test_an_unknown_codec_inside_a_shard_is_found(tmp_path) -> None:
    inner = {"chunk_shape": [1, 1, 1, 1], "codecs": [{"name": "numcodecs.evil"}]}
    shards = [{"name": "sharding_indexed", "configuration": inner}]
    with pytest.raises(FormatError, match="it uses evil"):
        io.open(change(small(tmp_path / "a.zarr"), codecs=shards))


@pytest.mark.parametrize("dtype", ["|O", "<U4", "<c8", "<M8[s]", "|V12"])
def test_refuses_types_that_are_no_real_numbers(tmp_path, dtype: str) -> None:
    with pytest.raises(FormatError, match="must hold real numbers of 8 to 64 bits"):
        io.open(change(small(tmp_path / "a.zarr", 2), dtype=dtype))


@pytest.mark.parametrize(
    "entries",
    [
        {"shape": [0, 2, 5, 6]},
        {"shape": [1, -2, 5, 6]},
        {"chunks": [1, 2, 5]},
        {"chunks": [0, 1, 1, 1]},
        {"shape": [1] * 9, "chunks": [1] * 9},
    ],
)
def test_refuses_sizes_that_make_no_array(tmp_path, entries: dict) -> None:
    with pytest.raises(FormatError, match="must have positive sizes and chunks of as many axes"):
        io.open(change(small(tmp_path / "a.zarr", 2), **entries))


@pytest.mark.parametrize(
    "entries",
    [
        {"shape": "many"},
        {"dtype": "no such"},
        {"dtype": [["a", "<i4"]]},
        {"compressor": {"level": 3}},
        {"chunks": None},
    ],
)
def test_refuses_a_damaged_header(tmp_path, entries: dict) -> None:
    with pytest.raises(FormatError, match="must have a whole Zarr array at each of its paths"):
        io.open(change(small(tmp_path / "a.zarr", 2), **entries))


@pytest.mark.parametrize(
    "entries", [{"node_type": "group"}, {"chunk_grid": {"name": "odd"}}, {"data_type": {"a": 1}}]
)
def test_refuses_a_damaged_header_of_zarr_3(tmp_path, entries: dict) -> None:
    with pytest.raises(FormatError, match="must have a whole Zarr array at each of its paths"):
        io.open(change(small(tmp_path / "a.zarr"), **entries))


def test_refuses_an_image_whose_array_is_not_there(tmp_path) -> None:
    path = describe(tmp_path / "a.zarr", multiscale([1] * 4))
    with pytest.raises(FormatError, match="an array that its metadata names is absent"):
        io.open(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\ufffe", "3"])
def test_refuses_metadata_that_is_no_json_object(tmp_path, text: str) -> None:
    path = small(tmp_path / "a.zarr")
    (path / "zarr.json").write_text(text)
    with pytest.raises(FormatError, match="of a Zarr must be a JSON object"):
        io.open(path)


def test_refuses_metadata_beyond_its_budget(tmp_path) -> None:
    path = small(tmp_path / "a.zarr")
    (path / "zarr.json").write_text(" " * ((1 << 24) + 1))
    with pytest.raises(FormatError, match="it is longer than 16 MiB"):
        io.open(path)


def test_refuses_a_zarr_that_is_no_ome_zarr(tmp_path) -> None:
    zarr.create_array(store=str(tmp_path / "a.zarr"), shape=(3, 4), dtype="u1")
    with pytest.raises(FormatError, match="must be an OME-Zarr image, plate or well"):
        io.open(tmp_path / "a.zarr")


def test_refuses_other_versions(tmp_path) -> None:
    ome = multiscale([1] * 4) | {"version": "0.9"}
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 1, 5, 6)], ome)
    with pytest.raises(FormatError, match=r"must be OME-Zarr 0.4 or 0.5, it is 0.9 in Zarr 3"):
        io.open(path)


def test_refuses_levels_that_grow(tmp_path) -> None:
    arrays = [ramp(1, 1, 5, 6), ramp(1, 1, 10, 12)]
    path = write_zarr(tmp_path / "a.zarr", arrays, multiscale([1] * 4, [1] * 4))
    with pytest.raises(FormatError, match="must have levels from fine to coarse"):
        io.open(path)


def test_refuses_levels_of_different_types(tmp_path) -> None:
    arrays = [ramp(1, 1, 5, 6), ramp(1, 1, 5, 6, dtype="uint16")]
    path = write_zarr(tmp_path / "a.zarr", arrays, multiscale([1] * 4, [1] * 4))
    with pytest.raises(FormatError, match="one number type at every level"):
        io.open(path)


HUGE = """
import resource, sys, time
from vesalius import io
from vesalius.errors import FormatError
def attack(path):
    handle = io.open(path)
    assert handle.grid.shape == (30000, 30000, 32000), handle.grid
    try:
        handle.read()
    except FormatError as error:
        assert "its header claims" in str(error), error
    else:
        raise SystemExit("was read")
    part = handle.read((slice(9, 12), slice(500, 520), slice(31_000, 31_030)))
    assert int(part.data.sum()) == 0

for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    attack(path)
    spent = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{spent:.2f} s, {grown:.0f} MB")
    assert spent < 2 and grown < 500
"""


@pytest.mark.slow
def test_29_tb_are_opened_and_refused_whole_within_2_s_and_500_mb(tmp_path) -> None:
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        zarr.create_array(
            store=str(path / "0"), shape=(1, 30000, 30000, 32000), chunks=(1, 64, 64, 64),
            dtype="u1", zarr_format=version, fill_value=0,
        )  # fmt: skip
        describe(path, versioned(multiscale([1] * 4), version), version=version)
    call = [sys.executable, "-c", HUGE, *(str(tmp_path / f"{k}.zarr") for k in (2, 3))]
    found = subprocess.run(call, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def bomb(path: Path, claimed: int, **options: object) -> Path:
    """An array of small chunks, one of which unpacks to far more."""
    chunk = (1, 1, 4, 4)
    write_zarr(path, [ramp(1, 1, 4, 4)], multiscale([1] * 4), chunks=chunk, **options)
    other = path.with_name("other.zarr")
    big = np.zeros((1, 1, 1, claimed), np.uint8)
    big[..., -1] = 1
    write_zarr(other, [big], multiscale([1] * 4), chunks=big.shape, **options)
    chunk_file = path / "0" / "c" / "0" / "0" / "0" / "0"
    shutil.copy(other / "0" / "c" / "0" / "0" / "0" / "0", chunk_file)
    return path


@pytest.mark.parametrize(
    "codec",
    [
        {"name": "zstd", "configuration": {}},
        {"name": "blosc", "configuration": {"cname": "zstd", "shuffle": "noshuffle"}},
        {"name": "gzip", "configuration": {"level": 9}},
    ],
    ids=lambda codec: codec["name"],
)
def test_a_chunk_that_unpacks_to_more_than_it_should_is_refused(tmp_path, codec: dict) -> None:
    path = bomb(tmp_path / "a.zarr", 1 << 26, compressors=codec)
    handle = io.open(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(FormatError, match="must have chunks of 16 bytes, one would unpack to"):
        handle.read()
    assert time.perf_counter() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_one_chunk_larger_than_the_budget_is_refused(tmp_path) -> None:
    path = change(small(tmp_path / "a.zarr", 2), chunks=[1, 40_000, 40_000, 40_000])
    with pytest.raises(FormatError, match="its header claims 1 x 40000 x 40000 x 40000"):
        io.open(path).read((slice(0, 1), slice(0, 1), slice(0, 1)))


def test_a_read_that_touches_too_many_chunks_is_refused(tmp_path) -> None:
    path = change(small(tmp_path / "a.zarr", 2), shape=[1, 100, 100, 100], chunks=[1, 1, 1, 1])
    with pytest.raises(FormatError, match="must be read from at most 50000 chunks at a time"):
        io.open(path, budget=Budget(files=1000)).read()


def test_two_compressors_one_inside_the_other_are_refused(tmp_path) -> None:
    path = change(small(tmp_path / "a.zarr", 2), filters=[{"id": "gzip"}])
    with pytest.raises(FormatError, match="must be compressed once, it uses"):
        io.open(path)
