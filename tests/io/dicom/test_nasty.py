"""Nasty series: each is placed as its headers say, as dcm2niix places it, or refused with a reason.

The truth is in the headers: a pixel lies at its slice's position, so many rows and columns further
(PS3.3 C.7.6.2.1.1), with its rescaled value. Where dcm2niix is installed and right, its volume is
compared too, point for point in the world.
"""

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from phantoms_io import oblique_affine, write_slice

from vesalius import io
from vesalius.errors import FormatError

N = 6
STILL = ((1, 0, 0), (0, 1, 0))
MR = {
    "Modality": "MR",
    "SOPClassUID": pydicom.uid.MRImageStorage,
    "RescaleIntercept": 0,
    "RescaleType": None,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
}
Entries = dict[str, object]


@dataclass(frozen=True)
class Put:
    """One slice as it was written: stored values (rows, columns) and where they lie."""

    stored: np.ndarray
    entries: Entries
    frame: int

    def values(self) -> np.ndarray:
        """Rescaled by hand."""
        told = self.entries
        return self.stored * float(told["RescaleSlope"]) + float(told["RescaleIntercept"])

    def places(self) -> np.ndarray:
        """World points of all pixels, (rows, columns, 3)."""
        dy, dx = self.entries["PixelSpacing"]
        row, column = np.array(self.entries["ImageOrientationPatient"], float).reshape(2, 3)
        y, x = np.indices(self.stored.shape)[..., None]
        return (
            np.array(self.entries["ImagePositionPatient"], float) + x * dx * row + y * dy * column
        )


def put(folder: Path, k: int, frame: int = 0, **entries: object) -> Put:
    """Write a slice of noise, 10 x 12, that no other is like."""
    noise = np.random.default_rng(1000 * frame + k).integers(0, 4000, (10, 12)).astype(np.uint16)
    stored = entries.pop("values", noise)
    told: Entries = {
        "StudyInstanceUID": "1.2.9",
        "StudyDate": "20200101",
        "StudyTime": "120000",
        "AcquisitionDate": "20200101",
        "AcquisitionTime": f"1200{2 * frame:02d}",
        "AcquisitionNumber": frame + 1,
        "SOPInstanceUID": f"1.2.3.{k + 1}.{frame + 1}",
        "InstanceNumber": 100 * frame + k + 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "SIEMENS",
        "PixelSpacing": [0.75, 0.5],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10, 20, 30 + 2.5 * k],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    } | entries
    name = str(told.pop("name", f"{k:03d}_{frame:03d}.dcm"))
    write_slice(folder, k, name=name, values=stored, **told)
    return Put(np.asarray(stored), told, frame)


def row(k: int, axes: tuple[object, ...], gap: float = 2.5) -> Entries:
    """Place slice ``k`` of a row along its normal."""
    across = [tuple(round(float(v), 9) for v in axis) for axis in axes]
    normal = np.cross(*across)
    place = [round(float(v), 6) for v in np.array([-10, 20, 30]) + gap * k * normal]
    return {"ImageOrientationPatient": [*across[0], *across[1]], "ImagePositionPatient": place}


def turned(x_deg: float, z_deg: float = 0.0) -> tuple[object, ...]:
    """Rows and columns turned about z, then about x."""
    a, c = math.radians(x_deg), math.radians(z_deg)
    about_z = np.array([[math.cos(c), math.sin(c), 0], [-math.sin(c), math.cos(c), 0]])
    about_x = [[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]]
    return tuple(about_z @ np.array(about_x))


def codes(handle: io.Handle) -> dict[str, str]:
    return {finding.code: finding.severity for finding in handle.findings}


def frames_of(handle: io.Handle) -> torch.Tensor:
    """All frames, (t, z, y, x)."""
    if handle.content.frames > 1:
        return handle.read_series().data[:, 0]
    return handle.read().data


def assert_in_place(handle: io.Handle, puts: list[Put], tolerance: float = 1e-4) -> None:
    """Every pixel of every slice is found where its header says, and there are no others."""
    data = frames_of(handle)
    assert data.numel() == sum(one.stored.size for one in puts)
    for one in puts:
        index = handle.grid.to_index(torch.from_numpy(one.places())).numpy()
        nearest = np.rint(index).astype(int)
        np.testing.assert_allclose(index, nearest, atol=tolerance)
        found = data[one.frame].numpy()[tuple(np.moveaxis(nearest, -1, 0))]
        np.testing.assert_allclose(found, one.values(), rtol=1e-6)


def dcm2niix(folder: Path, into: Path) -> nibabel.Nifti1Image:
    """The one volume that dcm2niix makes of a folder."""
    into.mkdir()
    tool = shutil.which("dcm2niix")
    if tool is None:
        pytest.skip("dcm2niix is not installed")
    command = [tool, "-b", "n", "-z", "n", "-f", "out", "-o", str(into), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (path,) = into.glob("*.nii")
    return nibabel.load(path)


def assert_equal_in_world(handle: io.Handle, theirs: nibabel.Nifti1Image) -> None:
    samples = np.asarray(theirs.dataobj, dtype=np.float64)
    samples = samples.reshape(*samples.shape[:3], -1)
    ours = frames_of(handle).numpy()
    assert ours.size == samples.size
    index = np.moveaxis(np.indices(samples.shape[:3]), 0, -1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ theirs.affine
    points = index @ affine[:3, :3].T + affine[:3, 3]
    at = handle.grid.to_index(torch.from_numpy(points)).numpy()
    nearest = np.rint(at).astype(int)
    # it takes the first gap for all of them
    np.testing.assert_allclose(at, nearest, atol=5e-3)
    found = ours[(slice(None), *np.moveaxis(nearest, -1, 0))]
    np.testing.assert_allclose(np.moveaxis(found, 0, -1), samples, rtol=1e-5, atol=1e-3)


# ---- series that are sound, however they come


def signed(k: int) -> np.ndarray:
    return (np.random.default_rng(k).integers(-2048, 2048, (10, 12))).astype(np.int16)


WHOLE = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
SOUND: dict[str, Callable[[int], Entries]] = {
    "head first": lambda k: {"ImagePositionPatient": [-10, 20, 30 - 2.5 * k]},
    "coronal": lambda k: row(k, ((1, 0, 0), (0, 0, -1))),
    "sagittal": lambda k: row(k, ((0, 1, 0), (0, 0, -1))),
    "sagittal from right to left": lambda k: row(k, ((0, 1, 0), (0, 0, -1)), -2.5),
    "rows from left to right": lambda k: row(k, ((-1, 0, 0), (0, 1, 0))),
    "oblique": lambda k: MR | row(k, turned(20, 70)),
    "one slice 100 mm off another": lambda k: {"ImagePositionPatient": [-10, 20, 30 + 100 * k]},
    "rounded positions": lambda k: {
        "ImagePositionPatient": [-10, 20, 30 + 2.5 * k + 1e-3 * (k % 2)]
    },
    "two spacings told": lambda k: {"ImagerPixelSpacing": [0.9, 0.6]},
    "wrong SpacingBetweenSlices": lambda k: {"SpacingBetweenSlices": -9, "SliceThickness": 5},
    "signed 16 bits": lambda k: WHOLE | {"values": signed(k)},
    "16 bits up to the end": lambda k: {
        "values": signed(k).view(np.uint16) | 0x8000,
        "BitsStored": 16,
        "HighBit": 15,
        "RescaleIntercept": -32768,
    },
    "8 bits": lambda k: {
        "values": signed(k).astype(np.uint8),
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    },
    "signs that alternate": lambda k: {
        **WHOLE,
        "values": np.abs(signed(k) // 2),
        "PixelRepresentation": k % 2,
    },
    "a slope for each slice": lambda k: {"RescaleSlope": 1 + 0.25 * k, "RescaleIntercept": -k},
    "a slope of 1e20": lambda k: {"RescaleSlope": "1e20"},
    "a slope of 1e37": lambda k: {"RescaleSlope": "1e37", "RescaleIntercept": 0.5},
    "fine steps far from 0": lambda k: {"RescaleSlope": 0.001, "RescaleIntercept": 100000},
    "MONOCHROME1": lambda k: {"PhotometricInterpretation": "MONOCHROME1"},
    "padding": lambda k: {"PixelPaddingValue": 0},
    "two transfer syntaxes": lambda k: {
        "TransferSyntaxUID": (
            pydicom.uid.ImplicitVRLittleEndian if k % 2 else pydicom.uid.ExplicitVRLittleEndian
        )
    },
    "an acquisition for each slice": lambda k: {"AcquisitionNumber": k + 1},
}
TOLD = {"MONOCHROME1": {"monochrome1"}, "a slope for each slice": {"rescale-varies"}}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_series_is_where_its_headers_say(tmp_path: Path, name: str) -> None:
    numbers = [4, 1, 6, 2, 5, 3]
    puts = [
        put(tmp_path, k, name=f"{numbers[-k]}.dcm", InstanceNumber=numbers[k], **SOUND[name](k))
        for k in range(N)
    ]
    handle = io.open(tmp_path)
    assert set(codes(handle)) == TOLD.get(name, set())
    assert_in_place(handle, puts, 1e-3)


@pytest.mark.parametrize("name", [name for name in SOUND if name != "a slope of 1e37"])
def test_a_sound_series_agrees_with_dcm2niix(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(N):
        put(folder, k, **SOUND[name](k))
    assert_equal_in_world(io.open(folder), dcm2niix(folder, tmp_path / "out"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_slices_agree_with_dcm2niix(tmp_path: Path, count: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    puts = [put(folder, k) for k in range(count)]
    handle = io.open(folder)
    assert_in_place(handle, puts)
    assert_equal_in_world(handle, dcm2niix(folder, tmp_path / "out"))


def test_signed_values_of_twelve_bits_need_no_extension(tmp_path: Path) -> None:
    """dcm2niix 1.0.2022 takes them as unsigned; PS3.5 8.1.1 and pydicom do not."""
    told = {"PixelRepresentation": 1, "RescaleIntercept": 0}
    for k in range(2):
        put(tmp_path, k, values=signed(k).view(np.uint16) & 0xFFF, **told)
    data = io.open(tmp_path).read().data[0].numpy()
    assert np.array_equal(data, np.stack([signed(0), signed(1)]))


# ---- frames


FRAMES: dict[str, Callable[[int, int], Entries]] = {
    "numbers that run against time": lambda k, t: {"InstanceNumber": 100 * (3 - t) + k},
    "acquisitions that run against time": lambda k, t: {"AcquisitionNumber": 9 - t},
    "past midnight": lambda k, t: {
        "AcquisitionDate": f"2020010{1 if t == 0 else 2}",
        "AcquisitionTime": ("235958", "000000", "000002")[t],
    },
    "past midnight under one date": lambda k, t: {
        "AcquisitionTime": ("235958", "000000", "000002")[t]
    },
    "one date and time for all": lambda k, t: {"AcquisitionDateTime": "20200101120000"},
    "positions that jitter": lambda k, t: {
        "ImagePositionPatient": [-10, 20, 30 + 2.5 * k + 0.003 * ((k + t) % 3 - 1)]
    },
    "a trigger for each slice": lambda k, t: {
        "TriggerTime": 10 * k + 2000 * t,
        "AcquisitionTime": "120000",
        "InstanceNumber": 3 * k + t + 1,
    },
    "an empty slice in each": lambda k, t: {"values": np.zeros((10, 12), np.uint16)} if k else {},
    "a b-value of another maker": lambda k, t: {"AcquisitionNumber": t + 1},
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_in_their_order(tmp_path: Path, name: str) -> None:
    puts = [put(tmp_path, k, t, **MR | FRAMES[name](k, t)) for t in (2, 0, 1) for k in range(N)]
    if name == "a b-value of another maker":
        for path in tmp_path.iterdir():
            file = pydicom.dcmread(path)
            file.private_block(0x19, "ACME", create=True).add_new(0x0C, "IS", path.stem[-1])
            file.save_as(path)
    handle = io.open(tmp_path)
    assert handle.content.times_s[1:] == pytest.approx(
        np.array([2.0, 4.0]) + handle.content.times_s[0]
    )
    assert_in_place(handle, puts, 0.01)


def test_equal_frames_at_one_place_are_kept(tmp_path: Path) -> None:
    """A picture of nothing twice is no copy where each has a time of its own."""
    dark = np.zeros((10, 12), np.uint16)
    puts = [put(tmp_path, 0, t, **MR, **({"values": dark} if t < 2 else {})) for t in range(4)]
    handle = io.open(tmp_path)
    assert handle.content.times_s == (0, 2, 4, 6)
    assert_in_place(handle, puts)


def test_a_copy_among_equal_frames_is_dropped_alone(tmp_path: Path) -> None:
    dark = {"values": np.zeros((10, 12), np.uint16)}
    puts = [put(tmp_path, k, t, **MR, **({} if k else dark)) for t in range(3) for k in range(N)]
    put(tmp_path, 0, 1, name="copy.dcm", **MR, **dark)
    handle = io.open(tmp_path)
    assert codes(handle)["copies-dropped"] == "info"
    assert_in_place(handle, puts)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
def test_an_endless_time_is_none(tmp_path: Path) -> None:
    """What orders frames must be a time: the next key does."""
    told = {"AcquisitionTime": None, "AcquisitionNumber": None, "FrameReferenceTime": None}
    for k in range(2):
        for t in range(2):
            put(tmp_path, k, t, **MR, **told, TriggerTime=("0", "inf")[t])
    handle = io.open(tmp_path)
    assert (handle.content.frames, handle.content.times_s) == (2, ())
    assert codes(handle) == {"frames-by-number": "warning"}


MOVED: dict[str, Callable[[int, int], Entries]] = {
    "along the normal": lambda k, t: {"ImagePositionPatient": [-10, 20, 30 + 2.5 * k + 0.4 * t]},
    "by a gap": lambda k, t: {"ImagePositionPatient": [-10, 20, 30 + 2.5 * (k + t)]},
    "sideways": lambda k, t: {"ImagePositionPatient": [-10, 20 + 0.3 * t, 30 + 2.5 * k]},
    "turned": lambda k, t: row(k, turned(0.2 * t)),
    "turned a little": lambda k, t: row(k, turned(0.06 * t)),
}


@pytest.mark.parametrize("how", MOVED)
def test_frames_that_moved_are_volumes_of_their_own(tmp_path: Path, how: str) -> None:
    """Prospective motion correction gives each frame a place; one grid for all would be wrong."""
    puts = [put(tmp_path, k, t, **MR | MOVED[how](k, t)) for t in range(3) for k in range(N)]
    handles = io.scan(tmp_path)
    assert [handle.name.split(" ", 3)[3] for handle in handles] == [
        f"moved frame {t} of 3" for t in (1, 2, 3)
    ]
    for t, handle in enumerate(handles):
        assert codes(handle) == {"moved": "warning", "split": "info"}
        own = [Put(one.stored, one.entries, 0) for one in puts if one.frame == t]
        assert_in_place(handle, own)
    with pytest.raises(FormatError, match="must hold one volume, it holds 3"):
        io.open(tmp_path)


def test_acquisitions_that_alternate_are_one_volume(tmp_path: Path) -> None:
    puts = [
        put(tmp_path, k, AcquisitionNumber=k % 2 + 1, AcquisitionTime=f"12{k % 2}000")
        for k in range(N)
    ]
    handle = io.open(tmp_path)
    assert codes(handle) == {"interleaved": "info"}
    assert_in_place(handle, puts)


# ---- series that are several volumes

PARTED: dict[str, Callable[[int], Entries]] = {
    "magnitude and phase": lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "MMMPPP"[k], "ND"]},
    "two modalities": lambda k: {"Modality": "CT" if k < 3 else "MR"},
    "two frames of reference": lambda k: {"FrameOfReferenceUID": f"1.2.7{k // 3}"},
    "two studies": lambda k: {"StudyInstanceUID": f"1.2.{k // 3 + 1}"},
    "two patients": lambda k: {"PatientID": f"{k // 3}"},
    "two orientations": lambda k: row(k, STILL if k < 3 else ((1, 0, 0), (0, -1, 0))),
    "two spacings": lambda k: {"PixelSpacing": [0.75, 0.5] if k < 3 else [0.8, 0.55]},
}


@pytest.mark.parametrize(
    "other", [{"PixelSpacing": None}, {"PixelSpacing": None, "ImagerPixelSpacing": [0.75, 0.5]}]
)
def test_slices_of_another_scale_are_parted(tmp_path: Path, other: Entries) -> None:
    """What has no spacing, or that at the detector, is not known to be as large as the rest."""
    puts = [put(tmp_path, k, **(other if k >= 3 else {})) for k in range(N)]
    (known,) = [h for h in io.scan(tmp_path) if set(codes(h)) == {"split"}]
    assert_in_place(known, puts[:3])
    assert len(io.scan(tmp_path)) == 2


@pytest.mark.parametrize("name", PARTED)
def test_what_is_no_one_volume_is_parted(tmp_path: Path, name: str) -> None:
    puts = [put(tmp_path, k, **PARTED[name](k)) for k in range(N)]
    first, second = sorted(io.scan(tmp_path), key=lambda h: float(h.grid.affine[:3, 3].norm()))
    parts = (puts[:3], puts[3:])
    near = np.linalg.norm(parts[0][0].places()[0, 0]) < np.linalg.norm(parts[1][0].places()[0, 0])
    for handle, part in zip((first, second), parts if near else parts[::-1], strict=True):
        assert_in_place(handle, part)


def test_series_without_a_uid_are_told_apart_by_folder(tmp_path: Path) -> None:
    for k in range(N):
        folder = tmp_path / "ab"[k // 3]
        folder.mkdir(exist_ok=True)
        put(folder, k, SeriesInstanceUID=None)
    assert [handle.grid.shape[0] for handle in io.scan(tmp_path)] == [3, 3]


# ---- series that are told of

WARNED: dict[str, tuple[str, Callable[[int], Entries]]] = {
    "kernels": ("mixed-kinds", lambda k: {"ConvolutionKernel": f"B{k // 3}"}),
    "tube voltages": ("mixed-kinds", lambda k: {"KVP": 100 + 20 * (k // 3)}),
    "photometric interpretations": (
        "mixed-kinds",
        lambda k: {"PhotometricInterpretation": f"MONOCHROME{k % 2 + 1}"},
    ),
    "frames of reference": ("frames-of-reference", lambda k: {"FrameOfReferenceUID": f"1.2.{k}"}),
    "bytes behind": ("extra-bytes", lambda k: {"PixelData": bytes(280)}),
    "detector": (
        "detector-spacing",
        lambda k: {"PixelSpacing": None, "ImagerPixelSpacing": [0.9, 0.6]},
    ),
    "a high bit in one": ("high-bit", lambda k: {"HighBit": 15 if k == 4 else 11}),
}


@pytest.mark.parametrize("name", WARNED)
def test_tells_what_is_odd(tmp_path: Path, name: str) -> None:
    code, entries = WARNED[name]
    for k in range(N):
        put(tmp_path, k, **entries(k))
    handle = io.open(tmp_path)
    assert codes(handle)[code] == "warning"
    assert handle.grid.shape == (N, 10, 12)


# ---- series that are refused

REFUSED: dict[str, tuple[str, Callable[[int], Entries]]] = {
    "skewed axes": ("right angles", lambda k: {"ImageOrientationPatient": [1, 0, 0, 1, 1, 0]}),
    "scaled axes": ("right angles", lambda k: {"ImageOrientationPatient": [2, 0, 0, 0, 0.5, 0]}),
    "no axes": ("right angles", lambda k: {"ImageOrientationPatient": [0] * 6}),
    "no orientation": ("6 of 6 slices do not say", lambda k: {"ImageOrientationPatient": None}),
    "mirrored pixels": ("spacing must be positive", lambda k: {"PixelSpacing": [0.75, -0.5]}),
    "a hole": ("1 slices are missing", lambda k: {"ImagePositionPatient": [0, 0, k + k // 3]}),
    "whole millimetres": (
        "gaps are uneven",
        lambda k: {"ImagePositionPatient": [0, 0, 12 * k // 5]},
    ),
    "sideways": ("sideways", lambda k: {"ImagePositionPatient": [0, 3 * (k % 2), 2.5 * k]}),
    "half without a rescale": (
        "must be in one unit",
        lambda k: {} if k < 3 else {"RescaleSlope": None, "RescaleIntercept": None},
    ),
    "HU and other values": (
        "must be in one unit",
        lambda k: {"RescaleType": "HU" if k < 3 else "MGML"},
    ),
    "an intercept alone": ("intercept of -1024 and no slope", lambda k: {"RescaleSlope": None}),
    "an empty slope": ("intercept of -1024 and no slope", lambda k: {"RescaleSlope": ""}),
    "two slopes": ("RescaleSlope must be 1 numbers", lambda k: {"RescaleSlope": [1, 2]}),
    "an endless slope": ("its rescale slope is 1e", lambda k: {"RescaleSlope": "1e300"}),
    "two pictures in one": (
        "480 bytes of samples where its header describes 240",
        lambda k: {"PixelData": bytes(480)},
    ),
    "an empty picture": (
        "ends after 0 of them",
        lambda k: {"PixelData": b"" if k == 3 else bytes(240)},
    ),
    "a cut picture": (
        "ends after 234 of them",
        lambda k: {"PixelData": bytes(234 if k == 3 else 240)},
    ),
    "a slope that is no number": (
        "must be a readable DICOM file",
        lambda k: {"RescaleSlope": "nan" if k == 2 else 1},
    ),
    "half a sign": ("must be 0 or 1, it is 7", lambda k: {"PixelRepresentation": 7}),
    "bits below the value": ("says bits 4 to 15, and bits below", lambda k: {"HighBit": 15}),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_would_be_wrong(tmp_path: Path, name: str) -> None:
    what, entries = REFUSED[name]
    for k in range(N):
        put(tmp_path, k, **entries(k))
    with pytest.raises(FormatError, match=what):
        io.open(tmp_path).read()


def test_refuses_pet_in_two_units(tmp_path: Path) -> None:
    told = {"Modality": "PT", "RescaleIntercept": 0, "RescaleType": None}
    for k in range(N):
        put(tmp_path, k, **told, Units="BQML" if k < 3 else "GML")
    with pytest.raises(FormatError, match=r"must be in one unit, .* BQML none and .* GML"):
        io.open(tmp_path).read()


@pytest.mark.parametrize(
    ("word", "values", "what"),
    [
        ("DecayCorrection", ("START", "ADMIN"), "must be in one unit, .* ADMIN and .* START"),
        ("PatientWeight", (60, 80), "must be of one patient's weight"),
    ],
)
def test_refuses_pet_that_one_factor_does_not_fit(
    tmp_path: Path, word: str, values: tuple[object, object], what: str
) -> None:
    told = {"Modality": "PT", "Units": "BQML", "RescaleIntercept": 0, "RescaleType": None}
    for k in range(N):
        put(tmp_path, k, **told | {word: values[k // 3]})
    with pytest.raises(FormatError, match=what):
        io.open(tmp_path).read()


def test_small_differences_of_gaps_must_not_add_up(tmp_path: Path) -> None:
    """Each gap is alike to 1%, and the middle of the row would lie 0.4 mm off."""
    gaps = np.linspace(2.479, 2.521, 80)
    for k, z in enumerate(np.concatenate([[0], np.cumsum(gaps)])):
        put(tmp_path, k, ImagePositionPatient=[0, 0, round(float(z), 4)])
    handle = io.open(tmp_path)
    assert codes(handle) == {"uneven-gaps": "error"}
    assert "small differences add up to 0.4" in handle.refusal


def test_a_transfer_syntax_of_its_own_is_refused(tmp_path: Path) -> None:
    put(tmp_path, 0)
    (path,) = tmp_path.iterdir()
    told = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0")
    path.write_bytes(told)
    with pytest.raises(FormatError, match=r"its transfer syntax is 1\.2\.840\.113619\.5\.2"):
        io.open(path)


def test_a_private_value_far_from_its_maker_is_none(tmp_path: Path) -> None:
    """dcm2niix takes (7053,1000) by its number; another maker may keep anything there."""
    put(tmp_path, 0, Modality="PT", Units="CNTS", RescaleType=None)
    (path,) = tmp_path.iterdir()
    file = pydicom.dcmread(path)
    file.private_block(0x7053, "ACME", create=True).add_new(0x00, "DS", "0.5")
    file.save_as(path)
    handle = io.open(path)
    assert (handle.unit, codes(handle)["not-suv"]) == ("1", "warning")


@pytest.mark.parametrize("how", ["SS", "US"])
def test_a_table_for_signed_values_begins_below_zero(tmp_path: Path, how: str) -> None:
    stored = np.arange(-60, 60, dtype=np.int16).reshape(10, 12)
    absent = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}
    put(tmp_path, 0, values=stored, **WHOLE | absent)
    (path,) = tmp_path.iterdir()
    file, table = pydicom.dcmread(path), pydicom.Dataset()
    table.add_new(0x00283002, how, [120, -60 if how == "SS" else 65536 - 60, 16])
    table.add_new(0x00283006, "US", list(range(1000, 1120)))
    table.ModalityLUTType = "HU"
    file.ModalityLUTSequence = [table]
    file.save_as(path)
    data = io.open(path).read().data.ravel()
    assert torch.equal(data.long(), torch.arange(1000, 1120))


def test_a_shifted_value_is_read_where_nothing_lies_below_it(tmp_path: Path) -> None:
    stored = np.arange(120, dtype=np.uint16).reshape(10, 12)
    put(tmp_path, 0, values=stored << 4, HighBit=15, RescaleIntercept=0)
    handle = io.open(tmp_path)
    assert codes(handle)["high-bit"] == "warning"
    assert np.array_equal(handle.read().data[0, 0].numpy(), stored)


def test_the_phantom_of_the_other_formats_is_oblique(tmp_path: Path) -> None:
    """The same oblique axes as everywhere else in this room, slice by slice."""
    affine = oblique_affine().numpy()
    across = (
        affine[:3, 2] / np.linalg.norm(affine[:3, 2]),
        affine[:3, 1] / np.linalg.norm(affine[:3, 1]),
    )
    puts = [put(tmp_path, k, **MR | row(k, across, 3.3)) for k in range(N)]
    assert_in_place(io.open(tmp_path), puts)
