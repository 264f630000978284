"""Pairs of .hdr and .img against nibabel: NIfTI pairs, ANALYZE 7.5, SPM."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from phantoms_io import corners, make_phantom, oblique_affine

from vesalius import io
from vesalius.core import Grid
from vesalius.errors import FormatError

RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ oblique_affine().numpy()[:, [2, 1, 0, 3]]
XYZ = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
PLAIN = np.diag([-2.0, 3.0, 4.0, 1.0])


def write(folder: Path, kind: type = nibabel.AnalyzeImage, samples: np.ndarray = XYZ) -> Path:
    nibabel.save(kind(samples, RAS if "Nifti" in kind.__name__ else PLAIN), folder / "a.img")
    return folder / "a.hdr"


def change(path: Path, at: int, value: np.ndarray) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + value.nbytes] = value.tobytes()
    path.write_bytes(data)
    return path


def lps_corners(image: nibabel.spatialimages.SpatialImage) -> torch.Tensor:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    shape = tuple(int(n) for n in image.shape[2::-1])
    return corners(Grid(shape, torch.from_numpy(lps[:, [2, 1, 0, 3]])))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("suffix", [".hdr", ".img"])
def test_reads_nifti_pairs(tmp_path: Path, kind: type, suffix: str) -> None:
    path = write(tmp_path, kind)
    handle = io.open(path.with_suffix(suffix))
    assert handle.meta["format"] == f"NIfTI-{1 if kind is nibabel.Nifti1Pair else 2}"
    image = handle.read()
    assert torch.equal(image.data[0], torch.from_numpy(XYZ.T.copy()))
    wanted = lps_corners(nibabel.load(path))
    torch.testing.assert_close(corners(image.grid), wanted, rtol=0, atol=1e-4)
    part = handle.read((slice(1, 3), slice(2, 5), slice(0, 4)))
    assert np.array_equal(part.data[0].numpy(), XYZ.T[1:3, 2:5, 0:4])


@pytest.mark.parametrize(
    "kind", [nibabel.AnalyzeImage, nibabel.Spm99AnalyzeImage, nibabel.Spm2AnalyzeImage]
)
def test_places_analyze_as_nibabel_does(tmp_path: Path, kind: type) -> None:
    path = write(tmp_path, kind)
    handle = io.open(path)
    assert handle.meta["format"] == "ANALYZE 7.5"
    assert [(f.severity, f.code) for f in handle.findings] == [("warning", "no-orientation")]
    wanted = nibabel.AnalyzeImage.from_filename(path)
    torch.testing.assert_close(corners(handle.grid), lps_corners(wanted), rtol=0, atol=1e-4)
    assert handle.grid.orientation == "SAL"
    assert torch.equal(handle.read().data[0], torch.from_numpy(XYZ.T.copy()))


def test_takes_the_origin_of_spm(tmp_path: Path) -> None:
    path = change(write(tmp_path, nibabel.Spm99AnalyzeImage), 253, np.array([2, 3, 4], "<i2"))
    handle = io.open(path)
    (tmp_path / "a.mat").unlink(missing_ok=True)
    wanted = lps_corners(nibabel.Spm99AnalyzeImage.from_filename(path))
    torch.testing.assert_close(corners(handle.grid), wanted, rtol=0, atol=1e-4)
    assert handle.grid.to_world(torch.tensor([3.0, 2, 1], dtype=torch.float64)).tolist() == [0] * 3
    assert "its origin is SPM's" in handle.findings[0].message


def test_scales_as_spm_does(tmp_path: Path) -> None:
    path = change(write(tmp_path), 112, np.array([0.5], "<f4"))
    handle = io.open(path)
    assert "scaled" in [f.code for f in handle.findings]
    theirs = nibabel.Spm99AnalyzeImage.from_filename(path).get_fdata()
    np.testing.assert_allclose(handle.read().data[0].numpy().T, theirs)


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_every_type_and_order(tmp_path: Path, kind: str, order: str) -> None:
    header = nibabel.AnalyzeHeader(endianness=order)
    header.set_data_dtype(kind)
    image = nibabel.AnalyzeImage(XYZ.astype(kind), PLAIN, header)
    nibabel.save(image, tmp_path / "a.img")
    handle = io.open(tmp_path / "a.hdr")
    assert handle.meta["big_endian"] is (order == ">")
    assert np.array_equal(handle.read().data[0].numpy(), XYZ.T.astype(kind))


def test_reads_frames(tmp_path: Path) -> None:
    four = np.stack([XYZ, XYZ + 1], axis=-1)
    handle = io.open(write(tmp_path, samples=four), frames="channels")
    assert np.array_equal(handle.read().data.numpy(), four.T)
    assert "no-times" in [f.code for f in io.open(tmp_path / "a.hdr").findings]


def test_reads_packed_samples(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "a.img.gz").write_bytes(gzip.compress((tmp_path / "a.img").read_bytes()))
    (tmp_path / "a.img").unlink()
    for name in ("a.hdr", "a.img.gz"):
        assert torch.equal(io.open(tmp_path / name).read().data[0], torch.from_numpy(XYZ.T.copy()))


def test_a_pair_is_one_volume_and_a_lone_body_is_none(tmp_path: Path) -> None:
    write(tmp_path)
    assert [h.name for h in io.scan(tmp_path)] == ["a.hdr"]
    (tmp_path / "b.img").write_bytes(bytes(100))
    (handle,) = io.scan(tmp_path)
    assert "'b.img'" in next(f.message for f in handle.findings if f.code == "skipped")


def test_says_when_there_are_no_sizes(tmp_path: Path) -> None:
    handle = io.open(change(write(tmp_path), 80, np.zeros(3, "<f4")))
    assert "no-spacing" in [f.code for f in handle.findings]
    assert handle.grid.spacing_mm == (1, 1, 1)


# ---- refusals


def test_refuses_a_header_without_samples(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "a.img").unlink()
    with pytest.raises(FormatError, match=r"must have its partner beside it, 'a.hdr' or 'a"):
        io.open(path)


def test_refuses_what_is_no_header(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(b"#?RADIANCE" * 40)
    with pytest.raises(FormatError, match="must be an ANALYZE or NIfTI header, its first bytes"):
        io.open(path)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (70, np.array([32], "<i2"), "must hold real numbers, its datatype is 32"),
        (108, np.array([-8], "<f4"), "must say where its samples begin, vox_offset is -8"),
        (108, np.array([np.nan], "<f4"), "must say where its samples begin, vox_offset is nan"),
        (40, np.array([1], "<i2"), r"must have 2 to 4 axes \(x, y, z, time\), it has 1"),
        (40, np.array([9], "<i2"), r"must have 2 to 4 axes \(x, y, z, time\), it has 9"),
        (42, np.array([30000] * 3, "<i2"), "its header claims 30000 x 30000 x 30000"),
        (42, np.array([-6], "<i2"), "must have positive sizes"),
        (42, np.array([7], "<i2"), "must hold 280 bytes of samples, it has 240 bytes"),
    ],
)
def test_refuses_damaged_headers(tmp_path: Path, at: int, value: np.ndarray, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        io.open(change(write(tmp_path), at, value))


def test_an_nhdr_is_no_pair(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nhdr")
    assert io.open(tmp_path / "a.nhdr").meta["format"] == "NRRD"


def test_the_budget_counts_what_scaling_makes(tmp_path: Path) -> None:
    path = change(write(tmp_path), 112, np.array([0.5], "<f4"))
    with pytest.raises(FormatError, match="its header claims 4 x 5 x 6 x 1 samples"):
        io.open(path, budget=io.Budget(bytes=400)).read()
