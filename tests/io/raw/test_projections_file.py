"""Raw projections: Data Exchange, NumPy and TIFF stacks, whole, damaged and hostile."""

import signal
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tifffile
import torch

from vesalius.errors import FormatError, OutputError, ShapeError
from vesalius.io import Budget
from vesalius.io.raw import RawProjections, open_projections, save_projections
from vesalius.physics.ct import Projections, cone

VIEWS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


@pytest.fixture
def scan() -> Projections:
    angles = torch.tensor([0.0, 30.0, 77.0, 200.0])
    geometry = cone(angles, shape=(2, 3), pitch_mm=(1, 2), source_mm=50, detector_mm=90, arc=True)
    return Projections(torch.rand(4, 2, 3), geometry, "transmission")


def exchange(path, **arrays: object) -> None:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"exchange/{name}"] = value


def test_the_tooth_is_read_whole(data_dir):
    raw = open_projections(data_dir / "reconstruction" / "tooth" / "tooth.h5")
    assert tuple(raw.counts.shape) == (181, 2, 640)
    assert raw.counts.dtype == torch.float32
    assert tuple(raw.flats.shape) == tuple(raw.darks.shape) == (10, 2, 640)
    assert (raw.quantity, raw.geometry) == ("counts", None)
    # 181 views over half a turn, the last left out
    torch.testing.assert_close(raw.angles_deg, torch.arange(181).double() * 180 / 181)
    with h5py.File(data_dir / "reconstruction" / "tooth" / "tooth.h5") as file:
        assert np.array_equal(raw.counts.numpy(), file["exchange/data"][...])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_simulated_projections_come_back_with_their_geometry(tmp_path, scan, dtype):
    scan = Projections(scan.data.to(dtype), scan.geometry, scan.quantity)
    save_projections(scan, tmp_path / "a.h5", title="a test")
    raw = open_projections(tmp_path / "a.h5")
    assert torch.equal(raw.counts, scan.data)
    assert raw.counts.dtype == dtype
    assert raw.quantity == "transmission"
    assert torch.equal(raw.angles_deg, scan.geometry.angles_deg)
    for name in ("source", "centre", "u", "v", "angles_deg"):
        assert torch.equal(getattr(raw.geometry, name), getattr(scan.geometry, name))
    for name in ("beam", "shape", "middle", "arc_mm", "isocentre_mm", "axis"):
        assert getattr(raw.geometry, name) == getattr(scan.geometry, name)


def test_raw_frames_come_back(tmp_path):
    raw = RawProjections(torch.from_numpy(VIEWS), flats=torch.ones(5, 2, 3), darks=None)
    save_projections(raw, tmp_path / "a.hdf5")
    back = open_projections(tmp_path / "a.hdf5")
    assert torch.equal(back.counts, raw.counts)
    assert torch.equal(back.flats, raw.flats)
    assert back.darks is None
    assert back.angles_deg is None


def test_radians_become_degrees_and_integers_floats(tmp_path):
    exchange(tmp_path / "a.h5", data=VIEWS.astype(">u2"), theta=np.linspace(0, np.pi, 4))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["exchange/theta"].attrs["units"] = "radians"
    raw = open_projections(tmp_path / "a.h5", assume="line integral")
    assert raw.counts.dtype == torch.float32
    assert np.array_equal(raw.counts.numpy(), VIEWS)
    assert raw.quantity == "line integral"
    assert raw.angles_deg.tolist() == pytest.approx([0, 60, 120, 180])


def test_packed_chunks_and_empty_frames_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options = {"chunks": (2, 2, 3), "compression": "gzip", "shuffle": True}
        file.create_dataset("exchange/data", data=VIEWS, **options)
        file.create_dataset("exchange/data_white", shape=(0, 2, 3), dtype="f4")
    raw = open_projections(tmp_path / "a.h5")
    assert np.array_equal(raw.counts.numpy(), VIEWS)
    assert raw.flats is None


def test_numpy_files_are_read(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(VIEWS.astype(np.int16)))
    assert np.array_equal(open_projections(tmp_path / "a.npy").counts.numpy(), VIEWS)
    np.save(tmp_path / "b.npy", VIEWS[:, 0])
    assert np.array_equal(open_projections(tmp_path / "b.npy").counts.numpy(), VIEWS[:, :1])
    parts = {"flats": VIEWS[:1] + 1, "darks": VIEWS[:2], "angles_deg": np.arange(4)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "c.npz", data=VIEWS, **parts)
        raw = open_projections(tmp_path / "c.npz")
        assert np.array_equal(raw.counts.numpy(), VIEWS)
        assert np.array_equal(raw.flats.numpy(), parts["flats"])
        assert np.array_equal(raw.darks.numpy(), parts["darks"])
        assert raw.angles_deg.tolist() == [0, 1, 2, 3]


def test_a_stack_and_a_folder_of_tiff_are_read_in_the_order_of_their_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VIEWS.astype(np.uint16), photometric="minisblack")
    assert np.array_equal(open_projections(tmp_path / "a.tif").counts.numpy(), VIEWS)
    folder = tmp_path / "views"
    folder.mkdir()
    many = np.arange(66, dtype=np.float32).reshape(11, 2, 3)
    for k, view in enumerate(many):  # 10 sorts before 2 as text
        tifffile.imwrite(folder / f"view_{k}.tif", view)
    (folder / "notes.txt").write_text("not a view")
    assert np.array_equal(open_projections(folder).counts.numpy(), many)


def test_flats_and_darks_of_a_folder_lie_in_folders_of_their_own(tmp_path):
    for name, frames in (("", VIEWS), ("flats", VIEWS[:2] + 50), ("darks", VIEWS[:1] * 0 + 3)):
        (tmp_path / name).mkdir(exist_ok=True)
        for k, frame in enumerate(frames):
            tifffile.imwrite(tmp_path / name / f"{k}.tif", frame)
    raw = open_projections(tmp_path)
    assert np.array_equal(raw.counts.numpy(), VIEWS)
    assert np.array_equal(raw.flats.numpy(), VIEWS[:2] + 50)
    assert raw.darks.unique().tolist() == [3.0]


def test_a_folder_without_views_or_of_two_sizes_is_refused(tmp_path):
    with pytest.raises(FormatError, match="must hold TIFF files, one for each view, it holds none"):
        open_projections(tmp_path)
    tifffile.imwrite(tmp_path / "1.tif", VIEWS[0])
    tifffile.imwrite(tmp_path / "2.tif", VIEWS[0, :, :2])
    with pytest.raises(FormatError, match="views must have one size"):
        open_projections(tmp_path)


def test_a_folder_with_the_suffix_of_a_view_is_passed_over(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", VIEWS[0])
    (tmp_path / "2.tif").mkdir()
    assert open_projections(tmp_path).counts.shape == (1, *VIEWS[0].shape)


@pytest.mark.parametrize("kind", [">u2", "<i4", ">f4", ">f8", "<f2"])
def test_the_order_of_bytes_does_not_matter(tmp_path, kind):
    views = np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype(kind))
    exchange(tmp_path / "a.h5", data=views)
    np.save(tmp_path / "a.npy", views)
    np.savez_compressed(tmp_path / "a.npz", data=views)
    for name in ("a.h5", "a.npy", "a.npz"):
        np.testing.assert_array_equal(open_projections(tmp_path / name).counts.numpy(), views)


def test_a_writer_that_is_killed_leaves_the_file_as_it_was(tmp_path, scan):
    """The child dies by SIGKILL inside of writing, all samples of the new file on the disk."""
    save_projections(scan, tmp_path / "a.h5", title="old")
    before = (tmp_path / "a.h5").read_bytes()
    code = (
        "import os, signal, h5py, torch\n"
        "from vesalius.io.raw import RawProjections, save_projections\n"
        "closed = h5py.File.close\n"
        "def die(self):\n"
        "    closed(self)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "h5py.File.close = die\n"
        "h5py.File.__exit__ = lambda self, *error: die(self)\n"
        "save_projections(RawProjections(torch.ones(4, 5, 6)), 'a.h5')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.h5").read_bytes() == before


def test_colour_pages_and_several_series_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 16, 16, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="must have one axis of views, it has 3 channels"):
        open_projections(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(np.zeros((16, 16), np.uint8))
        file.write(np.zeros((8, 8), np.uint8))
    with pytest.raises(FormatError, match="must hold one series of views, it holds 2"):
        open_projections(tmp_path / "b.tif")


def test_what_is_no_raw_file_is_refused(tmp_path):
    with pytest.raises(FormatError, match="must be a file or folder, there is none"):
        open_projections(tmp_path / "a.h5")
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(FormatError, match="raw projections must be HDF5"):
        open_projections(tmp_path / "a.doc")
    exchange(tmp_path / "b.h5", other=VIEWS)
    with pytest.raises(FormatError, match="must hold views in exchange/data"):
        open_projections(tmp_path / "b.h5")
    np.savez(tmp_path / "c.npz", views=VIEWS)
    with pytest.raises(FormatError, match=r"must hold an array 'data'.*it holds views"):
        open_projections(tmp_path / "c.npz")


@pytest.mark.parametrize("views", [VIEWS[0, 0], VIEWS[None], VIEWS + 1j])
def test_other_axes_and_complex_samples_are_refused(tmp_path, views):
    np.save(tmp_path / "a.npy", views)
    with pytest.raises(FormatError, match="must hold real views"):
        open_projections(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.h5", "a.npy", "a.npz", "a.tif"])
def test_a_truncated_file_is_refused(tmp_path, scan, name):
    path = tmp_path / name
    if name == "a.h5":
        save_projections(scan, path)
    elif name == "a.tif":
        tifffile.imwrite(path, VIEWS)
    else:
        (np.save(path, VIEWS) if name == "a.npy" else np.savez(path, data=VIEWS))
    whole = path.read_bytes()
    for size in (0, 7, len(whole) // 3, len(whole) - 9):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            open_projections(path)


def test_objects_in_numpy_files_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="holds Python objects, which are never loaded"):
        open_projections(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", data=np.array([Trap()], dtype=object))
    with pytest.raises(FormatError):
        open_projections(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.array(["text"]))
    with pytest.raises(FormatError, match="must hold numbers of at most 64 bits"):
        open_projections(tmp_path / "b.npy")


def npy_header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_a_claim_beyond_the_file_is_refused_before_anything_is_allocated(tmp_path):
    header = npy_header((1 << 20, 1 << 20, 1 << 20))
    (tmp_path / "a.npy").write_bytes(header + bytes(100))
    with pytest.raises(FormatError):
        open_projections(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", header + bytes(100))
    with pytest.raises(FormatError, match="must fit in"):
        open_projections(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("data.npy", npy_header((100, 100, 100)) + bytes(100))
    with pytest.raises(FormatError, match="the file is truncated"):
        open_projections(tmp_path / "b.npz")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", shape=(1 << 20, 1 << 20, 4), dtype="f4")
    with pytest.raises(FormatError, match="must fit in"):
        open_projections(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("exchange/data", shape=(100, 100, 100), dtype="f4")
    with pytest.raises(FormatError, match="the file is truncated"):
        open_projections(tmp_path / "b.h5")


def test_more_than_the_budget_is_refused(tmp_path):
    small = Budget(bytes=64)
    np.save(tmp_path / "a.npy", VIEWS)
    np.savez(tmp_path / "a.npz", data=VIEWS)
    exchange(tmp_path / "a.h5", data=VIEWS)
    for name in ("a.npy", "a.npz", "a.h5"):
        with pytest.raises(FormatError, match="must fit in"):
            open_projections(tmp_path / name, budget=small)


def test_links_and_samples_elsewhere_are_not_followed(tmp_path):
    exchange(tmp_path / "other.h5", data=VIEWS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = h5py.ExternalLink("other.h5", "exchange/data")
    with pytest.raises(FormatError, match="must hold views in exchange/data"):
        open_projections(tmp_path / "a.h5")
    layout = h5py.VirtualLayout(shape=(4, 2, 3), dtype="f4")
    layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "exchange/data", shape=(4, 2, 3))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("exchange/data", layout)
    with pytest.raises(FormatError, match="must hold its samples itself"):
        open_projections(tmp_path / "b.h5")


def test_a_dataset_that_is_no_numbers_is_refused(tmp_path):
    exchange(tmp_path / "a.h5", data="hello")
    with pytest.raises(FormatError, match="must be a dataset of numbers"):
        open_projections(tmp_path / "a.h5")


@pytest.mark.parametrize("damage", ["beam", "middle", "u"])
def test_half_a_geometry_is_refused(tmp_path, scan, damage):
    save_projections(scan, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        group = file["geometry"]
        if damage == "u":
            del group["u"]
        else:
            del group.attrs[damage]
    with pytest.raises(FormatError, match="must hold its geometry whole"):
        open_projections(tmp_path / "a.h5")


def test_parts_that_do_not_fit_are_refused(tmp_path, scan):
    exchange(tmp_path / "a.h5", data=VIEWS, data_white=np.ones((2, 2, 4)))
    with pytest.raises(ShapeError, match="flats must have the detector of the views"):
        open_projections(tmp_path / "a.h5")
    exchange(tmp_path / "b.h5", data=VIEWS, theta=np.arange(5))
    with pytest.raises(ShapeError, match="angles must be one for each of 4 views"):
        open_projections(tmp_path / "b.h5")
    with pytest.raises(ShapeError, match="the geometry must be of the same scan as the views"):
        RawProjections(torch.ones(5, 2, 3), geometry=scan.geometry)


def test_writing_fails_without_leaving_anything(tmp_path, scan):
    with pytest.raises(FormatError, match="projections must be written to"):
        save_projections(scan, tmp_path / "a.npy")
    with pytest.raises(OutputError, match="output folder must exist"):
        save_projections(scan, tmp_path / "none" / "a.h5")
    assert list(tmp_path.iterdir()) == []
