"""DICOM files with pixels packed in every way, for the tests of this room."""

import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from vesalius.io.dicom._pixels import Packed, pack

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


def noise(shape: tuple[int, ...], bits: int, *, signed: bool = False, seed: int = 1) -> np.ndarray:
    """Random values of so many bits that reach both ends."""
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    drawn = np.random.default_rng(seed).integers(low, high, shape)
    drawn.reshape(-1)[:2] = low, high - 1
    return drawn.astype(f"{'i' if signed else 'u'}{size}")


def smooth(shape: tuple[int, ...], bits: int) -> np.ndarray:
    """A slow wave, (frames, rows, columns, samples), that lossy codecs keep well."""
    _, rows, columns, samples = shape
    y, x = np.mgrid[:rows, :columns]
    wave = np.stack([np.sin(y / 9 + c) * np.cos(x / 7) for c in range(samples)], -1)
    values = ((wave + 1) / 2 * ((1 << bits) - 1)).astype("u1" if bits <= 8 else "u2")
    return np.broadcast_to(values, shape).copy()


def write_pixels(folder: Path, values: np.ndarray, **entries: object) -> Path:
    """Write (frames, rows, columns, samples) uncompressed, or ``PixelData`` as it is given."""
    frames, rows, columns, samples = values.shape
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    syntax = UID(str(entries.pop("TransferSyntaxUID", ExplicitVRLittleEndian)))
    # pydicom does not know frames deflated one by one: written as another, its name changed after
    is_strange = syntax == DEFLATED_FRAMES
    file.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if is_strange else syntax
    bits = 8 * values.dtype.itemsize
    stored = int(entries.get("BitsStored") or bits)
    header: dict[str, object] = {
        "SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3",
        "Modality": "OT",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": samples,
        "NumberOfFrames": frames,
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "RGB",
        "BitsAllocated": bits,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": values.tobytes(),
    }
    if samples > 1:
        header["PlanarConfiguration"] = 0
    for keyword, value in (header | entries).items():
        if value is not None:
            setattr(file, keyword, value)
    if "PixelData" in file:
        element = file["PixelData"]
        wrapped = file.file_meta.TransferSyntaxUID.is_encapsulated
        element.VR = "OB" if wrapped or file.BitsAllocated <= 8 else "OW"
        element.is_undefined_length = wrapped
        if len(element.value) % 2:
            element.value += b"\0"
    path = folder / "pixels.dcm"
    file.save_as(path, enforce_file_format=True)
    if is_strange:
        told = DEFLATED_FRAMES.encode() + b"\0"
        path.write_bytes(path.read_bytes().replace(JPEGBaseline8Bit.encode(), told, 1))
    return path


def write_packed(folder: Path, values: np.ndarray, streams: list[bytes], **entries: object) -> Path:
    """Write compressed frames, each in one fragment behind a basic offset table."""
    return write_pixels(folder, values, PixelData=encapsulate(streams), **entries)


def write_extended(folder: Path, values: np.ndarray, streams: list[bytes], syntax: str) -> Path:
    """Write compressed frames behind an extended offset table."""
    data, offsets, lengths = encapsulate_extended(streams)
    entries = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    return write_pixels(folder, values, PixelData=data, TransferSyntaxUID=syntax, **entries)


def packed(path: Path) -> Packed:
    """Describe a file by its header."""
    return pack(path, pydicom.dcmread(path, stop_before_pixels=True, force=True))


def encode(codec: str, frame: np.ndarray, bits: int) -> bytes:
    """Encode (rows, columns, samples) without loss; colours stay as they are."""
    flat = np.ascontiguousarray(frame[..., 0] if frame.shape[-1] == 1 else frame)
    if codec == "jpeg2k":
        return imagecodecs.jpeg2k_encode(
            flat, level=0, codecformat="J2K", bitspersample=bits, mct=False
        )
    if codec == "htj2k":
        return imagecodecs.htj2k_encode(flat, level=0)
    plain = flat.view(f"u{flat.dtype.itemsize}")
    if bits < 8 * plain.dtype.itemsize:
        plain = plain & plain.dtype.type((1 << bits) - 1)
    if codec == "jpegls":
        return imagecodecs.jpegls_encode(plain)
    if codec == "lossless":
        space = {} if flat.ndim == 2 else {"colorspace": "RGB", "outcolorspace": "RGB"}
        return imagecodecs.jpeg8_encode(
            plain, lossless=True, predictor=1, bitspersample=bits, **space
        )
    if codec == "deflate":
        engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return engine.compress(frame.tobytes()) + engine.flush()
    assert codec == "rle"
    return run_lengths(frame)


def run_lengths(frame: np.ndarray) -> bytes:
    """Encode (rows, columns, samples) as PS3.5 Annex G: a slow loop, byte plane by byte plane."""
    size = frame.dtype.itemsize
    planes = [
        np.ascontiguousarray(frame[..., c]).view(np.uint8).reshape(-1, size)[:, k].tobytes()
        for c in range(frame.shape[-1])
        for k in reversed(range(size))
    ]
    segments = []
    for plane in planes:
        out = bytearray()
        at = 0
        while at < len(plane):
            run = 1
            while run < 128 and at + run < len(plane) and plane[at + run] == plane[at]:
                run += 1
            if run > 1:
                out += bytes([257 - run, plane[at]])
            else:
                out += bytes([0, plane[at]])
            at += run
        segments.append(bytes(out) + b"\0" * (len(out) % 2))
    head, at = [len(segments)], 64
    for segment in segments:
        head.append(at)
        at += len(segment)
    return np.array(head + [0] * (16 - len(head)), "<u4").tobytes() + b"".join(segments)
