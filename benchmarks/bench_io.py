"""DICOM series from disk beside SimpleITK, dicom2nifti and a plain loop; headers of many files.

Run it as ``python benchmarks/bench_io.py``; ``VESALIUS_TEST_DATA`` names the folder of real test
data. All files of a case are dropped from the page cache before every run where the system permits,
so that both sides read them anew. SimpleITK runs in this process, dicom2nifti in its own (skipped
where absent). The bars are ratios of wall time, the median of five alternated pairs. Arithmetic
runs on one thread on both sides; from 16 MiB on, vesalius reads the files of a series by four.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

import json  # isort: skip
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from _rivals import HERE, python_of
from _timing import Comparison, Timing, timed

from vesalius import io

PAIRS = 5


def evict(folder: Path) -> None:
    """Ask the system to drop the files of a folder from its page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            number = os.open(path, os.O_RDONLY)
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(number)


def compare(
    name: str, folder: Path, ours: Callable[[], object], rival: Callable[[], object], bar: float
) -> None:
    """Print the line of one case: alternated pairs, files dropped from the cache before each."""
    pairs = []
    ours()
    rival()
    for _ in range(PAIRS):
        runs = []
        for work in (ours, rival):
            evict(folder)
            runs.append(timed(work))
        pairs.append(tuple(runs))
    found = Comparison(name, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    held = "held" if found.wall_ratio <= bar else "MISSED"
    print(f"{found}  bar {bar:g} of wall: {held}", flush=True)


def read(folder: Path) -> object:
    """Open and read the one series in a folder, frames in time or not."""
    handle = io.open(folder, allow=("tilt", "gaps"))
    return handle.read_series() if handle.content.frames > 1 else handle.read()


def read_simpleitk(folder: Path) -> object:
    """Read the first series of a folder with SimpleITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def read_plainly(files: list[Path], shape: tuple[int, int], offset: int) -> np.ndarray:
    """Read sorted uncompressed files of one layout in a plain loop."""
    volume = np.empty((len(files), *shape), np.int16)
    for k, path in enumerate(files):
        volume[k] = np.frombuffer(path.read_bytes(), np.int16, offset=offset).reshape(shape)
    return volume


class Dicom2nifti:
    """dicom2nifti in its own process, which times itself."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [str(python_of("dicom2nifti")), str(HERE / "_rival_dicom2nifti.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def go(self) -> Timing:
        """Run once and give the rival's own timing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Timing(answer["cpu_s"], answer["wall_s"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def template(shape: tuple[int, int]) -> tuple[bytes, int]:
    """Make the bytes of one CT slice, and the offset of its samples."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = pydicom.uid.CTImageStorage
    file.SOPInstanceUID = "1.2.3.100000"
    file.SeriesInstanceUID, file.Modality, file.SeriesNumber = "1.2.3", "CT", 1
    file.InstanceNumber = 100000
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.ImagePositionPatient = [-125, -125, 100000]
    file.PixelSpacing, file.SliceThickness = [0.5, 0.5], 1
    file.Rows, file.Columns, file.SamplesPerPixel = *shape, 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.RescaleSlope, file.RescaleIntercept, file.RescaleType = 1, 0, "HU"
    samples = np.random.default_rng(20261121).integers(-1000, 2000, shape).astype(np.int16)
    file.PixelData = samples.tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.dcm"
        file.save_as(path, enforce_file_format=True)
        raw = path.read_bytes()
    return raw, len(raw) - samples.nbytes


def write_many(folder: Path, count: int, shape: tuple[int, int], *, series: int = 1) -> int:
    """Write series of copies of one slice, each in its place; give the offset of samples."""
    raw, offset = template(shape)
    head, samples = raw[:offset], raw[offset:]
    for k in range(count):
        mark = str(100000 + k).encode()
        uid = b"1.%d.3" % (k % series)
        path = folder / f"{k * 7919 % count:06d}.dcm"
        path.write_bytes(head.replace(b"100000", mark).replace(b"1.2.3\0", uid + b"\0") + samples)
    return offset


def real_cases(root: Path, scratch: Path) -> None:
    """The CT phantom and the 4-D MR beside SimpleITK and dicom2nifti."""
    cases = {
        "CT, 60 slices": root / "ibsi" / "ibsi1_ct_phantom" / "dicom_image_rtstruct.tar.xz",
        "MR in time, 150 files": root / "dicom" / "mr_ge_fmri4d" / "dicom.tar.xz",
    }
    for name, archive in cases.items():
        folder = scratch / archive.parent.name
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        for path in list(folder.rglob("*")):
            if path.is_file() and "PixelData" not in pydicom.dcmread(path, force=True):
                path.unlink()  # the rivals stumble over outlines beside a series
        inner = next(path.parent for path in folder.rglob("*") if path.is_file())
        compare(
            f"{name} / SimpleITK",
            inner,
            lambda f=inner: read(f),
            lambda f=inner: read_simpleitk(f),
            1.0,
        )
        if python_of("dicom2nifti") is None:
            print(f"{name} / dicom2nifti: skipped, see requirements-dicom2nifti.txt")
            continue
        rival = Dicom2nifti(inner)
        compare(f"{name} / dicom2nifti", inner, lambda f=inner: read(f), rival.go, 0.5)
        rival.close()


def large_case(scratch: Path) -> None:
    """A 512 x 512 x 400 series beside a plain loop that knows the layout and the order."""
    folder = scratch / "large"
    folder.mkdir()
    offset = write_many(folder, 400, (512, 512))
    files = [folder / f"{k * 7919 % 400:06d}.dcm" for k in range(400)]
    assert np.array_equal(
        io.open(folder).read().data[0].numpy(), read_plainly(files, (512, 512), offset)
    )
    compare(
        "512 x 512 x 400 / plain loop",
        folder,
        lambda: read(folder),
        lambda: read_plainly(files, (512, 512), offset),
        1.2,
    )


def many_headers(scratch: Path) -> None:
    """The headers of 10,000 small files."""
    folder = scratch / "many"
    folder.mkdir()
    write_many(folder, 10_000, (16, 16), series=10)
    runs = []
    for _ in range(3):
        evict(folder)
        start = time.perf_counter()
        found = io.survey(folder)
        runs.append(time.perf_counter() - start)
    seconds = statistics.median(runs)
    held = "held" if seconds <= 20 else "MISSED"
    print(
        f"headers of 10,000 files: {seconds:.2f} s, {len(found.handles)} volumes  bar 20 s: {held}"
    )


def main() -> None:
    """Print one line for each case."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # on frames in time, each run
    root = Path(os.environ.get("VESALIUS_TEST_DATA", HERE.parent.parent / "shared" / "data"))
    _timing.single_thread()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        real_cases(root, scratch)
        large_case(scratch)
        many_headers(scratch)


if __name__ == "__main__":
    main()
