"""What a notebook shows of an image: three planes, the spacing, the orientation, the range."""
# SPDX-License-Identifier: Apache-2.0

import base64
import html
import struct
import zlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from vesalius.core._grid import Grid

SIDE = 192  # longest side of a plane on the page, pixels
MOST = 512  # largest plane that is put into the page, samples a side
OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


def image_html(data: Shaped[Tensor, "c z y x"], grid: Grid, unit: str) -> str:
    """Draw the middle planes of the first channel as one self-contained piece of HTML.

    Args:
        data: (C, Z, Y, X).
        grid: Where the samples are.
        unit: Unit of the samples.

    Returns:
        A ``<div>`` with one inline PNG for each plane (one for a 2-D image), the letters of the
        sides, the size, the spacing and the range. Radiological: R or A on the left, A or S on top.
        Grey runs from the 1st to the 99th percentile of what is shown; text is escaped.
    """
    volume = data[0].detach()
    z, y, x = (n // 2 for n in grid.shape)
    planes = [(volume[z], (1, 2))]
    if grid.shape[0] > 1:
        planes += [(volume[:, y], (0, 2)), (volume[:, :, x], (0, 1))]
    arrays = [(p.cpu().double().numpy(), axes) for p, axes in planes]
    low, high = _window([a for a, _ in arrays])
    figures = "".join(_figure(a, axes, grid, (low, high)) for a, axes in arrays)
    style = "display:inline-block;font:12px sans-serif;background:#111;color:#ddd;padding:8px"
    caption = html.escape(_caption(data, grid, unit))
    return f'<div style="{style}"><div>{figures}</div><div>{caption}</div></div>'


def _caption(data: Tensor, grid: Grid, unit: str) -> str:
    channels = f", channel 1 of {data.shape[0]}" if data.shape[0] > 1 else ""
    size = " x ".join(str(n) for n in grid.shape)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing_mm)
    kind = str(data.dtype).removeprefix("torch.")
    return (
        f"zyx {size}, {spacing} mm, axes to {grid.orientation}, {_range(data)} {unit}, "
        f"{kind}{channels}"
    )


def _range(data: Tensor) -> str:
    values = data.detach()
    if values.is_floating_point():
        values = values[torch.isfinite(values)]
    if values.numel() == 0:
        return "no finite value"
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}"


def _window(planes: list[Any]) -> tuple[float, float]:
    shown = np.concatenate([p.ravel() for p in planes])
    shown = shown[np.isfinite(shown)]
    if shown.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(shown, (1, 99))
    return float(low), float(high) if high > low else float(low) + 1.0


def _figure(plane: Any, axes: tuple[int, int], grid: Grid, window: tuple[float, float]) -> str:
    """Turn one plane the way it is read, and write the letters of its four sides around it."""
    down, right = (grid.orientation[a] for a in axes)
    if down in "AS":
        plane, down = plane[::-1], OPPOSITE[down]
    if right in "RA":
        plane, right = plane[:, ::-1], OPPOSITE[right]
    extent = [n * grid.spacing_mm[a] for n, a in zip(plane.shape, axes, strict=True)]
    height, width = (max(1, round(SIDE * e / max(extent))) for e in extent)
    steps = tuple(slice(None, None, -(-n // MOST)) for n in plane.shape)
    low, high = window
    scaled = np.nan_to_num((plane[steps] - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    uri = base64.b64encode(_png((scaled.clip(0, 1) * 255).round().astype(np.uint8))).decode()
    image = f'<img width="{width}" height="{height}" src="data:image/png;base64,{uri}">'
    box = "display:inline-block;text-align:center;margin:4px;vertical-align:middle"
    return (
        f'<div style="{box}">{OPPOSITE[down]}<br>{OPPOSITE[right]} '
        f'<span style="display:inline-block;vertical-align:middle">{image}</span> {right}'
        f"<br>{down}</div>"
    )


def _png(grey: Any) -> bytes:
    """Write 8-bit grey samples as a PNG file (ISO/IEC 15948), filter 0 on every line."""
    height, width = grey.shape
    lines = np.zeros((height, width + 1), dtype=np.uint8)
    lines[:, 1:] = grey

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines.tobytes()))
        + chunk(b"IEND", b"")
    )
