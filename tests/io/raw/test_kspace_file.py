"""K-space files: fastMRI, ISMRMRD, BART, NumPy; each line where its header says."""

import h5py
import numpy as np
import pytest
import torch

from vesalius.errors import FormatError
from vesalius.io import Budget
from vesalius.io.raw import open_kspace

NZ, NY, NX, COILS = 1, 6, 8, 2
COUNTERS = ["kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast"]
COUNTERS += ["phase", "repetition", "set", "segment"]
FIELDS: list[tuple] = [("version", "<u2"), ("flags", "<u8"), ("number_of_samples", "<u2")]
FIELDS += [("active_channels", "<u2"), ("discard_pre", "<u2"), ("discard_post", "<u2")]
FIELDS += [("center_sample", "<u2"), ("position", "<f4", 3), ("read_dir", "<f4", 3)]
FIELDS += [("phase_dir", "<f4", 3), ("slice_dir", "<f4", 3)]
FIELDS += [("idx", [(name, "<u2") for name in COUNTERS])]
HEAD = np.dtype(FIELDS)
XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>80</x><y>30</y><z>5</z></fieldOfView_mm></encodedSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>5</maximum>
<center>3</center></kspace_encoding_step_1></encodingLimits>
<trajectory>{trajectory}</trajectory></encoding></ismrmrdHeader>"""


def random_kspace(*shape: int) -> np.ndarray:
    draw = np.random.default_rng(5)
    return (draw.normal(size=shape) + 1j * draw.normal(size=shape)).astype(np.complex64)


def line(samples: np.ndarray, *, flags: tuple[int, ...] = (), **told: object) -> tuple:
    """One read-out: (coil, sample) and what its header tells."""
    head = np.zeros((), HEAD)
    head["flags"] = sum(1 << (bit - 1) for bit in flags)
    head["active_channels"], head["number_of_samples"] = samples.shape
    head["center_sample"] = samples.shape[1] // 2
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
    for name, value in told.items():
        if name in COUNTERS:
            head["idx"][name] = value
        else:
            head[name] = value
    return head, np.ascontiguousarray(samples).view(np.float32).ravel()


def write_ismrmrd(path, lines: list[tuple], *, xml: str = "") -> None:
    numbers = h5py.vlen_dtype(np.float32)
    kind = np.dtype([("head", HEAD), ("traj", numbers), ("data", numbers)])
    rows = np.empty(len(lines), kind)
    for k, (head, data) in enumerate(lines):
        rows[k] = (head, np.empty(0, np.float32), data)
    with h5py.File(path, "w") as file:
        file["dataset/xml"] = xml or XML.format(x=NX, y=NY, z=NZ, trajectory="cartesian")
        file.create_dataset("dataset/data", data=rows)


def all_lines(data: np.ndarray, **told: object) -> list[tuple]:
    """Every line of (coil, y, x), step 0 at the lowest frequency."""
    return [line(data[:, y], kspace_encode_step_1=y, **told) for y in range(data.shape[1])]


def test_the_brain_is_read_with_its_pattern(data_dir):
    path = data_dir / "reconstruction" / "mri_sigpy" / "cartesian_ksp.npy"
    raw = open_kspace(path, spacing_mm=(4.0, 1.0, 1.0))
    (part,) = raw.slices
    assert tuple(part.data.shape) == (8, 1, 230, 180)
    # 8.04 times undersampled, its centre of 24 x 24 whole
    assert part.mask.numel() / float(part.mask.sum()) == pytest.approx(8.04, abs=0.01)
    assert bool(part.mask[0, 115 - 12 : 115 + 12, 90 - 12 : 90 + 12].all())
    assert np.array_equal(part.data[:, 0].numpy(), np.load(path))
    assert part.grid.spacing_mm == (4.0, 1.0, 1.0)
    assert "the file does not tell the voxel size" in raw.remarks[0]


def test_bart_files_are_read_in_their_order(tmp_path):
    data = random_kspace(3, 2, 4, 5)  # coil, z, y, x
    (tmp_path / "k.hdr").write_text("# Dimensions\n5 4 2 3 1 1 1 1 \n# Command\nphantom\n")
    # BART: fastest axis first, read
    data.transpose(3, 2, 1, 0).flatten(order="F").tofile(tmp_path / "k.cfl")
    for name in ("k.hdr", "k.cfl"):
        (part,) = open_kspace(tmp_path / name).slices
        assert np.array_equal(part.data.numpy(), data)
    # the zero frequency's voxel is the isocentre
    middle = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    assert part.grid.to_world(middle).tolist() == [0.0, 0.0, 0.0]


def test_a_damaged_bart_file_is_refused(tmp_path):
    (tmp_path / "k.hdr").write_text("# Dimensions\n5 4 2 3 1\n")
    with pytest.raises(FormatError, match="must be one of BART's two files"):
        open_kspace(tmp_path / "k.hdr")
    (tmp_path / "k.cfl").write_bytes(bytes(5 * 4 * 2 * 3 * 8 - 1))
    with pytest.raises(FormatError, match="the file is truncated"):
        open_kspace(tmp_path / "k.cfl")
    (tmp_path / "k.cfl").write_bytes(bytes(5 * 4 * 2 * 3 * 8 + 8))
    with pytest.raises(FormatError, match="the two files do not belong together"):
        open_kspace(tmp_path / "k.cfl")
    for text in ("", "# Dimensions\n5 4 2 3 7\n", "# Dimensions\n5\n"):
        (tmp_path / "k.hdr").write_text(text)
        with pytest.raises(FormatError, match="must give '# Dimensions' of read, phase"):
            open_kspace(tmp_path / "k.cfl")
    (tmp_path / "k.hdr").write_text("# Dimensions\n99999999 99999 999 9\n")
    with pytest.raises(FormatError, match="must fit in"):
        open_kspace(tmp_path / "k.cfl")


def test_fastmri_gives_one_part_for_each_slice(tmp_path):
    data = random_kspace(3, COILS, NX, NY)  # slice, coil, read, phase
    data[..., 1::2] = 0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = data
        file["ismrmrd_header"] = XML.format(x=NX, y=NY, z=1, trajectory="cartesian")
    raw = open_kspace(tmp_path / "a.h5")
    assert len(raw.slices) == 3
    for k, part in enumerate(raw.slices):
        assert np.array_equal(part.data[:, 0].numpy(), data[k])
        assert part.mask[0, 0].tolist() == [True, False] * 3
        # read-out of 80 mm down the rows, phase of 30 mm along them, slices of 5 mm
        assert part.grid.spacing_mm == pytest.approx((5.0, 10.0, 5.0))
    heights = [part.grid.origin_mm[2] for part in raw.slices]
    assert heights == pytest.approx([-5.0, 0.0, 5.0])
    assert raw.remarks == ()


def test_fastmri_of_one_coil_without_a_header_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = random_kspace(2, 6, 8)
    raw = open_kspace(tmp_path / "a.h5")
    assert [tuple(part.data.shape) for part in raw.slices] == [(1, 1, 6, 8)] * 2
    assert "does not tell the voxel size" in raw.remarks[0]


def test_ismrmrd_lines_go_where_their_headers_say(tmp_path):
    data = random_kspace(COILS, NY, NX)
    write_ismrmrd(tmp_path / "a.h5", all_lines(data)[::-1])
    (part,) = open_kspace(tmp_path / "a.h5").slices
    assert np.array_equal(part.data[:, 0].numpy(), data)
    assert bool(part.mask.all())
    assert part.grid.spacing_mm == pytest.approx((5.0, 5.0, 10.0))


def test_a_short_echo_and_a_reversed_line_are_centred(tmp_path):
    data = random_kspace(COILS, NY, NX)
    lines = all_lines(data)
    lines[0] = line(data[:, 0, 3:], kspace_encode_step_1=0, center_sample=1)
    backwards = data[:, 1, ::-1]
    lines[1] = line(backwards, flags=(22,), kspace_encode_step_1=1, center_sample=NX - 1 - NX // 2)
    padded = np.pad(data[:, 2], ((0, 0), (2, 1)), constant_values=99)
    lines[2] = line(
        padded, kspace_encode_step_1=2, center_sample=NX // 2 + 2, discard_pre=2, discard_post=1
    )
    write_ismrmrd(tmp_path / "a.h5", lines)
    (part,) = open_kspace(tmp_path / "a.h5").slices
    expected = data.copy()
    expected[:, 0, :3] = 0
    assert np.array_equal(part.data[:, 0].numpy(), expected)
    assert part.mask[0, 0].tolist() == [False] * 3 + [True] * 5


def test_averages_calibration_and_noise_are_told_apart(tmp_path):
    data, other = random_kspace(COILS, NY, NX), np.full((COILS, NX), 7 + 0j, np.complex64)
    lines = all_lines(data)
    lines += [line(data[:, 0] + 2, kspace_encode_step_1=0, average=1)]
    lines += [line(other, flags=(20,), kspace_encode_step_1=1)]  # imaging has it already
    lines[5] = line(other, flags=(20,), kspace_encode_step_1=5)  # imaging lacks it
    lines += [line(other, flags=(23,), kspace_encode_step_1=3)]
    noise = random_kspace(COILS, 50)
    lines += [line(noise, flags=(19,))]
    write_ismrmrd(tmp_path / "a.h5", lines)
    raw = open_kspace(tmp_path / "a.h5")
    expected = data.copy()
    expected[:, 0] += 1
    expected[:, 5] = 7
    np.testing.assert_allclose(raw.slices[0].data[:, 0].numpy(), expected, rtol=1e-6)
    assert np.array_equal(raw.noise.numpy(), noise)
    assert raw.remarks == (
        "up to 2 read-outs of one line were averaged",
        "1 read-outs without image were left out",
    )


def test_slices_lie_at_their_positions_and_directions(tmp_path):
    data = random_kspace(COILS, NY, NX)
    turn = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)  # read, phase, slice
    told = {"read_dir": turn[0], "phase_dir": turn[1], "slice_dir": turn[2]}
    lines = all_lines(data, position=(1, 2, 3), **told)
    lines += all_lines(2 * data, position=(9, 2, 3), slice=1, **told)
    write_ismrmrd(tmp_path / "a.mrd", lines)
    one, two = open_kspace(tmp_path / "a.mrd").slices
    middle = torch.tensor([0.0, NY // 2, NX // 2], dtype=torch.float64)
    assert one.grid.to_world(middle).tolist() == pytest.approx([1, 2, 3])
    assert two.grid.to_world(middle).tolist() == pytest.approx([9, 2, 3])
    along = one.grid.to_world(middle + torch.tensor([0.0, 0.0, 1.0])).tolist()
    assert along == pytest.approx([1, 12, 3])  # one read sample, 10 mm, along its direction
    assert np.array_equal(two.data[:, 0].numpy(), 2 * data)


def test_read_outs_without_directions_are_axis_aligned(tmp_path):
    zero = dict.fromkeys(("read_dir", "phase_dir", "slice_dir"), (0, 0, 0))
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX), **zero))
    raw = open_kspace(tmp_path / "a.h5")
    assert raw.slices[0].grid.orientation == "SPL"
    assert raw.remarks == ("the read-outs do not tell their directions: axis-aligned assumed",)


def test_a_3d_scan_is_one_part(tmp_path):
    data = random_kspace(COILS, 4, NY, NX)
    lines = []
    for z in range(4):
        lines += all_lines(data[:, z], kspace_encode_step_2=z)
    xml = XML.format(x=NX, y=NY, z=4, trajectory="cartesian")
    write_ismrmrd(tmp_path / "a.h5", lines, xml=xml)
    (part,) = open_kspace(tmp_path / "a.h5").slices
    assert np.array_equal(part.data.numpy(), data)


def test_what_cannot_be_one_image_is_refused(tmp_path):
    data = random_kspace(COILS, NY, NX)
    path = tmp_path / "a.h5"
    for name in ("contrast", "phase", "repetition", "set"):
        write_ismrmrd(path, all_lines(data) + all_lines(data, **{name: 1}))
        with pytest.raises(FormatError, match=f"must hold one {name}, it holds 2"):
            open_kspace(path)
    write_ismrmrd(path, all_lines(data), xml=XML.format(x=8, y=6, z=1, trajectory="radial"))
    with pytest.raises(FormatError, match="must be Cartesian, its trajectory is radial"):
        open_kspace(path)
    write_ismrmrd(path, [line(data[:, 0], kspace_encode_step_1=40)])
    with pytest.raises(FormatError, match="must have its read-outs inside the encoded matrix"):
        open_kspace(path)
    write_ismrmrd(path, [line(data[:, 0], flags=(19,))])
    with pytest.raises(FormatError, match="must hold at least one read-out of an image"):
        open_kspace(path)
    write_ismrmrd(path, [line(data[:, 0]), line(data[:1, 0])])
    with pytest.raises(FormatError, match="must have as many coils in each read-out"):
        open_kspace(path)
    head, numbers = line(data[:, 0], kspace_encode_step_1=1)
    write_ismrmrd(path, [(head, numbers[:-1])])
    with pytest.raises(FormatError, match="complex samples in each read-out, one has 31 numbers"):
        open_kspace(path)
    write_ismrmrd(path, all_lines(0 * data))
    with pytest.raises(FormatError, match="must hold samples that are not all 0"):
        open_kspace(path)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "XML header without a document type"),
        ("<a><b></a>", "must have a header of XML, it does not parse"),
        ("<a/>", "must tell matrixSize and fieldOfView_mm"),
        (XML.format(x="many", y=6, z=1, trajectory="cartesian"), "must tell matrixSize"),
        (XML.format(x=-8, y=6, z=1, trajectory="cartesian"), "must tell matrixSize"),
    ],
)
def test_a_header_that_does_not_place_samples_is_refused(tmp_path, xml, message):
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX)), xml=xml)
    with pytest.raises(FormatError, match=message):
        open_kspace(tmp_path / "a.h5")


def test_a_matrix_beyond_the_budget_is_refused(tmp_path):
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX)))
    with pytest.raises(FormatError, match="must fit in"):
        open_kspace(tmp_path / "a.h5", budget=Budget(bytes=100))


def test_read_outs_that_were_never_written_are_not_allocated(tmp_path):
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX)))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", shape=(20_000_000,), dtype=kind, chunks=(64,))
    with pytest.raises(FormatError, match="it has 0 bytes"):
        open_kspace(tmp_path / "a.h5")


def test_a_header_in_another_file_is_not_read(tmp_path):
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX)))
    text = XML.format(x=NX, y=NY, z=NZ, trajectory="cartesian").encode()
    (tmp_path / "secret").write_bytes(text)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["dataset/xml"]
        where = [(tmp_path / "secret", 0, len(text))]
        file.create_dataset("dataset/xml", shape=(1,), dtype=f"S{len(text)}", external=where)
    with pytest.raises(FormatError, match="must hold one text"):
        open_kspace(tmp_path / "a.h5")


def test_a_text_of_gigabytes_is_refused_by_its_type(tmp_path):
    write_ismrmrd(tmp_path / "a.h5", all_lines(random_kspace(COILS, NY, NX)))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", shape=(1,), dtype="S2000000000", chunks=(1,))
    with pytest.raises(FormatError, match="must hold one text of at most 16 MiB"):
        open_kspace(tmp_path / "a.h5")


def test_what_is_no_kspace_is_refused(tmp_path):
    with pytest.raises(FormatError, match="must be a file of k-space, there is none"):
        open_kspace(tmp_path / "a.h5")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FormatError, match="k-space must be HDF5"):
        open_kspace(tmp_path / "a.txt")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((2, 3, 4))
    with pytest.raises(FormatError, match=r"must hold 'kspace' \(fastMRI\) or"):
        open_kspace(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["kspace"] = np.ones((2, 3, 4, 5))
    with pytest.raises(FormatError, match="must hold complex kspace"):
        open_kspace(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["dataset/data"] = np.ones(3)
        file["dataset/xml"] = XML.format(x=NX, y=NY, z=NZ, trajectory="cartesian")
    with pytest.raises(FormatError, match="must hold read-outs with head and data"):
        open_kspace(tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "a") as file:
        del file["dataset/xml"]
    with pytest.raises(FormatError, match="must hold one text of at most 16 MiB"):
        open_kspace(tmp_path / "c.h5")


def test_numpy_kspace_is_checked(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4)))
    with pytest.raises(FormatError, match="must hold complex k-space"):
        open_kspace(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), complex))
    with pytest.raises(FormatError, match="must hold finite samples that are not all 0"):
        open_kspace(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", ksp=np.ones((2, 3, 4), complex))
    with pytest.raises(FormatError, match=r"must hold an array 'data' \(coil, z, y, x\)"):
        open_kspace(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", data=random_kspace(2, 3, 4, 5))
    assert tuple(open_kspace(tmp_path / "a.npz").slices[0].data.shape) == (2, 3, 4, 5)


@pytest.mark.parametrize("part", [1 / 3, 2 / 3, 0.97])
def test_a_truncated_file_is_refused(tmp_path, part):
    path = tmp_path / "a.h5"
    write_ismrmrd(path, all_lines(random_kspace(COILS, NY, NX)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(FormatError):
        open_kspace(path)
