"""Stripes: take off what is constant over all views, which becomes rings in the image."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._dwt import inverse_wavelet, wavelet
from vesalius.physics.ct import Projections

Sinograms = Float[Tensor, "row view column"]


def remove_stripes(
    projections: Projections, *, method: Literal["wavelet", "sorting"] = "sorting", width: int = 21
) -> Projections:
    """Remove the stripes of miscalibrated detector elements, which the image shows as rings.

    Args:
        projections: Line integrals, views in the order of their angle.
        method: ``"sorting"``: each column is sorted along the views, smoothed by a median across
            columns, and put back: what an element adds to every rank goes, however it is spread
            over the views. ``"wavelet"``: in the details across columns the frequencies near zero
            along the views are damped: gentler on wide stripes, slightly blurs what turns slowly.
        width: ``"sorting"``: columns of the median, odd; about twice the widest stripe.
            ``"wavelet"``: the widest stripe that goes, columns.

    Returns:
        Projections of the same geometry. A ring of the object itself about the axis looks like a
        stripe: one of 2 columns loses up to a third with ``"sorting"`` of 21 columns, nearly all
        with ``"wavelet"`` of 5; a rod of 4 columns off the axis loses up to 12 %.

    Raises:
        IntensityError: The projections are not line integrals.
        ConfigError: ``width`` is even, below 3, or wider than the detector.

    References:
        Vo, Atwood, Drakopoulos (2018), doi:10.1364/OE.26.028396, algorithm 3 (sorting). Münch et
        al. (2009), doi:10.1364/OE.17.008567, eq. (5) (wavelet); differs from it in: Daubechies-4,
        and the damping is of one cycle over all views.
    """
    if projections.quantity != "line integral":
        raise IntensityError(
            f"projections must be line integrals to remove stripes, got {projections.quantity}: "
            "apply flat_field and to_line_integrals first, where stripes add instead of multiply"
        )
    columns = projections.data.shape[2]
    if width < 3 or width > columns or width % 2 == 0:
        raise ConfigError(
            f"width must be odd, at least 3 and at most the detector's {columns} columns, got "
            f"{width}: about twice the widest stripe"
        )
    sinograms = projections.data.movedim(1, 0)
    clean = by_sorting(sinograms, width) if method == "sorting" else by_wavelets(sinograms, width)
    return replace(projections, data=clean.movedim(0, 1).contiguous())


def by_sorting(sinograms: Sinograms, width: int) -> Sinograms:
    """Smooth each rank across columns by a median; see ``remove_stripes``."""
    ranked, order = sinograms.sort(dim=1)
    half = width // 2
    padded = torch.nn.functional.pad(ranked, (half, half), mode="replicate")
    smooth = torch.empty_like(ranked)
    for row, lines in enumerate(padded):  # one row at a time: the windows take `width` times more
        smooth[row] = lines.unfold(1, width, 1).median(dim=-1).values
    return torch.empty_like(sinograms).scatter_(1, order, smooth)


def by_wavelets(sinograms: Sinograms, width: int, *, cycles: float = 1.0) -> Sinograms:
    """Damp slow changes along the views in the details across columns.

    Args:
        sinograms: (row, view, column).
        width: Widest stripe, columns; details of stripes up to it are damped.
        cycles: Standard deviation of the damped band, cycles over all views.

    Returns:
        Same shape and dtype.
    """
    levels = max(1, width.bit_length())
    grain = 1 << levels
    views, columns = sinograms.shape[1:]
    more = (-views % grain, -columns % grain + grain)
    # periodic wavelets: the margin keeps the two ends of the detector apart
    padded = torch.nn.functional.pad(sinograms, (0, more[1], 0, more[0]), mode="replicate")
    c = wavelet(padded, "db4", axes=(-2, -1), levels=levels)
    v, n = padded.shape[1:]
    for _ in range(levels):
        v, n = v // 2, n // 2
        band = c[:, :v, n : 2 * n]
        k = torch.arange(v // 2 + 1, dtype=c.dtype, device=c.device)
        damp = 1 - torch.exp(-0.5 * (k / cycles) ** 2)
        spectrum = torch.fft.rfft(band, dim=1) * damp[None, :, None]
        c[:, :v, n : 2 * n] = torch.fft.irfft(spectrum, n=v, dim=1)
    clean = inverse_wavelet(c, "db4", axes=(-2, -1), levels=levels)
    return clean[:, :views, :columns]
