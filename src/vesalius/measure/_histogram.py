"""Histogram: the 23 grey-level histogram features of IBSI-1."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from numpy.typing import NDArray

from vesalius.measure._feature import Feature, Value
from vesalius.measure._statistics import FEATURES as STATISTICS
from vesalius.measure._statistics import moments

_CODES = {
    "mean": "X6K6",
    "var": "CH89",
    "skew": "88K1",
    "kurt": "C3I7",
    "median": "WIFQ",
    "min": "1PR8",
    "p10": "1PR",
    "p90": "GPMT",
    "max": "3NCY",
    "iqr": "WR0O",
    "range": "5Z3W",
    "mad": "D2ZX",
    "rmad": "WRZB",
    "medad": "4RNL",
    "cov": "CWYJ",
    "qcod": "SLWD",
}
_ONE_LEVEL = "there is only one grey level"


def _shared(suffix: str) -> Feature:
    like = next(f for f in STATISTICS if f.tag == f"stat_{suffix}")
    name = like.name.replace("intensity", "grey level").replace("Intensity", "Grey level")
    return Feature(
        f"ih_{suffix}", "histogram", name, _CODES[suffix], "1", like.formula, like.undefined
    )


def _own(tag: str, name: str, code: str, formula: str, undefined: str = "") -> Feature:
    return Feature(tag, "histogram", name, code, "1", formula, undefined)


_GRADIENT = "H' by central differences of the counts, one-sided at the ends"

FEATURES: tuple[Feature, ...] = (
    *(_shared(s) for s in ("mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max")),
    _own("ih_mode", "Grey level mode", "AMMC", "most frequent level; of several, nearest the mean"),
    *(_shared(s) for s in ("iqr", "range", "mad", "rmad", "medad", "cov", "qcod")),
    _own("ih_entropy", "Discretised intensity entropy", "TLU2", "-sum p log2 p"),
    _own("ih_uniformity", "Discretised intensity uniformity", "BJ5W", "sum p^2"),
    _own("ih_max_grad", "Maximum histogram gradient", "12CE", f"max H'; {_GRADIENT}", _ONE_LEVEL),
    _own(
        "ih_max_grad_g",
        "Maximum histogram gradient grey level",
        "8E6O",
        "level of max H', the lowest of several",
        _ONE_LEVEL,
    ),
    _own("ih_min_grad", "Minimum histogram gradient", "VQB3", f"min H'; {_GRADIENT}", _ONE_LEVEL),
    _own(
        "ih_min_grad_g",
        "Minimum histogram gradient grey level",
        "RHQZ",
        "level of min H', the lowest of several",
        _ONE_LEVEL,
    ),
)


def histogram(counts: NDArray[np.int64]) -> list[Value]:
    """Measure the 23 features of a grey-level histogram.

    Args:
        counts: (Ng,) number of voxels at level 1 to Ng; the sum is at least 1.

    Returns:
        One value for each of ``FEATURES``, in their order; NaN with a reason where a feature has no
        value.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 3.4.
    """
    held = np.flatnonzero(counts)
    often = counts[held].astype(np.float64)
    shared = moments((held + 1).astype(np.float64), often, "ih")
    share = often / often.sum()
    mode = Value("ih_mode", "", _mode(counts, shared[0].value))
    information = [
        Value("ih_entropy", "", float(-(share * np.log2(share)).sum()) + 0.0),
        Value("ih_uniformity", "", float((share * share).sum())),
    ]
    return [*shared[:9], mode, *shared[9:], *information, *_gradients(counts)]


def _mode(counts: NDArray[np.int64], mean: float) -> float:
    best = np.flatnonzero(counts == counts.max()) + 1
    return float(best[np.argmin(np.abs(best - mean))])


def _gradients(counts: NDArray[np.int64]) -> list[Value]:
    if len(counts) < 2:
        tags = ("ih_max_grad", "ih_max_grad_g", "ih_min_grad", "ih_min_grad_g")
        return [Value(tag, "", float("nan"), _ONE_LEVEL) for tag in tags]
    slope = np.gradient(counts.astype(np.float64))
    top, bottom = int(np.argmax(slope)), int(np.argmin(slope))
    return [
        Value("ih_max_grad", "", float(slope[top])),
        Value("ih_max_grad_g", "", float(top + 1)),
        Value("ih_min_grad", "", float(slope[bottom])),
        Value("ih_min_grad_g", "", float(bottom + 1)),
    ]
