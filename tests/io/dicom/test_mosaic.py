"""Mosaics: tiles become slices where the CSA header puts them."""

import json
import shutil
import struct
import subprocess
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms_io import write_slice
from pydicom import uid

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io.dicom._csa import csa_entries, parse_csa

TILE = (4, 6)
COUNT = 7
ACROSS = 3


def write_csa(entries: dict[str, Sequence[str]], *, modern: bool = True, spare: int = 1) -> bytes:
    """Write a CSA header as scanners do, with ``spare`` empty values behind each entry's own."""
    out = b"SV10\4\3\2\1" if modern else b""
    out += struct.pack("<2I", len(entries), 77)
    hidden = None
    for name, values in entries.items():
        items = len(values) + spare
        hidden = items if hidden is None else hidden
        out += struct.pack("<64s i 4s 3i", name.encode(), len(values), b"FD", 4, items, 77)
        for text in [v.encode() + b"\0" for v in values] + [b""] * spare:
            size = len(text)
            numbers = (size, size, 77, size) if modern else (size + hidden, size, 77, size)
            out += struct.pack("<4i", *numbers) + text + b"\0" * (-size % 4)
    return out


def tiles(volume: int = 0) -> np.ndarray:
    """(7, 4, 6): no two pixels alike."""
    return (np.arange(COUNT * 24, dtype=np.uint16) + 400 * volume).reshape(COUNT, *TILE)


def picture(values: np.ndarray) -> np.ndarray:
    big = np.zeros((ACROSS * TILE[0], ACROSS * TILE[1]), np.uint16)
    for k, tile in enumerate(values):
        y, x = k // ACROSS * TILE[0], k % ACROSS * TILE[1]
        big[y : y + TILE[0], x : x + TILE[1]] = tile
    return big


def write_mosaic(
    folder: Path, volume: int = 0, *, csa: bytes | None = None, sign: float = 1.0, **more: object
) -> Path:
    normal = (f"{0.0}", f"{0.0}", f"{sign:.8f}")
    entries = {"NumberOfImagesInMosaic": [str(COUNT)], "SliceNormalVector": normal}
    header: dict[str, object] = {
        "SOPClassUID": pydicom.uid.MRImageStorage,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "SpacingBetweenSlices": 3.5,
        "PixelSpacing": [2.0, 1.5],
        "ImagePositionPatient": [-50, -40, 10],
        "RescaleIntercept": None,
        "RescaleSlope": None,
        "RescaleType": None,
        "InstanceNumber": volume + 1,
        "AcquisitionNumber": volume + 1,
    }
    path = write_slice(
        folder, volume, name=f"{volume}.dcm", values=picture(tiles(volume)), **(header | more)
    )
    file = pydicom.dcmread(path)
    block = file.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", write_csa(entries) if csa is None else csa)
    file.save_as(path)
    return path


# ---- the CSA header


texts = st.text("abcdefghijklmnop0123456789.-", min_size=1, max_size=12)
headers = st.dictionaries(texts, st.lists(texts, max_size=4), min_size=1, max_size=5)


@given(headers, st.booleans(), st.integers(0, 3))
def test_a_csa_header_comes_back(entries: dict[str, list[str]], modern: bool, spare: int) -> None:
    wanted = {name: tuple(values) for name, values in entries.items() if values}
    assert parse_csa(write_csa(entries, modern=modern, spare=spare)) == wanted


@given(headers, st.data())
def test_a_csa_header_is_read_or_refused_wherever_it_is_cut(
    entries: dict[str, list[str]], data: st.DataObject
) -> None:
    raw = write_csa(entries)
    keep = data.draw(st.integers(0, len(raw) - 1))
    said = ""
    try:
        parse_csa(raw[:keep])
    except FormatError as error:
        said = str(error)
    assert not said or "a Siemens CSA header must be whole, it is not" in said


@given(st.binary(max_size=400))
def test_noise_is_read_or_refused_in_bounds(raw: bytes) -> None:
    said = ""
    try:
        found = parse_csa(b"SV10\4\3\2\1" + raw)
        assert sum(len(v) for values in found.values() for v in values) <= len(raw)
    except FormatError as error:
        said = str(error)
    assert not said or "the file is damaged or was changed" in said


def test_refuses_counts_and_lengths_that_leave_the_header() -> None:
    raw = write_csa({"a": ["1"]})
    with pytest.raises(FormatError, match="it is not: it counts 4294967295 entries"):
        parse_csa(raw[:8] + b"\xff" * 4 + raw[12:])
    with pytest.raises(FormatError, match="it is not: an entry counts 2147483647 values"):
        parse_csa(raw[:92] + b"\xff\xff\xff\x7f" + raw[96:])
    with pytest.raises(FormatError, match=r"a value of 1000000 bytes at byte \d+ leaves it"):
        parse_csa(raw[:104] + (1_000_000).to_bytes(4, "little") + raw[108:])


# ---- tiles in the world


def world(handle: io.Handle, z: float, y: float, x: float) -> list[float]:
    point = handle.grid.to_world(torch.tensor([[z, y, x]], dtype=torch.float64))
    return [round(float(v), 6) for v in point[0]]


def test_places_tiles_by_hand(tmp_path: Path) -> None:
    handle = io.open(write_mosaic(tmp_path))
    assert handle.grid.shape == (COUNT, *TILE)
    assert handle.grid.spacing_mm == (3.5, 2.0, 1.5)
    # the picture is 12 x 18 pixels: (18 - 6) / 2 columns of 1.5 mm, (12 - 4) / 2 rows of 2 mm
    assert world(handle, 0, 0, 0) == [-50 + 6 * 1.5, -40 + 4 * 2.0, 10]
    assert world(handle, 6, 3, 5) == [-50 + 11 * 1.5, -40 + 7 * 2.0, 10 + 6 * 3.5]
    assert np.array_equal(handle.read().data[0].numpy().astype(np.uint16), tiles())


def test_follows_the_normal_of_the_csa_header(tmp_path: Path) -> None:
    handle = io.open(write_mosaic(tmp_path, sign=-1))
    # the first tile is the highest: sorted along the normal it comes last
    assert world(handle, COUNT - 1, 0, 0)[2] == 10
    assert world(handle, 0, 0, 0)[2] == 10 - 6 * 3.5
    assert np.array_equal(handle.read().data[0].numpy().astype(np.uint16), tiles()[::-1])


def test_several_mosaics_are_frames(tmp_path: Path) -> None:
    for volume in (2, 0, 1):
        write_mosaic(
            tmp_path,
            volume,
            ScanningSequence="EP",
            RepetitionTime=2000,
            SOPInstanceUID=f"1.{volume}",
        )
    handle = io.open(tmp_path)
    assert handle.content.frames == 3
    assert handle.content.times_s == (0, 2, 4)
    series = handle.read_series()
    for volume in range(3):
        assert np.array_equal(series.data[volume, 0].numpy().astype(np.uint16), tiles(volume))


def test_mosaics_that_moved_are_volumes_of_their_own(tmp_path: Path) -> None:
    """Each file is one frame; prospective motion correction gives it a place of its own."""
    for volume in range(3):
        place = [-50 + 0.5 * volume, -40, 10 + 0.25 * volume]
        write_mosaic(tmp_path, volume, ImagePositionPatient=place, AcquisitionNumber=1)
    handles = io.scan(tmp_path)
    assert [{f.code for f in h.findings} for h in handles] == [{"moved", "split", "mosaic"}] * 3
    for volume, handle in enumerate(handles):
        assert np.array_equal(handle.read().data[0].numpy(), tiles(volume))
        # half a picture less half a tile lies between its corner and that of the first tile
        assert world(handle, 0, 0, 0) == pytest.approx(
            [-50 + 0.5 * volume + 1.5 * 6, -40 + 2.0 * 4, 10 + 0.25 * volume]
        )


def test_takes_the_number_of_tiles_from_the_mr_header(tmp_path: Path) -> None:
    csa = write_csa({"SliceNormalVector": ["0", "0", "1"]})
    path = write_mosaic(tmp_path, csa=csa)
    with pytest.raises(FormatError, match="NumberOfImagesInMosaic is absent from its CSA header"):
        io.open(path)
    file = pydicom.dcmread(path)
    file.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", COUNT)
    file.save_as(path)
    assert io.open(path).grid.shape == (COUNT, *TILE)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_reads_private_elements_of_unknown_representation(tmp_path: Path, syntax: str) -> None:
    path = write_mosaic(tmp_path, csa=write_csa({"SliceNormalVector": ["0", "0", "1"]}))
    file = pydicom.dcmread(path)
    block = file.private_block(0x19, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "UN", COUNT.to_bytes(2, "little"))
    file[0x29, 0x1010].VR = "UN"
    file.file_meta.TransferSyntaxUID = syntax
    file.save_as(path)
    assert io.open(path).grid.shape == (COUNT, *TILE)


def test_takes_the_gap_from_the_csa_header(tmp_path: Path) -> None:
    entries = {
        "NumberOfImagesInMosaic": [str(COUNT)],
        "SliceNormalVector": ["0", "0", "1"],
        "SpacingBetweenSlices": ["4.25"],
    }
    path = write_mosaic(tmp_path, csa=write_csa(entries), SpacingBetweenSlices=None)
    assert io.open(path).grid.spacing_mm[0] == 4.25


# ---- what is refused


def refuse(path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        io.open(path)


def test_refuses_a_mosaic_that_does_not_say_how_it_lies(tmp_path: Path) -> None:
    number = {"NumberOfImagesInMosaic": [str(COUNT)]}
    for normal in ([], ["0", "0"], ["a", "b", "c"], ["0", "1", "0"], ["0", "0", "0"]):
        path = write_mosaic(tmp_path, csa=write_csa(number | {"SliceNormalVector": normal}))
        refuse(path, "which way its mosaic's slices follow each other")
    refuse(write_mosaic(tmp_path, csa=b""), "must say how many slices its mosaic has")
    for wrong in ("0", "-3", "many"):
        csa = write_csa({"NumberOfImagesInMosaic": [wrong]})
        refuse(write_mosaic(tmp_path, csa=csa), "must say how many slices its mosaic has")
    refuse(write_mosaic(tmp_path, SpacingBetweenSlices=None), "how far its mosaic's slices are")
    refuse(write_mosaic(tmp_path, ImagePositionPatient=None), "must say where its mosaic lies")
    refuse(write_mosaic(tmp_path, PixelSpacing=None), "must say where its mosaic lies")


def test_refuses_a_mosaic_that_was_cut(tmp_path: Path) -> None:
    normal = ["0", "0", "1"]
    csa = write_csa({"NumberOfImagesInMosaic": ["26"], "SliceNormalVector": normal})
    path = write_mosaic(tmp_path, csa=csa)
    assert io.open(path).grid.shape == (26, 2, 3)
    csa = write_csa({"NumberOfImagesInMosaic": ["17"], "SliceNormalVector": normal})
    refuse(
        write_mosaic(tmp_path, csa=csa), "must be a mosaic of 5 x 5 equal tiles for its 17 slices"
    )


def test_refuses_more_tiles_than_pixels(tmp_path: Path) -> None:
    csa = write_csa(
        {"NumberOfImagesInMosaic": ["2000000000"], "SliceNormalVector": ["0", "0", "1"]}
    )
    refuse(write_mosaic(tmp_path, csa=csa), "equal tiles for its 2000000000 slices")


# ---- real files


CASES = {
    "mr_siemens_mosaic": ["3_EPI_PE=AP"],
    "mr_orient_axial": ["9_ax_asc_36sl", "25_fMRI_MB_asc", "26_fMRI_MB_int"],
}


@pytest.fixture(scope="module")
def unpacked(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for case in CASES:
        folders[case] = tmp_path_factory.mktemp(case)
        with tarfile.open(data_dir / "dicom" / case / "dicom.tar.xz") as tar:
            tar.extractall(folders[case], filter="data")
    return folders


@pytest.mark.parametrize("case", CASES)
def test_real_mosaics_equal_their_oracles(
    case: str, unpacked: dict[str, Path], data_dir: Path
) -> None:
    handles = {int(str(h.meta["SeriesNumber"])): h for h in io.scan(unpacked[case])}
    assert sorted(handles) == sorted(int(stem.split("_")[0]) for stem in CASES[case])
    for stem in CASES[case]:
        handle = handles[int(stem.split("_")[0])]
        told = json.loads((data_dir / "dicom" / case / f"{stem}.oracle.json").read_text())
        columns, rows, slices, frames = told["shape"]
        assert handle.grid.shape == (slices, rows, columns)
        assert handle.content.frames == frames
        # the oracle counts (x, y, z) with y flipped, and its world is RAS
        flip = np.eye(4)
        flip[1, 1], flip[1, 3] = -1, rows - 1
        ras = np.array(told["affine_ras"]) @ flip
        ours = np.diag([-1, -1, 1, 1]) @ handle.grid.affine.numpy()[:, [2, 1, 0, 3]]
        assert np.abs(ours - ras).max() <= 1e-4
        nifti = io.open(data_dir / "dicom" / case / f"{stem}.nii.gz").read_series()
        read = handle.read_series()
        assert torch.equal(read.data.double(), nifti.data.flip(-2).double())


def turned(raw: bytes) -> bytes:
    """Change the sign of SliceNormalVector in a CSA header."""
    out = bytearray(raw)
    at = out.index(b"SliceNormalVector") + 84
    for _ in range(3):
        size = struct.unpack_from("<4i", out, at)[1]
        text = bytes(out[at + 16 : at + 16 + size]).split(b"\0")[0]
        new = text[1:] + b"0" if text.startswith(b"-") else b"-" + text[:-1]
        out[at + 16 : at + 16 + len(text)] = new
        at += 16 - (-size // 4) * 4
    return bytes(out)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_turned_mosaics_lie_where_dcm2niix_puts_them(
    unpacked: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for k, path in enumerate(sorted(unpacked["mr_orient_axial"].rglob("*axasc36__*"))):
        file = pydicom.dcmread(path)
        file[0x29, 0x1010].value = turned(file[0x29, 0x1010].value)
        file.save_as(tmp_path / "in" / f"{k}.dcm")
    words = ["dcm2niix", "-z", "n", "-f", "turned", "-o", str(tmp_path), str(tmp_path / "in")]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    ours, theirs = io.open(tmp_path / "in"), io.open(tmp_path / "turned.nii")
    assert ours.content.frames == theirs.content.frames == 2
    slices, rows, _ = ours.grid.shape
    flipped = theirs.read_series().data.flip(-2).flip(-3)
    assert torch.equal(ours.read_series().data.double(), flipped.double())
    for z, y, x in ((0, 0, 0), (slices - 1, 3, 5)):
        theirs_at = world(theirs, slices - 1 - z, rows - 1 - y, x)
        assert world(ours, z, y, x) == pytest.approx(theirs_at, abs=1e-4)


def test_csa_headers_agree_with_nibabel(unpacked: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls itself experimental
        from nibabel.nicom import csareader
    seen = 0
    for path in sorted(p for p in unpacked["mr_orient_axial"].rglob("*") if p.is_file()):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        ours = csa_entries(header)
        for name, entry in csareader.read(header[0x29, 0x1010].value)["tags"].items():
            theirs = [v for v in entry["items"] if v not in ("", b"")]
            read = [type(t)(o) for o, t in zip(ours.get(name, ()), theirs, strict=True)]
            assert read == [t.strip() if isinstance(t, str) else t for t in theirs], name
            seen += len(read)
    assert seen > 400
