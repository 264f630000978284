"""Files that are damaged, lie about their size, or are something else: a clear refusal of each."""

import contextlib
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_transforms import (
    SHAPE,
    flat_grid,
    made_affine,
    made_bspline,
    made_field,
    made_grid,
    written,
)
from phantoms_io import sheared_affine

from vesalius.core import BSpline, Composite, Displacement, Grid, Linear, Points, Transform
from vesalius.errors import FormatError, OutputError, VesaliusError
from vesalius.io import Budget, transforms

MAGIC = "#Insight Transform File V1.0\n"
AFFINE = "Transform: AffineTransform_double_3_3\n"
TWELVE = "Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\n"


def text(path: Path, *lines: str) -> Path:
    path.write_text(MAGIC + "".join(lines))
    return path


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ((), "must hold a transform, it holds none"),
        ((AFFINE, "Parameters: 1 2 3\n"), "must give AffineTransform 12 parameters and 3 fixed"),
        ((AFFINE, TWELVE), "it gives 12 and 0: the file is damaged"),
        ((AFFINE, TWELVE, "FixedParameters: 0 0 nan\n"), "must hold finite numbers, its Aff"),
        ((AFFINE, TWELVE.replace("1", "inf"), "FixedParameters: 0 0 0\n"), "must hold finite num"),
        ((AFFINE, TWELVE.replace("1", "0"), "FixedParameters: 0 0 0\n"), "must hold a transform"),
        ((AFFINE, TWELVE.replace("1", "one")), "must hold numbers between blanks"),
        ((AFFINE, TWELVE, TWELVE), "line 4 is 'Parameters"),
        ((TWELVE,), "must hold lines Transform, Parameters and FixedParameters, line 2"),
        ((AFFINE, "Hello\n"), "line 3 is 'Hello'"),
        (("Transform: Affine\n", TWELVE), "must name a transform such as AffineTransform_double"),
        (("Transform: AffineTransform_double_4_4\n",), "must name a transform such as"),
        (("Transform: AffineTransform_double_2_3\n",), "must name a transform such as"),
        (("Transform: AffineTransform_int_3_3\n",), "must name a transform such as"),
        (("Transform: ThinPlateSplineKernelTransform_double_3_3\n",), "must hold transforms known"),
        (("Transform: Euler2DTransform_double_3_3\n",), "it holds Euler2DTransform in 3 di"),
        (("Transform: BSplineTransform_double_3_3_2\n",), "must name a transform such as"),
        ((AFFINE, TWELVE, "FixedParameters: 0 0 0\n") * 2, "it holds 2 side by side"),
    ],
)  # fmt: skip
def test_refuses_damaged_text(tmp_path: Path, lines: tuple[str, ...], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        transforms.load(text(tmp_path / "a.tfm", *lines))


def fixed(size: str, spacing: str = "1 1 1") -> str:
    return f"FixedParameters: {size} 0 0 0 {spacing} 1 0 0 0 1 0 0 0 1\n"


@pytest.mark.parametrize("kind", ["BSplineTransform", "DisplacementFieldTransform"])
@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (("Parameters: 1 2 3\n", fixed("1e9 1e9 1e9")), "3000000000000000000000000000 parameters"),
        (("Parameters: 1 2 3\n", fixed("1e300 1 1")), "must give its .* whole positive sizes"),
        (("Parameters: 1 2 3\n", fixed("1.5 1 1")), "must give its .* whole positive sizes"),
        (("Parameters: 1 2 3\n", fixed("0 1 1")), "must give its .* whole positive sizes"),
        (("Parameters: 1 2 3\n", fixed("1 1 1", "0 1 1")), "must place its samples in the world"),
        (("Parameters: 1 2 3 4\n", fixed("1 1 1")), "3 parameters and 18 fixed ones, it gives 4"),
        (("Parameters: 1 2 3\n",), "and 18 fixed ones, it gives 3 and 0"),
        (("Parameters: 1 nan 3\n", fixed("1 1 1")), "must hold finite numbers"),
    ],
)
def test_refuses_damaged_lattices(
    tmp_path: Path, kind: str, lines: tuple[str, ...], match: str
) -> None:
    with pytest.raises(FormatError, match=match):
        transforms.load(text(tmp_path / "a.tfm", f"Transform: {kind}_double_3_3\n", *lines))


@pytest.mark.parametrize(
    ("kind", "parameters", "match"),
    [
        ("VersorRigid3DTransform", "0.9 0.9 0 0 0 0", "a versor must not be longer than 1"),
        ("QuaternionRigidTransform", "0 0 0 0 1 2 3", "a quaternion must not be zero"),
    ],
)
def test_refuses_impossible_rotations(
    tmp_path: Path, kind: str, parameters: str, match: str
) -> None:
    lines = f"Transform: {kind}_double_3_3\nParameters: {parameters}\nFixedParameters: 0 0 0\n"
    with pytest.raises(FormatError, match=match):
        transforms.load(text(tmp_path / "a.tfm", lines))


@pytest.mark.parametrize("content", ["", "# a remark\n", "1 0 0 0\n"])
def test_refuses_text_that_is_no_transform(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(FormatError, match=r"must begin with '#Insight Transform File V1.0'"):
        transforms.load(tmp_path / "a.txt")


def test_points_to_what_elastix_can_write(tmp_path: Path) -> None:
    (tmp_path / "TransformParameters.0.txt").write_text("(Direction 1 0 0 1)\n")
    with pytest.raises(FormatError, match="it holds parameters of elastix: let elastix write"):
        transforms.load(tmp_path / "TransformParameters.0.txt")


DAMAGED = (".tfm", ".h5", ".mat", ".json", ".lta", ".nii", ".csv")
damages = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 40), st.binary(max_size=8)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("suffix", DAMAGED)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
def test_damage_gives_a_transform_or_an_error_of_ours(
    tmp_path: Path, suffix: str, damage: list[tuple[int, int, bytes]]
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        transforms.save_points(Points(torch.randn(9, 3), tuple("abcdefghi")), path)
    else:
        ours = made_field() if suffix == ".nii" else Composite((made_affine(),))
        transforms.save(ours, path, like=made_grid(), moving=made_grid())
    out = bytearray(path.read_bytes())
    for at, taken, put in damage:
        place = at % (len(out) + 1)
        out[place : place + taken] = put
    path.write_bytes(out)
    with contextlib.suppress(VesaliusError):
        found = transforms.load_points(path) if suffix == ".csv" else transforms.load(path)
        assert isinstance(found, Points | Transform)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat", ".json", ".lta", ".nii.gz"])
def test_every_cut_of_a_file_is_refused(tmp_path: Path, suffix: str) -> None:
    ours = made_field() if suffix == ".nii.gz" else made_affine()
    path = tmp_path / f"a{suffix}"
    transforms.save(ours, path, like=made_grid(), moving=made_grid())
    raw = path.read_bytes().rstrip(b"\n}")
    for length in np.linspace(0, len(raw) - 1, 12).astype(int).tolist():
        path.write_bytes(raw[:length])
        if suffix == ".lta" and b"src volume" in raw[:length]:
            continue  # the volumes at its end are not needed, and may be absent
        with pytest.raises(FormatError):
            transforms.load(path)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat", ".json", ".lta", ".nii.gz", ".mha"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match=f"a{suffix}"):
        transforms.load(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat", ".json", ".lta", ".nii.gz", ".mha"])
def test_noise_is_refused(tmp_path: Path, suffix: str) -> None:
    draw = np.random.default_rng(7)
    for _ in range(5):
        (tmp_path / f"a{suffix}").write_bytes(draw.bytes(400))
        with pytest.raises(FormatError):
            transforms.load(tmp_path / f"a{suffix}")


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a transform must end in one of .*, got 'a.x5'"):
        transforms.load(tmp_path / "a.x5")
    with pytest.raises(FormatError, match="a transform must end in one of"):
        transforms.save(made_affine(), tmp_path / "a")


def matlab(path: Path, *variables: tuple[bytes, np.ndarray]) -> Path:
    raw = b""
    for name, values in variables:
        raw += struct.pack("<5i", 0, values.size, 1, 0, len(name)) + name + values.tobytes()
    path.write_bytes(raw)
    return path


def test_refuses_other_matlab_files(tmp_path: Path) -> None:
    path, twelve = tmp_path / "a.mat", np.eye(4)[:3].reshape(-1)
    name = b"AffineTransform_double_3_3\0"
    with pytest.raises(FormatError, match="must hold the fixed parameters of 'AffineTransform_do"):
        transforms.load(matlab(path, (name, twelve)))
    with pytest.raises(FormatError, match="must hold the fixed parameters"):
        transforms.load(matlab(path, (name, twelve), (b"other\0", twelve[:3])))
    with pytest.raises(FormatError, match="must name a transform such as"):
        transforms.load(matlab(path, (b"x\0", twelve), (b"fixed\0", twelve[:3])))
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(200))
    with pytest.raises(FormatError, match="must be a MATLAB 4 file of real vectors, byte 0 begins"):
        transforms.load(path)
    head = struct.pack("<5i", 0, 1 << 20, 1, 0, 4) + b"abc\0"
    path.write_bytes(head + bytes(80))
    with pytest.raises(FormatError, match="it ends before: the file is truncated"):
        transforms.load(path)
    path.write_bytes(struct.pack("<5i", 0, 2**31 - 1, 2**31 - 1, 0, 4) + bytes(80))
    with pytest.raises(FormatError, match="must be a MATLAB 4 file of real vectors"):
        transforms.load(path)
    path.write_bytes(bytes(2 << 20))
    with pytest.raises(FormatError, match="must have at most 1048576 bytes to be a linear transf"):
        transforms.load(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="must hold a transform, it holds none"):
        transforms.load(path)


def hdf5(path: Path) -> h5py.File:
    transforms.save(made_affine(), path)
    return h5py.File(path, "r+")


PARAMETERS = "TransformGroup/0/TransformParameters"


def test_refuses_other_hdf5_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volume"] = np.zeros((3, 4, 5))
    with pytest.raises(FormatError, match="must hold 'TransformGroup' itself to be an ITK transf"):
        transforms.load(tmp_path / "a.h5")
    with hdf5(tmp_path / "b.h5") as file:
        file.move("TransformGroup/0", "TransformGroup/7")
    with pytest.raises(FormatError, match=r"must number its transforms 0, 1, 2, .* 1 named 7"):
        transforms.load(tmp_path / "b.h5")
    with hdf5(tmp_path / "c.h5") as file:
        del file["TransformGroup/0/TransformType"]
    with pytest.raises(FormatError, match="must hold 'TransformType' itself"):
        transforms.load(tmp_path / "c.h5")
    with hdf5(tmp_path / "d.h5") as file:
        del file["TransformGroup/0/TransformType"]
        file["TransformGroup/0/TransformType"] = np.zeros(3)
    with pytest.raises(FormatError, match="must hold one text as TransformType"):
        transforms.load(tmp_path / "d.h5")


def test_nothing_leads_out_of_an_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.zeros(12)
    for name, link in (
        ("external", h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")),
        ("soft", h5py.SoftLink("/TransformGroup/0/TransformFixedParameters")),
    ):
        with hdf5(tmp_path / f"{name}.h5") as file:
            del file[PARAMETERS]
            file[PARAMETERS] = link
        with pytest.raises(FormatError, match="must hold 'TransformParameters' itself"):
            transforms.load(tmp_path / f"{name}.h5")


@pytest.mark.parametrize(
    "samples", [np.zeros((3, 4)), np.zeros(12, np.int32), np.array([b"a"], dtype="S1")]
)
def test_refuses_parameters_that_are_no_row_of_floats(tmp_path: Path, samples: np.ndarray) -> None:
    with hdf5(tmp_path / "a.h5") as file:
        del file[PARAMETERS]
        file[PARAMETERS] = samples
    with pytest.raises(FormatError, match="must hold TransformParameters as one row of float32"):
        transforms.load(tmp_path / "a.h5")


def test_a_bomb_in_hdf5_is_not_unpacked(tmp_path: Path) -> None:
    with hdf5(tmp_path / "a.h5") as file:
        del file[PARAMETERS]
        huge = {"shape": (1 << 40,), "chunks": (1 << 20,), "compression": "gzip"}
        file.create_dataset(PARAMETERS, dtype="f8", **huge)
    with pytest.raises(FormatError, match="its header claims"):
        transforms.load(tmp_path / "a.h5")


def test_a_field_that_costs_too_much_is_refused(tmp_path: Path) -> None:
    for suffix in (".h5", ".tfm", ".mha"):
        transforms.save(made_field(), tmp_path / f"a{suffix}")
        with pytest.raises(FormatError, match="its header claims"):
            transforms.load(tmp_path / f"a{suffix}", budget=Budget(bytes=1000))


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    sheared = Displacement(torch.zeros(3, *SHAPE), Grid(SHAPE, sheared_affine()))
    still = Displacement(torch.zeros(3, *SHAPE), made_grid())
    lifted = Displacement(torch.ones(3, *flat_grid().shape), flat_grid())
    refused = [
        (sheared, "a.h5", 3, "must have a lattice with right angles, this grid is sheared"),
        (made_affine(), "a.tfm", 2, r"must stay in the plane \(L, P\) to be written with dimens"),
        (still, "a.h5", 2, r"must have a grid of one slice in the plane \(L, P\) to be written"),
        (still, "a.nii.gz", 2, "this one has 6 slices and axes"),
        (lifted, "a.nii.gz", 2, "must stay in the plane"),
        (lifted, "a.h5", 2, "must stay in the plane"),
        (made_bspline(), "a.h5", 2, "must stay in the plane"),
        (BSpline(still.data + 1, still.grid), "a.h5", 2, "must stay in the plane"),
        (BSpline(still.data, still.grid), "a.h5", 2, "must have a grid of one slice"),
        (made_field(), "a.mat", 3, "can hold linear transforms alone, got a Displacement"),
        (Composite((made_affine(), made_bspline())), "a.mat", 3, "got a BSpline: save it as"),
    ]
    for ours, name, dimensions, match in refused:
        with pytest.raises(FormatError, match=match):
            transforms.save(ours, tmp_path / name, dimensions=dimensions)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tfm", "a.h5", "a.mat", "a.nii.gz", "a.json"])
def test_an_absent_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="output folder must exist"):
        transforms.save(Linear.identity(), tmp_path / "none" / name, like=made_grid())


def test_the_order_of_splines_other_than_3_is_refused(tmp_path: Path) -> None:
    there = sitk.BSplineTransform(3, 2)
    path = written(tmp_path / "a.tfm", sitk.Transform(there))
    with pytest.raises(FormatError, match="must name a transform such as"):
        transforms.load(path)
