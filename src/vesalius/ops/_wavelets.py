"""Separable wavelets without decimation: filter banks and their levels."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Chain, Taps

Family = Literal["haar", "db1", "db2", "db3", "db4", "coif1", "coif2", "coif3"]

LOW_PASS: dict[str, tuple[float, ...]] = {
    "haar": (0.7071067811865476, 0.7071067811865476),
    "db2": (
        -0.12940952255126037,
        0.2241438680420134,
        0.8365163037378079,
        0.48296291314453416,
    ),
    "db3": (
        0.03522629188570953,
        -0.08544127388202666,
        -0.13501102001025458,
        0.45987750211849154,
        0.8068915093110925,
        0.33267055295008263,
    ),
    "db4": (
        -0.010597401785069032,
        0.0328830116668852,
        0.030841381835560764,
        -0.18703481171909309,
        -0.027983769416859854,
        0.6308807679298589,
        0.7148465705529157,
        0.2303778133088965,
    ),
    "coif1": (
        -0.015655728135791993,
        -0.07273261951252645,
        0.3848648468648578,
        0.8525720202116004,
        0.3378976624574818,
        -0.07273261951252645,
    ),
    "coif2": (
        -0.000720549445520347,
        -0.0018232088709110323,
        0.005611434819368834,
        0.02368017194684777,
        -0.05943441864643109,
        -0.07648859907828076,
        0.4170051844232391,
        0.8127236354494135,
        0.3861100668227629,
        -0.0673725547237256,
        -0.04146493678687178,
        0.01638733646320364,
    ),
    "coif3": (
        -3.459977319727278e-05,
        -7.0983302506379e-05,
        0.0004662169598204029,
        0.0011175187708306303,
        -0.0025745176881367972,
        -0.009007976136730624,
        0.015880544863669452,
        0.03455502757329774,
        -0.08230192710629983,
        -0.07179982161915484,
        0.42848347637737,
        0.7937772226260872,
        0.40517690240911824,
        -0.06112339000297255,
        -0.06577191128146936,
        0.023452696142077168,
        0.007782596425672746,
        -0.003793512864380802,
    ),
}
"""Low-pass analysis filters of sum sqrt 2 (Daubechies 1992, tables 6.1 and 8.1)."""


def wavelet_taps(family: Family, band: Literal["L", "H"]) -> Taps:
    """Give an analysis filter of an orthogonal wavelet.

    Args:
        family: Name of the wavelet; ``db1`` is ``haar``.
        band: ``L`` for the scaling (low-pass) filter, ``H`` for the wavelet (high-pass) filter,
            its quadrature mirror: h[k] = (-1)^(k+1) l[n-1-k].

    Returns:
        The taps, in the order of a convolution.
    """
    low = LOW_PASS["haar" if family == "db1" else family]
    if band == "L":
        return Taps.of(low)
    return Taps.of(tuple((-1) ** (k + 1) * v for k, v in enumerate(low[::-1])))


def wavelet_chain(family: Family, band: Literal["L", "H"], level: int) -> Chain:
    """Give the chain of filters that leads to one band of a level, without decimation.

    Each level before the last is low-passed; the filters of level j are spread with
    2^(j-1) - 1 zeros after each tap ("a trous").

    Args:
        family: Name of the wavelet.
        band: The filter of the last level.
        level: Decomposition level, from 1.

    Returns:
        ``level`` filters, the first is applied first.

    Raises:
        ShapeError: ``level`` is below 1.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), separable wavelets.
    """
    if level < 1:
        raise ShapeError(f"level must be at least 1, got {level}: level 1 is the finest")
    low = wavelet_taps(family, "L")
    before = tuple(_spread(low, 2**step) for step in range(level - 1))
    return (*before, _spread(wavelet_taps(family, band), 2 ** (level - 1)))


def _spread(taps: Taps, step: int) -> Taps:
    zeros = (0.0,) * (step - 1)
    return Taps.of(tuple(v for value in taps.values for v in (value, *zeros)))
