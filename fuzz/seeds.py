"""Seeds: small valid files of every format, made by code, for the fuzzers to damage."""
# SPDX-License-Identifier: Apache-2.0

import bz2
import gzip
import io as streams
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import nibabel
import numpy as np
import pixel_files
import pydicom
import structure_set
import tifffile
import torch
from phantoms_io import make_phantom, write_slice
from PIL import Image as Pillow
from pydicom.fileset import FileSet

from vesalius import io
from vesalius.core import Grid, Labels, Series
from vesalius.io._save import WRITERS
from vesalius.io.micro import save_imagej_rois

ZYX = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
XYZ = ZYX.T


def of_suffix(suffix: str) -> list[bytes]:
    """Give valid files of a suffix; at least one.

    Raises:
        KeyError: No maker is known: enter one below.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        key = "roiset.zip" if suffix.endswith(("roi.zip", "rois.zip")) else suffix
        paths = MAKERS[key](folder) if key in MAKERS else _saved(folder, suffix)
        return [path.read_bytes() for path in paths]


def _saved(folder: Path, suffix: str) -> list[Path]:
    """Save small objects in a format that we write."""
    writer = WRITERS[suffix]
    phantom = make_phantom(torch.uint8, shape=(1, 5, 6))
    objects = {"a": phantom, "b": Labels(phantom.data, phantom.grid, {(0, 1): "bone"})}
    if suffix != ".png":
        objects["c"] = make_phantom(channels=2)
    if writer.series:
        still = make_phantom()
        objects["d"] = Series(torch.stack([still.data] * 2), still.grid, (0.0, 2.0), "1")
    for stem, obj in objects.items():
        (folder / stem).mkdir()
        io.save(obj, folder / stem / f"a{suffix}")
    return [folder / stem / f"a{suffix}" for stem in objects]


def _wrote(path: Path, data: bytes) -> list[Path]:
    path.write_bytes(data)
    return [path]


def _mgh(folder: Path) -> list[Path]:
    four = np.stack([XYZ, XYZ], axis=-1)
    for k, samples in enumerate((XYZ, four)):
        nibabel.save(nibabel.MGHImage(samples, np.eye(4)), folder / f"{k}.mgh")
    return [folder / "0.mgh", folder / "1.mgh"]


def _mgz(folder: Path) -> list[Path]:
    return _wrote(folder / "a.mgz", gzip.compress(_mgh(folder)[0].read_bytes(), mtime=0))


def _mrc(folder: Path) -> list[Path]:
    head = struct.pack("<10i6f3i", 6, 5, 4, 1, 0, 0, 0, 6, 5, 4, 9, 9, 9, 90, 90, 90, 1, 2, 3)
    head = head.ljust(208, b"\0") + b"MAP DD\0\0" + bytes(808)
    return _wrote(folder / "a.mrc", head + ZYX.tobytes())


def _mrc_gz(folder: Path) -> list[Path]:
    return _wrote(folder / "a.gz", gzip.compress(_mrc(folder)[0].read_bytes(), mtime=0))


def _pair(folder: Path) -> list[Path]:
    nibabel.save(nibabel.AnalyzeImage(XYZ, np.eye(4)), folder / "a.img")
    nibabel.save(nibabel.Nifti1Pair(XYZ, np.eye(4)), folder / "b.img")
    return [folder / "a.hdr", folder / "b.hdr"]


def _pair_gz(folder: Path) -> list[Path]:
    data = [path.read_bytes() for path in _pair(folder)]
    return [_wrote(folder / f"{k}.gz", gzip.compress(d, mtime=0))[0] for k, d in enumerate(data)]


def _body(folder: Path) -> list[Path]:
    return _wrote(folder / "a.raw", ZYX.tobytes())


def _body_gz(folder: Path) -> list[Path]:
    return _wrote(folder / "a.raw", gzip.compress(ZYX.tobytes(), mtime=0))


def _hdf5(folder: Path) -> list[Path]:
    packings = ({}, {"chunks": (2, 3, 4), "compression": "gzip", "shuffle": True})
    for k, packing in enumerate(packings):
        with h5py.File(folder / f"{k}.h5", "w", libver="latest") as file:
            made = file.create_dataset("a", data=ZYX, fletcher32=bool(k), **packing)
            made.attrs["element_size_um"] = (3.0, 2.0, 1.0)
    return [folder / "0.h5", folder / "1.h5"]


def _jpeg(folder: Path) -> list[Path]:
    Pillow.fromarray(ZYX[0].astype(np.uint8)).save(folder / "a.jpg")
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (9, 7), (9, 90, 200)).save(folder / "b.jpg", exif=exif, progressive=True)
    return [folder / "a.jpg", folder / "b.jpg"]


def _tiff(folder: Path) -> list[Path]:
    tifffile.imwrite(folder / "a.tif", ZYX.astype(np.uint16), imagej=True)
    tifffile.imwrite(folder / "b.tif", ZYX.astype(np.uint8), compression="zlib", tile=(16, 16))
    tifffile.imwrite(folder / "c.tif", ZYX.astype(np.float32), bigtiff=True, byteorder=">")
    io.save(make_phantom(), folder / "d.ome.tif")
    return [folder / name for name in ("a.tif", "b.tif", "c.tif", "d.ome.tif")]


def _dicom(folder: Path) -> list[Path]:
    """A slice, and frames in every packing that pydicom, or a loop, can write."""
    (folder / "plain").mkdir()
    made = [write_slice(folder / "plain", 0)]
    frame = pixel_files.noise((1, 8, 8, 1), 8)
    syntaxes = {
        "rle": pydicom.uid.RLELossless,
        "jpegls": pydicom.uid.JPEGLSLossless,
        "jpeg2k": pydicom.uid.JPEG2000Lossless,
        "lossless": pydicom.uid.JPEGLosslessSV1,
    }
    for codec, syntax in syntaxes.items():
        (folder / codec).mkdir()
        stream = pixel_files.encode(codec, frame[0], 8)
        made.append(
            pixel_files.write_packed(folder / codec, frame, [stream], TransferSyntaxUID=syntax)
        )
    (folder / "deflated").mkdir()
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian
    return [*made, write_slice(folder / "deflated", 0, TransferSyntaxUID=syntax)]


def _dicomdir(folder: Path) -> list[Path]:
    entries = {"StudyInstanceUID": "1.2", "StudyID": "1", "StudyDate": "2020", "StudyTime": "1"}
    disc = FileSet()
    disc.add(write_slice(folder, 0, **entries))
    disc.write(folder / "disc")
    return [folder / "disc" / "DICOMDIR"]


def _structure_set(folder: Path) -> list[Path]:
    square = structure_set.SQUARE
    file = structure_set.structure_set({1: ("GTV", [structure_set.contour(square)] * 2)})
    return [structure_set.write_structure_set(folder, file)]


def _archive(folder: Path, mode: str) -> bytes:
    write_slice(folder, 0, name="a.dcm")
    io.save(make_phantom(), folder / "b.nii")
    out = streams.BytesIO()
    if mode == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            for name in ("a.dcm", "b.nii"):
                file.write(folder / name, f"in/{name}")
    else:
        with tarfile.open(fileobj=out, mode="w") as file:
            for name in ("a.dcm", "b.nii"):
                file.add(folder / name, f"in/{name}")
    return out.getvalue()


def _zip(folder: Path) -> list[Path]:
    return _wrote(folder / "a.zip", _archive(folder, "zip"))


def _tar(folder: Path) -> list[Path]:
    return _wrote(folder / "a.tar", _archive(folder, "tar"))


def _tar_gz(folder: Path) -> list[Path]:
    return _wrote(folder / "a.tgz", gzip.compress(_archive(folder, "tar"), mtime=0))


def _tar_bz2(folder: Path) -> list[Path]:
    return _wrote(folder / "a.tbz", bz2.compress(_archive(folder, "tar")))


def _geojson(folder: Path) -> list[Path]:
    ring = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]
    shapes = [
        {"type": "Polygon", "coordinates": [ring]},
        {"type": "MultiPolygon", "coordinates": [[ring], [ring]]},
    ]
    names = {"objectType": "annotation", "classification": {"name": "a", "color": [1, 2, 3]}}
    features = [{"type": "Feature", "geometry": s, "properties": names} for s in shapes]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    return _wrote(folder / "a.geojson", text.encode())


def _roi_set(folder: Path) -> list[Path]:
    data = torch.zeros(1, 2, 16, 16, dtype=torch.uint8)
    data[0, 0, 3:9, 4:12], data[0, 1, 2:5, 2:5] = 1, 2
    labels = Labels(data, Grid.from_spacing((2, 16, 16)), {(0, 1): "cell"})
    save_imagej_rois(labels, folder / "a.RoiSet.zip")
    return [folder / "a.RoiSet.zip"]


def _roi(folder: Path) -> list[Path]:
    with zipfile.ZipFile(_roi_set(folder)[0]) as file:
        file.extractall(folder / "out")
    return sorted((folder / "out").rglob("*.roi"))


def csa() -> list[bytes]:
    """Give CSA headers of both kinds with one entry."""
    item = b"3.5\0"
    head = struct.pack("<2I", 1, 77)
    tag = struct.pack("<64si4s3i", b"MosaicRefAcqTimes", 1, b"FD\0\0", 3, 1, 77)
    modern = b"SV10\4\3\2\1" + head + tag + struct.pack("<4i", 77, len(item), 77, 77) + item
    older = head + tag + struct.pack("<4i", len(item) + 1, len(item), 77, 1) + item
    return [modern, older]


Maker = Callable[[Path], list[Path]]
MAKERS: dict[str, Maker] = {
    ".mgh": _mgh,
    ".mgz": _mgz,
    ".mgh.gz": _mgz,
    ".mrc": _mrc,
    ".mrcs": _mrc,
    ".map": _mrc,
    ".ccp4": _mrc,
    ".mrc.gz": _mrc_gz,
    ".hdr": _pair,
    ".hdr.gz": _pair_gz,
    ".img": _body,
    ".img.gz": _body_gz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".btf": _tiff,
    ".svs": _tiff,
    ".dcm": _dicom,
    "DICOMDIR": _dicomdir,
    "rtstruct": _structure_set,
    ".zip": _zip,
    ".tar": _tar,
    ".tar.gz": _tar_gz,
    ".tar.bz2": _tar_bz2,
    ".geojson": _geojson,
    ".roi": _roi,
    "roiset.zip": _roi_set,
}
