"""Hostile files made on the spot: each claims, or unpacks to, far more than it is."""

import bz2
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import mrcfile
import nibabel
import numpy as np
import tifffile
import torch
from phantoms_io import make_phantom, write_slice
from PIL import Image as Pillow

from vesalius import io

GIGA = 1200 << 20
SIDE = 843  # 843^3 is 0.6 G samples: 1.2 GB of 16 bits
CUBE = (SIDE, SIDE, SIDE)
Bomb = Callable[[Path], Path]
BOMBS: dict[str, Bomb] = {}


def bomb(make: Bomb) -> Bomb:
    """Enter a maker of a hostile file under its name."""
    BOMBS[make.__name__] = make
    return make


def deflated(head: bytes, zeros: int, *, wbits: int) -> Iterator[bytes]:
    """Pack ``head`` and that many zeros, a megabyte packed once and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield {31: b"\x1f\x8b\x08\0\0\0\0\0\0\xff", 15: b"\x78\xda"}.get(wbits, b"")
    yield packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from [block] * (zeros >> 20)
    yield b"\x03\0"
    if wbits == 31:
        total = zlib.crc32(head)
        for _ in range(zeros >> 20):
            total = zlib.crc32(bytes(1 << 20), total)
        yield struct.pack("<II", total, (len(head) + zeros) & 0xFFFFFFFF)


def pack(path: Path, head: bytes, zeros: int = GIGA, wbits: int = 31, before: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(before)
        file.writelines(deflated(head, zeros, wbits=wbits))
    return path


def nifti_header(shape: tuple[int, ...], kind: type = nibabel.Nifti1Header) -> bytes:
    header = kind(endianness="<")
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = 352 if kind is nibabel.Nifti1Header else 544
    header["magic"] = b"n+1" if kind is nibabel.Nifti1Header else b"n+2\0\r\n\x1a\n"
    return bytes(header.binaryblock) + bytes(4)


def patched(data: bytes, *parts: tuple[int, bytes]) -> bytes:
    out = bytearray(data)
    for at, value in parts:
        out[at : at + len(value)] = value
    return bytes(out)


def text(path: Path, *lines: str, body: bytes = b"") -> Path:
    path.write_bytes("\n".join(lines).encode() + b"\n" + body)
    return path


# ---- NIfTI


@bomb
def nifti_of_356_bytes(folder: Path) -> Path:
    (folder / "a.nii").write_bytes(nifti_header((30000, 30000, 30000)) + bytes(4))
    return folder / "a.nii"


@bomb
def nifti_gzip_of_a_gigabyte(folder: Path) -> Path:
    return pack(folder / "a.nii.gz", nifti_header(CUBE))


@bomb
def nifti_gzip_that_goes_on(folder: Path) -> Path:
    return pack(folder / "a.nii.gz", nifti_header((4, 4, 4)))


@bomb
def nifti_comment_of_two_gigabytes(folder: Path) -> Path:
    head = patched(nifti_header((4, 4, 4)), (108, struct.pack("<f", 2.0**31)), (348, b"\x01\0\0\0"))
    comment = struct.pack("<2i", 2**31 - 512, 6)
    return pack(folder / "a.nii.gz", head + comment, zeros=2100 << 20)


@bomb
def nifti_2_of_negative_sizes(folder: Path) -> Path:
    head = nifti_header((4, 4, 4), nibabel.Nifti2Header)
    (folder / "a.nii").write_bytes(patched(head, (24, struct.pack("<3q", -4, -4, 4))) + bytes(128))
    return folder / "a.nii"


@bomb
def nifti_2_of_huge_sizes(folder: Path) -> Path:
    head = nifti_header((4, 4, 4), nibabel.Nifti2Header)
    sizes = struct.pack("<7q", *[2**62] * 7)
    (folder / "a.nii").write_bytes(patched(head, (16, struct.pack("<q", 7)), (24, sizes)))
    return folder / "a.nii"


@bomb
def nifti_with_an_affine_of_nan(folder: Path) -> Path:
    head = patched(nifti_header((4, 4, 4)), (280, struct.pack("<4f", *[float("nan")] * 4)))
    (folder / "a.nii").write_bytes(head + bytes(128))
    return folder / "a.nii"


@bomb
def analyze_of_348_bytes(folder: Path) -> Path:
    nibabel.save(nibabel.AnalyzeImage(np.zeros((4, 4, 4), np.int16), np.eye(4)), folder / "a.img")
    head = (folder / "a.hdr").read_bytes()
    (folder / "a.hdr").write_bytes(patched(head, (42, struct.pack("<3h", 30000, 30000, 30000))))
    return folder / "a.hdr"


@bomb
def analyze_gzip_of_a_gigabyte(folder: Path) -> Path:
    analyze_of_348_bytes(folder)
    head = (folder / "a.hdr").read_bytes()
    (folder / "a.hdr").write_bytes(patched(head, (42, struct.pack("<3h", *CUBE))))
    (folder / "a.img").unlink()
    pack(folder / "a.img.gz", b"")
    return folder / "a.hdr"


# ---- NRRD


def nrrd_lines(shape: tuple[int, ...], encoding: str, *more: str) -> list[str]:
    sizes = " ".join(map(str, shape))
    lines = ["NRRD0004", "type: short", f"dimension: {len(shape)}", f"sizes: {sizes}"]
    return [*lines, "endian: little", f"encoding: {encoding}", *more]


@bomb
def nrrd_of_a_few_bytes(folder: Path) -> Path:
    return text(folder / "a.nrrd", *nrrd_lines((30000, 30000, 30000), "raw"), "", body=bytes(9))


@bomb
def nrrd_text_of_a_few_bytes(folder: Path) -> Path:
    return text(folder / "a.nrrd", *nrrd_lines((2000, 2000, 2000), "ascii"), "", body=b"1 2 3")


@bomb
def nrrd_gzip_of_a_gigabyte(folder: Path) -> Path:
    before = "\n".join([*nrrd_lines(CUBE, "gzip"), "", ""]).encode()
    return pack(folder / "a.nrrd", b"", before=before)


@bomb
def nrrd_gzip_that_goes_on(folder: Path) -> Path:
    before = "\n".join([*nrrd_lines((4, 4, 4), "gzip"), "", ""]).encode()
    return pack(folder / "a.nrrd", b"", before=before)


@bomb
def nrrd_bzip2_of_a_gigabyte(folder: Path) -> Path:
    one = bz2.compress(bytes(10 << 20))
    return text(folder / "a.nrrd", *nrrd_lines(CUBE, "bzip2"), "", body=one * 120)


@bomb
def nrrd_of_one_endless_line(folder: Path) -> Path:
    with (folder / "a.nrrd").open("wb") as file:
        file.write(b"NRRD0004\n")
        file.truncate(20 << 30)
    return folder / "a.nrrd"


@bomb
def nrrd_that_lists_a_hundred_million_files(folder: Path) -> Path:
    more = "data file: s%d.raw 0 99999999 1"
    return text(folder / "a.nhdr", *nrrd_lines((1, 1, 10**8), "raw", more))


# ---- MetaImage


def meta_lines(shape: tuple[int, ...], *more: str, file: str = "LOCAL") -> list[str]:
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {' '.join(map(str, shape))}"]
    return [*lines, "ElementType = MET_SHORT", *more, f"ElementDataFile = {file}"]


@bomb
def metaimage_of_a_few_bytes(folder: Path) -> Path:
    return text(folder / "a.mha", *meta_lines((30000, 30000, 30000)), body=bytes(9))


@bomb
def metaimage_zlib_of_a_gigabyte(folder: Path) -> Path:
    before = "\n".join([*meta_lines(CUBE, "CompressedData = True"), ""]).encode()
    return pack(folder / "a.mha", b"", wbits=15, before=before)


@bomb
def metaimage_text_of_a_few_bytes(folder: Path) -> Path:
    return text(folder / "a.mha", *meta_lines((2000, 2000, 2000), "BinaryData = False"), body=b"1")


@bomb
def metaimage_that_lists_one_file_often(folder: Path) -> Path:
    (folder / "a.raw").write_bytes(bytes(1 << 20))
    lines = meta_lines((1024, 512, 20000), file="LIST")
    return text(folder / "a.mhd", *lines, *["a.raw"] * 20000)


@bomb
def metaimage_of_endless_fields(folder: Path) -> Path:
    return text(folder / "a.mha", *[f"k{k} = v" for k in range(400_000)])


# ---- MGH, MRC


@bomb
def mgz_of_a_gigabyte(folder: Path) -> Path:
    head = struct.pack(">7ih15f", 1, *CUBE, 1, 4, 0, 1, 1, 1, 1, *np.eye(3).ravel(), 0, 0, 0)
    return pack(folder / "a.mgz", head.ljust(284, b"\0"))


@bomb
def mgh_of_a_few_bytes(folder: Path) -> Path:
    sizes = (30000, 30000, 30000)
    head = struct.pack(">7ih15f", 1, *sizes, 1, 4, 0, 1, 1, 1, 1, *np.eye(3).ravel(), 0, 0, 0)
    (folder / "a.mgh").write_bytes(head.ljust(300, b"\0"))
    return folder / "a.mgh"


def mrc_header(shape: tuple[int, int, int], comment: int = 0) -> bytes:
    head = struct.pack("<10i6f3i", *shape, 1, 0, 0, 0, *shape, 9, 9, 9, 90, 90, 90, 1, 2, 3)
    head = head.ljust(88, b"\0") + struct.pack("<2i", 1, comment)
    return head.ljust(208, b"\0") + b"MAP DD\0\0" + bytes(808)


@bomb
def mrc_gzip_of_a_gigabyte(folder: Path) -> Path:
    return pack(folder / "a.mrc.gz", mrc_header(CUBE))


@bomb
def mrc_comment_of_two_gigabytes(folder: Path) -> Path:
    return pack(folder / "a.mrc.gz", mrc_header((4, 4, 4), 2**31 - 1), zeros=2100 << 20)


@bomb
def mrc_of_a_few_bytes(folder: Path) -> Path:
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(np.zeros((4, 4, 4), np.int16))
    data = (folder / "a.mrc").read_bytes()
    sizes = struct.pack("<3i", 30000, 30000, 30000)
    (folder / "a.mrc").write_bytes(patched(data, (0, sizes)))
    return folder / "a.mrc"


# ---- HDF5


def hdf5(path: Path, chunk: tuple[int, ...], raw: bytes, shape: tuple[int, ...] = CUBE) -> Path:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", shape, "i2", chunks=chunk, compression="gzip")
        made.id.write_direct_chunk((0,) * len(shape), raw)
    return path


@bomb
def hdf5_of_one_chunk_of_a_gigabyte(folder: Path) -> Path:
    return hdf5(folder / "a.h5", CUBE, b"".join(deflated(b"", 1141 << 20, wbits=15)))


@bomb
def hdf5_of_a_small_chunk_that_unpacks_to_a_gigabyte(folder: Path) -> Path:
    raw = b"".join(deflated(b"", GIGA, wbits=15))
    return hdf5(folder / "a.h5", (128, 128, 128), raw, shape=(256, 256, 256))


@bomb
def hdf5_of_petabytes(folder: Path) -> Path:
    return hdf5(folder / "a.h5", (8, 8, 8), zlib.compress(bytes(1024)), shape=(10**5,) * 3)


@bomb
def hdf5_of_petabytes_in_one_piece(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        space = h5py.h5s.create_simple((10**5,) * 3)
        h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_INT16, space, plist)
    return folder / "a.h5"


# ---- PNG, JPEG


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(path: Path, side: int, depth: int, zeros: int, *more: bytes) -> Path:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", b"".join(deflated(b"", zeros, wbits=15)))
    parts = b"".join(more)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + parts + body + png_chunk(b"IEND", b""))
    return path


@bomb
def png_of_a_gigabyte(folder: Path) -> Path:
    return png(folder / "a.png", 34000, 8, 1103 << 20)


@bomb
def png_of_single_bits(folder: Path) -> Path:
    return png(folder / "a.png", 90000, 1, 966 << 20)


@bomb
def png_with_a_comment_of_a_gigabyte(folder: Path) -> Path:
    note = png_chunk(b"zTXt", b"k\0\0" + b"".join(deflated(b"", GIGA, wbits=15)))
    return png(folder / "a.png", 1000, 8, 1 << 20, note)


@bomb
def jpeg_of_four_gigabytes(folder: Path) -> Path:
    Pillow.new("RGB", (8, 8)).save(folder / "a.jpg")
    data = (folder / "a.jpg").read_bytes()
    at = data.index(b"\xff\xc0") + 5
    (folder / "a.jpg").write_bytes(patched(data, (at, b"\xff\xdc\xff\xdc")))
    return folder / "a.jpg"


# ---- DICOM


def dicom(folder: Path, **entries: object) -> Path:
    path = write_slice(folder, 0, **entries)
    return path.rename(folder / "a.dcm")


@bomb
def dicom_with_a_length_beyond_all(folder: Path) -> Path:
    path = dicom(folder, Rows=300)
    data = path.read_bytes()
    at = data.rindex(b"\xe0\x7f\x10\x00") + 8
    path.write_bytes(patched(data, (at, struct.pack("<I", 0xFFFFFFF0))))
    return path


@bomb
def dicom_with_a_field_of_length_beyond_all(folder: Path) -> Path:
    path = dicom(folder)
    data = path.read_bytes()
    at = data.rindex(b"\x28\x00\x02\x00")
    field = struct.pack("<HH2sHI", 0x0021, 0x1001, b"OB", 0, 0xFFFFFFF0)
    path.write_bytes(data[:at] + field + data[at:])
    return path


@bomb
def dicom_of_the_largest_plane(folder: Path) -> Path:
    return dicom(folder, Rows=65535, Columns=65535)


@bomb
def dicom_of_two_milliard_frames(folder: Path) -> Path:
    return dicom(folder, NumberOfFrames=2**31 - 1)


@bomb
def dicom_deflated_of_600_megabytes(folder: Path) -> Path:
    path = dicom(folder, Rows=17320, Columns=17320)
    data = path.read_bytes()
    # the group of file meta information ends at its length; only what follows is packed
    end = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    meta = data[:end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"\x02\x00\x10\x00UI\x14\x00", b"\x02\x00\x10\x00UI\x16\x00")
    meta = patched(meta, (140, struct.pack("<I", len(meta) - 144)))
    body = data[end:]
    at = body.rindex(b"\xe0\x7f\x10\x00") + 8
    body = patched(body[: at + 4], (at, struct.pack("<I", 17320 * 17320 * 2)))
    return pack(path, body, zeros=573 << 20, wbits=-15, before=meta)


@bomb
def dicom_of_sequences_in_sequences(folder: Path) -> Path:
    path = dicom(folder)
    data = path.read_bytes()
    at = data.rindex(b"\xe0\x7f\x10\x00")
    start = struct.pack(
        "<HH2sHIHHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 2**32 - 1
    )
    path.write_bytes(data[:at] + start * 20000)
    return path


# ---- archives


@bomb
def zip_of_a_gigabyte(folder: Path) -> Path:
    path = folder / "a.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
        file.open("a.nii", "w", force_zip64=True) as member,
    ):
        for _ in range(600):
            member.write(bytes(1 << 20))
    return path


@bomb
def zip_that_lists_one_file_60000_times(folder: Path) -> Path:
    """As in Fifield (2019), A better zip bomb: the entries share what is packed."""
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.nii", bytes(10 << 20))
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entries = data[start:end] * 60000
    tail = patched(data[end:], (8, struct.pack("<HHI", 60000, 60000, len(entries))))
    path.write_bytes(data[:start] + entries + tail)
    return path


@bomb
def tar_gzip_of_a_gigabyte(folder: Path) -> Path:
    member = tarfile.TarInfo("a.nii")
    member.size = GIGA
    return pack(folder / "a.tar.gz", member.tobuf())


# ---- TIFF, Zarr


@bomb
def tiff_of_the_largest_plane(folder: Path) -> Path:
    io.save(make_phantom(torch.uint8, shape=(1, 5, 6)), folder / "a.tif")
    data = (folder / "a.tif").read_bytes()
    return _tiff_sides(folder / "a.tif", data)


def _tiff_sides(path: Path, data: bytes) -> Path:
    """Set ImageWidth and ImageLength of the first page to 60000."""
    (first,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[first : first + 2])
    for k in range(count):
        at = first + 2 + 12 * k
        (tag,) = struct.unpack("<H", data[at : at + 2])
        if tag in (256, 257):
            data = patched(data, (at + 2, struct.pack("<HII", 4, 1, 60000)))
    path.write_bytes(data)
    return path


@bomb
def tiff_whose_xml_laughs(folder: Path) -> Path:
    entities = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12))
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><OME>&e11;</OME>'
    tifffile.imwrite(folder / "a.ome.tif", np.zeros((4, 4), "u1"), description=xml, metadata=None)
    return folder / "a.ome.tif"


@bomb
def tiff_deflated_of_a_gigabyte(folder: Path) -> Path:
    raw = b"".join(deflated(b"", 1103 << 20, wbits=15))
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(
            iter([raw]),
            shape=(34000, 34000),
            dtype="u1",
            compression="adobe_deflate",
            rowsperstrip=34000,
        )
    return folder / "a.tif"


@bomb
def geojson_of_brackets(folder: Path) -> Path:
    ring = "[" * 200_000
    return text(folder / "a.geojson", f'{{"type": "Polygon", "coordinates": {ring}')


def zarr(folder: Path, shape: list[int], chunk: list[int], raw: bytes = b"") -> Path:
    root = folder / "a.zarr"
    (root / "0" / "0" / "0").mkdir(parents=True)
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    attrs = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    (root / ".zattrs").write_text(json.dumps(attrs))
    array = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunk,
        "dtype": "<i2",
        "compressor": {"id": "zlib", "level": 9},
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    (root / "0" / ".zarray").write_text(json.dumps(array))
    (root / "0" / "0" / "0" / "0").write_bytes(raw)
    return root


@bomb
def zarr_of_29_terabytes(folder: Path) -> Path:
    return zarr(folder, [24000, 24000, 24000], [64, 64, 64], zlib.compress(bytes(64**3 * 2)))


@bomb
def zarr_of_one_chunk_of_a_gigabyte(folder: Path) -> Path:
    return zarr(folder, list(CUBE), list(CUBE), b"".join(deflated(b"", 1141 << 20, wbits=15)))


@bomb
def zarr_of_a_small_chunk_that_unpacks_to_a_gigabyte(folder: Path) -> Path:
    raw = b"".join(deflated(b"", GIGA, wbits=15))
    return zarr(folder, [64, 64, 64], [64, 64, 64], raw)
