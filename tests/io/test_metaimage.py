"""MetaImage: our own reader and writer against SimpleITK's."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import corners, make_phantom

from vesalius import io
from vesalius.core import Image
from vesalius.errors import FormatError

ZYX = np.arange(4 * 5 * 6, dtype="<i2").reshape(4, 5, 6)
FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 1 0 0 0 0 -1",
    "Offset": "10 20 30",
    "ElementSpacing": "2 3 4",
    "DimSize": "6 5 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def write(path: Path, body: bytes = ZYX.tobytes(), **changes: str | None) -> Path:
    """Write a header field by field; None takes a field away."""
    fields = {k: v for k, v in (FIELDS | changes).items() if v is not None}
    data_file = fields.pop("ElementDataFile", None)
    lines = [f"{key} = {value}\n" for key, value in fields.items()]
    lines += [f"ElementDataFile = {data_file}\n"] if data_file else []
    path.write_bytes("".join(lines).encode() + body)
    return path


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float64])
def test_simpleitk_reads_what_we_write(
    tmp_path: Path, suffix: str, channels: int, dtype: torch.dtype
) -> None:
    image = make_phantom(dtype, channels=channels)
    io.save(image, tmp_path / f"a{suffix}")
    theirs = io.from_simpleitk(sitk.ReadImage(str(tmp_path / f"a{suffix}")))
    assert torch.equal(theirs.data, image.data)
    torch.testing.assert_close(corners(theirs.grid), corners(image.grid), rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_reads_what_simpleitk_writes(
    tmp_path: Path, suffix: str, compress: bool, channels: int
) -> None:
    image = make_phantom(torch.float32, channels=channels)
    sitk.WriteImage(io.to_simpleitk(image), str(tmp_path / f"a{suffix}"), compress)
    handle = io.open(tmp_path / f"a{suffix}")
    assert handle.findings == ()
    assert torch.equal(handle.read().data, image.data)
    torch.testing.assert_close(corners(handle.grid), corners(image.grid), rtol=0, atol=1e-4)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    turn=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    origin=st.tuples(*[st.floats(-1000, 1000)] * 3),
)
def test_agrees_with_simpleitk_on_any_header(tmp_path: Path, **case: object) -> None:
    matrix = np.eye(3)[list(case["turn"])] * np.array(case["signs"])[:, None]
    path = write(
        tmp_path / "a.mha",
        TransformMatrix=" ".join(map(str, matrix.reshape(-1))),
        ElementSpacing=" ".join(map(str, case["spacing"])),
        Offset=" ".join(map(str, case["origin"])),
    )
    ours, theirs = io.open(path), io.from_simpleitk(sitk.ReadImage(str(path)))
    torch.testing.assert_close(corners(ours.grid), corners(theirs.grid), rtol=0, atol=1e-6)


def test_follows_the_matrix_and_says_when_the_letters_contradict(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.mha", AnatomicalOrientation="RAI"))
    assert handle.grid.orientation == "ILP"
    assert [f.code for f in handle.findings] == ["orientation-contradicts"]
    assert "says RAI, TransformMatrix says ARS" in handle.findings[0].message
    assert io.open(write(tmp_path / "b.mha", AnatomicalOrientation="ARS")).findings == ()
    assert io.open(write(tmp_path / "c.mha", AnatomicalOrientation="???")).findings == ()


def test_writes_the_letters_that_simpleitk_writes(tmp_path: Path) -> None:
    for k, turn in enumerate(((0, 1, 2), (2, 0, 1), (1, 0, 2))):
        image = make_phantom()
        affine = image.grid.affine.clone()
        affine[:3, :3] = torch.eye(3, dtype=torch.float64)[list(turn)] * (1 if k else -1)
        image = Image(image.data, type(image.grid)((4, 5, 6), affine))
        io.save(image, tmp_path / "ours.mha")
        sitk.WriteImage(io.to_simpleitk(image), str(tmp_path / "theirs.mha"))
        letters = [
            line
            for name in ("ours", "theirs")
            for line in (tmp_path / f"{name}.mha").read_bytes().split(b"\n")
            if line.startswith(b"AnatomicalOrientation")
        ]
        assert letters[0] == letters[1]


@pytest.mark.parametrize("key", ["TransformMatrix", "Rotation", "Orientation"])
def test_knows_the_older_names(tmp_path: Path, key: str) -> None:
    changes = {"TransformMatrix": None, key: FIELDS["TransformMatrix"]}
    path = write(tmp_path / "a.mha", **changes, Offset=None, Position="1 2 3", ElementSize="9 9 9")
    grid = io.open(path).grid
    assert grid.origin_mm == (1, 2, 3)
    assert grid.spacing_mm == (4, 3, 2)
    assert grid.orientation == "ILP"


def test_reads_big_endian(tmp_path: Path) -> None:
    body = ZYX.astype(">i2").tobytes()
    handle = io.open(write(tmp_path / "a.mha", body, BinaryDataByteOrderMSB="True"))
    assert handle.meta["big_endian"] is True
    assert torch.equal(handle.read().data[0], torch.from_numpy(ZYX))


@pytest.mark.parametrize("skip", ["3", "-1"])
def test_passes_over_a_header_in_the_data_file(tmp_path: Path, skip: str) -> None:
    (tmp_path / "a.raw").write_bytes(b"abc" + ZYX.tobytes())
    path = write(tmp_path / "a.mhd", b"", ElementDataFile="a.raw", HeaderSize=skip)
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(ZYX))


def test_reads_two_axes_as_one_slice(tmp_path: Path) -> None:
    picture = sitk.GetImageFromArray(ZYX[0])
    picture.SetSpacing((0.5, 0.25))
    picture.SetOrigin((5, 6))
    sitk.WriteImage(picture, str(tmp_path / "a.mha"))
    image = io.open(tmp_path / "a.mha").read()
    assert image.data.shape == (1, 1, 5, 6)
    assert image.grid.spacing_mm == (1, 0.25, 0.5)
    assert image.grid.origin_mm == (5, 6, 0)


def test_reads_frames_as_channels_when_asked(tmp_path: Path) -> None:
    four = np.stack([ZYX, ZYX + 1])
    sitk.WriteImage(sitk.GetImageFromArray(four, isVector=False), str(tmp_path / "a.mha"))
    handle = io.open(tmp_path / "a.mha")
    assert "no-times" in [f.code for f in handle.findings]
    with pytest.raises(FormatError, match="must hold one volume, it holds 2 frames"):
        handle.read()
    image = io.open(tmp_path / "a.mha", frames="channels").read()
    assert torch.equal(image.data, torch.from_numpy(four))


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("um", 1e-3), ("cm", 10), ("?", 1)])
def test_converts_lengths(tmp_path: Path, unit: str, factor: float) -> None:
    grid = io.open(write(tmp_path / "a.mha", DistanceUnits=unit)).grid
    assert grid.spacing_mm == pytest.approx((4 * factor, 3 * factor, 2 * factor))


def test_says_where_it_differs_from_what_the_header_asks_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", DistanceUnits="um")
    assert [f.code for f in io.open(path).findings] == ["unit-converted"]
    path = write(tmp_path / "a.mha", ElementToIntensityFunctionSlope="2")
    handle = io.open(path)
    assert [f.code for f in handle.findings] == ["not-scaled"]
    assert torch.equal(handle.read().data, io.from_simpleitk(sitk.ReadImage(str(path))).data)
    path = write(tmp_path / "a.mha", ElementToIntensityFunctionOffset="0")
    assert io.open(path).findings == ()


def test_says_when_there_is_no_spacing(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.mha", ElementSpacing=None))
    assert [f.code for f in handle.findings] == ["no-spacing"]


def test_reads_text(tmp_path: Path) -> None:
    words = b" ".join(b"%d" % v for v in ZYX.reshape(-1))
    path = write(tmp_path / "a.mha", words + b" \n", BinaryData="False")
    image = io.open(path).read()
    assert torch.equal(image.data[0], torch.from_numpy(ZYX))
    theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
    assert torch.equal(image.data, theirs.data)
    with pytest.raises(FormatError, match=r" of .* numbers are there"):
        io.open(write(tmp_path / "b.mha", words[:-9], BinaryData="False")).read()
    with pytest.raises(FormatError, match="must hold 240 bytes of samples, it has 100 bytes"):
        io.open(write(tmp_path / "c.mha", words[:99], BinaryData="False"))


@pytest.mark.parametrize("way", ["list", "counted", "backwards"])
def test_reads_samples_in_several_files(tmp_path: Path, way: str) -> None:
    (tmp_path / "raw").mkdir()
    for k, plane in enumerate(ZYX):
        (tmp_path / "raw" / f"s{k + 7:03d}.raw").write_bytes(plane.tobytes())
    # without the last line end ITK leaves a slice unread
    names = "".join(f"raw/s{k:03d}.raw\n" for k in range(7, 11)).encode()
    files = {
        "list": "LIST",
        "counted": "raw/s%03d.raw 7 10 1",
        "backwards": "raw/s%03d.raw 10 7 -1",
    }[way]
    body = names if way == "list" else b""
    path = write(tmp_path / "a.mhd", body, ElementDataFile=files)
    wanted = ZYX[::-1].copy() if way == "backwards" else ZYX
    assert torch.equal(io.open(path).read().data[0], torch.from_numpy(wanted))
    if way != "backwards":
        theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
        assert torch.equal(io.open(path).read().data, theirs.data)
    assert len(io.scan(tmp_path)) == 1


# ---- refusals


def test_refuses_lists_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(ZYX.tobytes())
    with pytest.raises(FormatError, match=r"must list the files of its samples, it lists 0"):
        io.open(write(tmp_path / "a.mhd", b"", ElementDataFile="LIST"))
    with pytest.raises(FormatError, match=r"in files of one size, .* shares 120 among 7 files"):
        io.open(write(tmp_path / "a.mhd", b"a.raw\n" * 7, ElementDataFile="LIST"))
    (tmp_path / "b.raw").write_bytes(ZYX.tobytes()[:59])
    with pytest.raises(FormatError, match="must hold 60 bytes of samples, it has 59"):
        io.open(write(tmp_path / "a.mhd", b"b.raw\n" * 4, ElementDataFile="LIST"))
    for pattern in ("%s.raw 1 4 1", "%d.raw 1 4 0", "%d%d.raw 1 4", "%d.raw 1 x 1", "%d 0 9999999"):
        with pytest.raises(FormatError, match=r"must name its files with one %d and the first"):
            io.open(write(tmp_path / "a.mhd", b"", ElementDataFile=pattern))


def test_refuses_absent_fields_and_other_objects(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must be a MetaImage file, .* DimSize is absent"):
        io.open(write(tmp_path / "a.mha", DimSize=None))
    with pytest.raises(FormatError, match=r"must be a MetaImage file, .* it holds a Tube"):
        io.open(write(tmp_path / "a.mha", ObjectType="Tube"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("ElementSpacing", "2 3"), ("Offset", "a b c"), ("TransformMatrix", "1 0 0")],
)
def test_refuses_a_wrong_count_of_numbers(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(
        FormatError, match=r"must have .* numbers in .*, it has .*: repair its header"
    ):
        io.open(write(tmp_path / "a.mha", **{key: value}))


def test_refuses_absent_data(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must have its samples beside it, 'b.raw' is not there"):
        io.open(write(tmp_path / "a.mhd", b"", ElementDataFile="b.raw"))


def test_refuses_a_header_size_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must have a whole HeaderSize, got .*: repair it"):
        io.open(write(tmp_path / "a.mha", HeaderSize="x"))


def test_refuses_an_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match="must hold real numbers, its ElementType is 'MET_STRING'"
    ):
        io.open(write(tmp_path / "a.mha", ElementType="MET_STRING"))


@pytest.mark.parametrize("n", ["1", "5", "x"])
def test_refuses_other_numbers_of_axes(tmp_path: Path, n: str) -> None:
    with pytest.raises(FormatError, match=r"must have 2 to 4 axes .*, NDims is"):
        io.open(write(tmp_path / "a.mha", NDims=n))


def test_refuses_an_unknown_unit(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must give lengths in mm, um or cm, DistanceUnits is"):
        io.open(write(tmp_path / "a.mha", DistanceUnits="feet"))


def test_refuses_truncated_and_damaged_data(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="must hold 240 bytes of samples, it has 239"):
        io.open(write(tmp_path / "a.mha", ZYX.tobytes()[:-1]))
    packed = zlib.compress(ZYX.tobytes())
    for body in (packed[:-5], b"\0" * len(packed)):
        handle = io.open(write(tmp_path / "a.mha", body, CompressedData="True"))
        with pytest.raises(FormatError, match="must hold all samples that its header promises"):
            handle.read()


def test_refuses_data_that_shrank_after_opening(tmp_path: Path) -> None:
    handle = io.open(write(tmp_path / "a.mha"))
    write(tmp_path / "a.mha", ZYX.tobytes()[:100])
    with pytest.raises(FormatError, match="100 of 240 bytes are there"):
        handle.read()


def test_refuses_huge_claims_and_bad_positions(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="claims 30000 x 30000 x 30000 samples"):
        io.open(write(tmp_path / "a.mha", DimSize="30000 30000 30000"))
    with pytest.raises(FormatError, match="must have positive sizes"):
        io.open(write(tmp_path / "a.mha", DimSize="6 0 4"))
    for key, value in (("Offset", "nan 0 0"), ("ElementSpacing", "0 1 1")):
        with pytest.raises(FormatError, match="must place its samples in the world"):
            io.open(write(tmp_path / "a.mha", **{key: value}))
