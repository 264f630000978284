"""NIfTI-1 and NIfTI-2: RAS becomes LPS here, in both directions."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import logging
import math
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast, final

import numpy as np

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._atomic import atomic_write
from vesalius.io._body import Body, read_body, read_box
from vesalius.io._budget import Budget
from vesalius.io._frames import RAS_TO_LPS, affine_xyz, corner_distance, grid_from_xyz
from vesalius.io._handle import (
    Array,
    Content,
    Finding,
    Form,
    Handle,
    Rules,
    Window,
    widening,
)
from vesalius.io._label_names import caret_names
from vesalius.io._samples import STORED, to_numpy

LENGTH_MM = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 1e-3}
TIME_S = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
SAME_PLACE_MM = 0.1
COMMENT = 6
TABLES = (0, 30)
VECTOR = 1007
VECTORS = (1006, VECTOR)
GZIP_LEVEL = 1
HEADER_BYTES = 544
LONGEST_COMMENT = 1 << 26


def open_nifti(path: Path, rules: Rules) -> Handle:
    """Read the header of a NIfTI file.

    Args:
        path: A .nii or .nii.gz file; or the .hdr or .img file of a pair.
        rules: ``form`` chooses between sform and qform where they disagree.

    Returns:
        The handle.

    Raises:
        FormatError: The file is not NIfTI, is damaged, or places itself in two ways.
    """
    findings: list[Finding] = []
    volume, header = _load(path, findings)
    layout = _layout(path.name, header, rules)
    body = _body(Path(volume.file_map["image"].filename), volume, layout, rules.budget)
    lps = RAS_TO_LPS @ orientation(path.name, header, form=rules.form, findings=findings)
    lps[:3] *= _length_mm(path.name, header, findings)
    grid = grid_from_xyz(path.name, layout.shape[:3], lps)
    slope, inter = _scaling(header, findings)
    findings += widening(layout.stored)
    content = _content(header, rules, layout, findings)
    meta = _meta(header, layout, slope, inter)

    def load(window: Window) -> Array:
        if (slope, inter) != (1.0, 0.0):
            item = scaled_type(layout.stored).itemsize
            rules.budget.check_size(path.name, (*window.shape, *layout.shape[3:]), item)
        if body.codec == "raw":
            return scale(layout.arrange(_box(body, layout, window, rules.budget)), slope, inter)
        raw = layout.arrange(read_body(body).reshape(layout.shape[::-1]))[(..., *window.slices)]
        return scale(raw if window.shape == grid.shape else raw.copy(), slope, inter)

    return Handle(path.name, grid, meta, tuple(findings), content, load)


def save_nifti(obj: Image | Labels | Series, path: Path) -> None:
    """Write a NIfTI file: NIfTI-1, or NIfTI-2 where an axis is longer than 32767.

    Args:
        obj: What to write; more than one channel become a vector on the fifth axis.
        path: Where it goes; ``.gz`` compresses, equal samples always giving equal bytes.

    Raises:
        FormatError: The number type has no place in NIfTI, or frames are not evenly spaced.
    """
    header = nifti_header(obj)
    samples = to_numpy(obj.data)
    if isinstance(obj, Series):
        samples = np.ascontiguousarray(samples.swapaxes(0, 1))
    note = _note.encode(obj).encode()
    size = -(-(len(note) + 8) // 16) * 16 if note else 0
    header["vox_offset"] = len(header.binaryblock) + 4 + size
    with atomic_write(path) as file, ExitStack() as stack:
        out: IO[bytes] = file
        if path.name.lower().endswith(".gz"):
            # no name and no time in the stream, so that equal samples are equal files
            zipper = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
            out = cast(IO[bytes], stack.enter_context(zipper))
        out.write(header.binaryblock + bytes([bool(note), 0, 0, 0]))
        if note:
            out.write(np.array([size, COMMENT], "<i4").tobytes() + note.ljust(size - 8, b"\0"))
        out.write(samples.reshape(-1).view(np.uint8).data)


def nifti_header(obj: Image | Labels | Series) -> Any:
    """Make the nibabel header that describes an object, affine in RAS.

    Args:
        obj: Image, Labels or Series.

    Returns:
        A little-endian ``Nifti1Header`` or ``Nifti2Header``.

    Raises:
        FormatError: The number type has no place in NIfTI, or frames are not evenly spaced.
    """
    import nibabel

    z, y, x = obj.grid.shape
    frames = len(obj) if isinstance(obj, Series) else 1
    channels = int(obj.data.shape[-4])
    shape: tuple[int, ...] = (x, y, z)
    if channels > 1:
        shape = (*shape, frames, channels)
    elif isinstance(obj, Series):
        shape = (*shape, frames)
    kind = nibabel.Nifti1Header if max(shape) <= 32767 else nibabel.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(to_numpy(obj.data[..., :1, :1, :1]).dtype)
    header.set_data_shape(shape)
    _place(header, obj)
    if channels > 1:
        header["intent_code"] = VECTOR
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    return header


def orientation(
    name: str, header: Any, *, form: Form = "agree", findings: list[Finding] | None = None
) -> Array:
    """Choose between sform and qform.

    Args:
        name: Name of the file, for the error.
        header: A nibabel NIfTI header.
        form: ``"agree"`` takes the sform, and refuses where a qform differs by more than 0.1 mm
            at a corner of the grid; ``"sform"`` and ``"qform"`` take that one.
        findings: Where to note what was assumed.

    Returns:
        (4, 4), index (x, y, z, 1) to world (R, A, S, 1), in the file's unit of length.

    Raises:
        FormatError: The two disagree, or the one asked for is absent or damaged.
    """
    from nibabel.spatialimages import HeaderDataError

    try:
        sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise FormatError(f"{name!r} must have a valid qform: {error}: repair its header") from None
    chosen = {"agree": qform if sform is None else sform, "sform": sform, "qform": qform}[form]
    if chosen is None and form != "agree":
        raise FormatError(
            f'{name!r} must have a {form} to be opened with form="{form}", it has none'
        )
    if chosen is None:
        _note_finding(
            findings,
            "no-orientation",
            "neither sform nor qform is set: x, y, z are taken as R, A, S from a corner at 0",
        )
        sizes = [float(v) or 1.0 for v in header["pixdim"][1:4]]
        return np.diag([*sizes, 1.0])
    if form == "agree" and sform is not None and qform is not None:
        shape = (*header.get_data_shape(), 1, 1, 1)[:3]
        apart = corner_distance(shape, sform, qform) * LENGTH_MM[_units(name, header)[0]]
        if not apart <= SAME_PLACE_MM:
            raise FormatError(
                f"{name!r} must have one position, its sform and qform differ by up to "
                f'{apart:.4g} mm: open it with form="sform" or form="qform"'
            )
    if not np.isfinite(chosen).all():
        raise FormatError(
            f"{name!r} must place its samples in the world, its affine holds NaN or infinity: "
            "repair its header"
        )
    return np.array(chosen, dtype=np.float64)


def comment(header: Any) -> str:
    """Give the first comment of a nibabel header that is a line of JSON, or empty."""
    for extension in getattr(header, "extensions", ()):
        raw = extension.get_content() if extension.get_code() == COMMENT else b""
        text = raw if isinstance(raw, str) else bytes(raw).decode("utf-8", "replace")
        if text.lstrip().startswith("{"):
            return text.strip("\0 \n")
    return ""


def tables(header: Any) -> list[bytes]:
    """Give the extensions of a nibabel header that may hold a table of labels."""
    known = [e for e in getattr(header, "extensions", ()) if e.get_code() in TABLES]
    # since nibabel 5.3 the bytes are an attribute, and the call fails for codes without a parser
    found = [e.content if hasattr(e, "content") else e.get_content() for e in known]
    return [raw.encode() if isinstance(raw, str) else bytes(raw) for raw in found]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the axes and the stored type are."""

    shape: tuple[int, int, int, int, int]  # x, y, z, t, c
    stored: Any
    colours: int
    as_channels: bool

    @property
    def frames(self) -> int:
        return 1 if self.as_channels else self.shape[3]

    @property
    def channels(self) -> int:
        return self.shape[4] * self.colours * (self.shape[3] if self.as_channels else 1)

    def arrange(self, samples: Array) -> Array:
        """Bring a box of the file, (c, t, z, y, x), to (t, c, z, y, x)."""
        if samples.dtype.fields:
            samples = samples.view("u1").reshape(*samples.shape, self.colours)
            samples = np.moveaxis(samples, -1, 1).reshape(-1, *samples.shape[1:-1])
        if self.as_channels:
            return samples.reshape(1, -1, *samples.shape[2:])
        return samples.swapaxes(0, 1)


def _load(path: Path, findings: list[Finding]) -> tuple[Any, Any]:
    import nibabel

    kinds = (nibabel.Nifti1Pair, nibabel.Nifti2Pair)
    try:
        _check_offset(path)
        with _repairs(findings):
            volume = nibabel.load(path, mmap=False)
        if not isinstance(volume, kinds):
            raise FormatError(f"its header is that of {type(volume).__name__}")
        # nibabel moves the scaling out of the header on loading: it is put back
        header = volume.header.copy()
        header["scl_slope"], header["scl_inter"] = volume.dataobj.slope, volume.dataobj.inter
        return volume, header
    except Exception as error:  # nibabel raises a dozen types on damaged headers
        if isinstance(error, MemoryError):
            raise
        reason = str(error).replace(str(path), path.name).splitlines()[0]
        raise FormatError(
            f"{path.name!r} must be a NIfTI-1 or NIfTI-2 file, its header is not: {reason}: "
            "check that the file is complete and that its suffix is right"
        ) from error


def _check_offset(path: Path) -> None:
    """Refuse a comment of more than 64 MiB before the samples, which nibabel would read whole."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        head = cast(IO[bytes], file).read(HEADER_BYTES)
    for order in "<>":
        if head[:4] == struct.pack(f"{order}i", 348) and len(head) >= 112:
            offset = struct.unpack(f"{order}f", head[108:112])[0]
        elif head[:4] == struct.pack(f"{order}i", 540) and len(head) >= 176:
            offset = struct.unpack(f"{order}q", head[168:176])[0]
        else:
            continue
        if not 0 <= offset <= LONGEST_COMMENT:
            raise ValueError(f"vox_offset is {offset:g}")


@contextmanager
def _repairs(findings: list[Finding]) -> Iterator[None]:
    """Note what nibabel repairs in a header, which it would print."""
    from nibabel import imageglobals

    collector, logger = _Collector(findings), imageglobals.logger
    before = logger.level
    with imageglobals.LoggingOutputSuppressor():
        logger.addHandler(collector)
        logger.setLevel(logging.WARNING)  # a program may have silenced it
        try:
            yield
        finally:
            logger.setLevel(before)
            logger.removeHandler(collector)


@final
class _Collector(logging.Handler):
    """Turns log records of this thread into findings."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__()
        self.findings = findings
        self.owner = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.owner:
            text = f"the header was repaired: {record.getMessage()}"
            self.findings.append(Finding("warning", "header-repaired", text))


def _layout(name: str, header: Any, rules: Rules) -> _Layout:
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 5 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 5:
        raise FormatError(
            f"{name!r} must have 2 to 5 axes (x, y, z, time, channel), it has {len(shape)}: "
            "split it first"
        )
    x, y, z, t, c = (*shape, 1, 1, 1)[:5]
    stored = header.get_data_dtype()
    colours = len(stored.fields) if stored.fields else 1
    if not stored.fields and stored.str[1:] not in STORED:
        raise FormatError(
            f"{name!r} must hold real numbers of at most 64 bits, it holds {stored}: "
            "save its magnitude or real part first"
        )
    return _Layout((x, y, z, t, c), stored, colours, rules.frames == "channels")


def _body(path: Path, volume: Any, layout: _Layout, budget: Budget) -> Body:
    offset, count = int(volume.dataobj.offset), math.prod(layout.shape)
    packed = path.name.lower().endswith(".gz")
    present = path.stat().st_size - (0 if packed else offset)
    budget.check_claim(path.name, layout.shape, layout.stored.itemsize, present, packed=packed)
    if packed:
        return Body(path, layout.stored, count, skip=offset, codec="zlib")
    return Body(path, layout.stored, count, start=offset)


def _box(body: Body, layout: _Layout, window: Window, budget: Budget) -> Array:
    x, y, z = window.slices[::-1]
    t, c = (slice(0, n) for n in layout.shape[3:])
    wide = (*window.shape[::-1], *layout.shape[3:])
    budget.check_size(body.path.name, wide, body.stored.itemsize)
    return read_box(body, layout.shape, (x, y, z, t, c))


def _length_mm(name: str, header: Any, findings: list[Finding]) -> float:
    unit = _units(name, header)[0]
    if unit == "unknown":
        findings.append(Finding("info", "unit-assumed", "no unit of length given: mm assumed"))
    elif unit != "mm":
        findings.append(Finding("info", "unit-converted", f"lengths converted from {unit} to mm"))
    return LENGTH_MM[unit]


def _units(name: str, header: Any) -> tuple[str, str]:
    try:
        length, time = header.get_xyzt_units()
    except KeyError as error:
        raise FormatError(
            f"{name!r} must have a known unit code, xyzt_units is {int(header['xyzt_units'])}: "
            "set it to 2 (mm)"
        ) from error
    return str(length), str(time)


def _scaling(header: Any, findings: list[Finding]) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope, inter) != (1.0, 0.0):
        text = f"samples are stored x {slope:g} + {inter:g}, as the header says"
        findings.append(Finding("info", "scaled", text))
    return slope, inter


def scale(samples: Array, slope: float, inter: float) -> Array:
    """Give samples times slope plus inter, computed in float64; float32 where that is exact.

    Args:
        samples: (t, c, z, y, x), as stored.
        slope: Factor.
        inter: Term.

    Returns:
        The samples themselves where there is nothing to do.
    """
    if (slope, inter) == (1.0, 0.0):
        return samples
    scaled = np.empty(samples.shape, scaled_type(samples.dtype))
    for index in np.ndindex(samples.shape[:3]):
        plane = samples[index].astype(np.float64)
        plane *= slope
        plane += inter
        scaled[index] = plane
    return scaled


def scaled_type(stored: "np.dtype[Any]") -> "np.dtype[Any]":
    """Give the type of scaled samples: float32 holds any 16 bits, wider ones need float64."""
    fine = stored.itemsize <= 2 or stored.str[1:] == "f4"
    return np.dtype(np.float32 if fine else np.float64)


def _content(header: Any, rules: Rules, layout: _Layout, findings: list[Finding]) -> Content:
    content = _note.decode(comment(header), unit=rules.unit, channels=layout.channels)
    if not content.names:
        content = replace(content, names=caret_names(tables(header)))
    if not content.channels and layout.colours > 1:
        content = replace(content, channels=tuple("RGBA"[: layout.colours]))
    if layout.frames == 1:
        return content
    if int(header["intent_code"]) in VECTORS and layout.shape[4] == 1:
        text = (
            "the intent is a vector, its parts lie on the axis of time: open with frames='channels'"
        )
        findings.append(Finding("warning", "vector-in-time", text))
    times = _times(header, layout.frames)
    if not times:
        text = f"{layout.frames} frames without a time unit or step"
        findings.append(Finding("warning", "no-times", text))
    return replace(content, frames=layout.frames, times_s=times)


def _times(header: Any, frames: int) -> tuple[float, ...]:
    factor = TIME_S.get(_units("", header)[1], 0.0)
    step, start = float(header["pixdim"][4]) * factor, float(header["toffset"]) * factor
    if not (step > 0 and math.isfinite(start)):
        return ()
    return tuple(start + step * k for k in range(frames))


def _meta(header: Any, layout: _Layout, slope: float, inter: float) -> dict[str, object]:
    return {
        "format": "NIfTI-2" if int(header["sizeof_hdr"]) == 540 else "NIfTI-1",
        "stored": "RGB" if layout.colours > 1 else layout.stored.newbyteorder("=").name,
        "big_endian": header.endianness == ">",
        "channels": layout.channels,
        "frames": layout.frames,
        "scl_slope": slope,
        "scl_inter": inter,
    }


def _place(header: Any, obj: Image | Labels | Series) -> None:
    ras = RAS_TO_LPS @ affine_xyz(obj.grid)
    header.set_sform(ras, code=1)
    # a qform cannot hold shear; two positions that disagree are worse than one
    if obj.grid.is_orthogonal:
        header.set_qform(ras, code=1)
    else:
        header["pixdim"][1:4] = obj.grid.spacing_mm[::-1]
    header.set_xyzt_units("mm", "sec")
    if isinstance(obj, Series) and len(obj) > 1:
        steps = np.diff(obj.times_s)
        if float(np.ptp(steps)) > 1e-4 * float(steps.mean()):
            raise FormatError(
                f"times_s must be evenly spaced to be saved as NIfTI, steps run from "
                f"{steps.min():g} to {steps.max():g} s: save the frames one by one"
            )
        header["pixdim"][4], header["toffset"] = float(steps.mean()), obj.times_s[0]


def _note_finding(findings: list[Finding] | None, code: str, message: str) -> None:
    if findings is not None:
        findings.append(Finding("warning", code, message))
