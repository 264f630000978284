"""NRRD: spaces, vectors, encodings, detached data, damaged headers."""

import bz2
import gzip
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from phantoms_io import corners, make_phantom, sheared_affine

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import FormatError

ZYX = np.arange(4 * 5 * 6, dtype="<i2").reshape(4, 5, 6)
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "6 5 4",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}


def write(path: Path, body: bytes = ZYX.tobytes(), **changes: str | None) -> Path:
    """Write a header field by field; None takes a field away, ``_`` in a name is a space."""
    fields = FIELDS | {key.replace("_", " "): value for key, value in changes.items()}
    lines = [f"{key}: {value}" for key, value in fields.items() if value is not None]
    path.write_bytes(("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + body)
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_simpleitk_and_pynrrd_read_what_we_write(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    image = make_phantom(channels=channels)
    path = tmp_path / f"a{suffix}"
    io.save(image, path)
    theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
    assert torch.equal(theirs.data, image.data)
    torch.testing.assert_close(corners(theirs.grid), corners(image.grid), rtol=0, atol=1e-4)
    data, header = nrrd.read(str(path), index_order="C")
    wanted = image.data[0] if channels == 1 else image.data.movedim(0, -1)
    assert np.array_equal(data, wanted.numpy())
    assert header["space"] == "left-posterior-superior"


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_reads_what_simpleitk_writes(tmp_path: Path, compress: bool, channels: int) -> None:
    image = make_phantom(torch.float32, channels=channels)
    sitk.WriteImage(io.to_simpleitk(image), str(tmp_path / "a.nrrd"), compress)
    ours = io.open(tmp_path / "a.nrrd").read()
    assert torch.equal(ours.data, image.data)
    torch.testing.assert_close(corners(ours.grid), corners(image.grid), rtol=0, atol=1e-4)


def test_keeps_shear_to_the_last_digit(tmp_path: Path, phantom: Image) -> None:
    image = Image(phantom.data, Grid((4, 5, 6), sheared_affine()))
    io.save(image, tmp_path / "a.nrrd")
    assert torch.equal(io.open(tmp_path / "a.nrrd").grid.affine, image.grid.affine)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_turns_every_space_to_lps(tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    handle = io.open(write(tmp_path / "a.nrrd", space=space))
    assert handle.findings == ()
    far = handle.grid.to_world(torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64))
    plain = torch.tensor([20.0, 32.0, 42.0], dtype=torch.float64)
    torch.testing.assert_close(far, plain * torch.tensor(signs, dtype=torch.float64))
    assert torch.equal(handle.read().data[0], torch.from_numpy(ZYX))


def test_says_when_there_is_no_space(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.nrrd", space=None, space_dimension="3"))
    assert [f.code for f in handle.findings] == ["no-orientation"]
    handle = io.open(write(tmp_path / "a.nrrd", space="scanner-xyz"))
    assert "scanner-xyz" in handle.findings[0].message


def test_reads_spacings_where_there_are_no_directions(tmp_path: Path) -> None:
    changes = {"space": None, "space_directions": None, "space_origin": None}
    handle = io.open(write(tmp_path / "a.nrrd", spacings="2 3 4", **changes))
    assert handle.grid.spacing_mm == (4, 3, 2)
    assert {f.code for f in handle.findings} == {"no-origin", "no-orientation"}
    handle = io.open(write(tmp_path / "a.nrrd", **changes))
    assert handle.grid.spacing_mm == (1, 1, 1)
    assert {f.code for f in handle.findings} == {"no-origin", "no-orientation", "no-spacing"}


@pytest.mark.parametrize("centre", [None, "cell cell cell", "node node node"])
def test_places_axes_without_a_space_by_their_least_value_as_itk_does(
    tmp_path: Path, centre: str | None
) -> None:
    changes = {"space": None, "space_directions": None, "space_origin": None}
    more = changes | {"axis_mins": "5 6 7", "centerings": centre}
    path = write(tmp_path / "a.nrrd", spacings="2 3 4", **more)
    grid = io.open(path).grid
    theirs = io.from_simpleitk(sitk.ReadImage(str(path))).grid
    torch.testing.assert_close(corners(grid), corners(theirs), rtol=0, atol=1e-9)
    # 6, 5 and 4 samples, or as many steps less one between nodes
    maxs = "15 18 19" if centre and "node" in centre else "17 21 23"
    both = io.open(write(tmp_path / "b.nrrd", axis_maxs=maxs, **more)).grid
    torch.testing.assert_close(corners(both), corners(grid), rtol=0, atol=1e-9)


def test_refuses_least_values_that_are_no_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", space_directions=None, axis_mins="1 2")
    with pytest.raises(FormatError, match="must have a number for each axis in axis mins"):
        io.open(path)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("um", 1e-3), ("cm", 10), ("m", 1000)])
def test_converts_lengths(tmp_path: Path, unit: str, factor: float) -> None:
    handle = io.open(write(tmp_path / "a.nrrd", space_units=" ".join([f'"{unit}"'] * 3)))
    assert handle.grid.spacing_mm == pytest.approx((4 * factor, 3 * factor, 2 * factor))


def test_refuses_an_unknown_unit(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"must give all lengths in one of .*, its space units are"
    ):
        io.open(write(tmp_path / "a.nrrd", space_units='"parsec" "parsec" "parsec"'))


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("raw", bytes),
        ("gzip", gzip.compress),
        ("gz", gzip.compress),
        ("bzip2", bz2.compress),
        ("ascii", lambda b: b" ".join(b"%d" % v for v in np.frombuffer(b, "<i2"))),
    ],
)
def test_reads_every_encoding(tmp_path: Path, encoding: str, pack: object) -> None:
    path = write(tmp_path / "a.nrrd", pack(ZYX.tobytes()), encoding=encoding)
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX))


def test_reads_ascii_floats(tmp_path: Path) -> None:
    words = b" ".join(b"%.1f" % (v / 2) for v in ZYX.reshape(-1))
    path = write(tmp_path / "a.nrrd", words, encoding="text", type="float", endian=None)
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX / 2).float())


def test_reads_big_endian(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.nrrd", ZYX.astype(">i2").tobytes(), endian="big"))
    assert handle.meta["big_endian"] is True
    assert torch.equal(handle.read().data[0], torch.from_numpy(ZYX))


@pytest.mark.parametrize("skip", ["3", "-1"])
def test_passes_over_bytes(tmp_path: Path, skip: str) -> None:
    path = write(tmp_path / "a.nrrd", b"abc" + ZYX.tobytes(), **{"byte skip": skip})
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX))


def test_reads_frames_and_channels(tmp_path: Path) -> None:
    body = np.stack([ZYX, ZYX + 1], axis=-1).tobytes()
    changes = {
        "dimension": "4",
        "sizes": "2 6 5 4",
        "space_directions": "none (2,0,0) (0,3,0) (0,0,4)",
    }
    for kind, channels in (("list", 2), ("vector", 2)):
        kinds = f"{kind} domain domain domain"
        handle = io.open(write(tmp_path / "a.nrrd", body, kinds=kinds, **changes))
        assert handle.meta["channels"] == channels
        assert torch.equal(handle.read().data[1], torch.from_numpy(ZYX + 1))
    kinds = "time domain domain domain"
    path = write(tmp_path / "a.nrrd", body, kinds=kinds, **changes)
    assert io.open(path).findings[0].code == "no-times"
    with pytest.raises(FormatError, match="must hold one volume, it holds 2 frames"):
        io.open(path).read()
    assert io.open(path, frames="channels").read().data.shape[0] == 2


def test_names_colours(tmp_path: Path) -> None:
    body = np.stack([ZYX] * 3, axis=-1).tobytes()
    changes = {"space_directions": "none (2,0,0) (0,3,0) (0,0,4)", "sizes": "3 6 5 4"}
    kinds = "RGB-color domain domain domain"
    path = write(tmp_path / "a.nrrd", body, dimension="4", kinds=kinds, **changes)
    assert io.open(path).read().channels == ("R", "G", "B")


def test_reads_two_axes_as_one_slice(tmp_path: Path) -> None:
    changes = {"dimension": "2", "sizes": "6 5", "space": None}
    two = {"space_directions": "(2,0) (0,3)", "space_origin": "(10,20)", "space_dimension": "2"}
    handle = io.open(write(tmp_path / "a.nrrd", ZYX[:1].tobytes(), **changes, **two))
    assert handle.grid.spacing_mm == (1, 3, 2)
    assert handle.grid.origin_mm == (10, 20, 0)
    upright = {"space_directions": "(2,0,0) (0,0,3)", "space": "LPS"}
    handle = io.open(write(tmp_path / "a.nrrd", ZYX[:1].tobytes(), **{**changes, **upright}))
    assert handle.grid.orientation == "ASL"


def test_reads_the_unit_and_the_names_of_slicer(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.nrrd",
        sample_units='"HU"',
        Segment0_Name="heart",
        Segment0_LabelValue="4",
        Segment0_Layer="0",
    )
    text = path.read_bytes().replace(b"Segment0 ", b"Segment0_")
    path.write_bytes(text)
    handle = io.open(path)
    assert handle.unit == "HU"
    assert dict(handle.read_labels().names) == {(0, 4): "heart"}


@pytest.mark.parametrize("way", ["list", "planes", "counted", "backwards"])
def test_reads_samples_in_several_files(tmp_path: Path, way: str) -> None:
    for k, plane in enumerate(ZYX):
        (tmp_path / f"s{k + 7:03d}.dat").write_bytes(plane.tobytes())
    names = "\n".join(f"s{k:03d}.dat" for k in range(7, 11))
    named = {
        "list": f"LIST\n{names}",
        "planes": f"LIST 2\n{names}",
        "counted": "s%03d.dat 7 10 1",
        "backwards": "./s%03d.dat 10 7 -1 2",
    }[way]
    path = tmp_path / "a.nhdr"
    write(path, b"", data_file=named)
    path.write_bytes(path.read_bytes().rstrip() + b"\n")
    wanted = ZYX[::-1].copy() if way == "backwards" else ZYX
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(wanted))
    if way == "list":
        theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
        assert torch.equal(io.open(path).read().data, theirs.data)


def test_reads_packed_planes(tmp_path: Path) -> None:
    for k, plane in enumerate(ZYX):
        (tmp_path / f"{k}.gz").write_bytes(gzip.compress(plane.tobytes()))
    path = write(tmp_path / "a.nhdr", b"", data_file="%d.gz 0 3 1", encoding="gzip")
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX))


# ---- refusals


def test_refuses_lists_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(ZYX.tobytes())
    for named, count in (("LIST\na.dat\na.dat", 2), ("%d.dat 0 2 1", 3), ("LIST", 0)):
        with pytest.raises(FormatError, match=rf"must name . files for its .* it names {count}"):
            io.open(write(tmp_path / "a.nhdr", b"", data_file=named))
    with pytest.raises(FormatError, match=r"must name its files with one %d and the first"):
        io.open(write(tmp_path / "a.nhdr", b"", data_file="%x.dat 0 3 1"))


def test_refuses_absent_fields(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must be an NRRD file, .* field 'sizes' is absent"):
        io.open(write(tmp_path / "a.nrrd", sizes=None))
    with pytest.raises(FormatError, match=r"2 sizes for 3 axes"):
        io.open(write(tmp_path / "a.nrrd", sizes="6 5"))
    with pytest.raises(FormatError, match=r" for .* axes"):
        io.open(write(tmp_path / "a.nrrd", kinds="domain domain"))


def test_refuses_an_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"must hold real numbers, its type is .*: convert it first"
    ):
        io.open(write(tmp_path / "a.nrrd", type="block"))


def test_refuses_an_unknown_byte_order(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="must say its endian, it does not"):
        io.open(write(tmp_path / "a.nrrd", endian=None))


def test_refuses_axes_that_cannot_be_told_apart(tmp_path: Path) -> None:
    changes = {"dimension": "4", "sizes": "6 5 2 2", "space_directions": None}
    with pytest.raises(FormatError, match="must have 2 or 3 axes of space, at most one of time"):
        io.open(write(tmp_path / "a.nrrd", **changes))


def test_refuses_other_encodings_and_skips(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must be encoded as raw, .* it is hex"):
        io.open(write(tmp_path / "a.nrrd", encoding="hex"))
    with pytest.raises(FormatError, match=r"it is raw, with skips 0 and 2: write it anew"):
        io.open(write(tmp_path / "a.nrrd", **{"line skip": "2"}))


def test_refuses_absent_data(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nhdr")
    (tmp_path / "a.nhdr.raw").unlink()
    with pytest.raises(FormatError, match=r"samples beside it, 'a.nhdr.raw' is not there"):
        io.open(tmp_path / "a.nhdr")


def test_refuses_truncated_data(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="must hold 240 bytes of samples, it has 239 bytes"):
        io.open(write(tmp_path / "a.nrrd", ZYX.tobytes()[:-1]))
    packed = gzip.compress(ZYX.tobytes())[:-9]
    handle = io.open(write(tmp_path / "a.nrrd", packed, encoding="gzip"))
    with pytest.raises(FormatError, match=r" of .* bytes are there, then the file ends"):
        handle.read()
    handle = io.open(write(tmp_path / "a.nrrd", b"100 " * 70, encoding="ascii"))
    with pytest.raises(FormatError, match=r" of .* numbers are there"):
        handle.read()


def test_refuses_a_packed_file_with_far_more_than_promised(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 << 20), 9)
    handle = io.open(write(tmp_path / "a.nrrd", bomb, encoding="gzip"))
    with pytest.raises(FormatError, match=r"more than twice the .* bytes promised are there"):
        handle.read()


def test_refuses_huge_claims_and_bad_positions(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="claims 30000 x 30000 x 30000 samples"):
        io.open(write(tmp_path / "a.nrrd", sizes="30000 30000 30000"))
    with pytest.raises(FormatError, match="must place its samples in the world"):
        io.open(write(tmp_path / "a.nrrd", space_directions="(2,0,0) (2,0,0) (0,0,4)"))
    with pytest.raises(FormatError, match="must place its samples in the world"):
        io.open(write(tmp_path / "a.nrrd", space_origin="(nan,0,0)"))


@pytest.mark.parametrize("name", ["brain1_image", "brain1_label", "breast1_image", "breast1_label"])
def test_reads_real_cases_as_simpleitk_does(data_dir: Path, name: str) -> None:
    path = data_dir / "radiomics_cases" / f"{name}.nrrd"
    ours, theirs = io.open(path).read(), io.from_simpleitk(sitk.ReadImage(str(path)))
    assert torch.equal(ours.data, theirs.data)
    torch.testing.assert_close(corners(ours.grid), corners(theirs.grid), rtol=0, atol=1e-6)
