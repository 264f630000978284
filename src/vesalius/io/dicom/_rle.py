"""RLE: the run-length frames of DICOM (PS3.5 Annex G)."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.io._handle import Array
from vesalius.ops._jit import kernel

HEADER = 64


def unpack_rle(data: bytes, rows: int, columns: int, depth: tuple[int, int]) -> Array:
    """Decode a run-length frame.

    Args:
        data: Its segments behind their header.
        rows: Height.
        columns: Width.
        depth: (samples, bytes of a sample).

    Returns:
        (rows, columns, samples), unsigned.

    Raises:
        ValueError: The header does not fit, or a segment ends early.
    """
    samples, size = depth
    planes = samples * size
    head = np.frombuffer(data[:HEADER].ljust(HEADER, b"\0"), "<u4").astype(np.int64)
    starts = [*head[1 : planes + 1].tolist(), len(data)]
    wrong = head[0] != planes or starts[0] < HEADER or sorted(starts) != starts
    if planes > HEADER // 4 - 1 or wrong:
        raise ValueError(f"a run-length frame must have {planes} segments, it has {head[0]}")
    out = np.empty((planes, rows * columns), np.uint8)
    packed = np.frombuffer(data, np.uint8)
    for k in range(planes):
        written = _unpack(packed[starts[k] : starts[k + 1]], out[k])
        if written < out.shape[1]:
            raise ValueError(f"a run-length segment holds {written} of {out.shape[1]} bytes")
    # segments run from the highest byte of the first sample
    little = out.reshape(samples, size, -1)[:, ::-1].transpose(2, 0, 1)
    kind = np.dtype(f"<u{size}")
    whole = np.ascontiguousarray(little).view(kind).reshape(rows, columns, samples)
    return whole.astype(kind.newbyteorder("="), copy=False)


@kernel
@no_type_check
def _unpack(packed, out):
    """Undo PackBits (G.3.2); give how many bytes came out, at most those of ``out``."""
    at = 0
    k = 0
    while at < packed.size and k < out.size:
        control = int(packed[at])
        at += 1
        if control < 128:
            run = min(control + 1, packed.size - at, out.size - k)
            for _ in range(run):
                out[k] = packed[at]
                k += 1
                at += 1
        elif control > 128:
            run = 257 - control if at < packed.size else 0
            for _ in range(min(run, out.size - k)):
                out[k] = packed[at]
                k += 1
            at += 1
    return k
