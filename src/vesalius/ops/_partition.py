"""Partition scores: adapted Rand error and variation of information of two label arrays."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.ops._contingency import Contingency

Convention = Literal["pairs", "snemi3d"]


class RandScore(NamedTuple):
    """Agreement over pairs of samples.

    Attributes:
        error: 1 - F, F the harmonic mean of precision and recall; 0 is perfect.
        precision: Of the pairs joined in the prediction, the share joined in the truth: merging
            objects lowers it.
        recall: Of the pairs joined in the truth, the share joined in the prediction: splitting
            lowers it.
    """

    error: float
    precision: float
    recall: float


class Variation(NamedTuple):
    """Variation of information, bits.

    Attributes:
        split: H(prediction | truth): what cutting true objects apart costs.
        merge: H(truth | prediction): what joining true objects costs.
    """

    split: float
    merge: float

    @property
    def total(self) -> float:
        """Sum of both."""
        return self.split + self.merge


def adapted_rand(counts: Contingency, *, convention: Convention = "pairs") -> RandScore:
    """Score a partition against the truth by pairs of samples; background of the truth is left out.

    Args:
        counts: Of prediction (first) and truth (second).
        convention: ``"pairs"`` counts pairs of different samples and takes background of the
            prediction as one object (scikit-image). ``"snemi3d"`` counts each sample with itself
            too and takes each background sample of the prediction for an object of its own (the
            2013 challenge).

    Returns:
        The scores. NaN where the truth has no object; an empty denominator gives NaN too.

    References:
        Arganda-Carreras et al. (2015), doi:10.3389/fnana.2015.00142. Precision is by the pairs of
        the prediction, as in that paper; some versions of scikit-image have both names exchanged.
    """
    inside = counts.second[counts.column] != 0
    row, column, n = counts.row[inside], counts.column[inside], counts.shared[inside].double()
    if not len(n):
        return RandScore(math.nan, math.nan, math.nan)
    alone = counts.first[row] == 0
    truth = _sums(column, n, len(counts.second))
    if convention == "pairs":
        prediction = _sums(row, n, len(counts.first))
        both, found, true = (_pairs(x) for x in (n, prediction, truth))
    else:
        single = float(n[alone].sum())
        prediction = _sums(row[~alone], n[~alone], len(counts.first))
        both = float((n[~alone] ** 2).sum()) + single
        found, true = float((prediction**2).sum()) + single, float((truth**2).sum())
    precision = both / found if found else math.nan
    recall = both / true if true else math.nan
    error = 1 - 2 * both / (found + true) if found + true else math.nan
    return RandScore(error, precision, recall)


def variation_of_information(counts: Contingency, *, ignore: tuple[int, ...] = ()) -> Variation:
    """Measure how much a partition and the truth tell of each other, in bits.

    Args:
        counts: Of prediction (first) and truth (second).
        ignore: Labels of the truth whose samples are left out, such as ``(0,)``.

    Returns:
        Both conditional entropies; 0 is perfect. NaN where nothing is left to count.

    References:
        Meila (2007), doi:10.1016/j.jmva.2006.11.013, eq. (15).
    """
    left = torch.tensor(ignore, dtype=torch.int64)
    inside = ~torch.isin(counts.second[counts.column], left)
    n = counts.shared[inside].double()
    if not len(n):
        return Variation(math.nan, math.nan)
    row, column, total = counts.row[inside], counts.column[inside], float(n.sum())
    prediction = _sums(row, n, len(counts.first))
    truth = _sums(column, n, len(counts.second))
    split = -float((n * torch.log2(n / truth[column])).sum()) / total
    merge = -float((n * torch.log2(n / prediction[row])).sum()) / total
    return Variation(abs(split), abs(merge))  # no -0


def _sums(place: Int[Tensor, " k"], n: Tensor, size: int) -> Tensor:
    return torch.zeros(size, dtype=torch.float64).index_add_(0, place, n)


def _pairs(n: Tensor) -> float:
    return float((n * (n - 1)).sum())
